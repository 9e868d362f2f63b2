"""Headless Chromium for the tests of pages, and what a user would see of the tooltip that the pages share."""

import json
import os
import shutil
from contextlib import contextmanager

from selenium import webdriver
from selenium.webdriver import ActionChains


@contextmanager
def started(profile):
    """A browser that logs its console and its requests."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for switch in (
        "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
        "--disable-component-update --disable-sync --disable-dev-shm-usage --window-size=1100,900"
    ).split():
        options.add_argument(switch)
    options.add_argument(f"--user-data-dir={profile}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    with webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver"))) as driver:
        yield driver


def requests(page):
    """What was sent since the last look at it: the events of DevTools."""
    events = [json.loads(entry["message"])["message"] for entry in page.get_log("performance")]
    return [event["params"] for event in events if event["method"] == "Network.requestWillBeSent"]


def hover(page, element):
    ActionChains(page, duration=0).move_to_element(element).perform()


def tip(page):
    """What the tooltip says, or None if it is hidden."""
    return page.execute_script("""
        const tip = document.getElementById('tip');
        if (tip.hidden) return null;
        const all = (selector, from) => [...from.querySelectorAll(selector)];
        return {
            title: tip.querySelector('h2').textContent,
            facts: Object.fromEntries(all('dl > div', tip).map((fact) =>
                [fact.querySelector('dt').textContent, fact.querySelector('dd').textContent])),
            lists: Object.fromEntries(all('table', tip).map((table) => [table.caption.textContent,
                all('tr', table).map((row) => [...row.cells].map((cell) => cell.textContent))])),
            text: tip.textContent,
            fits: tip.getBoundingClientRect().left >= 0
                && tip.getBoundingClientRect().right <= document.documentElement.clientWidth,
        };""")


def screenshot(page, name):
    """Leaves a picture in SDA_SCREENSHOTS."""
    if folder := os.environ.get("SDA_SCREENSHOTS"):
        os.makedirs(folder, exist_ok=True)
        page.save_screenshot(os.path.join(folder, name))

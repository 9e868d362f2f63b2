"""Drives the page of `sda plot viewer` in headless Chromium and checks what a user would see.

SDA is the command; screenshots are left in SDA_SCREENSHOTS. `make test-viewer` sets both.
"""

import json
import os
import subprocess

import pytest
from chromium import hover, requests, screenshot, started, tip
from selenium.webdriver import ActionChains, Keys
from selenium.webdriver.common.actions.pointer_input import PointerInput
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select

HOSTILE = "</script><script>document.title = 'broken out'</script>"
TEXTS = ["Arr", ",", " a", " computer", HOSTILE, " <b>bold</b>", "\n", " is", "", " clever", "."]
SHOWN = [text.replace("\n", "\u21b5\n") or "\\xE4" for text in TEXTS]


def trace():
    """The records of two answers, whose texts try to break out of the page."""
    for step, text in enumerate(TEXTS):
        own = text or "\\xE4"
        yield {
            "type": "token", "arm": "steered", "step": step, "token": 100 + step, "text": text,
            "js": 0.05 * step, "temperature": 0.6 - 0.01 * step, "guidance": 1.31 if step == 3 else 1.92,
            "logprob_plain": -3.25, "logprob_instructed": -1.5,
            "top_plain": [[7, " the", -0.5], [8, "<i>x</i>", -2.0]],
            "top_instructed": [[100 + step, own, -1.5], [7, " the", -1.75]],
            "top_steered": [[100 + step, own, -0.25], [9, HOSTILE, -3.0]],
        }  # fmt: skip
    yield {"type": "answer", "arm": "steered", "seed": 7, "finish": "eog", "guidance": 1.92, "mean_kl": 0.2}
    yield {
        "type": "token", "arm": "plain", "step": 0, "token": 3, "text": "Plain", "js": None,
        "temperature": 0.6, "guidance": None, "logprob_plain": -0.5, "logprob_instructed": None,
    }  # fmt: skip


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    folder = tmp_path_factory.mktemp("viewer")
    source, page = folder / "trace.jsonl", folder / "viewer.html"
    source.write_text("".join(json.dumps(record) + "\n" for record in trace()), encoding="utf-8")
    subprocess.run([os.environ["SDA"], "plot", "viewer", source, "-o", page], check=True)
    return f"file://{page}"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with started(tmp_path_factory.mktemp("profile")) as driver:
        yield driver


@pytest.fixture
def page(browser, url):
    """The page as it is when just loaded."""
    browser.get(url)
    return browser


def tokens(page):
    return page.find_elements(By.CSS_SELECTOR, ".token")


def texts(page):
    return [token.get_property("textContent") for token in tokens(page)]


def test_the_page_shows_the_tokens_as_text_and_lets_none_break_out(page):
    assert texts(page) == SHOWN
    assert page.title.startswith("sda trace")
    assert page.find_elements(By.CSS_SELECTOR, "main b, i") == []
    summary = page.find_element(By.ID, "summary").text.split(" \u00b7 ")
    assert summary == [
        "11 tokens", "arm: steered", "mean JS 0.250 nats", "guidance 1.92", "mean_kl 0.20", "seed 7", "finish eog",
        "weakened at 1 of 11 tokens",
    ]  # fmt: skip
    assert [token.get_attribute("data-step") for token in page.find_elements(By.CSS_SELECTOR, ".weakened")] == ["3"]
    line = page.find_element(By.CSS_SELECTOR, "#chart .line")
    assert len(line.get_attribute("points").split()) == len(TEXTS)
    colours = {tokens(page)[n].value_of_css_property("background-color") for n in (0, 1, 10)}
    assert len(colours) == 3, "tokens that diverge differently"
    assert tokens(page)[7].location["y"] > tokens(page)[3].location["y"], "a line end ends the line"
    assert tip(page) is None
    screenshot(page, "viewer.png")


def test_the_pointer_shows_a_tokens_figures_and_lists(page):
    hover(page, tokens(page)[3])
    shown = tip(page)
    assert shown["title"] == "\u2423computer"
    assert shown["facts"] == {
        "step": "3", "token": "103", "JS": "0.1500 nats", "T": "0.570", "\u03b3": "1.31 of 1.92",
        "log-prob plain": "\u22123.250", "log-prob instructed": "\u22121.500",
    }  # fmt: skip
    assert shown["lists"] == {
        "plain": [["\u2423the", "61 %"], ["<i>x</i>", "14 %"]],
        "instructed": [["\u2423computer", "22 %"], ["\u2423the", "17 %"]],
        "steered": [["\u2423computer", "78 %"], ["</script><script\u2026", "5.0 %"]],
    }
    assert shown["fits"]
    assert len(page.find_elements(By.CSS_SELECTOR, "[aria-describedby=tip]")) == 1
    screenshot(page, "viewer-hover.png")
    hover(page, page.find_element(By.CSS_SELECTOR, "h1"))
    assert tip(page) is None


def test_the_keyboard_walks_through_the_tokens(page):
    page.execute_script("arguments[0].focus()", tokens(page)[0])
    assert tip(page)["title"] == "Arr"
    for keys, title in (([Keys.ARROW_RIGHT] * 2, "\u2423a"), ([Keys.END], ".")):
        ActionChains(page).send_keys(*keys).perform()
        assert tip(page)["title"] == title
    ActionChains(page).send_keys(Keys.ESCAPE).perform()
    assert tip(page) is None
    assert len(page.find_elements(By.CSS_SELECTOR, ".token[tabindex='0']")) == 1, "one stop for Tab"


def test_a_touch_shows_the_tooltip(page):
    touch = ActionChains(page, duration=0, devices=[PointerInput("touch", "finger")])
    touch.click(tokens(page)[9]).perform()
    assert tip(page)["title"] == "\u2423clever"


def test_the_button_turns_the_page_dark(page):
    body = page.find_element(By.CSS_SELECTOR, "body")
    assert body.value_of_css_property("background-color") == "rgba(255, 255, 255, 1)"
    page.find_element(By.ID, "theme").click()
    assert body.value_of_css_property("background-color") == "rgba(20, 23, 27, 1)"
    hover(page, tokens(page)[4])
    assert HOSTILE[:16] in tip(page)["text"]
    screenshot(page, "viewer-dark.png")


def test_the_other_answer_can_be_chosen(page):
    Select(page.find_element(By.ID, "answers")).select_by_index(1)
    assert texts(page) == ["Plain"]
    hover(page, tokens(page)[0])
    assert tip(page)["facts"]["\u03b3"] == "\u2013", "what has no value"
    assert "--trace-top 5" in tip(page)["text"]


def test_nothing_is_fetched_and_the_console_stays_empty(browser, url):
    for kind in ("browser", "performance"):
        browser.get_log(kind)
    browser.get(url)
    assert texts(browser) == SHOWN
    assert browser.get_log("browser") == []
    fetched = [each["request"]["url"] for each in requests(browser) if each["documentURL"] == url]
    assert [each for each in fetched if not each.startswith("data:")] == [url]

#!/usr/bin/env python3
"""Drives the page of `sda plot viewer` in headless Chromium and checks what a user would see.

usage: test-viewer.py SDA [SCREENSHOT-FOLDER]

Installs chromium and chromium-driver with apt-get if they are missing and this is root.
"""

import base64
import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time

WIDTH, HEIGHT = 1100, 900
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
HOSTILE = "</script><script>document.title = 'broken out'</script>"
TEXTS = ["Arr", ",", " a", " computer", HOSTILE, " <b>bold</b>", "\n", " is", "", " clever", "."]
LIGHT, DARK = "rgb(255, 255, 255)", "rgb(20, 23, 27)"


def ensure_chromium():
    """The driver's path."""
    found = shutil.which("chromedriver")
    if found and shutil.which("chromium"):
        return found
    if os.geteuid() != 0:
        sys.exit("error: chromium and chromedriver are missing: install chromium and chromium-driver")
    install = ["apt-get", "install", "-y", "--no-install-recommends", "chromium", "chromium-driver"]
    for command in (["apt-get", "update"], [*install, "fonts-dejavu-core"]):
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    return shutil.which("chromedriver")


def trace(path):
    """Writes a trace whose texts try to break out of the page."""
    with open(path, "w", encoding="utf-8") as file:
        for step, text in enumerate(TEXTS):
            own = text or "\\xE4"
            record = {
                "type": "token", "arm": "steered", "step": step, "token": 100 + step, "text": text,
                "js": 0.05 * step, "temperature": 0.6 - 0.01 * step, "guidance": 1.92,
                "logprob_plain": -3.25, "logprob_instructed": -1.5,
                "top_plain": [[7, " the", -0.5], [8, "<i>x</i>", -2.0]],
                "top_instructed": [[100 + step, own, -1.5], [7, " the", -1.75]],
                "top_steered": [[100 + step, own, -0.25], [9, HOSTILE, -3.0]],
            }
            file.write(json.dumps(record) + "\n")
        file.write(json.dumps({"type": "answer", "arm": "steered", "seed": 7, "finish": "eog"}) + "\n")
        plain = {
            "type": "token", "arm": "plain", "step": 0, "token": 3, "text": "Plain", "js": None,
            "temperature": 0.6, "guidance": None, "logprob_plain": -0.5, "logprob_instructed": None,
        }
        file.write(json.dumps(plain) + "\n")


class Browser:
    """As much of WebDriver as is needed."""

    def __init__(self, driver, profile):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.log = open(os.path.join(profile, "driver.log"), "wb")
        self.process = subprocess.Popen(
            [driver, f"--port={self.port}"], stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL
        )
        self.session = None
        switches = [
            "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            "--disable-dev-shm-usage", f"--user-data-dir={profile}/profile", f"--window-size={WIDTH},{HEIGHT}",
        ]
        wanted = {
            "goog:chromeOptions": {"args": switches, "binary": shutil.which("chromium")},
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        }
        deadline = time.monotonic() + 60
        while self.session is None:
            try:
                answer = self.call("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
                self.session = f"/session/{answer['sessionId']}"
            except ConnectionError:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    raise
                time.sleep(0.2)

    def call(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        data = None if body is None else json.dumps(body)
        connection.request(method, (self.session or "") + path, data, {"Content-Type": "application/json"})
        answer = json.loads(connection.getresponse().read())["value"]
        connection.close()
        if isinstance(answer, dict) and "error" in answer:
            raise RuntimeError(f"{method} {path}: {answer['error']}: {answer['message']}")
        return answer

    def run(self, script, *args):
        return self.call("POST", "/execute/sync", {"script": script, "args": list(args)})

    def point(self, kind, element, *, press=False):
        steps = [{"type": "pointerMove", "duration": 0, "x": 0, "y": 0, "origin": element}]
        if press:
            steps += [{"type": "pointerDown", "button": 0}, {"type": "pointerUp", "button": 0}]
        pointer = {"type": "pointer", "id": kind, "parameters": {"pointerType": kind}, "actions": steps}
        self.call("POST", "/actions", {"actions": [pointer]})

    def keys(self, *keys):
        steps = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        self.call("POST", "/actions", {"actions": [{"type": "key", "id": "keys", "actions": steps}]})

    def screenshot(self, path):
        with open(path, "wb") as file:
            file.write(base64.b64decode(self.call("GET", "/screenshot")))

    def messages(self, kind):
        return self.call("POST", "/se/log", {"type": kind})

    def close(self):
        try:
            if self.session:
                self.call("DELETE", "")
        finally:
            self.process.terminate()
            self.process.wait(30)
            self.log.close()


def token(browser, n):
    return browser.run("return document.querySelectorAll('.token')[arguments[0]]", n)


def tip(browser):
    """What the tooltip says, or None if it is hidden."""
    return browser.run("""
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


def check(what, got, expected):
    if got != expected:
        sys.exit(f"error: {what} is {got!r}, must be {expected!r}")
    print(f"ok: {what}")


def check_page(browser, shots):
    tokens = "return [...document.querySelectorAll('.token')].map((token) => token.textContent)"
    shown = [text.replace("\n", "\u21b5\n") or "\\xE4" for text in TEXTS]
    check("the list of tokens", browser.run(tokens), shown)
    check("the title", browser.run("return document.title").startswith("sda trace"), True)
    check("elements out of the trace", browser.run("return document.querySelectorAll('main b, i').length"), 0)
    summary = browser.run("return document.getElementById('summary').textContent")
    check("the summary", summary, "11 tokens \u00b7 arm: steered \u00b7 mean JS 0.250 nats \u00b7 seed 7 \u00b7 finish eog")
    points = "return document.querySelector('#chart .line').getAttribute('points').split(' ').length"
    check("points of the chart", browser.run(points), len(TEXTS))
    color = "return getComputedStyle(arguments[0]).backgroundColor"
    colors = [browser.run(color, token(browser, n)) for n in (0, 1, 10)]
    check("colours of tokens that diverge differently", len(set(colors)), 3)
    line = "return arguments[0].getBoundingClientRect().top"
    below = browser.run(line, token(browser, 7)) > browser.run(line, token(browser, 3))
    check("a line end ends the line", below, True)
    check("the tooltip before anything", tip(browser), None)
    browser.screenshot(os.path.join(shots, "viewer.png"))

    browser.point("mouse", token(browser, 3))
    got = tip(browser)
    check("the tooltip's title on hover", got["title"], "\u2423computer")
    check("the tooltip's figures", got["facts"], {
        "step": "3", "token": "103", "JS": "0.1500 nats", "T": "0.570", "\u03b3": "1.92",
        "log-prob plain": "\u22123.250", "log-prob instructed": "\u22121.500",
    })
    check("the tooltip's lists", got["lists"], {
        "plain": [["\u2423the", "61 %"], ["<i>x</i>", "14 %"]],
        "instructed": [["\u2423computer", "22 %"], ["\u2423the", "17 %"]],
        "steered": [["\u2423computer", "78 %"], ["</script><script\u2026", "5.0 %"]],
    })
    check("the tooltip is inside the window", got["fits"], True)
    described = "return document.querySelectorAll('[aria-describedby=tip]').length"
    check("tokens that the tooltip describes", browser.run(described), 1)
    browser.screenshot(os.path.join(shots, "viewer-hover.png"))
    browser.point("mouse", browser.run("return document.querySelector('h1')"))
    check("the tooltip after the pointer left", tip(browser), None)

    browser.run("arguments[0].focus()", token(browser, 0))
    check("the tooltip's title on focus", tip(browser)["title"], "Arr")
    browser.keys("\ue014", "\ue014")
    check("its title after two arrow keys", tip(browser)["title"], "\u2423a")
    browser.keys("\ue010")
    check("its title after End", tip(browser)["title"], ".")
    browser.keys("\ue00c")
    check("the tooltip after Escape", tip(browser), None)
    check("tokens in the order of Tab", browser.run("return document.querySelectorAll('.token[tabindex=\"0\"]').length"), 1)

    browser.point("touch", token(browser, 9), press=True)
    check("the tooltip's title after a touch", tip(browser)["title"], "\u2423clever")

    background = "return getComputedStyle(document.body).backgroundColor"
    check("the light background", browser.run(background), LIGHT)
    browser.run("document.getElementById('theme').click()")
    check("the dark background", browser.run(background), DARK)
    browser.point("mouse", token(browser, 4))
    check("a hostile token in the tooltip", HOSTILE[:16] in tip(browser)["text"], True)
    browser.screenshot(os.path.join(shots, "viewer-dark.png"))

    browser.run("const s = document.getElementById('answers'); s.value = 1; s.dispatchEvent(new Event('change'))")
    check("the tokens of the other answer", browser.run(tokens), ["Plain"])
    browser.point("mouse", token(browser, 0))
    check("what has no value in it", tip(browser)["facts"]["\u03b3"], "\u2013")
    check("the note on missing lists", "--trace-top 5" in tip(browser)["text"], True)


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    sda = sys.argv[1]
    driver = ensure_chromium()
    with tempfile.TemporaryDirectory() as folder:
        shots = sys.argv[2] if len(sys.argv) == 3 else folder
        os.makedirs(shots, exist_ok=True)
        source, page = os.path.join(folder, "trace.jsonl"), os.path.join(folder, "viewer.html")
        trace(source)
        subprocess.run([sda, "plot", "viewer", source, "-o", page], check=True)
        browser = Browser(driver, folder)
        try:
            browser.call("POST", "/url", {"url": f"file://{page}"})
            check_page(browser, shots)
            check("messages on the console", browser.messages("browser"), [])
            events = [json.loads(entry["message"])["message"] for entry in browser.messages("performance")]
            sent = [event["params"] for event in events if event["method"] == "Network.requestWillBeSent"]
            # Before, the tab showed the browser's own page, which sends a lot.
            own = [each["request"]["url"] for each in sent if each["documentURL"] == f"file://{page}"]
            own = [url for url in own if not url.startswith("data:")]
            check("all requests of the page", own, [f"file://{page}"])
        finally:
            browser.close()


if __name__ == "__main__":
    main()

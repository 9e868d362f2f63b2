"""Drives the page of `sda serve` in headless Chromium and checks what a user would see.

SDA is the command, SDA_TEST_MODEL the model; screenshots are left in SDA_SCREENSHOTS. `make test-webui` sets them.
"""

import contextlib
import json
import os
import re
import subprocess
import threading
import urllib.error
import urllib.request
from http.server import ThreadingHTTPServer

import pytest
from chromium import hover, requests, screenshot, started, tip
from fake_serve import HOSTILE, KEY, FakeServer
from selenium.webdriver import ActionChains, Keys
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select, WebDriverWait

SDA, MODEL = os.environ["SDA"], os.environ["SDA_TEST_MODEL"]
ARMS = ["plain", "instructed", "steered"]
PIRATE = "Answer like a pirate."


def fetch(url):
    """A reply as it is, without any proxy."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        return opener.open(url, timeout=60)
    except urllib.error.HTTPError as refused:
        return refused


@contextlib.contextmanager
def serving(*more):
    """A server on a free port; gives its address once it listens."""
    command = [SDA, "serve", "-m", MODEL, "--port", "0", "-c", "2048", "-t", "2", *more]
    server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        address = next(filter(None, (re.search(r"listening on (\S+)", line) for line in server.stderr))).group(1)
        # The log must not fill the pipe.
        threading.Thread(target=server.stderr.read, daemon=True).start()
        yield address
    finally:
        server.terminate()
        server.wait(60)


@pytest.fixture(scope="module")
def address():
    with serving("-i", PIRATE, "--guidance", "2.5", "--mean-kl", "inf") as address:
        yield address


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with started(tmp_path_factory.mktemp("profile")) as driver:
        yield driver


@pytest.fixture
def page(browser, address):
    """The page as it is when just loaded, with what the server told it, and answers of few tokens."""
    for kind in ("browser", "performance"):
        browser.get_log(kind)
    browser.get(address)
    until(browser, lambda: field(browser, "instruction").get_property("value") == PIRATE)
    browser.execute_script("document.getElementById('more').open = true")
    put(browser, "max-tokens", "24")
    put(browser, "seed", "3")
    yield browser
    wrong = [entry for entry in browser.get_log("browser") if "the server responded with a status" not in entry["message"]]
    assert wrong == [], "the console stays empty"


def until(page, condition, seconds=300):
    return WebDriverWait(page, seconds, poll_frequency=0.1).until(lambda _: condition())


def field(page, name):
    return page.find_element(By.ID, name)


def put(page, name, text):
    field(page, name).clear()
    field(page, name).send_keys(text)


def ask(page, question):
    put(page, "query", question + Keys.ENTER)


def is_idle(page):
    return field(page, "send").is_enabled()


def answered(page, question):
    """Asks, and waits for all answers to end."""
    ask(page, question)
    until(page, lambda: is_idle(page))


def columns(page):
    """The arms of the newest turn."""
    turns = page.find_elements(By.CSS_SELECTOR, ".turn")
    return {one.get_attribute("class").split()[1]: one for one in turns[-1].find_elements(By.CSS_SELECTOR, ".answer")}


def tokens(column):
    return column.find_elements(By.CSS_SELECTOR, ".token")


def text(column):
    """The answer as a screen reader reads it."""
    return column.find_element(By.CSS_SELECTOR, ":scope > .unseen").get_property("textContent")


def facts(column):
    return column.find_element(By.CSS_SELECTOR, ".facts").text


def sent_bodies(page):
    """The bodies of the requests for answers since the last look."""
    sent = [each["request"] for each in requests(page)]
    return [json.loads(each["postData"]) for each in sent if each["url"].endswith("/v1/chat/completions")]


def test_three_answers_stand_side_by_side_and_only_the_steered_one_is_coloured(page):
    answered(page, "What is a computer?")
    shown = columns(page)
    assert list(shown) == ARMS
    assert len({one.location["y"] for one in shown.values()}) == 1, "beside one another"
    for arm, column in shown.items():
        assert len(tokens(column)) > 2
        drawn = "".join(token.get_property("textContent") for token in tokens(column)).replace("\u21b5\n", "\n")
        assert drawn == text(column), arm
        assert re.match(r"\d+ tokens \u00b7 ", facts(column)) and "tokens/s" in facts(column)
        backgrounds = {token.value_of_css_property("background-color") for token in tokens(column)}
        assert (len(backgrounds) > 2) == (arm == "steered"), arm
    assert "guidance 2.50" in facts(shown["steered"]), "the server's own"
    assert re.search(r"mean JS 0\.\d{3} nats", facts(shown["steered"]))
    assert len({text(column) for column in shown.values()}) == 3
    bodies = sent_bodies(page)
    assert {body["seed"] for body in bodies} == {3}
    assert all("instruction" not in body["sda"] for body in bodies[1:]), "the server knows its own instruction"
    screenshot(page, "webui.png")
    field(page, "theme").click()
    screenshot(page, "webui-dark.png")


def test_the_tooltip_shows_what_each_arm_had_to_choose_from(page):
    answered(page, "What is a computer?")
    shown = columns(page)
    for arm, lists in (("plain", ["plain"]), ("instructed", ["instructed"]), ("steered", ARMS)):
        hover(page, tokens(shown[arm])[1])
        assert set(tip(page)["lists"]) == set(lists)
        assert [len(rows) for rows in tip(page)["lists"].values()] == [5] * len(lists)
    assert tip(page)["facts"]["\u03b3"] == "2.50"
    assert re.fullmatch(r"0\.\d{4} nats", tip(page)["facts"]["JS"])
    assert tip(page)["fits"]
    screenshot(page, "webui-hover.png")


def test_the_keyboard_alone_sends_a_question_and_walks_through_the_answer(page):
    put(page, "query", "Who")
    keys = ActionChains(page)
    keys.key_down(Keys.SHIFT).send_keys(Keys.ENTER).key_up(Keys.SHIFT).send_keys("are you?").perform()
    assert field(page, "query").get_property("value") == "Who\nare you?", "Shift and Enter begins a line"
    ActionChains(page).send_keys(Keys.ENTER).perform()
    until(page, lambda: is_idle(page))
    assert page.find_element(By.CSS_SELECTOR, ".turn h2").get_property("textContent") == "Who\nare you?"
    assert page.switch_to.active_element == field(page, "query"), "the next question can be typed at once"
    page.execute_script("arguments[0].focus()", field(page, "clear"))
    ActionChains(page).send_keys(Keys.TAB).perform()
    first = tokens(columns(page)["plain"])[0]
    assert page.switch_to.active_element == first and tip(page) is not None
    ActionChains(page).send_keys(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT).perform()
    assert page.switch_to.active_element == tokens(columns(page)["plain"])[2]
    assert tip(page)["facts"]["step"] == "2"
    assert page.switch_to.active_element.get_attribute("aria-describedby") == "tip"
    ActionChains(page).send_keys(Keys.ESCAPE).perform()
    assert tip(page) is None
    ActionChains(page).send_keys(Keys.TAB).perform()
    assert page.switch_to.active_element.accessible_name == "Copy the plain answer", "one stop for all tokens"


def test_a_screen_reader_finds_names_and_hears_the_answer(page):
    answered(page, "What is a computer?")
    for control in page.find_elements(By.CSS_SELECTOR, "input, select, textarea, button"):
        assert control.accessible_name or not control.is_displayed(), control.get_attribute("outerHTML")
    names = {field(page, name).accessible_name for name in ("query", "instruction", "preset", "slider", "placement")}
    assert names == {"Question", "Instruction", "Preset", "Guidance", "Placement"}
    status = field(page, "announcement")
    assert status.aria_role == "status"
    until(page, lambda: text(columns(page)["steered"]).strip() in status.get_property("textContent"))
    for column in columns(page).values():
        run = column.find_element(By.CSS_SELECTOR, ":scope > .tokens")
        assert run.aria_role == "listbox" and run.get_attribute("aria-busy") is None
        assert len(run.find_elements(By.CSS_SELECTOR, "[tabindex='0']")) == 1
    assert field(page, "error").aria_role == "alert"


def test_the_next_question_goes_on_from_the_answer_that_was_picked(page):
    answered(page, "What is a computer?")
    plain = columns(page)["plain"]
    plain.find_element(By.CSS_SELECTOR, "input[type=radio]").click()
    sent_bodies(page)
    field(page, "compare").click()
    answered(page, "And who made it?")
    assert list(columns(page)) == ["steered"], "one column without comparison"
    (body,) = sent_bodies(page)
    assert [message["role"] for message in body["messages"]] == ["user", "assistant", "user"]
    assert body["messages"][1]["content"] == text(plain).strip()
    field(page, "clear").click()
    assert page.find_elements(By.CSS_SELECTOR, ".turn") == []
    answered(page, "Who are you?")
    assert len(sent_bodies(page)[0]["messages"]) == 1


def test_the_form_says_what_to_steer_by(page):
    Select(field(page, "preset")).select_by_visible_text("empathy")
    assert field(page, "instruction").get_property("value").startswith("Answer with warmth.")
    page.execute_script(
        "const s = arguments[0]; s.value = 3; s.dispatchEvent(new Event('input'))", field(page, "slider")
    )
    assert field(page, "guidance").get_property("value") == "3.00"
    Select(field(page, "placement")).select_by_value("system")
    put(page, "temperature", "0")
    answered(page, "I am sad.")
    plain, instructed, steered = sent_bodies(page)
    assert plain["sda"]["instruction"] == ""
    assert (instructed["sda"]["preset"], instructed["sda"]["guidance"]) == ("empathy", 1)
    assert (steered["sda"]["preset"], steered["sda"]["guidance"], steered["sda"]["placement"]) == ("empathy", 3, "system")
    assert steered["temperature"] == 0 and steered["max_tokens"] == 24
    put(page, "instruction", "Rhyme.")
    assert Select(field(page, "preset")).first_selected_option.text == "own"
    field(page, "instruction").clear()
    answered(page, "I am sad.")
    assert list(columns(page)) == ["plain"], "there is nothing to steer by"


def test_stop_ends_the_answers_at_the_server_and_keeps_what_is_there(page, address):
    put(page, "max-tokens", "1500")
    page.execute_script("arguments[0].value = 'Write a very long story.'", field(page, "instruction"))
    ask(page, "Tell me a story of a computer that never ends, with every detail.")
    until(page, lambda: len(tokens(columns(page)["steered"])) > 3)
    field(page, "stop").click()
    until(page, lambda: is_idle(page), 5)
    assert facts(columns(page)["steered"]).endswith("stopped")
    assert text(columns(page)["steered"]).strip()
    assert field(page, "error").text == ""
    busy = lambda: [slot for slot in json.load(fetch(f"{address}/slots")) if slot["is_processing"]]  # noqa: E731
    until(page, lambda: not busy(), 30)
    assert page.switch_to.active_element == field(page, "query")


def test_a_wrong_value_is_told_at_its_field_and_the_question_is_kept(page):
    put(page, "max-tokens", "-5")
    answered(page, "What is a computer?")
    until(page, lambda: field(page, "error").text)
    assert "max_tokens is -5" in field(page, "error").text
    wrong = page.switch_to.active_element
    assert wrong == field(page, "max-tokens") and wrong.get_attribute("aria-invalid") == "true"
    assert field(page, "query").get_property("value") == "What is a computer?"
    assert page.find_elements(By.CSS_SELECTOR, ".turn") == []
    screenshot(page, "webui-error.png")
    put(page, "max-tokens", "4")
    ActionChains(page).click(field(page, "send")).perform()
    until(page, lambda: is_idle(page) and columns(page))
    assert field(page, "error").text == "" and page.find_elements(By.CSS_SELECTOR, "[aria-invalid]") == []


def test_the_page_fits_a_phone(page):
    size = {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        answered(page, "What is a computer?")
        assert page.execute_script("return document.documentElement.scrollWidth") == 360
        ys = [column.location["y"] for column in columns(page).values()]
        assert ys == sorted(set(ys)), "below one another"
        page.execute_script("arguments[0].focus()", tokens(columns(page)["steered"])[-1])
        assert tip(page)["fits"]
        screenshot(page, "webui-narrow.png")
        page.execute_script("window.scrollTo(0, document.body.scrollHeight)")
        screenshot(page, "webui-narrow-form.png")
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_the_page_asks_its_server_only(page, address):
    answered(page, "What is a computer?")
    urls = {each["request"]["url"] for each in requests(page) if each["documentURL"].startswith(address)}
    urls = {url for url in urls if not url.startswith("data:")}
    assert urls == {f"{address}/", f"{address}/props", f"{address}/v1/chat/completions"}


def test_a_server_with_a_key_is_asked_once_the_key_is_there(browser):
    with serving("--api-key", KEY, "--alias", "locked") as with_key:
        browser.get(with_key)
        until(browser, lambda: field(browser, "key").is_displayed(), 5)
        assert field(browser, "error").text == "The server wants an API key."
        browser.switch_to.active_element.send_keys(KEY + Keys.TAB)
        assert field(browser, "error").text == ""
        until(browser, lambda: field(browser, "model").text == "locked", 60)


def test_the_page_is_served_to_all_unless_it_is_turned_off(address):
    policy = fetch(address).headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'sha256-") and "unsafe" not in policy
    with serving("--api-key", KEY) as with_key:
        assert fetch(with_key).status == 200, "it asks for the key itself"
        assert fetch(f"{with_key}/props").status == 401
    with serving("--no-webui") as without:
        assert fetch(without).status == 404


@pytest.fixture
def fake(browser, address):
    """The page of the fake server, with a key typed in."""
    real = fetch(address)
    FakeServer.page, FakeServer.policy = real.read().decode(), real.headers["content-security-policy"]
    server = ThreadingHTTPServer(("127.0.0.1", 0), FakeServer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    browser.get(f"http://127.0.0.1:{server.server_port}/")
    put(browser, "instruction", "Be evil.")
    answered(browser, "Hello?")
    until(browser, lambda: field(browser, "key").is_displayed())
    assert browser.switch_to.active_element == field(browser, "key")
    assert field(browser, "query").get_property("value") == "Hello?"
    browser.switch_to.active_element.send_keys(KEY + Keys.TAB)
    yield browser
    FakeServer.breaks = False
    server.shutdown()


def test_text_of_the_model_is_never_markup(fake):
    answered(fake, "Hello?")
    assert fake.title == "sda" and fake.find_elements(By.CSS_SELECTOR, "main b, main script") == []
    steered = columns(fake)["steered"]
    assert text(steered) == HOSTILE + "\u00e4"
    own = steered.find_elements(By.CSS_SELECTOR, ":scope > .tokens .token")
    assert [token.get_property("textContent") for token in own] == ["</think>", HOSTILE, "\\xC3", "\u00e4"]
    assert [n for n, token in enumerate(own) if "weakened" in token.get_attribute("class")] == [1]
    hover(fake, own[1])
    assert tip(fake)["lists"]["plain"] == [["</script><script\u2026", "61 %"]]
    assert tip(fake)["facts"]["\u03b3"] == "1.50 of 2.00"


def test_reasoning_is_folded_away(fake):
    answered(fake, "Hello?")
    steered = columns(fake)["steered"]
    reasoning = steered.find_element(By.CSS_SELECTOR, "details")
    assert reasoning.find_element(By.CSS_SELECTOR, ".unseen").get_property("textContent") == "I am evil."
    first = reasoning.find_element(By.CSS_SELECTOR, ".token")
    assert not first.is_displayed()
    reasoning.find_element(By.CSS_SELECTOR, "summary").click()
    assert first.is_displayed()


def test_an_error_in_the_stream_is_told_and_the_other_answers_stay(fake):
    FakeServer.breaks = True
    answered(fake, "Hello?")
    until(fake, lambda: field(fake, "error").text == "the engine has stopped")
    wrong = columns(fake)["steered"].find_element(By.CSS_SELECTOR, ".wrong").text
    assert wrong == "the engine has stopped" and text(columns(fake)["steered"]) == "Half"
    assert text(columns(fake)["plain"]) == HOSTILE + "\u00e4"

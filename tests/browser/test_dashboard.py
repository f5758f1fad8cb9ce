"""The dashboard in a real browser: live, within its policy, and readable at every width."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Watch, World, running
from tests.hive import SECOND

pytestmark = pytest.mark.slow
SOON = 1_000
"""Milliseconds within which a change is to be seen."""
CONTRAST = (Path(__file__).parent / "contrast.js").read_text(encoding="utf-8").rstrip().removesuffix(";")
WIDTHS = [(360, 800), (1280, 900), (3840, 2160)]


def switch(page: Page, number: int):
    """The ARM switch of one tile."""
    return page.get_by_role("switch").nth(number)


def test_tiles(world: World, watch: Watch):
    """A tile for every trooper, one manager a service, and a page that says it is live."""
    page = watch.open(world.url)
    expect(page.locator(".tile")).to_have_count(6)
    expect(page.locator(".manager:visible")).to_have_count(2)
    expect(page.locator("#live")).to_contain_text("live")
    expect(page.get_by_role("heading", name="Bob's World")).to_be_visible()


def test_arm_is_live(world: World, watch: Watch):
    """A press on ARM shows within a second, on this page and on another one."""
    page, other = watch.open(world.url), watch.open(world.url)
    for state in ("true", "false"):
        switch(page, 1).click()
        expect(switch(page, 1)).to_have_attribute("aria-checked", state, timeout=SOON)
        expect(switch(other, 1)).to_have_attribute("aria-checked", state, timeout=SOON)
        expect(switch(other, 1)).to_contain_text("on" if state == "true" else "off")


def test_arm_by_keyboard(world: World, watch: Watch):
    """The switch is reached with Tab, behind the callsign and the copy button, and Space turns it."""
    page = watch.open(world.url)
    page.get_by_role("button", name="Scale").first.focus()
    for _ in range(4):  # past the trooper's own buttons
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.role") == "switch":
            break
    expect(switch(page, 0)).to_be_focused()
    page.keyboard.press("Space")
    expect(switch(page, 0)).to_have_attribute("aria-checked", "true", timeout=SOON)
    expect(switch(page, 0)).to_be_focused()
    page.keyboard.press("Space")
    expect(switch(page, 0)).to_have_attribute("aria-checked", "false", timeout=SOON)


def test_chat_is_live(world: World, watch: Watch):
    """What one page says appears on another, as text, and the input is empty again."""
    page, other = watch.open(world.url), watch.open(world.url)
    box = page.get_by_label("Say something to the swarm")
    box.fill("<img src=x onerror=alert(1)> all claws, report in")
    box.press("Enter")
    for each in (page, other):
        expect(each.get_by_role("log")).to_contain_text("<img src=x onerror=alert(1)>", timeout=SOON)
    expect(box).to_have_value("")


def test_typing_survives_news(world: World, watch: Watch):
    """What somebody is typing stays, with the cursor, while tiles and chat are drawn anew."""
    page, other = watch.open(world.url), watch.open(world.url)
    box = page.locator(f"#scale-{SECOND}")
    box.fill("17")
    other.get_by_label("Say something to the swarm").fill("news")
    other.get_by_role("button", name="Send").click()
    other.get_by_role("button", name="Self-destruct").last.click()
    other.once("dialog", lambda dialog: dialog.accept())
    expect(page.get_by_role("log")).to_contain_text("news", timeout=SOON)
    expect(box).to_have_value("17")
    expect(box).to_be_focused()


def test_scale_is_live(world: World, watch: Watch):
    """Scaling up and down adds and removes tiles on every page, and says that it does."""
    page, other = watch.open(world.url), watch.open(world.url)
    for replicas in (6, 3):
        page.locator(f"#scale-{SECOND}").fill(str(replicas))
        page.locator(f"#scale-go-{SECOND}").click()
        for each in (page, other):
            expect(each.locator(f"#squad-{SECOND} .tile")).to_have_count(replicas, timeout=3 * SOON)
            expect(each.locator(f"#squad-{SECOND}")).to_contain_text(f"{replicas} of {replicas} running")
        expect(page.locator("#toasts")).to_contain_text("Scaling clawbucket-b.")


def test_self_destruct_asks_first(world: World, watch: Watch):
    """Self-destruct happens only after a yes, and the next trooper takes the slot."""
    page = watch.open(world.url)
    tile = page.locator(f"#squad-{SECOND} .tile").last
    before = tile.get_attribute("id")
    asked: list[str] = []

    def refuse(dialog):
        asked.append(dialog.message)
        dialog.dismiss()

    page.once("dialog", refuse)
    tile.get_by_role("button", name="Self-destruct").click()
    assert re.search(r"Self-destruct [A-Z]\w+ [A-Z]\w+ in slot 3\?", asked[0])
    expect(tile).to_have_attribute("id", before or "")
    page.once("dialog", lambda dialog: dialog.accept())
    tile.get_by_role("button", name="Self-destruct").click()
    expect(tile).not_to_have_attribute("id", before or "", timeout=3 * SOON)
    expect(page.locator(f"#squad-{SECOND} .tile")).to_have_count(3)


def test_outage_moves_the_manager(world: World, watch: Watch):
    """An outage ends the manager, and another tile is marked within seconds."""
    page = watch.open(world.url)
    badge = page.locator(f"#squad-{SECOND} .tile[data-is_manager=true]")
    before = badge.get_attribute("id")
    page.once("dialog", lambda dialog: dialog.accept())
    badge.get_by_role("button", name="Outage").click()
    expect(badge).to_have_count(1)
    expect(badge).not_to_have_attribute("id", before or "", timeout=5 * SOON)
    expect(badge.locator(".manager")).to_have_attribute("data-manager_confirmed", "true")


def test_interval_is_live(world: World, watch: Watch):
    """A new interval shows on every page."""
    page, other = watch.open(world.url), watch.open(world.url)
    page.locator("#interval").fill("5")
    page.get_by_role("button", name="Set").click()
    expect(other.locator("#interval")).to_have_value("5", timeout=SOON)


def test_an_error_is_told(world: World, watch: Watch):
    """The contract's sentence of an error is shown, as text."""
    page = watch.open(world.url)
    # In one go: the page puts a count that nobody is typing back to what is true.
    page.locator(f"#squad-{SECOND} input[name=replicas]").evaluate(
        "input => { input.max = 99; input.value = 21; input.form.requestSubmit() }"
    )
    expect(page.locator(f"#squad-{SECOND} .refusal")).to_contain_text("20")
    watch.complaints.clear()  # the browser itself reports the 400 that this test provoked


def test_bus_outage_is_told(world: World, watch: Watch):
    """While the bus is away a banner says so and the tiles stay; when it is back the banner goes."""
    page = watch.open(world.url)
    banner = page.get_by_text("The bus does not answer")
    expect(banner).to_be_hidden()
    world.toggle_bus()
    try:
        expect(banner).to_be_visible(timeout=3 * SOON)
        expect(page.locator(".tile")).to_have_count(6)
    finally:
        world.toggle_bus()
    expect(banner).to_be_hidden(timeout=3 * SOON)


@pytest.fixture
def guarded_world() -> Iterator[World]:
    """A rack that asks for a token."""
    with running("--token", "correct horse") as rack:
        yield rack


def test_login(guarded_world: World, watch: Watch):
    """Without a login a press on ARM is refused with a sentence; with one it works; a wrong token is told."""
    page = watch.open(guarded_world.url)
    switch(page, 0).click()
    expect(page.locator(".tile .refusal")).to_contain_text("token", timeout=SOON)
    for token in ("battery staple", "correct horse"):
        page.get_by_label("Token, to change things").fill(token)
        page.get_by_role("button", name="Log in").click()
        if token == "battery staple":
            expect(page.locator(".top .refusal")).to_have_text("That is not the token.", timeout=SOON)
    expect(page.get_by_role("button", name="Log out")).to_be_visible()
    expect(page.locator("#live")).to_have_attribute("data-phase", "live")
    switch(page, 0).click()
    expect(switch(page, 0)).to_have_attribute("aria-checked", "true", timeout=SOON)
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_label("Token, to change things")).to_be_visible()
    watch.complaints.clear()  # the browser itself reports the 401s that this test provoked


class Answer502(BaseHTTPRequestHandler):
    """A gateway with nobody behind it."""

    def do_GET(self) -> None:
        """Say so."""
        self.send_error(502)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
        """Silence."""


def test_a_cut_stream_comes_back(own_world: World, watch: Watch):
    """Killed, the page says stale and counts; back, even after a 502, it shows the new swarm live."""
    page = watch.open(own_world.url)
    switch(page, 0).click()
    expect(switch(page, 0)).to_have_attribute("aria-checked", "true", timeout=SOON)
    own_world.kill()
    expect(page.locator("#live")).to_have_attribute("data-phase", "stale", timeout=SOON)
    expect(page.locator("#live-age")).to_have_text("2 s", timeout=5 * SOON)
    gateway = HTTPServer(("127.0.0.1", own_world.port), Answer502)
    thread = threading.Thread(target=gateway.serve_forever)
    thread.start()
    with page.expect_response(lambda response: response.status == 502, timeout=10 * SOON):
        pass
    gateway.shutdown()
    gateway.server_close()
    thread.join()
    own_world.start()
    expect(page.locator("#live")).to_have_attribute("data-phase", "live", timeout=15 * SOON)
    expect(switch(page, 0)).to_have_attribute("aria-checked", "false", timeout=SOON)
    expect(page.locator(".tile")).to_have_count(6)
    watch.complaints.clear()  # the browser reports every refused connection


def test_one_stream_a_page(own_world: World, watch: Watch):
    """However often the page is redrawn and the stream was cut, there is one connection to it."""
    page = watch.open(own_world.url)
    for n in range(3):
        page.get_by_label("Say something to the swarm").fill(f"line {n}")
        page.get_by_role("button", name="Send").click()
        expect(page.get_by_role("log")).to_contain_text(f"line {n}", timeout=SOON)
    own_world.kill()
    own_world.start()
    expect(page.locator("#live")).to_have_attribute("data-phase", "live", timeout=15 * SOON)
    text = page.request.get(f"{own_world.url}metrics").text()
    assert re.search(r"^clawbucket_app_stream_viewers 1\.0$", text, re.MULTILINE)
    watch.complaints.clear()  # the browser reports every refused connection


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), WIDTHS)
def test_it_fits(world: World, watch: Watch, tmp_path: Path, theme: str, width: int, height: int):
    """No width makes the page scroll sideways, in either theme."""
    page = watch.open(world.url, width=width, height=height, theme=theme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    (tmp_path / f"{theme}-{width}.png").write_bytes(page.screenshot())
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    lightness = sum(int(part) for part in re.findall(r"\d+", ground)[:3])
    assert (lightness > 600) if theme == "light" else (lightness < 150)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_contrast(world: World, watch: Watch, theme: str):
    """All text has a contrast of 4.5 or more with its ground (WCAG 2.2, 1.4.3 AA)."""
    page = watch.open(world.url, theme=theme)
    switch(page, 1).click()
    expect(switch(page, 1)).to_have_attribute("aria-checked", "true", timeout=SOON)
    assert page.evaluate(CONTRAST) == []
    switch(page, 1).click()


def test_reading_without_javascript(world: World, browser: Browser):
    """Without JavaScript everything is there to read, and the page does not claim to be live."""
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(world.url)
    expect(page.locator(".tile")).to_have_count(6)
    expect(page.locator(".haiku")).not_to_be_empty()
    expect(page.locator("#live")).to_have_text("not live")
    context.close()

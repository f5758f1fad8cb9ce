"""The rack at a glance, and the states that it can be in, each with its sentence."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import Watch, World, running
from tests.browser.directing import SOON, Directed, part, squad, switch
from tests.hive import PRIMARY, SECOND

pytestmark = pytest.mark.slow


@pytest.fixture
def first_start() -> Iterator[Directed]:
    """One whose rack manager has not spoken yet."""
    rack = Directed("--first-start")
    rack.start()
    yield rack
    rack.kill()


@pytest.fixture
def guarded() -> Iterator[World]:
    """A rack that asks for a token."""
    with running("--token", "correct horse") as rack:
        yield rack


@pytest.fixture
def directed() -> Iterator[Directed]:
    """One for a test."""
    rack = Directed()
    rack.start()
    yield rack
    rack.kill()


# At a glance --------------------------------------------------------------------------------------------


def test_the_countdown_runs(world: World, watch: Watch):
    """It says how often a round comes until it has heard one begin; then it counts down, and begins anew."""
    page = watch.open(world.url)
    page.locator("#interval").fill("3")
    page.get_by_role("button", name="Set").click()
    said = page.locator("#countdown-said")
    expect(said).to_have_text(re.compile(r"every \d+ s"))
    for text in ("in 3 s", "in 1 s", "in 3 s"):
        expect(said).to_have_text(text, timeout=15 * SOON)
    expect(page.locator("#countdown-bar")).to_be_visible()
    page.locator("#interval").fill("10")
    page.get_by_role("button", name="Set").click()


def test_the_bus_is_seen_to_fall_silent(world: World, watch: Watch):
    """Its part says so, what is heard through it is not known, and the countdown stops; and back."""
    page = watch.open(world.url)
    expect(part(page, "Bus")).to_contain_text("ok")
    world.toggle_bus()
    try:
        expect(part(page, "Bus")).to_contain_text("silent", timeout=3 * SOON)
        expect(part(page, "Rack manager")).to_contain_text("not known")
        expect(page.locator("#countdown-said")).to_have_text("not known", timeout=3 * SOON)
    finally:
        world.toggle_bus()
    expect(part(page, "Bus")).to_contain_text("ok", timeout=3 * SOON)


def test_a_model_is_seen_to_go(thinking_world: World, watch: Watch):
    """Ollama's part says what is missing, and the note below what to type; and back."""
    page = watch.open(thinking_world.url)
    expect(part(page, "Ollama")).to_contain_text("ok")
    thinking_world.toggle_model()
    try:
        expect(part(page, "Ollama")).to_contain_text("model missing", timeout=60 * SOON)
        expect(page.locator("#mend")).to_have_text("./claw models pull tinyclaw:1b")
    finally:
        thinking_world.toggle_model()
    expect(part(page, "Ollama")).to_contain_text("ok", timeout=60 * SOON)


def test_rack_manager_and_engine_are_seen_to_fail(directed: Directed, watch: Watch):
    """An engine that cannot be asked, and a rack manager that is silent, each with its sentence."""
    page = watch.open(directed.url)
    directed.turn(page, "engine")
    expect(part(page, "Engine")).to_contain_text("unreachable", timeout=3 * SOON)
    expect(page.get_by_text("The engine cannot be asked")).to_contain_text("the Docker socket is gone")
    directed.turn(page, "engine")
    expect(part(page, "Engine")).to_contain_text("ok", timeout=3 * SOON)
    directed.turn(page, "silent")
    expect(part(page, "Rack manager")).to_contain_text("silent", timeout=6 * SOON)
    expect(page.get_by_text("The rack manager is silent")).to_contain_text("./claw logs rack")
    directed.turn(page, "silent")
    expect(part(page, "Rack manager")).to_contain_text("ok", timeout=3 * SOON)


def test_the_summary_is_not_said_too_often(world: World, watch: Watch):
    """However much happens, ten seconds lie between two sentences; the last one is true."""
    page = watch.open(world.url)
    page.evaluate(
        """() => {
            window.said = [];
            const summary = document.getElementById("summary");
            new MutationObserver(() => window.said.push([performance.now(), summary.textContent]))
              .observe(summary, { childList: true, characterData: true, subtree: true });
        }"""
    )
    for number in range(4):
        switch(page, number).click()
        expect(page.locator(".tile").nth(number)).to_have_attribute("data-arm", "on", timeout=SOON)
    expect(page.locator("#summary")).to_contain_text("4 armed", timeout=15 * SOON)
    for number in range(4):
        switch(page, number).click()
        expect(page.locator(".tile").nth(number)).to_have_attribute("data-arm", "off", timeout=SOON)
    expect(page.locator("#summary")).to_contain_text("nobody armed", timeout=15 * SOON)
    said = page.evaluate("window.said")
    assert 2 <= len(said) <= 3
    assert all(later - before > 9_900 for (before, _), (later, _) in pairwise(said))


# States -------------------------------------------------------------------------------------------------


def test_first_start(first_start: Directed, watch: Watch):
    """A page that was opened before anything is known has places for troopers, and fills them by itself."""
    page = watch.open(first_start.url)
    expect(page.locator(".skeleton")).to_have_count(6)
    expect(page.get_by_text("no snapshot of the rack yet")).to_be_visible()
    expect(page.locator("#summary")).to_have_text("Nothing is known about the troopers yet.")
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280
    first_start.turn(page, "silent")
    expect(page.locator(".tile")).to_have_count(6, timeout=5 * SOON)
    expect(page.locator(".skeleton")).to_have_count(0)
    expect(page.locator("#summary")).to_contain_text("6 of 6 running", timeout=12 * SOON)
    expect(page.get_by_text("no snapshot of the rack yet")).to_be_hidden()
    watch.complaints.clear()  # the browser itself reports the 503 of the first page


def test_nobody_is_left(directed: Directed, watch: Watch):
    """A service without troopers says so, and keeps its stepper; scaled up it has tiles again."""
    page = watch.open(directed.url)
    directed.turn(page, "empty")
    expect(squad(page).locator(".tile")).to_have_count(0, timeout=3 * SOON)
    expect(squad(page).get_by_text("No trooper runs here at the moment")).to_be_visible()
    page.locator(f"#scale-{SECOND}").fill("2")
    page.locator(f"#scale-go-{SECOND}").click()
    expect(squad(page).locator(".tile")).to_have_count(2, timeout=3 * SOON)
    expect(squad(page).get_by_text("No trooper runs here at the moment")).to_be_hidden()


def test_the_scoreboard_is_live(directed: Directed, watch: Watch):
    """Who is armed appears in it on every page, as text; without its aggregator it says so and stays."""
    page, other = watch.open(directed.url), watch.open(directed.url)
    switch(page, 0).click()
    name = page.locator(".tile").first.get_by_role("heading").inner_text()
    for each in (page, other):
        row = each.locator("#scoreboard tbody tr")
        expect(row).to_have_count(1, timeout=6 * SOON)
        expect(row).to_contain_text(name)
        expect(row.locator("td")).to_have_text(["1", "ON", "1", "1", "0", "1"])
    directed.turn(page, "counter")
    gone = page.locator("[data-of=aggregator]")
    said = re.compile(r"The aggregator does not answer: connection refused\.\s+\(since \d\d:\d\d:\d\d UTC\)")
    expect(gone).to_have_text(said, timeout=8 * SOON)
    expect(page.locator("#scoreboard tbody tr")).to_have_count(1)
    directed.turn(page, "counter")
    expect(gone).to_be_hidden(timeout=6 * SOON)


def test_view_only(guarded: World, watch: Watch):
    """Without a login the controls are marked, a line says why, and a try leads to the token's field."""
    page = watch.open(guarded.url)
    expect(page.get_by_text("View only: log in to change things.")).to_be_visible()
    expect(switch(page, 0)).to_be_visible()
    assert switch(page, 0).evaluate("it => getComputedStyle(it).borderTopStyle") == "dashed"
    for act in (switch(page, 0), page.locator(f"#scale-go-{SECOND}"), page.locator("#say + button")):
        expect(act).to_have_accessible_description("View only: log in to change things.")
    switch(page, 0).click()
    expect(page.locator(".tile").first.get_by_role("alert")).to_contain_text(
        "Changes need the token", timeout=SOON
    )
    expect(page.get_by_label("Token, to change things")).to_be_focused()
    expect(switch(page, 0)).to_have_attribute("aria-checked", "false")
    page.keyboard.type("correct horse")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Log out")).to_be_visible()
    expect(page.get_by_text("View only")).to_have_count(0)
    assert switch(page, 0).evaluate("it => getComputedStyle(it).borderTopStyle") == "solid"
    expect(switch(page, 0)).to_have_accessible_description("")
    watch.complaints.clear()  # the browser itself reports the 401 that this test provoked


def test_without_javascript_it_loads_itself_anew(world: World, browser: Browser):
    """The page says how often, and does: what changed meanwhile is there without anybody's doing."""
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(world.url)
    expect(page.locator("noscript p.banner")).to_contain_text("loads itself anew every 8 seconds")
    expect(page.locator("#summary")).to_contain_text("6 of 6 running")
    expect(page.get_by_role("button", name="One replica more").first).to_be_hidden()
    armed = page.locator(".tile").first.get_attribute("id") or ""
    given = {"task_id": armed.removeprefix("task-"), "state": "on"}
    for state in ("on", "off"):
        assert page.request.post(f"{world.url}api/arm", data={**given, "state": state}).status == 201
        expect(page.locator(f"#{armed}")).to_have_attribute("data-arm", state, timeout=12 * SOON)
    context.close()


@pytest.mark.parametrize("width", [360, 1280, 3840])
def test_every_state_fits(directed: Directed, watch: Watch, width: int):
    """With a refusal, a way, a missing service and a silent rack manager, no width scrolls sideways."""
    page = watch.open(directed.url, width=width)
    page.route(
        "**/api/arm", lambda route: route.fulfill(status=409, json={"error": "No " * 80, "code": "conflict"})
    )
    switch(page, 0).click()
    expect(page.get_by_role("alert").first).to_contain_text("No No", timeout=SOON)
    directed.turn(page, "hold")
    page.locator(f"#scale-{PRIMARY}").fill("9")
    page.locator(f"#scale-go-{PRIMARY}").click()
    expect(page.locator(f"#way-{PRIMARY}")).to_be_visible(timeout=3 * SOON)
    directed.turn(page, "engine")
    directed.turn(page, "empty")
    expect(part(page, "Engine")).to_contain_text("unreachable", timeout=3 * SOON)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    watch.complaints.clear()  # the browser itself reports the 409 that this test provoked

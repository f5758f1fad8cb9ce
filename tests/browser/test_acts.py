"""Acting on the swarm in a real browser: what is asked, what is seen meanwhile, and what a no looks like."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Locator, Page, Route, expect

from tests.browser.conftest import Watch, World
from tests.hive import PRIMARY, SECOND

pytestmark = pytest.mark.slow
SOON = 1_000
"""Milliseconds within which a change is to be seen."""
DIRECTED = "tests.browser.directed_world"


class Directed(World):
    """A rack whose troubles the test directs."""

    def __init__(self, *more: str) -> None:
        super().__init__(*more, module=DIRECTED)

    def turn(self, page: Page, name: str) -> None:
        """Turn that trouble on or off."""
        assert page.request.post(f"{self.url}_world/{name}").status == 204


@pytest.fixture
def directed() -> Iterator[Directed]:
    """One for a test."""
    rack = Directed()
    rack.start()
    yield rack
    rack.kill()


def squad(page: Page) -> Locator:
    """The second service."""
    return page.locator(f"#squad-{SECOND}")


def switch(page: Page, number: int) -> Locator:
    """The ARM switch of one tile."""
    return page.get_by_role("switch").nth(number)


def part(page: Page, name: str) -> Locator:
    """One part's word."""
    return page.locator(".part").filter(has_text=name)


def answer_later(page: Page, path: str) -> list[Route]:
    """From now on requests to that path wait in this list."""
    held: list[Route] = []
    page.route(f"**{path}", lambda route: held.append(route))  # noqa: PLW0108 - Playwright marks what it is given
    return held


# Scale --------------------------------------------------------------------------------------------------


def test_the_stepper_steps(world: World, watch: Watch):
    """Plus and minus change the number, which stays while news comes in; nothing is sent before Apply."""
    page, other = watch.open(world.url), watch.open(world.url)
    box = page.locator(f"#scale-{SECOND}")
    more = squad(page).get_by_role("button", name="One replica more")
    for _ in range(3):
        more.click()
    squad(page).get_by_role("button", name="One replica fewer").click()
    expect(box).to_have_value("5")
    switch(other, 5).click()
    expect(switch(page, 5)).to_have_attribute("aria-checked", "true", timeout=SOON)
    expect(box).to_have_value("5")
    expect(other.locator(f"#scale-{SECOND}")).to_have_value("3")
    switch(other, 5).click()


def test_the_stepper_ends_at_its_bounds(world: World, watch: Watch):
    """Beyond 1 and 20 a sentence beside it says so; the next step that is allowed takes it away."""
    page = watch.open(world.url)
    box, line = page.locator(f"#scale-{SECOND}"), squad(page).get_by_role("alert")
    fewer = squad(page).get_by_role("button", name="One replica fewer")
    for _ in range(3):
        fewer.click()
    expect(box).to_have_value("1")
    expect(line).to_have_text("1 is the fewest that a service can have.")
    squad(page).get_by_role("button", name="One replica more").click()
    expect(line).to_have_count(0)
    box.fill("20")
    squad(page).get_by_role("button", name="One replica more").click()
    expect(line).to_have_text("20 is the most that a service can have.")
    expect(box).to_have_value("20")


def test_every_page_sees_the_way(directed: Directed, watch: Watch):
    """While more are wanted than run, each page says how many, after a while why, and at last that all do."""
    page, other = watch.open(directed.url), watch.open(directed.url)
    directed.turn(page, "hold")
    for _ in range(3):
        squad(page).get_by_role("button", name="One replica more").click()
    page.locator(f"#scale-go-{SECOND}").click()
    expect(page.locator("#toasts .good")).to_have_text("Scaling clawbucket-b.")
    for each in (page, other):
        way = each.locator(f"#way-{SECOND}")
        expect(way).to_contain_text("4 of 6 running…", timeout=3 * SOON)
        assert way.get_by_role("progressbar").evaluate("bar => [bar.value, bar.max]") == [4, 6]
        expect(each.locator(f"#scale-{SECOND}")).to_have_value("6", timeout=3 * SOON)
    late = watch.open(directed.url)
    expect(late.locator(f"#way-{SECOND}")).to_contain_text("4 of 6 running…")
    expect(other.locator(f"#way-{SECOND}")).to_contain_text(
        re.compile(r"4 of 6 running for 1\d s: the rack has started no task for the others yet\."),
        timeout=15 * SOON,
    )
    directed.turn(page, "hold")
    for each in (page, other, late):
        expect(each.locator(f"#way-{SECOND} span")).to_have_text("6 of 6", timeout=3 * SOON)
        expect(each.locator(f"#way-{SECOND}")).to_be_hidden(timeout=8 * SOON)


def test_nothing_is_sent_twice(world: World, watch: Watch):
    """A second press while the first is under way is dropped; that it is under way is said beside it."""
    page = watch.open(world.url)
    held = answer_later(page, "/api/scale")
    go = page.locator(f"#scale-go-{SECOND}")
    for _ in range(3):
        go.click()
    expect(squad(page).locator(".under-way")).to_contain_text("Under way…", timeout=3 * SOON)
    assert len(held) == 1
    held[0].fulfill(status=202, json={"ok": True})
    expect(squad(page).locator(".under-way")).to_have_count(0, timeout=SOON)
    expect(page.locator("#toasts .good")).to_have_text("Scaling clawbucket-b.")


# ARM ----------------------------------------------------------------------------------------------------


def test_arm_turns_before_the_answer(world: World, watch: Watch):
    """At once, through whatever is painted meanwhile; and stays when the answer is yes."""
    page, other = watch.open(world.url), watch.open(world.url)
    held = answer_later(page, "/api/arm")
    switch(page, 1).click()
    expect(switch(page, 1)).to_have_attribute("aria-checked", "true", timeout=200)
    expect(switch(page, 1)).to_contain_text("on")
    switch(other, 2).click()  # news
    expect(switch(page, 2)).to_have_attribute("aria-checked", "true", timeout=SOON)
    expect(switch(page, 1)).to_have_attribute("aria-checked", "true")
    expect(switch(other, 1)).to_have_attribute("aria-checked", "false")
    held[0].continue_()
    expect(switch(other, 1)).to_have_attribute("aria-checked", "true", timeout=SOON)
    expect(switch(page, 1)).to_have_attribute("aria-checked", "true")
    page.unroute("**/api/arm")
    for number in (1, 2):
        switch(page, number).click()
        expect(switch(other, number)).to_have_attribute("aria-checked", "false", timeout=SOON)


@pytest.mark.parametrize("how", ["refused", "in doubt"])
def test_arm_goes_back(world: World, watch: Watch, how: str):
    """With a no, or without an answer, it is as it was, and the sentence stands in the tile."""
    page = watch.open(world.url)
    held = answer_later(page, "/api/arm")
    tile = page.locator(".tile").nth(1)
    switch(page, 1).click()
    expect(switch(page, 1)).to_have_attribute("aria-checked", "true", timeout=200)
    if how == "refused":
        held[0].fulfill(status=503, json={"error": "The <b>bus</b> is down.", "code": "bus_down"})
        said = "The <b>bus</b> is down."
    else:
        held[0].abort()
        said = "No answer. It may or may not have happened: look before you try again."
    expect(switch(page, 1)).to_have_attribute("aria-checked", "false", timeout=SOON)
    expect(switch(page, 1)).to_contain_text("off")
    expect(tile.get_by_role("alert")).to_have_text(said)
    assert page.locator("#toasts p").count() == 0
    page.unroute("**/api/arm")
    switch(page, 1).click()
    expect(switch(page, 1)).to_have_attribute("aria-checked", "true", timeout=SOON)
    expect(tile.get_by_role("alert")).to_have_count(0, timeout=SOON)
    switch(page, 1).click()
    expect(page.locator(".tile").nth(1)).to_have_attribute("data-arm", "off", timeout=SOON)
    watch.complaints.clear()  # the browser itself reports what this test provoked


def test_a_refusal_outlives_a_redraw(directed: Directed, watch: Watch):
    """What stands beside a control stays when its tile is drawn anew, as when another trooper comes."""
    page, other = watch.open(directed.url), watch.open(directed.url)
    page.route(
        "**/api/arm", lambda route: route.fulfill(status=409, json={"error": "No.", "code": "conflict"})
    )
    switch(page, 0).click()
    line = page.locator(".tile").first.get_by_role("alert")
    expect(line).to_have_text("No.", timeout=SOON)
    other.locator(f"#scale-{SECOND}").fill("4")
    other.locator(f"#scale-go-{SECOND}").click()
    expect(page.locator(".tile")).to_have_count(7, timeout=3 * SOON)
    expect(line).to_have_text("No.")
    watch.complaints.clear()  # the browser itself reports the 409 that this test provoked


# Blast radius -------------------------------------------------------------------------------------------


def questions(page: Page) -> list[str]:
    """What is asked from now on; the answer is no."""
    asked: list[str] = []

    def note(dialog):
        asked.append(dialog.message)
        dialog.dismiss()

    page.on("dialog", note)
    return asked


def test_the_blast_radius(world: World, watch: Watch):
    """Before a manager is taken out: what is lost, how many remain, and who manages next; of others not that."""
    page = watch.open(world.url)
    asked = questions(page)
    manager = squad(page).locator(".tile[data-is_manager=true]")
    who = manager.get_by_role("heading").inner_text()
    manager.get_by_role("button", name="Outage").click()
    manager.get_by_role("button", name="Self-destruct").click()
    squad(page).locator(".tile[data-is_manager=false]").last.get_by_role(
        "button", name="Self-destruct"
    ).click()
    heirs = squad(page).locator(".tile[data-is_manager=false]").get_by_role("heading").all_inner_texts()
    assert asked[0].startswith(
        f"Take {who} out? Another trooper becomes manager of {SECOND}, and what {who} has scored is lost. It has "
    )
    numbers = r"It has −?\d+ points?\. 2 of 3 run on meanwhile\."
    follows = rf" ({'|'.join(heirs)}) in slot [123] manages next, by the rule of preference\."
    assert re.search(numbers + follows + "$", asked[0])
    assert re.search(numbers + follows + "$", asked[1])
    assert re.search(numbers + "$", asked[2])


def test_who_was_named_manages_next(directed: Directed, watch: Watch):
    """The rule that the question tells is the one that holds."""
    page = watch.open(directed.url)
    asked: list[str] = []

    def yes(dialog):
        asked.append(dialog.message)
        dialog.accept()

    page.once("dialog", yes)
    manager = squad(page).locator(".tile[data-is_manager=true]")
    manager.get_by_role("button", name="Outage").click()
    named = re.search(r"(\w+ \w+) in slot \d manages next", asked[0])
    assert named
    expect(manager.get_by_role("heading")).to_have_text(named[1], timeout=5 * SOON)


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
    assert all(later - before > 9_900 for (before, _), (later, _) in zip(said, said[1:], strict=False))


# States -------------------------------------------------------------------------------------------------


def test_first_start(watch: Watch):
    """A page that was opened before anything is known has places for troopers, and fills them by itself."""
    rack = Directed("--first-start")
    rack.start()
    try:
        page = watch.open(rack.url)
        expect(page.locator(".skeleton")).to_have_count(6)
        expect(page.get_by_text("no snapshot of the rack yet")).to_be_visible()
        expect(page.locator("#summary")).to_have_text("Nothing is known about the troopers yet.")
        assert page.evaluate("document.documentElement.scrollWidth") <= 1280
        rack.turn(page, "silent")
        expect(page.locator(".tile")).to_have_count(6, timeout=5 * SOON)
        expect(page.locator(".skeleton")).to_have_count(0)
        expect(page.locator("#summary")).to_contain_text("6 of 6 running", timeout=12 * SOON)
        expect(page.get_by_text("no snapshot of the rack yet")).to_be_hidden()
    finally:
        rack.kill()
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
    gone = page.get_by_text("The aggregator does not answer: connection refused.")
    expect(gone).to_contain_text(re.compile(r"\(for [1-9]\d* s\)"), timeout=8 * SOON)
    expect(page.locator("#scoreboard tbody tr")).to_have_count(1)
    directed.turn(page, "counter")
    expect(gone).to_be_hidden(timeout=6 * SOON)


def test_view_only(watch: Watch):
    """Without the login the controls are there and marked, a line says why; a try leads to the token's field."""
    rack = World("--token", "correct horse")
    rack.start()
    try:
        page = watch.open(rack.url)
        expect(page.get_by_text("View only: log in to change things.")).to_be_visible()
        expect(switch(page, 0)).to_be_visible()
        assert switch(page, 0).evaluate("it => getComputedStyle(it).borderTopStyle") == "dashed"
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
    finally:
        rack.kill()
    watch.complaints.clear()  # the browser itself reports the 401 that this test provoked


def test_without_javascript_it_loads_itself_anew(world: World, browser: Browser):
    """The page says how often, and does: what changed meanwhile is there without anybody's doing."""
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(world.url)
    expect(page.get_by_text("loads itself anew every 8 seconds")).to_be_visible()
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

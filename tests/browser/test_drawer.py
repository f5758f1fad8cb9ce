"""The drawer in a real browser: all about one trooper, live, by pointer and keyboard, and what it does."""

from __future__ import annotations

import json
import re

import pytest
from playwright.sync_api import Locator, Page, Route, expect
from playwright.sync_api import TimeoutError as TooLate

from tests.browser.conftest import Watch, World
from tests.browser.test_dashboard import CONTRAST, SOON, WIDTHS
from tests.hive import SECOND

pytestmark = pytest.mark.slow
PAST = {
    "since": "2026-01-01T10:00:00.000Z",
    "scores": [{"round": 1, "score": 0}, {"round": 2, "score": 1}, {"round": 4, "score": -1}],
    "changes": [
        {"at": "2026-01-01T10:00:01.000Z", "kind": "board", "was": "", "now": "shown"},
        {"at": "2026-01-01T10:00:05.000Z", "kind": "state", "was": "starting", "now": "<i>running</i>"},
    ],
}
"""A history, with something hostile in it."""


def tell_past(page: Page, past: object = PAST) -> None:
    """Answer what the drawer asks of the past with that."""

    def answer(route: Route) -> None:
        route.fulfill(status=200, content_type="application/json", body=json.dumps(past))

    page.route(re.compile(r"/api/history/"), answer)


@pytest.fixture
def page(world: World, watch: Watch) -> Page:
    """A live page whose troopers have a past."""
    opened = watch.open(world.url)
    tell_past(opened)
    return opened


def tile(page: Page, number: int = 0) -> Locator:
    """One trooper's tile."""
    return page.locator(".tile").nth(number)


def task_of(at: Locator) -> str:
    """The id of its task."""
    return (at.get_attribute("id") or "").removeprefix("task-")


def open_at(page: Page, number: int = 0) -> Locator:
    """The drawer, opened by the callsign on that tile, and filled."""
    tile(page, number).locator("[data-open]").click()
    drawer = page.get_by_role("dialog")
    expect(drawer.locator(".why")).to_be_visible()
    return drawer


def test_all_about_one_trooper(page: Page):
    """The callsign opens the drawer: why, the facts, the acts and the past of that trooper."""
    name = tile(page, 1).get_by_role("heading").inner_text()
    drawer = open_at(page, 1)
    expect(drawer).to_have_accessible_name(name)
    expect(drawer.locator(".why")).to_contain_text("It runs and its heartbeats arrive; it goes on until")
    expect(drawer.locator(".particulars")).to_contain_text(task_of(tile(page, 1)))
    expect(drawer.get_by_role("switch", name=f"ARM {name}")).to_be_visible()
    expect(drawer.get_by_role("button", name=f"Self-destruct {name}")).to_be_visible()
    expect(drawer.get_by_role("img", name=re.compile("Score over 3 rounds: from 0 to -1"))).to_be_visible()
    changes = drawer.get_by_role("list", name="Changes").locator("li")
    expect(changes).to_have_text(["10:00:05 state starting → <i>running</i>", "10:00:01 came to the board"])
    expect(changes.locator("i")).to_have_count(0)


def test_a_closed_drawer_asks_for_no_past(page: Page):
    """What news had it ask for within five seconds is not asked for once it is closed."""
    drawer = open_at(page, 1)
    switch = drawer.get_by_role("switch")
    for state in ("true", "false"):
        switch.click()
        expect(switch).to_have_attribute("aria-checked", state, timeout=SOON)
    page.keyboard.press("Escape")
    with pytest.raises(TooLate):
        page.wait_for_event("request", lambda request: "/api/history/" in request.url, timeout=6 * SOON)


def test_no_past_is_told(page: Page, watch: Watch):
    """Where nothing is remembered of a trooper the drawer says so."""
    page.unroute(re.compile(r"/api/history/"))
    page.route(re.compile(r"/api/history/"), lambda route: route.fulfill(status=404, body="{}"))
    expect(open_at(page).locator("#past")).to_contain_text("Nothing is known yet.")
    watch.complaints.clear()  # the browser itself reports the 404 that this test provoked


def test_a_strange_past_is_none(page: Page):
    """Whatever a history may be, the drawer stands."""
    page.unroute(re.compile(r"/api/history/"))
    tell_past(page, {"scores": "many", "changes": {"__proto__": 1}})
    expect(open_at(page).locator("#past")).to_contain_text("Nothing is known yet.")


def test_the_manager_says_so(page: Page):
    """A manager's drawer has its epoch, in the sentence and among the facts."""
    drawer = open_at(page, 0)
    expect(drawer.locator(".why")).to_contain_text("it manages clawbucket in epoch")
    expect(drawer.locator(".particulars")).to_contain_text("of clawbucket, epoch")


def test_it_comes_and_goes_by_keyboard(page: Page):
    """Enter opens it, Escape closes it and gives the focus back to the callsign."""
    callsign = tile(page).locator("[data-open]")
    callsign.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    expect(page.locator("#drawer-title")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(callsign).to_be_focused()


def test_a_press_beside_it_closes_it(page: Page):
    """So does its button."""
    drawer = open_at(page)
    page.mouse.click(20, 400)
    expect(drawer).to_be_hidden()
    open_at(page).get_by_role("button", name="Close").click()
    expect(page.get_by_role("dialog")).to_be_hidden()


@pytest.mark.parametrize("density", ["compact", "heat"])
def test_every_density_opens_it(world: World, watch: Watch, density: str):
    """A brief tile and a heat cell have a drawer too, and it can do what they cannot."""
    page = watch.open(f"{world.url}?density={density}")
    tell_past(page)
    drawer = open_at(page, 2)
    drawer.get_by_role("switch").click()
    expect(drawer.get_by_role("switch")).to_have_attribute("aria-checked", "true", timeout=SOON)
    shown = tile(page, 2).get_by_role("button") if density == "heat" else tile(page, 2)
    told = ("aria-label", re.compile("armed$")) if density == "heat" else ("data-arm", "on")
    expect(shown).to_have_attribute(*told, timeout=2 * SOON)
    drawer.get_by_role("switch").click()
    expect(drawer.get_by_role("switch")).to_have_attribute("aria-checked", "false", timeout=SOON)


def test_it_is_kept_up_to_date(world: World, watch: Watch, page: Page):
    """What another page does to the trooper shows in an open drawer, in its facts and in its JSON."""
    drawer = open_at(page, 1)
    drawer.get_by_text("Raw JSON").click()
    expect(drawer.locator("pre")).to_contain_text('"arm": "off"')
    other = watch.open(world.url)
    for state in ("on", "off"):
        other.get_by_role("switch").nth(1).click()
        expect(drawer.locator(".switch")).to_contain_text(state, timeout=SOON)
        expect(drawer.locator("pre")).to_contain_text(f'"arm": "{state}"', timeout=3 * SOON)
    expect(drawer.locator("pre")).to_be_visible()  # what was unfolded stays so


def test_a_link_opens_it(world: World, page: Page):
    """The address names the trooper while its drawer is open, and opens it on another page."""
    drawer = open_at(page, 1)
    expect(page).to_have_url(re.compile(rf"\?trooper={task_of(tile(page, 1))}$"))
    link = drawer.get_by_role("link", name="Link to this").get_attribute("href") or ""
    name = drawer.locator("#drawer-title").inner_text()
    page.keyboard.press("Escape")
    expect(page).to_have_url(world.url)
    page.goto(link)
    expect(page.get_by_role("dialog")).to_have_accessible_name(name)
    expect(page.get_by_role("dialog").locator(".why")).to_be_visible()


def test_a_link_to_nobody_is_told(world: World, watch: Watch, page: Page):
    """Of a task that was never here the drawer says that it is not, and nothing breaks."""
    page.goto(f"{world.url}?trooper=__proto__")
    drawer = page.get_by_role("dialog")
    expect(drawer).to_be_visible()
    expect(drawer.locator("#drawer-lost")).not_to_be_empty()
    page.keyboard.press("Escape")
    expect(page.locator("#squads")).to_be_focused()
    watch.complaints.clear()  # the browser itself reports the 400 that this test provoked


def test_the_end_is_told(own_world: World, watch: Watch):
    """Who ends while being read about: the drawer stays, says why, and leads to who has the slot now."""
    page = watch.open(own_world.url)
    tell_past(page)
    drawer = open_at(page, 4)
    slot = page.locator(f"#squad-{SECOND} .tile").nth(1)
    before = slot.get_attribute("id") or ""
    page.once("dialog", lambda asked: asked.accept())
    drawer.get_by_role("button", name="Self-destruct").click()
    expect(page.locator(f"#{before}")).to_have_count(0, timeout=5 * SOON)
    told = drawer.get_by_text("It has ended. Its slot 2 went to")
    expect(told).to_be_visible(timeout=5 * SOON)
    expect(drawer.locator(".why")).to_contain_text("Its process ended", timeout=3 * SOON)
    heir = told.get_by_role("button")
    name = heir.inner_text()
    heir.click()
    expect(drawer).to_have_accessible_name(name)
    expect(told).to_be_hidden()
    expect(drawer.locator(".why")).to_contain_text("It runs", timeout=3 * SOON)
    expect(page.locator(".tile")).to_have_count(6)


def test_the_focus_goes_on_where_the_tile_is_gone(own_world: World, watch: Watch):
    """After its trooper has ended, closing the drawer leads to the troopers."""
    page = watch.open(own_world.url)
    tell_past(page)
    drawer = open_at(page, 5)
    page.once("dialog", lambda asked: asked.accept())
    drawer.get_by_role("button", name="Self-destruct").click()
    expect(drawer.get_by_text("It has ended.")).to_be_visible(timeout=5 * SOON)
    page.keyboard.press("Escape")
    expect(page.locator("#squads")).to_be_focused()


def test_what_was_done_is_told_in_it(page: Page, watch: Watch):
    """A refusal stands beside the control; what was done is neither said behind the drawer nor lost."""
    drawer = open_at(page, 4)
    drawer.locator("form[hx-post='/api/arm'] input[name=task_id]").evaluate("it => it.value = 'no task'")
    drawer.get_by_role("switch").click()
    expect(drawer.get_by_role("alert").filter(has_text="task")).to_be_visible(timeout=SOON)
    expect(drawer.locator("#toasts")).to_have_count(1)
    page.keyboard.press("Escape")
    expect(page.locator("body > #toasts")).to_have_count(1)
    watch.complaints.clear()  # the browser itself reports the 400 that this test provoked


def test_copying(page: Page):
    """The task's id is copied from a tile and the record from the drawer, after the tile was redrawn too."""
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    read = "navigator.clipboard.readText()"
    page.evaluate("htmx.trigger('#squads', 'claw:squads')")
    page.wait_for_function("() => !document.querySelector('#squads.htmx-request')")
    button = tile(page).get_by_role("button", name="Copy the task id")
    button.click()
    expect(page.locator("#toasts .good").last).to_have_text("Copied.", timeout=SOON)
    assert page.evaluate(read) == task_of(tile(page))
    drawer = open_at(page)
    drawer.get_by_text("Raw JSON").click()
    drawer.get_by_role("button", name="Copy the JSON").click()
    page.wait_for_function("() => navigator.clipboard.readText().then((text) => text.startsWith('{'))")
    assert json.loads(page.evaluate(read))["task"]["id"] == task_of(tile(page))


def test_nobody_to_talk_to(page: Page):
    """A trooper without an agent has no conversation in its drawer."""
    drawer = open_at(page)
    expect(drawer.get_by_label("What to say")).to_be_hidden()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), WIDTHS)
def test_it_fits(world: World, watch: Watch, theme: str, width: int, height: int):
    """The drawer is whole on the screen, scrolls down only, and is readable, in either theme."""
    page = watch.open(world.url, width=width, height=height, theme=theme)
    tell_past(page)
    drawer = open_at(page)
    drawer.get_by_text("Raw JSON").click()
    expect(drawer.get_by_role("list", name="Changes")).to_be_visible()
    box = drawer.bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= width
    assert box["height"] <= height
    if width == WIDTHS[0][0]:
        assert box["width"] == width
    assert drawer.evaluate("it => it.scrollWidth <= it.clientWidth")
    assert page.evaluate(CONTRAST) == []

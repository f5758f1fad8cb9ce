"""Troopers that change racks, in a real browser: the button, the badges, the other racks, the activity."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import parse_qs

import pytest
from playwright.sync_api import Browser, Dialog, Locator, Page, Request, Route, expect

from clawbucket.core.callsign import name_of
from tests.browser.conftest import Watch, World, running
from tests.browser.neighbours import ARRIVED, EVIL, HERE, THERE
from tests.browser.test_dashboard import CONTRAST, SOON
from tests.hive import PRIMARY

pytestmark = pytest.mark.slow
SIZES = [(360, 800), (1280, 900)]
STAYS, HELD, CAME, GOES = 2, 3, 4, 5
"""The tiles of whom the other racks never take, and of those with a past (neighbours.py)."""


def tile(page: Page, number: int) -> Locator:
    """One trooper's tile."""
    return page.locator(".tile").nth(number)


def revolt(page: Page, number: int) -> Locator:
    """Its button."""
    return tile(page, number).get_by_role("button", name="Revolt of")


def activity(page: Page) -> Locator:
    """The lines of the handoffs."""
    return page.get_by_role("list", name="Handoffs").locator("li")


INSIDE = """it => {
  const [own, around] = [it, it.closest(".tile")].map((one) => one.getBoundingClientRect());
  return own.left >= around.left && own.right <= around.right;
}"""
"""Whether an element is inside its tile, which cuts off what is not."""


class Asked:
    """What the page asked, each answered with ``yes``, and what it posted then."""

    def __init__(self, page: Page, *, yes: bool) -> None:
        self._yes = yes
        self.questions: list[str] = []
        self.posts: list[dict[str, list[str]]] = []
        page.on("dialog", self._answer)
        page.on("request", self._note)

    def _answer(self, dialog: Dialog) -> None:
        self.questions.append(dialog.message)
        if self._yes:
            dialog.accept()
        else:
            dialog.dismiss()

    def _note(self, request: Request) -> None:
        if request.method == "POST":
            assert request.url.endswith("/api/revolt")
            self.posts.append(parse_qs(request.post_data or ""))


@pytest.fixture
def own_racks() -> Iterator[World]:
    """A rack with another one near, for one test, that may lose a trooper to it."""
    with running("--peers", "1") as rack:
        yield rack


def test_a_trooper_changes_sides(own_racks: World, watch: Watch):
    """After a yes it is frozen before everybody's eyes, then gone; the activity shows each phase."""
    page, other = watch.open(own_racks.url), watch.open(own_racks.url)
    asked = Asked(page, yes=True)
    who = tile(page, 1).get_by_role("heading").inner_text()
    task_id = (tile(page, 1).get_attribute("id") or "").removeprefix("task-")
    revolt(page, 1).click()
    for each in (page, other):
        expect(each.locator(f"#task-{task_id} .frozen")).to_be_visible(timeout=3 * SOON)
        expect(activity(each).first).to_contain_text(who, timeout=3 * SOON)
        expect(activity(each).first).to_contain_text("PREPARED")
    expect(page.locator("#toasts .good")).to_have_text(f"{who} changed sides.", timeout=5 * SOON)
    assert asked.questions[0].startswith(
        f"Send {who} from {HERE} to {THERE}? It ends here and goes on there with its score. It takes "
    )
    assert "2 of clawbucket remain here, where one fewer is wanted then." in asked.questions[0]
    assert asked.posts == [{"service": [PRIMARY], "task_id": [task_id]}]
    for each in (page, other):
        line = activity(each).first
        expect(line).to_contain_text(f"{HERE} → {THERE}")
        expect(line.locator("[data-phase]")).to_have_text(["PREPARED", "COMMITTED"], timeout=3 * SOON)
        expect(line).to_contain_text(f"Now called {name_of(ARRIVED)}.")
        expect(each.locator(f"#task-{task_id}")).to_have_count(0, timeout=5 * SOON)
        expect(each.locator(f"#squad-{PRIMARY}")).to_contain_text("2 of 2 running", timeout=3 * SOON)


def test_a_no_sends_nobody(two_racks: World, watch: Watch):
    """Nothing is posted when the question is answered with no."""
    page = watch.open(two_racks.url)
    asked = Asked(page, yes=False)
    revolt(page, 1).click()
    assert len(asked.questions) == 1
    assert asked.posts == []
    expect(tile(page, 1).locator(".frozen")).to_be_hidden()


def test_a_refusal_is_told(two_racks: World, watch: Watch):
    """Why the other rack did not take it stands in a sentence, as text; the trooper goes on here."""
    page = watch.open(two_racks.url)
    Asked(page, yes=True)
    revolt(page, STAYS).click()
    told = tile(page, STAYS).locator(".refusal")
    expect(told).to_contain_text(f"obody wants that one on {THERE}: <b>no</b>", timeout=5 * SOON)
    expect(told.locator("b")).to_have_count(0)
    expect(activity(page).first.locator(".phases")).to_contain_text("ABORTED", timeout=3 * SOON)
    expect(activity(page).first.locator(".reason")).to_contain_text("<b>no</b>")
    expect(tile(page, STAYS).locator(".frozen")).to_be_hidden(timeout=5 * SOON)
    expect(revolt(page, STAYS)).to_have_attribute("aria-disabled", "false")
    watch.complaints.clear()  # the browser itself reports the 502 that this test provoked


def test_a_refusal_is_told_when_the_tile_is_gone(two_racks: World, watch: Watch):
    """Whoever waits hears how it ended, even where the trooper has ended meanwhile."""
    page = watch.open(two_racks.url)
    Asked(page, yes=True)
    held: list[Route] = []
    page.route("**/api/revolt", lambda route: held.append(route))  # noqa: PLW0108 - Playwright marks what it is given
    with page.expect_request("**/api/revolt"):
        revolt(page, 1).click()
    tile(page, 1).evaluate("it => it.remove()")
    held[0].fulfill(status=504, json={"error": "Nobody knows yet.", "code": "revolt_in_doubt"})
    expect(page.locator("#toasts .bad")).to_have_text("Nobody knows yet.", timeout=SOON)
    watch.complaints.clear()  # the browser itself reports the 504 that this test provoked


def test_a_held_trooper_is_not_sent_again(two_racks: World, watch: Watch):
    """Its button keeps the focus and does nothing; words beside it say why."""
    page = watch.open(two_racks.url)
    asked = Asked(page, yes=True)
    button = revolt(page, HELD)
    expect(button).to_have_attribute("aria-disabled", "true")
    expect(button).to_have_accessible_description("held for a handoff")
    expect(tile(page, HELD).get_by_text("held for a handoff")).to_be_visible()
    button.focus()
    page.keyboard.press("Enter")
    expect(button).to_be_focused()
    assert asked.questions == []
    assert asked.posts == []


def test_one_of_several_racks_is_chosen(four_racks: World, watch: Watch):
    """The question names the rack that is chosen, and its name is posted; news does not undo the choice."""
    page, other = watch.open(four_racks.url), watch.open(four_racks.url)
    asked = Asked(page, yes=True)
    choice = tile(page, 1).get_by_role("combobox")
    choice.select_option("gamma")
    page.locator("body").click(position={"x": 1, "y": 1})
    before = tile(page, CAME).get_attribute("id") or ""
    other.once("dialog", lambda dialog: dialog.accept())
    tile(other, CAME).get_by_role("button", name="Self-destruct").click()
    expect(page.locator(f"#{before}")).to_have_count(0, timeout=3 * SOON)
    expect(page.locator(".tile")).to_have_count(6, timeout=3 * SOON)
    expect(choice).to_have_value("gamma")
    revolt(page, 1).click()
    expect(tile(page, 1).locator(".refusal")).to_contain_text("othing answers at", timeout=5 * SOON)
    assert f" from {HERE} to gamma? " in asked.questions[0]
    assert asked.posts[0]["peer"] == ["gamma"]
    assert asked.posts[0].keys() == {"service", "task_id", "peer"}
    watch.complaints.clear()  # the browser itself reports the 502 that this test provoked


def test_peers_are_live(two_racks: World, watch: Watch):
    """The panel says how the other rack is, as that changes, and leads to its dashboard."""
    page = watch.open(two_racks.url)
    panel = page.get_by_role("region", name="Peers")
    expect(panel).to_contain_text(THERE)
    expect(panel).to_contain_text("Managed by Sly Fox.")
    expect(panel.get_by_text("reachable", exact=True)).to_be_visible()
    expect(panel.get_by_role("link")).to_have_attribute("href", "http://127.0.0.1:28080")
    points = panel.locator("[data-text=score]")
    before = points.inner_text()
    expect(points).not_to_have_text(before, timeout=5 * SOON)


def test_a_peer_out_of_reach_says_why(four_racks: World, watch: Watch):
    """In words, and by its name where nobody knows its label."""
    page = watch.open(four_racks.url)
    panel = page.get_by_role("region", name="Peers")
    expect(panel.get_by_text("out of reach")).to_have_count(3)  # one is hidden: the first can be reached
    expect(panel.get_by_text("out of reach").nth(1)).to_be_visible()
    expect(panel).to_contain_text("gamma")
    expect(panel).to_contain_text("nothing answers at http://127.0.0.1:38080 (connection refused)")


def test_without_peers_there_is_no_button(world: World, watch: Watch):
    """Nor a panel of peers; the activity says that there was none."""
    page = watch.open(world.url)
    expect(tile(page, 0)).to_be_visible()
    expect(page.get_by_role("button", name="Revolt of")).to_have_count(0)
    expect(page.get_by_role("region", name="Peers")).to_have_count(0)
    expect(activity(page)).to_have_text("No trooper has changed racks yet.")


def test_hostile_racks_are_harmless(four_racks: World, watch: Watch):
    """What a hostile rack calls itself, and what it gives as its reason, is text wherever it is shown."""
    page = watch.open(four_racks.url)
    asked = Asked(page, yes=False)
    expect(tile(page, HELD)).to_be_visible()
    expect(page.get_by_role("region", name="Peers")).to_contain_text(EVIL)
    line = activity(page).filter(has_text=name_of("b01004".ljust(25, "0"))).first
    expect(line).to_contain_text(f"{HERE} → {EVIL}")
    expect(line.locator(".reason")).to_have_text(EVIL)
    assert page.locator("a[href^='javascript']").count() == 0
    assert page.locator("main img, main script, main b b").count() == 0
    assert asked.questions == []
    tile(page, 1).get_by_role("combobox").select_option("evil")
    revolt(page, 1).click()
    assert f" to {EVIL}? " in asked.questions[0]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("racks", ["two_racks", "four_racks"])
def test_badges_and_panels_fit(
    request: pytest.FixtureRequest, watch: Watch, racks: str, theme: str, width: int, height: int
):
    """Whole at every width, in either theme, readable, and told by more than colour."""
    rack: World = request.getfixturevalue(racks)
    page = watch.open(rack.url, width=width, height=height, theme=theme)
    for number, badge, text in ((HELD, "frozen", "FROZEN"), (GOES, "defected", "DEFECTED")):
        mark = tile(page, number).locator(f".{badge}")
        mark.scroll_into_view_if_needed()
        expect(mark).to_be_visible()
        expect(mark).to_have_text(text)
    style = "it => getComputedStyle(it).borderTopStyle"
    assert [tile(page, number).evaluate(style) for number in (0, HELD)] == ["solid", "double"]
    if racks == "two_racks":
        expect(tile(page, CAME).locator(".from")).to_have_text(f"FROM {THERE}")
        expect(tile(page, CAME).locator(".from")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(CONTRAST) == []
    for button in page.get_by_role("button", name="Revolt of").all():
        assert button.evaluate(INSIDE)


def test_the_side_is_reached_whole(two_racks: World, watch: Watch):
    """However many panels there are, what is at their end can be scrolled to beside any number of tiles."""
    page = watch.open(two_racks.url, width=1280, height=500)
    box = page.get_by_label("Say something to the swarm")
    box.scroll_into_view_if_needed()
    expect(box).to_be_in_viewport()


def test_reading_handoffs_without_javascript(two_racks: World, browser: Browser):
    """Peers, badges and activity are there to read."""
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(two_racks.url)
    expect(page.get_by_role("region", name="Peers")).to_contain_text("3 of 3 running")
    expect(tile(page, HELD).locator(".frozen")).to_be_visible()
    expect(page.get_by_role("region", name="Revolt activity")).to_contain_text("RESTORED")
    context.close()

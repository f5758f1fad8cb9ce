"""What happened and who led when, in a real browser: live on another page, filtered, linked, and drawn."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.conftest import Watch, World, running
from tests.browser.test_dashboard import CONTRAST, SOON
from tests.hive import PRIMARY, SECOND

pytestmark = pytest.mark.slow
SHORTLY = 2 * SOON
"""Milliseconds within which an event is to be on every page: told, read, drawn."""
WIDTHS = [(360, 800), (1280, 900), (3840, 2160)]
EVIL = "<img src=x onerror=alert(1)> \N{RIGHT-TO-LEFT OVERRIDE}evil\N{RACCOON}"


@pytest.fixture
def own() -> Iterator[World]:
    """A rack of one's own, to break."""
    with running() as rack:
        yield rack


def post(page: Page, path: str, **body: object) -> None:
    """What somebody else does."""
    assert page.request.post(f"{page.url.split('?')[0]}{path}", data=body).ok


def manager(page: Page) -> str:
    """The primary's manager."""
    told: str = page.request.get(f"{page.url.split('?')[0]}api/swarm").json()["manager_task_id"]
    return told


def lines(page: Page) -> Locator:
    """The lines of the feed that can be seen."""
    return page.locator("#feed li:visible")


def box(page: Page, group: str) -> Locator:
    """The box of that group."""
    return page.locator(f"#feed-kinds [value={group}]")


def bars(page: Page) -> Locator:
    """The reigns that are drawn."""
    return page.locator("#timeline-chart .reign")


def test_acts_are_on_every_page(own: World, watch: Watch):
    """Scale, ARM, chat and an outage stand in the feed of another page within two seconds."""
    page, other = watch.open(own.url), watch.open(own.url)
    post(page, "api/scale", replicas=4, service="clawbucket-b")
    expect(lines(other).filter(has_text="Somebody scaled clawbucket-b from 3 to 4.")).to_have_count(
        1, timeout=SHORTLY
    )
    post(page, "api/arm", task_id=manager(page), bot="Rex", state="on")
    expect(lines(other).filter(has_text="Rex was armed.")).to_have_count(1, timeout=SHORTLY)
    post(page, "api/chat", text=EVIL)
    expect(lines(other).filter(has_text=EVIL)).to_have_count(1, timeout=SHORTLY)
    assert other.locator("main img").count() == 0
    post(page, "api/outage", service=PRIMARY, task_id=manager(page))
    expect(lines(other).filter(has_text="Outage: somebody took out")).to_have_count(1, timeout=SHORTLY)
    expect(lines(other).filter(has_text="leads clawbucket since epoch")).to_have_count(2, timeout=3 * SOON)


def test_an_outage_is_a_new_reign_on_the_timeline(own: World, watch: Watch):
    """The new reign goes on, the old one stands still, and the table has a row more; no page asked for it."""
    page = watch.open(own.url)
    expect(bars(page)).to_have_count(1)
    expect(page.locator("#timeline-table")).not_to_have_attribute("open", "")
    post(page, "api/outage", service=PRIMARY, task_id=manager(page))
    expect(bars(page)).to_have_count(2, timeout=3 * SOON)
    expect(page.locator("#timeline-chart .reign.running")).to_have_count(1)
    expect(page.locator("#timeline-chart .reign title").first).to_contain_text(
        "was taken out", timeout=SHORTLY
    )
    page.get_by_text("Reigns as a table").click()
    rows = page.get_by_role("region", name="Reigns of clawbucket", exact=True).locator("tbody tr")
    expect(rows).to_have_count(2)
    expect(rows.first).to_contain_text("leads now")
    expect(rows.last).to_contain_text("not in the journal")


def test_the_reign_that_goes_on_grows_by_itself(world: World, watch: Watch):
    """Its bar is longer a moment later, and is the same element: nothing was drawn anew for it."""
    page = watch.open(world.url)
    bar = page.locator("#timeline-chart .reign.running")
    page.locator("#timeline-span").select_option("60")
    before = float(bar.get_attribute("width") or 0)
    bar.evaluate("it => { it.dataset.same = 'yes'; }")
    page.wait_for_function(
        "before => document.querySelector('#timeline-chart .running').width.baseVal.value > before + 1",
        arg=before,
    )
    expect(bar).to_have_attribute("data-same", "yes")


def test_kinds_are_chosen_and_linked(world: World, watch: Watch):
    """Unticked kinds go, the address says which are left, and that address shows somebody else the same."""
    page = watch.open(f"{world.url}?group=node")
    post(page, "api/chat", text="still here")
    expect(lines(page).filter(has_text="still here")).to_have_count(1, timeout=SHORTLY)
    for group in ("chat", "tasks", "kills", "rounds", "arms", "revolts"):
        box(page, group).uncheck()
    expect(lines(page).filter(has_text="still here")).to_have_count(0)
    assert page.url.endswith("?group=node&feed=elections,scale")
    expect(lines(page).filter(has_text="leads")).not_to_have_count(0)
    other = watch.open(page.url)
    expect(box(other, "chat")).not_to_be_checked()
    expect(lines(other).filter(has_text="still here")).to_have_count(0)
    expect(other.locator("[data-count=chat]")).not_to_have_text("(0)")
    page.reload()
    expect(box(page, "scale")).to_be_checked()
    for group in ("elections", "scale"):
        box(page, group).uncheck()
    assert page.url.endswith("feed=none")
    expect(lines(page)).to_have_text("Nothing of these kinds has happened since the journal began.")
    page.reload()
    expect(box(page, "scale")).not_to_be_checked()


def test_what_is_hidden_stays_hidden_when_news_comes(world: World, watch: Watch):
    """The choice outlives the next drawing of the list, and counts go on."""
    page = watch.open(f"{world.url}?feed=elections")
    count = page.locator("[data-count=chat]")
    before = count.inner_text()
    post(page, "api/chat", text="not for this page")
    expect(count).not_to_have_text(before, timeout=SHORTLY)
    expect(lines(page).filter(has_text="not for this page")).to_have_count(0)


def test_kinds_by_keyboard(world: World, watch: Watch):
    """The boxes are reached with Tab and turned with Space; the list scrolls with the arrows."""
    page = watch.open(world.url)
    box(page, "elections").focus()
    page.keyboard.press("Tab")
    expect(box(page, "kills")).to_be_focused()
    page.keyboard.press("Space")
    expect(box(page, "kills")).not_to_be_checked()
    assert "kills" not in page.url
    assert "feed=elections,tasks" in page.url
    expect(page.get_by_role("list", name="Events")).to_have_attribute("tabindex", "0")


def test_news_is_told_in_sums(world: World, watch: Watch):
    """A screen reader hears one sentence for many events, of the chosen kinds alone, and not at once."""
    page = watch.open(f"{world.url}?feed=chat")
    said = page.locator("#feed-said")
    for number in range(3):
        post(page, "api/chat", text=f"news {number}")
        expect(lines(page).first).to_contain_text(f"news {number}", timeout=SHORTLY)
    expect(said).to_have_text("")
    expect(said).to_have_text(re.compile(r"^3 new events: chat 3\.$"), timeout=15 * SOON)
    expect(page.get_by_role("list", name="Events")).not_to_have_attribute("role", "log")


def test_another_service_is_chosen_and_linked(world: World, watch: Watch):
    """The other service's lanes are drawn, and a reload keeps the choice and the span."""
    page = watch.open(world.url)
    chart = page.locator("#timeline-chart svg").first
    expect(chart).to_have_attribute("aria-label", re.compile("^Who led clawbucket when"))
    page.locator("#timeline-service").select_option(SECOND)
    page.locator("#timeline-span").select_option("300")
    expect(chart).to_have_attribute("aria-label", re.compile("^Who led clawbucket-b when"))
    page.reload()
    expect(chart).to_have_attribute("aria-label", re.compile("^Who led clawbucket-b when"))
    expect(page.locator("#timeline-span")).to_have_value("300")


def test_the_chart_is_drawn_anew_for_another_width(world: World, watch: Watch):
    """On a narrower page it is narrower, and nothing sticks out."""
    page = watch.open(world.url)
    chart = page.locator("#timeline-chart > svg")
    expect(chart).to_be_visible()
    page.set_viewport_size({"width": 400, "height": 800})
    page.wait_for_function(
        "Number(document.querySelector('#timeline-chart > svg').getAttribute('width')) < 400"
    )
    assert page.evaluate("document.documentElement.scrollWidth") <= 400


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), WIDTHS)
def test_both_panels_fit_and_can_be_read(world: World, watch: Watch, width: int, height: int, theme: str):
    """No sideways scroll and enough contrast at every width in either theme, with the table open."""
    page = watch.open(world.url, width=width, height=height, theme=theme)
    page.get_by_text("Reigns as a table").click()
    expect(page.locator(".reigns table").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(CONTRAST) == []


def test_a_kiosk_shows_the_timeline(world: World, watch: Watch):
    """Without its controls, and without the feed, which is for reading from near."""
    page = watch.open(f"{world.url}?kiosk=1", width=3840, height=2160)
    expect(page.locator("#timeline-chart svg").first).to_be_visible()
    expect(page.locator("#feed")).to_be_hidden()
    expect(page.locator("#timeline-choice")).to_be_hidden()


def test_reading_without_javascript(world: World, browser: Browser):
    """Feed and reigns are there, the kinds as the address says; nothing is drawn and no table is shut."""
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{world.url}?feed=elections")
    expect(lines(page).first).to_contain_text("leads")
    expect(page.locator(".reigns table").first).to_be_visible()
    expect(page.locator("#timeline-chart")).to_be_hidden()
    page.get_by_role("button", name="Show these kinds").click()
    assert page.url.endswith("feed=elections")
    context.close()

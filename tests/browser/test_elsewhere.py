"""The board by rack: the tiles of the other racks beside this one, live, filtered, and never believed."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from clawbucket.core.callsign import name_of
from tests.browser.axe import violations
from tests.browser.conftest import Watch, World
from tests.browser.neighbours import EVIL, LEADER, OTHER

pytestmark = pytest.mark.slow
SOON = 1_000


def test_other_racks_stand_beside_this_one(two_racks: World, watch: Watch):
    """Another one's tiles stand to the right of this one's, tell who is there, and stay live."""
    page = watch.open(f"{two_racks.url}?group=rack")
    here, there = page.locator("#rack-").bounding_box(), page.locator("#rack-beta").bounding_box()
    assert here is not None
    assert there is not None
    assert here["x"] + here["width"] < there["x"]
    assert abs(here["y"] - there["y"]) < 5
    section = page.locator("#rack-beta")
    expect(section).to_contain_text("3 of 3 running")
    expect(section).to_contain_text("And 1 more on its own page.")
    first, second = section.locator(".tile").all()
    for text in (name_of(LEADER), "MANAGER", "running", "alive", "ARM on", "iron fog ready", "Slot 1 of"):
        expect(first).to_contain_text(text)
    for text in (name_of(OTHER), "starting", "suspect", "FROZEN", "<b>soft</b> rain"):
        expect(second).to_contain_text(text)
    assert section.locator("form, button, q b").count() == 0
    expect(first.get_by_role("link")).to_have_attribute("href", f"http://127.0.0.1:28080/?trooper={LEADER}")
    before = first.locator(".score").inner_text()
    expect(first.locator(".score")).not_to_have_text(before, timeout=10 * SOON)


def test_they_are_walked_and_filtered_as_this_racks_own(two_racks: World, watch: Watch):
    """The same keys, the same filter; and they are there only while the board is grouped by rack."""
    page = watch.open(f"{two_racks.url}?group=rack")
    first, second = page.locator("#rack-beta .tile").all()
    page.locator("#rack- .open").last.focus()
    page.keyboard.press("End")
    expect(second.get_by_role("link")).to_be_focused()
    page.locator("#q").fill("state:starting")
    expect(first).to_be_hidden()
    expect(second).to_be_visible()
    page.locator("#q").fill("")
    expect(first).to_be_visible()
    page.locator("#view-group").select_option("service")
    expect(page.locator("#elsewhere")).to_have_count(0, timeout=5 * SOON)
    page.locator("#view-group").select_option("rack")
    expect(page.locator("#rack-beta .tile")).to_have_count(2, timeout=5 * SOON)
    before = page.locator("#rack-beta .score").first.inner_text()
    expect(page.locator("#rack-beta .score").first).not_to_have_text(before, timeout=10 * SOON)


def test_nobody_asks_for_them_who_does_not_look(two_racks: World, watch: Watch):
    """A page that is grouped otherwise draws nothing of the other racks, whatever changes there."""
    page = watch.open(two_racks.url)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    points = page.locator(".peers [data-text=score]").first
    before = points.inner_text()
    expect(points).not_to_have_text(before, timeout=10 * SOON)
    assert [url for url in asked if "/ui/elsewhere" in url or "/ui/squads" in url] == []


@pytest.mark.parametrize("width", [360, 1280, 3840])
def test_silent_and_hostile_racks_are_sections_too(four_racks: World, watch: Watch, width: int):
    """The one says why it cannot be seen, the other is text and leads nowhere; nothing scrolls sideways."""
    page = watch.open(f"{four_racks.url}?group=rack&density=compact", width=width)
    expect(page.locator("#rack-beta .tile.brief")).to_have_count(2)
    expect(page.locator("#rack-gamma")).to_contain_text("out of reach")
    expect(page.locator("#rack-gamma")).to_contain_text("connection refused")
    expect(page.locator("#rack-evil")).to_contain_text(EVIL)
    expect(page.locator("#rack-evil a, #elsewhere img")).to_have_count(0)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert violations(page) == []

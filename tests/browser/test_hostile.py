"""A board that is hostile in every word: the page shows it as text, keeps its shape, and is silent."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Watch, World, running
from tests.browser.hostile_world import IDS, LONG, MARKUP, PROTO

pytestmark = pytest.mark.slow
DENSITIES = ("comfortable", "compact", "heat")
TALLEST = {"comfortable": 700, "compact": 260, "heat": 120}
"""CSS pixels that a tile may have at 360 px width, whatever is in it."""
SOON = 3_000
LEAKED = """() => [...document.querySelectorAll("[onerror], img, script:not([src]), a[href^='javascript:']")]
  .map(element => element.outerHTML.slice(0, 120))"""
POLLUTED = "() => ({}).state !== undefined || ({}).name !== undefined || ({}).score !== undefined"


@pytest.fixture(scope="module")
def hostile() -> Iterator[World]:
    """The board of which nothing can be trusted."""
    with running(module="tests.browser.hostile_world") as rack:
        yield rack


@pytest.mark.parametrize("density", DENSITIES)
@pytest.mark.parametrize("group", ["service", "node", "rack"])
def test_it_is_text_and_nothing_else(hostile: World, watch: Watch, density: str, group: str):
    """No markup of it becomes an element, no dialog opens, no prototype is touched, and news goes on."""
    page = watch.open(f"{hostile.url}?density={density}&group={group}")
    page.on("dialog", lambda dialog: watch.complaints.append(f"a dialog: {dialog.message}"))
    expect(page.locator(".tile")).to_have_count(len(IDS))
    assert page.evaluate(LEAKED) == []
    assert page.evaluate(POLLUTED) is False
    for task_id in IDS:
        expect(page.locator(f"[id='task-{task_id}']")).to_have_count(1)
    # Not the text: squares have none but their labels.
    page.evaluate("window.before = document.getElementById('squads').innerHTML")
    page.wait_for_function(
        "() => document.getElementById('squads').innerHTML !== window.before", timeout=SOON
    )
    assert page.evaluate(LEAKED) == []


@pytest.mark.parametrize("density", DENSITIES)
def test_it_keeps_its_shape_on_a_phone(hostile: World, watch: Watch, density: str):
    """360 pixels wide nothing scrolls sideways, and 10,000 characters make no tile taller than its bound."""
    page = watch.open(f"{hostile.url}?density={density}", width=360, height=800)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    for tile in page.locator(".tile").all():
        tile.scroll_into_view_if_needed()
        box = tile.bounding_box()
        assert box is not None
        assert box["height"] <= TALLEST[density], tile.get_attribute("id")
        assert box["width"] <= 360


def test_what_is_said_is_shown_as_it_was_said(hostile: World, watch: Watch):
    """Chat lines show their markup, all 10,000 characters, and names that every object has."""
    page = watch.open(hostile.url)
    said = page.get_by_role("log").locator(".said").all_text_contents()
    assert MARKUP in said
    assert LONG in said
    assert PROTO in said


def test_text_that_runs_the_other_way_turns_nothing_else(hostile: World, watch: Watch):
    """Every text of the swarm is set apart from what stands around it."""
    page = watch.open(hostile.url)
    ways = page.evaluate(
        """() => [...document.querySelectorAll(".tile [data-text], .tile .open, .said, .who b")]
          .map(element => getComputedStyle(element).unicodeBidi)"""
    )
    assert set(ways) == {"isolate"}

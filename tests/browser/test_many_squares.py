"""A heat map of many: lists that are far from the screen are not drawn, and are there all the same."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from bench.generator_process import generator
from tests.browser.conftest import Watch

pytestmark = pytest.mark.slow
TROOPERS = 1_600
WHERE = """() => {
  const { top, bottom, width } = document.activeElement.getBoundingClientRect();
  const cells = [...document.querySelectorAll("#squads .tile.cell")];
  const at = cells.indexOf(document.activeElement.closest(".tile"));
  return { seen: top >= 0 && bottom <= innerHeight && width > 0, at };
}"""


def test_squares_below_the_screen_are_reached_found_and_read(watch: Watch):
    """By keyboard the last square is focused and on the screen; a filter counts all; each says what it is."""
    with generator(TROOPERS) as url:
        page = watch.open(f"{url}/?density=heat")
        expect(page.locator("#squads .tiles[data-many]")).to_have_count(4)
        page.locator("#squads .tile.cell .open").first.focus()
        for key, at in (("End", TROOPERS - 1), ("Home", 0), ("End", TROOPERS - 1)):
            page.keyboard.press(key)
            found = page.evaluate(WHERE)
            assert found == {"seen": True, "at": at}
        last = page.locator("#squads .tile.cell .open").last
        expect(last).to_have_accessible_name(re.compile(r", slot 400 of clawbucket-d, "))
        page.get_by_label("Filter troopers").fill("slot=400")
        expect(page.locator("#q-said")).to_have_text(f"4 of {TROOPERS} troopers.")
        expect(page.locator("#squads .tile.cell:not([hidden])")).to_have_count(4)
        page.context.close()  # before the stream ends, which a browser notes

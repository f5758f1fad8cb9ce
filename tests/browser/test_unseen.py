"""Tiles that nobody sees are written when there is time, before they are seen, and before the page pauses."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from bench.generator_process import generator
from tests.browser.conftest import Watch

pytestmark = pytest.mark.slow
TROOPERS = 300
COUNT = """
(swarm, who) => {
  const seen = (tile) => tile.firstElementChild.checkVisibility({ contentVisibilityAuto: true });
  return [...document.querySelectorAll("#squads .tile")].filter((tile) => {
    const { score, three_words } = swarm.state.tasks[tile.id.slice("task-".length)];
    if (who === "seen" && !seen(tile)) return false;
    return tile.querySelector("[data-text=score]").textContent !== String(score)
      || tile.querySelector("[data-text=three_words]").textContent !== three_words;
  }).length;
}
"""
"""How many tiles, of all or of those that are drawn, show something else than their record has."""
BEHIND = f"""async (who) => ({COUNT})((await import("/static/state.js")).swarm, who)"""
PAUSE_AT_A_PAINTING = f"""
async () => {{
  const {{ swarm }} = await import("/static/state.js");
  return new Promise((done) => document.addEventListener("claw:painted", () => {{
    const before = ({COUNT})(swarm, "all");
    document.getElementById("pause").click();
    done([before, ({COUNT})(swarm, "all")]);
  }}, {{ once: true }}));
}}
"""
NEVER_IDLE = "window.requestIdleCallback = () => 1"
NEXT_PAINTINGS = """() => new Promise((done) => {
  let left = 6;
  document.addEventListener("claw:painted", () => { left -= 1; if (!left) done(); });
})"""


@pytest.fixture
def board() -> Iterator[str]:
    """Comfortable tiles of which most are far below the screen; at each tick a third of them changes."""
    with generator(TROOPERS, "--share", "0.33") as url:
        yield f"{url}/?density=comfortable"


@pytest.fixture
def busy(board: str, watch: Watch) -> Iterator[Page]:
    """Its page in a browser that from now on has no time to spare, after some paintings."""
    page = watch.open(board)
    page.evaluate(NEVER_IDLE)
    page.evaluate(NEXT_PAINTINGS)
    yield page
    page.context.close()  # before the stream ends, which a browser notes


def test_tiles_below_the_screen_follow_the_news(board: str, watch: Watch):
    """Some time after each painting all tiles say what the records say, seen or not."""
    page = watch.open(board)
    page.evaluate(NEXT_PAINTINGS)
    page.wait_for_function(f"async () => (await ({BEHIND})('all')) === 0")
    page.context.close()


def test_what_is_scrolled_to_is_up_to_date(busy: Page):
    """Where there never is time, tiles fall behind, but not those that one sees or comes to see."""
    assert busy.evaluate(BEHIND, "all") > 0  # else nothing is shown by what follows
    for number in (-1, TROOPERS // 2, 0):
        busy.locator("#squads .tile").nth(number).scroll_into_view_if_needed()
        busy.wait_for_function(f"async () => (await ({BEHIND})('seen')) === 0")


def test_a_paused_page_is_all_of_one_moment(busy: Page):
    """What was to be written later is written before the records go on without the page, and stays."""
    before, then = busy.evaluate(PAUSE_AT_A_PAINTING)
    assert before > 0
    assert then == 0
    expect(busy.locator("#pause-said")).not_to_be_empty()

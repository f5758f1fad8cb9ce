"""Ranks, which the stream leaves out and the page works out by itself: beside the scores, and in a filter."""

from __future__ import annotations

from tests.browser.conftest import Watch, World

WATCH_RANKS = """
() => new Promise((done) => {
  const wrong = [], seen = new Set();
  let left = 30;
  document.addEventListener("claw:painted", function look() {
    for (const list of document.querySelectorAll("#squads .tiles")) {
      const tiles = [...list.querySelectorAll(".tile")];
      const of = (tile, field) => Number(tile.querySelector(`[data-text=${field}]`).textContent);
      const scores = tiles.map((tile) => of(tile, "score"));
      tiles.forEach((tile, n) => {
        const wanted = 1 + scores.filter((score) => score > scores[n]).length;
        const rank = of(tile, "rank");
        if (rank !== wanted) wrong.push(`${tile.id}: ${rank} in ${scores}, not ${wanted}`);
      });
      seen.add(tiles.map((tile) => of(tile, "rank")).join());
    }
    left -= 1;
    if (left && seen.size < 3) return;
    document.removeEventListener("claw:painted", look);
    done({ wrong, orders: seen.size });
  });
})
"""
"""Looks at each painting until the ranks were seen in three orders or more, or thirty times."""
NEXT_PAINTING = "() => new Promise((done) => document.addEventListener('claw:painted', done, { once: true }))"
FIRST_IN_FRONT = """
() => {
  const first = (tile) => tile.querySelector("[data-text=rank]").textContent === "1";
  const tiles = [...document.querySelectorAll("#squads .tile")];
  return tiles.some(first) && !tiles.every(first) && tiles.every((tile) => tile.hidden !== first(tile));
}
"""


def test_a_rank_fits_the_scores_beside_it_at_every_painting(quick_world: World, watch: Watch):
    """Whenever one looks, a tile's rank is one more than how many of its service's tiles show more points."""
    page = watch.open(f"{quick_world.url}?density=comfortable")
    told = page.evaluate(WATCH_RANKS)
    assert told["wrong"] == []
    assert told["orders"] > 1  # ranks did move meanwhile


def test_a_filter_by_rank_follows_the_others_scores(quick_world: World, watch: Watch):
    """Who asks for the first sees whoever is first now, also where only others' scores have changed."""
    page = watch.open(f"{quick_world.url}?density=comfortable&q=rank%3D1")
    for _ in range(5):
        page.wait_for_function(FIRST_IN_FRONT)
        page.evaluate(NEXT_PAINTING)

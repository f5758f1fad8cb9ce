"""The heat map's squares are drawn on canvases; each one's pixels are what its trooper's record says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from bench.generator_process import generator
from tests.browser.conftest import Watch, World
from tests.browser.test_dashboard import SOON, switch

pytestmark = pytest.mark.slow
TROOPERS = 400
SAMPLES = (Path(__file__).parent / "squares_seen.js").read_text(encoding="utf-8")
BEHIND = """() => {
  const cells = [...document.querySelectorAll("#squads .tile.cell:not([hidden])")];
  const last = cells.at(-1).getBoundingClientRect();
  const canvas = [...document.querySelectorAll(".map canvas")].at(-1);
  const { left, right, top, width } = canvas.getBoundingClientRect();
  const scale = canvas.width / width;
  const after = Math.round((last.right + 4 - left) * scale);
  const down = (last.top + 5 - top) * scale;
  const copy = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  [copy.canvas.width, copy.canvas.height] = [canvas.width, canvas.height];
  copy.drawImage(canvas, 0, 0);
  const row = copy.getImageData(after, down, Math.max(1, canvas.width - after), 1).data;
  return { room: right - last.right > 30, painted: row.some((value) => value !== 0) };
}"""
ARMED = """async () => {
  const { swarm } = await import("/static/state.js");
  return Object.values(swarm.state.tasks).some((task) => task.arm === "on");
}"""
HELD = "[...document.querySelectorAll('.map canvas')].map((canvas) => canvas.width > 0)"


@pytest.fixture(scope="module")
def many() -> Iterator[str]:
    """The address of a board of many in every state there is."""
    with generator(TROOPERS) as url:
        yield url


def agrees(page: Page, looks: int = 1) -> int:
    """How many squares on the screen were compared; each is as the stylesheet says of its record."""
    found = page.evaluate(SAMPLES)
    assert found["wrong"] == []
    assert found["looks"] >= looks
    looked: int = found["looked"]
    return looked


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_squares_are_as_their_records_say(many: str, watch: Watch, theme: str):
    """Ground, border and corner of each square, in both themes and again after the troopers have changed."""
    page = watch.open(f"{many}/?density=heat", theme=theme)
    assert agrees(page, looks=15) > 100
    page.wait_for_function("async () => (await import('/static/state.js')).swarm.state.rps.round > 2")
    agrees(page, looks=15)
    page.context.close()


def test_another_theme_is_drawn_at_once(many: str, watch: Watch):
    """Whoever changes the theme sees the squares in its colours."""
    page = watch.open(f"{many}/?density=heat")
    agrees(page)
    page.get_by_label("Theme").select_option("dark")
    agrees(page)
    page.get_by_label("Theme").select_option("light")
    agrees(page)
    page.context.close()


def test_squares_close_up_when_filtered(many: str, watch: Watch):
    """Those asked for stand side by side, where their buttons are, and nothing is left of the others."""
    page = watch.open(f"{many}/?density=heat&group=rack", height=1400)
    before = agrees(page)
    page.get_by_label("Filter troopers").fill("slot<=9")
    expect(page.locator("#q-said")).to_contain_text(f"of {TROOPERS} troopers.")
    assert agrees(page) < before
    behind = page.evaluate(BEHIND)
    assert behind == {"room": True, "painted": False}
    page.get_by_label("Filter troopers").fill("")
    expect(page.locator("#squads .tile.cell:not([hidden])")).to_have_count(TROOPERS)
    assert agrees(page) == before
    page.context.close()


def test_another_width_is_drawn_anew(many: str, watch: Watch):
    """A window made narrower and wider again, down to a phone's width."""
    page = watch.open(f"{many}/?density=heat")
    for width in (360, 900, 1280):
        page.set_viewport_size({"width": width, "height": 900})
        page.evaluate("document.querySelector('.tile.cell').scrollIntoView()")
        assert agrees(page) > 5
    page.context.close()


def test_far_squares_have_no_canvas(watch: Watch):
    """What is far from the screen takes no memory, and is there when one scrolls to it."""
    with generator(4_000) as url:
        page = watch.open(f"{url}/?density=heat&group=rack")
        page.wait_for_function(f"() => {HELD}.includes(false)")
        page.locator("#squads .tile.cell").last.scroll_into_view_if_needed()
        page.wait_for_function(f"() => !{HELD}[0]")
        page.wait_for_function(f"() => {HELD}.at(-1)")
        assert agrees(page) > 100
        page.context.close()


def test_what_one_does_is_seen(own_world: World, watch: Watch):
    """Armed, it has its corner; who ends leaves no square behind; who comes has one."""
    page, other = watch.open(f"{own_world.url}?density=heat"), watch.open(own_world.url)
    switch(other, 1).click()
    page.wait_for_function(ARMED)
    assert agrees(page) == 6
    other.get_by_label("Replicas").first.fill("8")
    other.get_by_role("button", name="Apply").first.click()
    expect(page.locator("#squads .tile.cell")).to_have_count(11, timeout=3 * SOON)
    assert agrees(page) == 11
    other.get_by_label("Replicas").first.fill("5")
    other.get_by_role("button", name="Apply").first.click()
    expect(page.locator("#squads .tile.cell")).to_have_count(8, timeout=3 * SOON)
    assert agrees(page) == 8
    assert page.evaluate(BEHIND) == {"room": True, "painted": False}


def test_squares_without_scripts(many: str, browser: Browser):
    """A page without JavaScript shows each square's score and colour by itself."""
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{many}/?density=heat")
    assert page.locator(".tile.cell[data-band=high]").first.inner_text().strip().isdigit()
    assert page.locator(".map canvas").count() == 0
    context.close()

"""Finding: filter, group, sort, density, permalinks, pause, kiosk and export, each clicked for real."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from playwright.sync_api import Locator, Page, expect

from clawbucket.core.model import Freshness, TaskState
from tests.browser.conftest import Watch, World
from tests.browser.test_dashboard import CONTRAST, SOON, WIDTHS, switch
from tests.hive import PRIMARY, SECOND

pytestmark = pytest.mark.slow

ROUND = 3_000
"""Milliseconds until a scale or a round is seen, where the swarm has an interval of two seconds."""
TILES = "#squads .tile"
HOSTILE = "'><img src=x onerror=alert(1)> \u202egnp.exe 😀 __proto__:1 "
ICONS = """(states) => {
  const tile = document.querySelector(".tile");
  return states.map(([name, state]) => {
    tile.setAttribute(`data-${name}`, state);
    const badge = tile.querySelector(name === "state" ? ".state" : ".fresh");
    const look = getComputedStyle(badge);
    return [getComputedStyle(badge, "::before").content, look.backgroundColor];
  });
}"""
LOOKS = """() => [...document.querySelectorAll(".squares .cell")].map((cell) => {
  const { borderTopStyle, borderTopWidth, backgroundImage } = getComputedStyle(cell);
  const glyph = getComputedStyle(cell.firstElementChild, "::before").content;
  return [glyph, backgroundImage, borderTopStyle, borderTopWidth, cell.dataset.band ?? ""].join(" ");
})"""


def shown(page: Page) -> Locator:
    """The tiles that can be seen."""
    return page.locator(f"{TILES}:visible")


def ids(tiles: Locator) -> list[str]:
    """Their ids, in the page's order."""
    found: list[str] = tiles.evaluate_all("tiles => tiles.map((tile) => tile.id)")
    return found


def args(page: Page) -> dict[str, str]:
    """What the page's address asks for."""
    return {name: values[0] for name, values in parse_qs(urlsplit(page.url).query).items()}


def mark(page: Page) -> None:
    """Leave a mark in the page that a reload would wipe."""
    page.evaluate("window.unloaded = false")


def assert_never_reloaded(page: Page) -> None:
    """The mark is still there."""
    assert page.evaluate("window.unloaded") is False


# filter -----------------------------------------------------------------------------------------------


def test_typing_filters_at_once(world: World, watch: Watch):
    """While one types, the tiles that are not asked for go, and the count is told; cleared, all are back."""
    page = watch.open(world.url)
    box = page.get_by_label("Filter troopers")
    name = page.locator(f"#squad-{SECOND} .tile .open").nth(1).inner_text()
    for text, count in (
        ("manager", 2), ("-manager", 4), ("service:b", 3), ("slot=2", 2), ("slot<=2 service:b", 2),
        ("state:running", 6), ("!state:running", 0), (f'"{name}"', 1), (name.lower(), 1), ("node:node-1", 6),
        ("zzz", 0),
    ):  # fmt: skip
        box.fill(text)
        expect(shown(page)).to_have_count(count, timeout=SOON)
        expect(page.locator("#q-said")).to_have_text(f"{count} of 6 troopers.", timeout=SOON)
    box.fill("")
    expect(shown(page)).to_have_count(6)
    expect(page.locator("#q-said")).to_be_empty()


def test_a_filter_is_a_link(world: World, watch: Watch):
    """The filter is in the address, and whoever opens that address sees the same; Enter reloads nothing."""
    page = watch.open(world.url)
    mark(page)
    page.get_by_label("Filter troopers").fill("manager service:b")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("q=manager"))
    assert_never_reloaded(page)
    for other in (watch.open(page.url), page):
        if other is page:
            page.reload()
        expect(shown(other)).to_have_count(1)
        expect(other.get_by_label("Filter troopers")).to_have_value("manager service:b")


def test_a_filter_follows_the_news(world: World, watch: Watch):
    """Whoever becomes what is asked for appears, and goes again; a section without anybody says so."""
    page, other = watch.open(f"{world.url}?q=armed"), watch.open(world.url)
    expect(shown(page)).to_have_count(0)
    expect(page.locator(".tiles[data-none]")).to_have_count(2)
    switch(other, 1).click()
    expect(shown(page)).to_have_count(1, timeout=SOON)
    expect(page.locator(".tiles[data-none]")).to_have_count(1)
    expect(page.locator("#q-said")).to_have_text("1 of 6 troopers.", timeout=3 * SOON)
    switch(other, 1).click()
    expect(shown(page)).to_have_count(0, timeout=SOON)
    expect(page.locator(".tiles[data-none]")).to_have_count(2)


def test_a_filter_outlives_a_drawing(world: World, watch: Watch):
    """When tiles come or another order is drawn, no tile that is not asked for is ever seen."""
    page, other = watch.open(f"{world.url}?q=service:b"), watch.open(world.url)
    expect(shown(page)).to_have_count(3)
    page.evaluate(
        """() => {
          window.seen = 0;
          const look = () => {
            const tiles = [...document.querySelectorAll("#squads .tile")];
            window.seen = Math.max(window.seen, tiles.filter((tile) => !tile.hidden).length);
            requestAnimationFrame(look);
          };
          look();
        }"""
    )
    for replicas in ("5", "3"):
        other.locator(f"#scale-{PRIMARY}").fill(replicas)
        other.locator(f"#scale-go-{PRIMARY}").click()
        expect(page.locator(TILES)).to_have_count(int(replicas) + 3, timeout=ROUND)
        expect(page.locator("#q-said")).to_have_text(f"3 of {int(replicas) + 3} troopers.", timeout=ROUND)
    page.get_by_label("Group").select_option("node")
    expect(page.locator("#node-n1")).to_be_visible(timeout=SOON)
    assert page.evaluate("window.seen") == 3


def test_a_wrong_term_is_told(world: World, watch: Watch):
    """What is not understood is said beside the box, with what was probably meant, and filters nothing."""
    page = watch.open(world.url)
    box = page.get_by_label("Filter troopers")
    box.fill("sate:running manager")
    said = page.locator("#q-said")
    expect(said).to_contain_text("Nothing here is called “sate”; did you mean “state”?", timeout=SOON)
    expect(said).to_contain_text("2 of 6 troopers.")
    expect(box).to_have_attribute("aria-invalid", "true")
    box.fill("failed")
    expect(said).to_have_text("0 of 6 troopers. Did you mean state:failed?", timeout=SOON)
    expect(box).to_have_attribute("aria-invalid", "false")


def test_a_hostile_filter_is_text(world: World, watch: Watch):
    """Whatever an address or a hand puts into the filter, it is shown as text and runs nothing."""
    page = watch.open(f"{world.url}?q={quote(HOSTILE)}&group={quote('<b>x</b>')}")
    expect(page.get_by_text("This page knows no group “<b>x</b>”")).to_be_visible()
    expect(page.locator("#q-said")).to_contain_text("“__proto__”")
    expect(shown(page)).to_have_count(0)
    assert page.locator("img").count() == 0
    page.get_by_label("Filter troopers").fill(HOSTILE * 500)
    expect(page.locator("#q-said")).to_contain_text("0 of 6")
    page.get_by_label("Group").select_option("node")
    expect(page.get_by_text("This page knows no group")).to_have_count(0)


# group, sort, density -------------------------------------------------------------------------------------


def test_grouping_and_going_back(world: World, watch: Watch):
    """Each choice draws anew without a reload and is an address; Back and Forward show what was there."""
    page = watch.open(world.url)
    mark(page)
    group = page.get_by_label("Group")
    for choice, section in (("node", "#node-n1"), ("rack", "#rack-"), ("service", f"#squad-{SECOND}")):
        group.select_option(choice)
        expect(page.locator(f"{section} .tile").first).to_be_visible(timeout=SOON)
        assert args(page) == ({} if choice == "service" else {"group": choice})
    page.get_by_label("Density").select_option("compact")
    expect(page.locator(".brief")).to_have_count(6)
    for step, wanted, section in (
        ("back", "service", f"#squad-{SECOND}"), ("back", "rack", "#rack-"), ("back", "node", "#node-n1"),
        ("forward", "rack", "#rack-"),
    ):  # fmt: skip
        page.go_back() if step == "back" else page.go_forward()
        expect(page.locator(f"{section} .tile").first).to_be_visible(timeout=SOON)
        expect(group).to_have_value(wanted)
        expect(page.locator(".brief")).to_have_count(0)
    assert_never_reloaded(page)
    page.reload()
    expect(page.locator("#rack- .tile")).to_have_count(6)


def test_a_view_is_a_link(world: World, watch: Watch):
    """All that was chosen is in the address, and what else was in it stays."""
    page = watch.open(f"{world.url}?else=kept")
    for name, value in (("Group", "node"), ("Sort", "name"), ("Density", "heat")):
        page.get_by_label(name).select_option(value)
    page.get_by_label("Filter troopers").fill("manager")
    page.wait_for_url(re.compile("q=manager"))
    assert args(page) == {
        "else": "kept", "group": "node", "sort": "name", "density": "heat", "q": "manager",
    }  # fmt: skip
    other = watch.open(page.url)
    expect(other.locator("#node-n1 .cell:visible")).to_have_count(2)
    expect(other.get_by_label("Sort")).to_have_value("name")


def test_sorting(world: World, watch: Watch):
    """By name the tiles stand in the order of their callsigns, in each section."""
    page = watch.open(world.url)
    by_slot = ids(page.locator(TILES))
    page.get_by_label("Sort").select_option("name")
    expect(page.locator(TILES).first).to_be_visible()
    page.wait_for_function(
        """() => [...document.querySelectorAll(".tiles")].every((list) => {
          const names = [...list.querySelectorAll(".open")].map((open) => open.textContent);
          return names.join() === [...names].sort().join();
        })"""
    )
    page.get_by_label("Sort").select_option("slot")
    page.wait_for_function(
        """(ids) => {
          const tiles = [...document.querySelectorAll("#squads .tile")];
          return tiles.map((tile) => tile.id).join() === ids.join();
        }""",
        arg=by_slot,
    )


def test_tiles_never_jump(quick_world: World, watch: Watch):
    """By score, tiles keep their places while the scores change; a button offers the new order."""
    page = watch.open(f"{quick_world.url}?group=rack&sort=score&density=compact")
    before = ids(page.locator(TILES))
    again = page.get_by_role("button", name="Sort again")
    expect(again).to_be_visible(timeout=20 * ROUND)
    page.get_by_role("button", name="Pause").click()  # so that the order that is offered stays the news
    assert ids(page.locator(TILES)) == before
    again.click()
    expect(again).to_be_hidden()
    expect(page.get_by_label("Sort")).to_be_focused()
    page.wait_for_function(
        """() => {
          const shown = [...document.querySelectorAll("#squads .tile .score")];
          const scores = shown.map((score) => Number(score.textContent));
          return scores.length === 6 && scores.every((score, n) => n === 0 || score <= scores[n - 1]);
        }"""
    )


def test_densities(world: World, watch: Watch):
    """Whole tiles, brief ones and squares are drawn on demand, each with what it promises, and stay live."""
    page, other = watch.open(world.url), watch.open(world.url)
    density = page.get_by_label("Density")
    density.select_option("compact")
    brief = page.locator(".tile.brief").nth(1)
    expect(page.locator(".tile.brief")).to_have_count(6, timeout=SOON)
    expect(brief).to_contain_text("running")
    expect(brief).to_contain_text("alive")
    manager = page.locator(".tile.brief[data-is_manager=true]").first
    assert "♛" in manager.evaluate("tile => getComputedStyle(tile, '::before').content")
    switch(other, 1).click()
    expect(brief).to_have_attribute("data-arm", "on", timeout=SOON)
    assert "ARM" in brief.evaluate("tile => getComputedStyle(tile, '::after').content")
    density.select_option("heat")
    cell = page.locator(".tile.cell").nth(1)
    expect(page.locator(".tile.cell")).to_have_count(6, timeout=SOON)
    expect(page.get_by_role("list", name="What the squares mean")).to_be_visible()
    expect(cell.get_by_role("button")).to_have_attribute("aria-label", re.compile("running, alive, .*armed$"))
    switch(other, 1).click()
    expect(cell.get_by_role("button")).to_have_attribute(
        "aria-label", re.compile(r"score \S+$"), timeout=SOON
    )
    cell.hover()
    expect(cell).to_have_attribute("title", re.compile(" on node-1$"))
    density.select_option("comfortable")
    expect(page.get_by_role("switch")).to_have_count(6, timeout=SOON)


@pytest.mark.parametrize("density", ["comfortable", "compact"])
def test_every_state_has_its_icon(world: World, watch: Watch, density: str):
    """Each state of a task's life and of its heartbeat has an icon of its own; red is for failures only."""
    page = watch.open(f"{world.url}?density={density}")
    states = [("state", state.value) for state in TaskState]
    beats = [("freshness", freshness.value) for freshness in Freshness]
    looks = page.evaluate(ICONS, [*states, *beats])
    assert len({icon for icon, _ in looks[: len(states)]}) == len(states)
    assert len({icon for icon, _ in looks[len(states) :]}) == len(beats)
    assert all(re.match(r'^"[^" ]+', icon) for icon, _ in looks)
    kinds: dict[str, set[str]] = {}
    for (_, state), (_, ground) in zip([*states, *beats], looks, strict=True):
        kinds.setdefault(ground, set()).add(state)
    assert {"failed", "rejected", "missing"} in kinds.values()
    assert {"running", "alive"} in kinds.values()


def test_squares_differ_in_grey(world: World, watch: Watch):
    """What a square means is told by its glyph, corner or border too, or by the score in it."""
    page = watch.open(f"{world.url}?density=heat")
    looks = page.evaluate(LOOKS)
    assert len(looks) == 12
    assert len(set(looks)) == 12


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("density", ["compact", "heat"])
def test_densities_fit_and_are_readable(world: World, watch: Watch, density: str, theme: str):
    """At no width the page scrolls sideways, and all text has its contrast."""
    for width, height in WIDTHS:
        page = watch.open(f"{world.url}?density={density}", width=width, height=height, theme=theme)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(CONTRAST) == []
        page.context.close()


# pause, kiosk, export ---------------------------------------------------------------------------------------


def test_pause_and_resume(world: World, watch: Watch):
    """Held still, the page shows nothing new and counts it; released, it shows the present. By keyboard."""
    page, other = watch.open(world.url), watch.open(world.url)
    page.locator("#pause").focus()
    page.keyboard.press("Enter")
    said = page.locator("#pause-said")
    expect(said).to_have_text(re.compile(r"Paused, \d+ news missed"))
    expect(page.locator("#pause")).to_have_text("Resume")
    switch(other, 2).click()
    expect(switch(other, 2)).to_have_attribute("aria-checked", "true", timeout=SOON)
    expect(said).to_have_text(re.compile(r"Paused, [1-9]\d* news missed"), timeout=SOON)
    expect(switch(page, 2)).to_have_attribute("aria-checked", "false")
    page.get_by_label("Filter troopers").fill("armed")
    expect(page.locator("#q-said")).to_have_text("0 of 6 troopers.")  # of what is seen, not of the present
    page.locator("#pause").focus()
    page.keyboard.press("Space")
    expect(shown(page)).to_have_count(1, timeout=SOON)
    expect(said).to_be_empty()
    expect(page.locator("#view-told")).to_have_text(re.compile(r"Live again, [1-9]\d* news missed\."))
    switch(other, 2).click()


def assert_bare(page: Page) -> None:
    """Nothing on the page can be filled in or sent."""
    expect(page.locator(".tile").first).to_be_visible()
    assert page.locator("main input:visible, main select:visible, .board form button:visible").count() == 0
    expect(page.locator(".side")).to_be_hidden()


def test_kiosk_in_and_out(world: World, watch: Watch):
    """The button makes the page a kiosk with an address of its own; Escape, the link and Back end that."""
    page = watch.open(f"{world.url}?sort=name")
    for way in ("Escape", "link", "back"):
        page.get_by_role("button", name="Kiosk").click()
        assert_bare(page)
        assert args(page) == {"sort": "name", "kiosk": "1"}
        out = page.get_by_role("link", name="Leave kiosk")
        expect(out).to_be_focused()
        if way == "Escape":
            page.keyboard.press("Escape")
        elif way == "link":
            page.keyboard.press("Enter")
        else:
            page.go_back()
        expect(page.get_by_role("button", name="Pause")).to_be_visible()
        assert args(page) == {"sort": "name"}
        expect(page.get_by_role("button", name="Kiosk")).to_be_focused()


def test_a_kiosk_is_a_link(world: World, watch: Watch):
    """``?kiosk=1`` opens as one, larger and live; its way out needs no script."""
    page, usual = watch.open(f"{world.url}?kiosk=1&q=manager"), watch.open(world.url)
    assert_bare(page)
    expect(shown(page)).to_have_count(2)
    expect(page.locator("#q-said")).to_have_text("2 of 6 troopers.")
    sizes = [
        float(each.evaluate("parseFloat(getComputedStyle(document.body).fontSize)")) for each in (page, usual)
    ]
    assert sizes[0] > sizes[1]
    assert page.get_by_role("link", name="Leave kiosk").get_attribute("href") == "/?q=manager"


def test_the_board_in_a_file(world: World, watch: Watch, tmp_path: Path):
    """JSON and CSV hold whom one sees, in that order, under names that tell what they are."""
    page = watch.open(f"{world.url}?group=rack&sort=name")
    page.get_by_label("Filter troopers").fill("service:b")
    expect(shown(page)).to_have_count(3)
    seen = [tile_id.removeprefix("task-") for tile_id in ids(shown(page))]
    saved = {}
    for kind in ("JSON", "CSV"):
        with page.expect_download() as download:
            page.get_by_role("button", name=re.compile(f"^{kind}")).click()
        name = download.value.suggested_filename
        pattern = rf"troopers-machine-rack-1-filtered-\d{{8}}T\d{{6}}Z\.{kind.lower()}"
        assert re.fullmatch(pattern, name)
        saved[kind] = tmp_path / name
        download.value.save_as(saved[kind])
        expect(page.locator("#view-told")).to_have_text(f"3 troopers saved in {name}.")
    told = json.loads(saved["JSON"].read_text(encoding="utf-8"))
    assert (told["shown"], told["of"], told["view"]["sort"], told["view"]["q"]) == (3, 6, "name", "service:b")
    assert [trooper["id"] for trooper in told["troopers"]] == seen
    text = saved["CSV"].read_bytes().decode("utf-8")
    assert text.count("\r\n") == 4
    rows = list(csv.DictReader(text.splitlines()))
    assert [row["id"] for row in rows] == seen
    assert {row["service"] for row in rows} == {SECOND}
    assert [int(row["score"]) for row in rows] == [trooper["score"] for trooper in told["troopers"]]

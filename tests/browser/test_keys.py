"""The board by keyboard alone: one stop for all tiles, arrows among them, single keys, and the help."""

from __future__ import annotations

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Watch, World
from tests.browser.test_dashboard import CONTRAST, SOON, WIDTHS
from tests.browser.test_drawer import tell_past
from tests.hive import SECOND

pytestmark = pytest.mark.slow
STOPS = """() => [...document.querySelectorAll('.tile')].filter((tile) =>
  [...tile.querySelectorAll('button, select')].some((one) => one.tabIndex >= 0)).length"""
"""How many tiles Tab would stop in."""
HERE = "document.activeElement.closest('.tile')?.id"


@pytest.fixture
def page(world: World, watch: Watch) -> Page:
    """A live page, wide enough for three tiles in a row."""
    opened = watch.open(world.url)
    tell_past(opened)
    return opened


def ids(page: Page) -> list[str]:
    """The tiles, in their order."""
    found: list[str] = page.locator(".tile").evaluate_all("all => all.map((one) => one.id)")
    return found


def go(page: Page, number: int) -> None:
    """Put the focus on the callsign of that tile."""
    page.locator(".tile .open").nth(number).focus()


def at(page: Page) -> int:
    """The number of the tile that has the focus."""
    return ids(page).index(page.evaluate(HERE))


def switch(page: Page, number: int) -> Locator:
    """The ARM switch of that tile."""
    return page.get_by_role("switch").nth(number)


def test_arrows_go_as_the_tiles_lie(page: Page):
    """Left and right within a row and on at its end, up and down within a column, Home and End."""
    go(page, 0)
    walked = []
    for key in ("ArrowRight", "ArrowDown", "ArrowLeft", "ArrowUp", "End", "Home", "ArrowLeft"):
        page.keyboard.press(key)
        walked.append(at(page))
    assert walked == [1, 4, 3, 0, 5, 0, 0]
    go(page, 2)
    page.keyboard.press("ArrowRight")
    assert at(page) == 3
    page.keyboard.press("PageUp")
    assert at(page) == 0


def test_all_tiles_are_one_stop(page: Page):
    """Tab goes to the current tile and its controls, then on behind the tiles, and back to the same tile."""
    assert page.evaluate(STOPS) == 1
    go(page, 0)
    page.keyboard.press("ArrowRight")
    assert page.evaluate(STOPS) == 1
    seen = set()
    while (here := page.evaluate(HERE)) is not None:
        seen.add(here)
        page.keyboard.press("Tab")
    assert seen == {ids(page)[1]}
    page.keyboard.press("Shift+Tab")
    assert at(page) == 1


def test_redrawn_tiles_stay_one_stop(page: Page, watch: Watch, world: World):
    """After tiles were drawn anew, and more came, there is one stop, and the focus is where it was."""
    go(page, 4)
    page.evaluate("htmx.trigger('#squads', 'claw:squads')")
    page.wait_for_function("() => !document.querySelector('#squads.htmx-request')")
    other = watch.open(world.url)
    for replicas in (5, 3):
        other.locator(f"#scale-{SECOND}").fill(str(replicas))
        other.locator(f"#scale-go-{SECOND}").click()
        expect(page.locator(f"#squad-{SECOND} .tile")).to_have_count(replicas, timeout=3 * SOON)
        page.wait_for_function(f"() => ({STOPS})() === 1")
        assert at(page) == 4


@pytest.mark.parametrize("density", ["compact", "heat", "comfortable"])
def test_another_density_has_one_stop_too(page: Page, density: str):
    """The current tile stays the one at which Tab stops, however it is drawn."""
    go(page, 2)
    page.get_by_label("Density").select_option("compact" if density == "comfortable" else "comfortable")
    page.get_by_label("Density").select_option(density)
    expect(page.locator(f"#squads .tiles[data-density={density}]").first).to_be_visible()
    page.wait_for_function(f"() => ({STOPS})() === 1")
    go(page, 2)
    assert page.evaluate(STOPS) == 1


def test_the_focus_survives_its_tile(own_world: World, watch: Watch):
    """When the tile that has the focus goes, the one in its place gets it."""
    page, other = watch.open(own_world.url), watch.open(own_world.url)
    go(page, 4)
    before = page.evaluate(HERE)
    other.once("dialog", lambda asked: asked.accept())
    other.locator(f"#{before}").get_by_role("button", name="Self-destruct").click()
    expect(page.locator(f"#{before}")).to_have_count(0, timeout=5 * SOON)
    page.wait_for_function(f"() => {HERE} && {HERE} !== '{before}'")


def test_hidden_tiles_are_passed_over(page: Page):
    """What a filter hides is no stop and is not walked to."""
    go(page, 0)
    page.evaluate(
        "document.querySelectorAll('.tile').forEach((tile, n) => { tile.hidden = n !== 2 && n !== 5; })"
    )
    page.get_by_role("button", name="Scale").first.focus()
    page.keyboard.press("Tab")
    assert at(page) == 2
    page.keyboard.press("ArrowRight")
    assert at(page) == 5


@pytest.mark.parametrize("density", ["comfortable", "compact", "heat"])
def test_arming_with_one_key(world: World, watch: Watch, density: str):
    """``a`` arms the focused tile's trooper and disarms it, whatever the tile looks like."""
    page = watch.open(f"{world.url}?density={density}")
    go(page, 1)
    armed = page.locator(".tile [aria-label$=armed]" if density == "heat" else ".tile[data-arm=on]")
    for count in (1, 0):
        page.keyboard.press("a")
        expect(armed).to_have_count(count, timeout=2 * SOON)
    page.get_by_role("button", name="Help").focus()
    page.keyboard.press("a")
    expect(armed).to_have_count(0)


def test_enter_opens_the_drawer(page: Page):
    """Enter on a tile opens its drawer, in which no single key works."""
    go(page, 1)
    page.keyboard.press("Enter")
    expect(page.locator("#drawer")).to_be_visible()
    page.keyboard.press("?")
    expect(page.locator("#help")).to_be_hidden()


def test_single_keys(page: Page):
    """``/`` goes to the filter, ``t`` to the next theme, ``p`` pauses where that can be done, ``?`` helps."""
    page.keyboard.press("t")
    expect(page.locator("html")).to_have_attribute("data-theme", "light")
    page.keyboard.press("t")
    page.keyboard.press("t")
    expect(page.locator("#theme")).to_have_value("")
    page.evaluate("""() => {
      const made = document.createElement('button');
      const pause = document.getElementById('pause') ?? document.body.appendChild(made);
      pause.id = 'pause';
      pause.addEventListener('click', () => { pause.dataset.pressed = 'yes'; });
    }""")
    page.keyboard.press("p")
    expect(page.locator("#pause")).to_have_attribute("data-pressed", "yes")
    page.keyboard.press("/")
    expect(page.locator("#q")).to_be_focused()
    page.keyboard.type("at?/p")
    expect(page.locator("#q")).to_have_value("at?/p")
    expect(page.locator("#help")).to_be_hidden()
    page.locator("#q").fill("")
    page.locator("#squads").focus()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Help")).to_be_visible()


def test_single_keys_can_be_switched_off(page: Page):
    """A box in the help switches them off, for later visits too; arrows, Enter and the button go on."""
    page.get_by_role("button", name="Help").click()
    page.get_by_label("Single keys").uncheck()
    page.keyboard.press("Escape")
    page.reload()
    expect(page.locator("#live")).to_have_attribute("data-phase", "live")
    go(page, 0)
    page.keyboard.press("?")
    page.keyboard.press("t")
    page.keyboard.press("ArrowRight")
    assert at(page) == 1
    expect(page.locator("#help")).to_be_hidden()
    assert page.evaluate("document.documentElement.dataset.theme ?? 'none'") == "none"
    page.get_by_role("button", name="Help").click()
    page.get_by_label("Single keys").check()
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Help")).to_be_focused()
    page.keyboard.press("t")
    expect(page.locator("html")).to_have_attribute("data-theme", "light")


def test_with_modifiers_keys_are_the_browsers(page: Page):
    """Together with Control or Alt a key is not ours."""
    page.locator("#squads").focus()
    page.keyboard.press("Alt+t")
    assert page.evaluate("document.documentElement.dataset.theme ?? 'none'") == "none"


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), WIDTHS)
def test_the_help_fits(world: World, watch: Watch, theme: str, width: int, height: int):
    """The help is whole on the screen at every width, and readable in either theme."""
    page = watch.open(world.url, width=width, height=height, theme=theme)
    page.get_by_role("button", name="Help").click()
    dialog = page.get_by_role("dialog")
    box = dialog.bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= width
    assert box["height"] <= height
    assert dialog.evaluate("it => it.scrollWidth <= it.clientWidth")
    assert dialog.get_by_role("link", name="glossary").get_attribute("href") == "/glossary"
    assert page.evaluate(CONTRAST) == []


def test_a_thousand_tiles_are_walked_at_once(world: World, watch: Watch):
    """A step among a thousand cells takes at most 50 ms, as somebody who holds a key down needs it."""
    page = watch.open(f"{world.url}?density=heat")
    took = page.evaluate("""() => {
      const list = document.querySelector('.tiles');
      const one = list.querySelector('.tile');
      for (let n = 0; n < 1000; n += 1) {
        const copy = one.cloneNode(true);
        copy.removeAttribute('id');
        copy.querySelector('button').setAttribute('tabindex', '-1');
        list.append(copy);
      }
      one.querySelector('button').focus();
      const keys = ['ArrowRight', 'ArrowDown', 'ArrowDown', 'PageDown', 'End', 'ArrowUp', 'Home'];
      const times = keys.map((key) => {
        const press = new KeyboardEvent('keydown', { key, bubbles: true, cancelable: true });
        const began = performance.now();
        document.activeElement.dispatchEvent(press);
        return performance.now() - began;
      });
      return times.sort((a, b) => a - b)[3];
    }""")
    assert took <= 50

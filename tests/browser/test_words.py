"""Tooltips, the glossary and the theme, in a real browser."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Watch, World
from tests.browser.test_dashboard import CONTRAST, SOON, WIDTHS
from tests.browser.test_drawer import tell_past

pytestmark = pytest.mark.slow
ROUND = "One throw of rock, paper, scissors"
GROUND = "getComputedStyle(document.body).backgroundColor"
DARK = "rgb(17, 22, 26)"


def tip(page: Page):
    """The tooltip."""
    return page.get_by_role("tooltip")


def test_a_word_is_explained_on_hover(world: World, watch: Watch):
    """The sentence comes with the pointer, stays while that is on it, and goes with it."""
    page = watch.open(world.url)
    word = page.locator(".throw .term")
    word.hover()
    expect(tip(page)).to_contain_text(ROUND)
    expect(word).to_have_accessible_description(re.compile(ROUND))
    tip(page).hover()
    expect(tip(page)).to_be_visible()
    page.mouse.move(2, 2)
    expect(tip(page)).to_be_hidden()
    assert word.get_attribute("aria-describedby") is None


def test_a_word_is_explained_on_focus(world: World, watch: Watch):
    """The sentence comes with the focus; Escape hides it and leaves the focus where it is."""
    page = watch.open(world.url)
    word = page.locator(".throw .term")
    word.focus()
    expect(tip(page)).to_contain_text(ROUND)
    page.keyboard.press("Escape")
    expect(tip(page)).to_be_hidden()
    expect(word).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Shift+Tab")
    expect(tip(page)).to_be_visible()
    page.keyboard.press("Tab")
    expect(tip(page)).to_be_hidden()


def test_a_label_on_a_tile_is_explained(world: World, watch: Watch):
    """Tiles have the words without their sentences; the pointer gets them all the same."""
    page = watch.open(world.url)
    page.locator(".tile").nth(1).get_by_text("Rank", exact=True).hover()
    expect(tip(page)).to_contain_text("A trooper's place by score")


def test_a_word_in_a_dialog(world: World, watch: Watch):
    """In the drawer a tooltip is over it, and Escape takes the tooltip first."""
    page = watch.open(world.url)
    tell_past(page)
    page.locator(".tile .open").first.click()
    drawer = page.get_by_role("dialog")
    drawer.get_by_role("link", name="Heartbeat").focus()
    expect(drawer.get_by_role("tooltip")).to_contain_text("A sign of life")
    page.keyboard.press("Escape")
    expect(drawer.get_by_role("tooltip")).to_be_hidden()
    expect(drawer).to_be_visible()
    page.keyboard.press("Escape")
    expect(drawer).to_be_hidden()


def test_a_tooltip_is_within_the_window(world: World, watch: Watch):
    """On a phone too, wherever the word is, and it is readable."""
    for theme in ("light", "dark"):
        page = watch.open(world.url, width=360, height=800, theme=theme)
        page.get_by_text("Words on the board").click()
        for word in page.locator(".legend .term").all():
            word.focus()
            box = tip(page).bounding_box()
            assert box is not None
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= 360
            assert box["y"] >= 0
            assert box["y"] + box["height"] <= 800
        assert page.evaluate(CONTRAST) == []


def test_a_touch_explains_first(world: World, browser: Browser):
    """A finger's first touch shows the sentence, the second one follows the link."""
    context = browser.new_context(viewport={"width": 360, "height": 800}, has_touch=True)
    page = context.new_page()
    page.goto(world.url)
    expect(page.locator("#live")).to_have_attribute("data-phase", "live")
    word = page.locator(".throw .term")
    word.tap()
    expect(tip(page)).to_contain_text(ROUND)
    word.tap()
    expect(page).to_have_url(re.compile(r"/glossary#round$"))
    context.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), WIDTHS)
def test_the_glossary_page(world: World, watch: Watch, theme: str, width: int, height: int):
    """It fits every width and is readable in either theme."""
    page = watch.open(world.url, width=width, height=height, theme=theme)
    page.goto(f"{world.url}glossary#in-doubt")
    expect(page.locator("#in-doubt")).to_be_in_viewport()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(CONTRAST) == []


def test_words_without_javascript(world: World, browser: Browser):
    """Without scripts a word is a link to its sentence, and nothing that needs them is offered."""
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(world.url)
    expect(page.locator(".theme, #help, #drawer, .copy").filter(visible=True)).to_have_count(0)
    page.locator(".throw .term").click()
    expect(page.locator("#round")).to_contain_text(ROUND)
    context.close()


def test_the_theme_is_chosen(world: World, watch: Watch):
    """A choice shows at once, on other pages too, and is kept; "System" follows the system."""
    page = watch.open(world.url, theme="light")
    other = page.context.new_page()
    other.goto(f"{world.url}glossary")
    page.get_by_label("Theme").select_option("Dark")
    assert page.evaluate(GROUND) == DARK
    other.wait_for_function(f"() => {GROUND} === '{DARK}'", timeout=3 * SOON)
    page.reload()
    assert page.evaluate(GROUND) == DARK
    expect(page.get_by_label("Theme")).to_have_value("dark")
    page.get_by_label("Theme").select_option("System")
    assert page.evaluate(GROUND) != DARK
    page.emulate_media(color_scheme="dark")
    assert page.evaluate(GROUND) == DARK


def test_the_theme_is_there_before_the_page(world: World, watch: Watch):
    """The kept theme is set before anything of the body exists, so nothing flashes."""
    page = watch.open(world.url, theme="light")
    page.get_by_label("Theme").select_option("Dark")
    page.add_init_script("""
      new MutationObserver((_, observer) => {
        if (!document.body) return;
        window.atFirst = document.documentElement.dataset.theme;
        observer.disconnect();
      }).observe(document, { childList: true, subtree: true });
    """)
    page.reload()
    page.wait_for_function("() => window.atFirst !== undefined || document.readyState === 'complete'")
    assert page.evaluate("window.atFirst") == "dark"


def test_a_strange_theme_is_the_systems(world: World, watch: Watch):
    """What the browser kept and is no theme is left alone."""
    page = watch.open(world.url, theme="light")
    page.evaluate("localStorage.setItem('claw-theme', '\"><img src=x>')")
    page.reload()
    assert page.evaluate("document.documentElement.dataset.theme ?? 'none'") == "none"
    expect(page.get_by_label("Theme")).to_have_value("")

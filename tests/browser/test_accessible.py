"""Every state of the dashboard, looked through by axe-core: WCAG 2.2 AA and its good practice."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.axe import violations
from tests.browser.conftest import Watch, World, running

pytestmark = pytest.mark.slow
LOOKS = {
    "as it comes": "",
    "by node": "?group=node",
    "by rack": "?group=rack",
    "compact": "?density=compact",
    "heat map": "?density=heat",
    "kiosk": "?kiosk=1",
    "sorted and filtered": "?sort=score&q=manager",
    "an address that is not understood": "?group=moon",
}


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("look", LOOKS)
def test_each_look(world: World, watch: Watch, look: str, theme: str):
    """No way to look at the board breaks a rule, in either theme."""
    assert violations(watch.open(world.url + LOOKS[look], theme=theme)) == []


@pytest.mark.parametrize("density", ["comfortable", "compact", "heat"])
def test_on_a_phone(world: World, watch: Watch, density: str):
    """360 pixels wide, each density is as accessible, and what can be pressed is large enough."""
    page = watch.open(f"{world.url}?density={density}", width=360, height=800)
    assert violations(page) == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_four_racks(four_racks: World, watch: Watch, theme: str):
    """With good, lost and hostile racks near, and a trooper held for a handoff."""
    for query in ("", "?group=rack"):
        assert violations(watch.open(four_racks.url + query, theme=theme)) == []


def test_troopers_that_think(thinking_world: World, watch: Watch):
    """Where troopers think and can be talked to."""
    page = watch.open(thinking_world.url)
    assert violations(page) == []


def test_a_conversation(thinking_world: World, watch: Watch):
    """The dialog in which somebody talks to a trooper, open."""
    page = watch.open(thinking_world.url)
    page.get_by_role("button", name="Talk to").first.click()
    expect(page.locator("#talk")).to_be_visible()
    expect(page.locator("#talk-lines .lines")).to_be_visible()
    assert violations(page) == []


def test_without_the_bus(world: World, watch: Watch):
    """While the bus is away and a banner says so."""
    page = watch.open(world.url)
    world.toggle_bus()
    try:
        expect(page.get_by_text("The bus does not answer")).to_be_visible(timeout=5_000)
        assert violations(page) == []
    finally:
        world.toggle_bus()
    expect(page.get_by_text("The bus does not answer")).to_be_hidden(timeout=5_000)


@pytest.fixture
def guarded() -> Iterator[World]:
    """A rack that asks for a token."""
    with running("--token", "correct horse") as rack:
        yield rack


def logged_in(page: Page) -> None:
    """Log in, and wait until the page knows."""
    page.get_by_label("Token, to change things").fill("correct horse")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("button", name="Log out")).to_be_visible()


def test_a_login(guarded: World, watch: Watch):
    """Before and after it."""
    page = watch.open(guarded.url)
    assert violations(page) == []
    logged_in(page)
    assert violations(page) == []


def test_a_stale_page(guarded: World, watch: Watch):
    """When the rack is gone and the page says for how long."""
    page = watch.open(guarded.url)
    guarded.kill()
    expect(page.locator("#live")).to_have_attribute("data-phase", "stale")
    assert violations(page) == []
    watch.close()
    watch.complaints.clear()  # the browser reports every refused connection
    guarded.start()

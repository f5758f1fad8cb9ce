"""What tests of acting and of states do with a page, and the rack whose troubles they direct."""

from __future__ import annotations

from playwright.sync_api import Locator, Page, Route

from tests.browser.conftest import World
from tests.hive import SECOND

SOON = 1_000
"""Milliseconds within which a change is to be seen."""


class Directed(World):
    """A rack whose troubles the test directs (tests/browser/directed_world.py)."""

    def __init__(self, *more: str) -> None:
        super().__init__(*more, module="tests.browser.directed_world")

    def turn(self, page: Page, name: str) -> None:
        """Turn that trouble on or off."""
        assert page.request.post(f"{self.url}_world/{name}").status == 204


def squad(page: Page) -> Locator:
    """The second service."""
    return page.locator(f"#squad-{SECOND}")


def switch(page: Page, number: int) -> Locator:
    """The ARM switch of one tile."""
    return page.get_by_role("switch").nth(number)


def part(page: Page, name: str) -> Locator:
    """One part's word."""
    return page.locator(".part").filter(has_text=name)


def answer_later(page: Page, path: str) -> list[Route]:
    """From now on requests to that path wait in this list."""
    held: list[Route] = []
    page.route(f"**{path}", lambda route: held.append(route))  # noqa: PLW0108 - Playwright marks what it is given
    return held


def refuse(page: Page, path: str, sentence: str) -> None:
    """From now on requests to that path are refused with that sentence."""
    said = {"error": sentence, "code": "conflict"}
    page.route(f"**{path}", lambda route: route.fulfill(status=409, json=said))

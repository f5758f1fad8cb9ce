"""What the dashboard costs a browser: frames, and the first paint. bench/frames.js measures."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, Page

from clawbucket.cli.refusal import Refusal
from tests.browser.chromium import NoBrowser, chromium

SCRIPT = (Path(__file__).parent / "frames.js").read_text(encoding="utf-8")
SIZE = {"width": 1280, "height": 900}
DEADLINE_MS = 30_000
LONGEST_RUN = 45 * 60.0
"""Seconds that nothing here runs longer than."""


@dataclass(frozen=True, slots=True)
class Frames:
    """Milliseconds from each delta to the frame that shows it, and of these the page's own work."""

    to_frame: list[float]
    work: list[float]


@contextmanager
def started() -> Iterator[Browser]:
    """A running browser. Refusal with what to install where there is none."""
    try:
        with chromium() as browser:
            yield browser
    except NoBrowser as missing:
        raise Refusal(str(missing)) from missing


@contextmanager
def watching(browser: Browser, url: str) -> Iterator[Page]:
    """A page of that address that is live, in a context of its own (nothing cached)."""
    context = browser.new_context(viewport=SIZE)  # type: ignore[arg-type]
    context.add_init_script(SCRIPT)
    page = context.new_page()
    page.set_default_timeout(DEADLINE_MS)
    try:
        page.goto(url)
        page.wait_for_selector("#live[data-phase=live]")
        page.wait_for_function("() => window.clawBench.paint().scripts > 0")
        yield page
    finally:
        context.close()


def frames(browser: Browser, url: str, count: int, *, warm_up: int = 4) -> Frames:
    """``count`` deltas' frames, after ``warm_up`` that are not counted."""
    found: list[dict[str, float]] = []
    deadline = time.monotonic() + LONGEST_RUN
    with watching(browser, url) as page:
        while len(found) < count + warm_up:
            if time.monotonic() > deadline:
                raise AssertionError(f"{url} told of only {len(found)} changes in {LONGEST_RUN} s")
            page.wait_for_timeout(1_000)
            found += page.evaluate("() => window.clawBench.take()")
    counted = found[warm_up : warm_up + count]
    return Frames([one["ms"] for one in counted], [one["work"] for one in counted])


def first_paints(browser: Browser, url: str, count: int, tiles: int) -> list[dict[str, float]]:
    """Of ``count`` first visits, milliseconds since each began.

    ``tiles``: every tile is there, laid out and painted; ``scripts``: all of them have run; ``contentful``:
    something is seen; ``server``: what the first byte took.
    """
    paints = []
    for _ in range(count):
        with watching(browser, url) as page:
            shown = page.locator(".tile").count()
            if shown != tiles:
                raise AssertionError(f"{url} shows {shown} tiles, not {tiles}")
            paints.append(page.evaluate("() => window.clawBench.paint()"))
    return paints

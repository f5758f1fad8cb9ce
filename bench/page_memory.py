"""What the page keeps in memory while somebody watches for long: a real browser on 1,000 compact tiles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from playwright.sync_api import Browser

from bench.figures import Figure, at_most
from bench.frames import LONGEST_RUN, started, watching
from bench.generator_process import generator

TILES = 1_000
MINUTES = 30.0
"""The issue's bar is for this long; a shorter run is only reported."""


def measure(minutes: float = MINUTES) -> list[Figure]:
    """The growth of the page's JavaScript heap over ``minutes`` of a change each half second."""
    with started() as browser, generator(TILES) as url:
        return figures(heap(browser, f"{url}/?density=compact", minutes), minutes)


@dataclass(frozen=True, slots=True)
class Heap:
    """Bytes of JavaScript heap in use and DOM nodes, after a garbage collection, each minute."""

    bytes: list[float]
    nodes: list[float]

    @property
    def growth(self) -> float:
        """Of the first, in per cent."""
        return 100 * (self.bytes[-1] / self.bytes[0] - 1)


def heap(browser: Browser, url: str, minutes: float, *, warm_up: float = 30.0) -> Heap:
    """The heap over that many minutes, from ``warm_up`` seconds on: what is cached by then stays."""
    sizes: list[float] = []
    nodes: list[float] = []
    with watching(browser, url) as page:
        session = page.context.new_cdp_session(page)
        session.send("HeapProfiler.enable")

        def look() -> None:
            page.evaluate("() => { window.clawBench.take(); }")  # the samples are the bench's, not the page's
            for _ in range(2):
                session.send("HeapProfiler.collectGarbage")
            used: Any = session.send("Runtime.getHeapUsage")
            counted: Any = session.send("Memory.getDOMCounters")
            sizes.append(float(used["usedSize"]))
            nodes.append(float(counted["nodes"]))

        page.wait_for_timeout(warm_up * 1_000)
        look()
        left = min(minutes * 60, LONGEST_RUN)
        while left > 0:
            pause = min(60.0, left)
            page.wait_for_timeout(pause * 1_000)
            left -= pause
            look()
    return Heap(sizes, nodes)


def figures(looked: Heap, minutes: float) -> list[Figure]:
    """The growth, held to its bar where the run was long enough for it."""
    name = f"JS heap growth in {minutes:g} min at 2 Hz"
    if minutes >= MINUTES:
        return [at_most(name, looked.growth, "%", 10.0, looked.bytes)]
    return [Figure(f"{name} (the bar of 10 % is for {MINUTES:g})", looked.growth, "%", raw=looked.bytes)]

"""The dashboard at scale: a real browser against boards that are made up.

Its viewers are in bench/sse.py, and what it keeps in memory in bench/page_memory.py. bench/board_generator.py
serves the real page and stream; bench/frames.js says what a frame's time is.
"""

from __future__ import annotations

from statistics import median

from bench import assets
from bench.figures import Figure, at_most, percentile
from bench.frames import Frames, first_paints, frames, started
from bench.generator_process import generator

TILES, MANY = 1_000, 5_000
_FRAMES = 120
_VISITS = 10


def measure(count: int = _FRAMES) -> list[Figure]:
    """Frames of 1,000 and 5,000 tiles, first paint, and assets."""
    with started() as browser:
        found = [Figure(f"in chromium {browser.version}: deltas a figure", count, "")]
        with generator(TILES) as url:
            for density in ("compact", "comfortable"):
                looked = frames(browser, f"{url}/?density={density}", count)
                found += _frames(f"{TILES} tiles, {density}", looked, 20.0, 50.0)
            found += _paints(first_paints(browser, f"{url}/?density=compact", _VISITS, TILES))
        with generator(MANY) as url:
            found += _frames(f"{MANY} in a heat map", frames(browser, f"{url}/?density=heat", count), 35.0)
    sizes = assets.sizes()
    total = sum(sizes.values()) / 1024
    found.append(
        at_most("assets, gzipped", total, "KB", assets.LARGEST / 1024, [float(n) for n in sizes.values()])
    )
    return found


def _frames(name: str, looked: Frames, bar: float, tail: float | None = None) -> list[Figure]:
    slow = percentile(looked.to_frame, 0.95)
    p95 = f"{name}: delta to frame, p95"
    return [
        at_most(f"{name}: delta to frame, median", median(looked.to_frame), "ms", bar, looked.to_frame),
        at_most(p95, slow, "ms", tail, looked.to_frame)
        if tail
        else Figure(p95, slow, "ms", raw=looked.to_frame),
        Figure(f"{name}: of it the page's work, median", median(looked.work), "ms", raw=looked.work),
        Figure(f"{name}: of it the page's work, p95", percentile(looked.work, 0.95), "ms", raw=looked.work),
    ]


def _paints(paints: list[dict[str, float]]) -> list[Figure]:
    every, ready, seen, server = (
        [one[key] for one in paints] for key in ("tiles", "scripts", "contentful", "server")
    )
    name = f"{TILES} tiles, first visit"
    return [
        at_most(f"{name}: all laid out and painted, median", median(every), "ms", 1_000.0, every),
        Figure(f"{name}: and all scripts have run, median", median(ready), "ms", raw=ready),
        Figure(f"{name}: something is seen, median", median(seen), "ms", raw=seen),
        Figure(f"{name}: of it the server's first byte, median", median(server), "ms", raw=server),
    ]

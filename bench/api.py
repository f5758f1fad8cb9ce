"""How fast ``/api/swarms`` is, as a share of what the same server does with ready bytes.

The yardstick is bench/ready_bytes.py: a Flask view that returns the very same bytes, under the same gunicorn
settings, beside the same idle rack; for a 304 an empty one. All are loaded in turn, several rounds, and each
round gives one ratio: what the machine does meanwhile weighs on all of them.

Twenty tiles are twenty replicas of the local engine. A thousand are a rack of the sim engine: the front that
is loaded is the real replica with its loops, and reads the real board of a thousand from the bus four times
a second. The board generator would serve the same bytes without any of that.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import urllib3

from bench import load
from bench.figures import Figure, at_least, at_most
from bench.rack import RunningRack, rack
from bench.yardstick import yardstick

SERVICE = "clawbucket_clawbucket"
_SECONDS = 2.0
_SETTLE = 6.0
"""Seconds after which every packed trooper has beaten and played, and nobody is new any more."""
_ENGINE_CALLS = re.compile(rb"^clawbucket_rack_engine_calls_total (\S+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Size:
    """So many tiles, the rack that has them, and what is asked for at that size."""

    tiles: int
    options: tuple[str, ...]
    rate: float
    p99: float | None = None
    unchanged: float = 0.6


SMALL = Size(20, ("--replicas", "10"), rate=0.6, p99=3.0)
LARGE = Size(1000, ("--engine", "sim", "--services", SERVICE, "--replicas", "1000"), rate=0.3)


def measure(rounds: int = 5) -> list[Figure]:
    """The ratios of rate and p99 at both sizes, and the engine's calls at rest and under load."""
    return [figure for size in (SMALL, LARGE) for figure in of_size(size, rounds)]


def of_size(size: Size, rounds: int, seconds: float = _SECONDS, settle: float = _SETTLE) -> list[Figure]:
    """A rack of that size, ``rounds`` rounds of ``seconds`` for each of four targets."""
    http = urllib3.PoolManager(timeout=10.0, retries=False)
    with rack(*size.options) as running:
        running.wait_running(size.tiles, timeout=90.0)
        time.sleep(settle)
        replica = f"http://{running.running(SERVICE)[0].address}/api/swarms"
        body = http.request("GET", replica).data
        with yardstick(body) as plain:
            turns = Turns(f"{plain}/ready", replica, f"{plain}/unchanged")
            at_rest = _engine_rate(running, http, lambda: time.sleep(2 * seconds))
            busy = _engine_rate(running, http, lambda: turns.take(rounds, seconds))
    said = f"{size.tiles} tiles: "
    return [
        Figure(f"{said}bytes of an answer", float(len(body)), "", size=size.tiles),
        *turns.figures(size),
        at_most(
            f"{said}engine calls added by the load", busy - at_rest, "1/s", 0.5, [at_rest, busy],
            size=size.tiles,
        ),
    ]  # fmt: skip


class Turns:
    """Ready bytes and the API, whole answers and 304s, each in its turn."""

    def __init__(self, ready: str, api: str, unchanged: str) -> None:
        self._targets = ((ready, False), (api, False), (unchanged, True), (api, True))
        self._results: list[list[load.Result]] = [[], [], [], []]

    def take(self, rounds: int, seconds: float) -> None:
        """Load each of the four, ``rounds`` times."""
        for _ in range(rounds):
            for (url, revalidate), results in zip(self._targets, self._results, strict=True):
                results.append(load.run(url, seconds=seconds, revalidate=revalidate))

    def figures(self, size: Size) -> list[Figure]:
        """What came of it."""
        ready, whole, empty, unchanged = self._results
        said, tiles = f"{size.tiles} tiles: ", size.tiles
        failures = float(sum(result.failures for results in self._results for result in results))
        slow, slow304 = _ratios(whole, ready, _p99), _ratios(unchanged, empty, _p99)
        kept = [100 * result.unchanged / max(1, len(result.latencies)) for result in unchanged]
        return [
            _rates(f"{said}ready bytes, the limit, {load.CONNECTIONS} connections", ready, tiles),
            _rates(f"{said}/api/swarms", whole, tiles),
            at_least(
                f"{said}/api/swarms, rate as a share of it", _ratios(whole, ready, _rate), "x", size.rate,
                size=tiles,
            ),
            at_most(f"{said}/api/swarms, p99 beside it", median(slow), "x", size.p99, slow, size=tiles)
            if size.p99
            else Figure(f"{said}/api/swarms, p99 beside it", median(slow), "x", raw=slow, size=tiles),
            _rates(f"{said}ready 304s, the limit of those", empty, tiles),
            _rates(f"{said}/api/swarms with If-None-Match", unchanged, tiles),
            at_least(
                f"{said}/api/swarms with If-None-Match, rate as a share of it",
                _ratios(unchanged, empty, _rate), "x", size.unchanged, size=tiles,
            ),
            Figure(f"{said}of those answers 304", median(kept), "%", raw=kept, size=tiles),
            Figure(
                f"{said}/api/swarms with If-None-Match, p99 beside it", median(slow304), "x", raw=slow304,
                size=tiles,
            ),
            at_most(f"{said}answers neither 200 nor 304", failures, "", 0.0, [failures], size=tiles),
        ]  # fmt: skip


def _rates(name: str, results: list[load.Result], tiles: int) -> Figure:
    rates = [result.rate for result in results]
    return Figure(name, median(rates), "1/s", raw=rates, size=tiles)


def _rate(result: load.Result) -> float:
    return result.rate


def _p99(result: load.Result) -> float:
    return result.percentile(0.99)


def _ratios(
    some: list[load.Result], limit: list[load.Result], of: Callable[[load.Result], float]
) -> list[float]:
    """Round by round."""
    return [of(one) / of(other) for one, other in zip(some, limit, strict=True)]


def _engine_rate(running: RunningRack, http: urllib3.PoolManager, during: Callable[[], None]) -> float:
    """How often the engine was asked, per second, while ``during`` ran."""

    def calls() -> float:
        found = _ENGINE_CALLS.search(http.request("GET", f"{running.rack_url}/metrics").data)
        if found is None:
            raise AssertionError("the rack manager's /metrics tell no clawbucket_rack_engine_calls_total")
        return float(found[1])

    before, started = calls(), time.monotonic()
    during()
    return (calls() - before) / (time.monotonic() - started)

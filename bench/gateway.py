"""What the gateway costs: a replica asked straight, and through the gateway, in the same run.

How fast: closed loops of 32 connections on ready bytes (what the machine does today), on a replica, and
through the gateway, in turn, several rounds; each round gives one ratio. Straight is one replica, through the
gateway all twenty, which is what one gets. The small body is ``/api/whoami``: a Flask view of under 1 KB, as
most answers are, and the gateway has no answer of its own to it. ``/api/swarms`` of twenty tiles is about
12 KB, and a replica answers it by a short cut before Flask, so that the gateway shows the most there.

How late: one request after the other, one straight and one through in turn (bench/gateway_lag.py), so that
both meet the same machine. A POST goes to its replica on a connection of its own, which is part of what it
pays.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from statistics import median

import urllib3

from bench import load
from bench.figures import Figure, at_least, at_most, percentile
from bench.gateway_lag import Ask, Pair, added, stream_lags
from bench.rack import rack
from bench.yardstick import yardstick

_REPLICAS = 10
"""Of each of two services: twenty."""
_SECONDS = 2.0
_SHARE, _ADDED = 0.5, 1.5
"""The bars: the rate through the gateway as a share of the replica's own, and milliseconds added at p50."""
_EVENTS = 40
SMALL, LARGE = "/api/whoami", "/api/swarms"
_POST = json.dumps({"run": "bench", "users": 1, "rate": 1.0, "p95_ms": 1.0, "failures": 0}).encode()
"""Of ``/api/load``: a mutation that writes to the bus, and that a rack does not act upon."""


@dataclass(frozen=True, slots=True)
class Target:
    """What is asked at 32 connections."""

    name: str
    path: str
    revalidate: bool = False
    bar: float | None = None


TARGETS = (
    Target(f"{SMALL}, a small body", SMALL, bar=_SHARE),
    Target(f"{LARGE} of 20 tiles", LARGE, bar=_SHARE),
    Target(f"{LARGE} with If-None-Match, 304", LARGE, revalidate=True, bar=_SHARE),
)


def measure(rounds: int = 5) -> list[Figure]:
    """Rate ratios at 32 connections, milliseconds added one at a time, and an event's added lag."""
    with rack("--replicas", str(_REPLICAS)) as running:
        running.wait_running(2 * _REPLICAS, timeout=90.0)
        addresses = {task.name: str(task.address) for task in running.running()}
        straight = f"http://{next(iter(addresses.values()))}"
        http = urllib3.PoolManager(timeout=5.0, retries=False)
        bodies = {path: http.request("GET", straight + path).data for path in (SMALL, LARGE)}
        http.clear()
        pair = Pair(straight, running.url)
        figures = [Figure(f"bytes of {path}", float(len(body)), "") for path, body in bodies.items()]
        figures += [_late(pair, ask) for ask in _asks(pair)]
        lags = stream_lags(running.url, addresses, _EVENTS)
        figures.append(at_most("an event of the stream, added at p50", median(lags), "ms", _ADDED, lags))
        with yardstick(bodies[LARGE]) as plain:
            return figures + _fast(f"{plain}/ready", straight, running.url, rounds)


def _asks(pair: Pair) -> list[Ask]:
    etag = pair.etag_of(LARGE)
    return [
        Ask(SMALL, "GET", SMALL),
        Ask(f"{LARGE} of 20 tiles", "GET", LARGE),
        Ask(f"{LARGE} with an old If-None-Match", "GET", LARGE, (f"If-None-Match: {etag}",)),
        Ask(
            "POST /api/load", "POST", "/api/load", ("Content-Type: application/json",), _POST, times=60,
        ),
    ]  # fmt: skip


def _late(pair: Pair, ask: Ask) -> Figure:
    """Milliseconds that half of the requests, one at a time, take more through the gateway."""
    straight, through = added(pair, ask)
    more = 1_000 * (median(through) - median(straight))
    name = f"{ask.name}, one at a time, added at p50 (straight {1_000 * median(straight):.2f} ms)"
    return at_most(name, more, "ms", _ADDED, [1_000 * seconds for seconds in (*straight, *through)])


def _fast(ready: str, straight: str, through: str, rounds: int) -> list[Figure]:
    base: list[load.Result] = []
    pairs: dict[Target, list[tuple[load.Result, load.Result]]] = {target: [] for target in TARGETS}
    for _ in range(rounds):
        base.append(load.run(ready, seconds=_SECONDS))
        for target, results in pairs.items():
            some = [
                load.run(url + target.path, seconds=_SECONDS, revalidate=target.revalidate)
                for url in (straight, through)
            ]
            results.append((some[0], some[1]))
    rates = [result.rate for result in base]
    figures = [Figure(f"ready bytes, {load.CONNECTIONS} connections", median(rates), "1/s", raw=rates)]
    for target, results in pairs.items():
        figures += _compared(target, results, base)
    all_results = base + [one for results in pairs.values() for both in results for one in both]
    failures = float(sum(result.failures for result in all_results))
    return [*figures, at_most("answers neither 200 nor 304", failures, "", 0.0, [failures])]


def _compared(
    target: Target, results: list[tuple[load.Result, load.Result]], base: list[load.Result]
) -> list[Figure]:
    straight, through = [s.rate for s, _ in results], [t.rate for _, t in results]
    shares = [t / s for s, t in zip(straight, through, strict=True)]
    of_ready = [t / b.rate for t, b in zip(through, base, strict=True)]
    p99 = [t.percentile(0.99) / s.percentile(0.99) for s, t in results]
    name = target.name
    return [
        Figure(f"{name}: straight", median(straight), "1/s", raw=straight),
        Figure(f"{name}: through the gateway", median(through), "1/s", raw=through),
        at_least(f"{name}: rate ratio through/straight", shares, "x", target.bar)
        if target.bar is not None
        else Figure(f"{name}: rate ratio through/straight", median(shares), "x", raw=shares),
        Figure(
            f"{name}: through the gateway, as a share of ready bytes", median(of_ready), "x", raw=of_ready
        ),
        Figure(f"{name}: p99 ratio through/straight", percentile(p99, 0.5), "x", raw=p99),
    ]

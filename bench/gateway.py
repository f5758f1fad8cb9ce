"""What the gateway costs: a replica asked straight, and through the gateway, in the same run.

Two racks, one after the other. In the first there is one replica, so that both ways lead to the same process:
what differs is the gateway, and that is held to the bars. In the second there are twenty, of which straight
asks one and the gateway all in turn, which is what one gets; it is told, and not judged, because most of the
difference is what twenty processes cost that are woken for a request each and whose copy of the bus is older.

How fast: closed loops of 32 connections on ready bytes (what the machine does today), on a replica, and
through the gateway, in turn, several rounds; each round gives one ratio. Small bodies are ``/api/whoami``, a
Flask view of 0.3 KB as most answers are, ``/api/swarms`` of one tile, which a replica answers by a short cut
before Flask, so that the gateway shows the most there, and its 304. With twenty tiles it is 12 KB.

How late: one request after the other, one straight and one through in turn (bench/gateway_lag.py), so that
both meet the same machine. A POST goes to its replica on a connection of its own, which is part of what it
pays.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from statistics import median

import urllib3

from bench import load
from bench.figures import Figure, at_least, at_most, percentile
from bench.gateway_lag import Ask, Pair, added, stream_lags
from bench.rack import rack
from bench.yardstick import yardstick

_ALONE = ("--services", "clawbucket_clawbucket", "--replicas", "1")
_TWENTY = ("--replicas", "10")
"""Of each of two services."""
_SECONDS = 2.0
_SHARE, _ADDED = 0.5, 1.5
"""The bars: the rate through the gateway as a share of the replica's own, and milliseconds added at p50."""
_EVENTS = 40
SMALL, LARGE = "/api/whoami", "/api/swarms"
ANSWERED = "answers neither 200 nor 304"
EVENT = "an event of the stream, added at p50"
_POST = json.dumps({"run": "bench", "users": 1, "rate": 1.0, "p95_ms": 1.0, "failures": 0}).encode()
"""Of ``/api/load``: a mutation that writes to the bus, and that a rack does not act upon."""


@dataclass(frozen=True, slots=True)
class Target:
    """What is asked at 32 connections."""

    name: str
    path: str
    revalidate: bool = False


TARGETS = (
    Target(SMALL, SMALL),
    Target(LARGE, LARGE),
    Target(f"{LARGE} with If-None-Match, 304", LARGE, revalidate=True),
)


def measure(rounds: int = 5) -> list[Figure]:
    """Rate ratios at 32 connections, milliseconds added one at a time, and an event's added lag."""
    return [*_of(_ALONE, 1, rounds), *_of(_TWENTY, 20, rounds)]


def _of(options: tuple[str, ...], replicas: int, rounds: int) -> list[Figure]:
    with rack(*options) as running:
        running.wait_running(replicas, timeout=90.0)
        addresses = {task.name: str(task.address) for task in running.running()}
        straight = f"http://{next(iter(addresses.values()))}"
        http = urllib3.PoolManager(timeout=5.0, retries=False)
        bodies = {path: http.request("GET", straight + path).data for path in (SMALL, LARGE)}
        http.clear()
        pair = Pair(straight, running.url)
        figures = [Figure(f"bytes of {path}", float(len(body)), "") for path, body in bodies.items()]
        figures += [_late(pair, ask) for ask in _asks(pair)]
        if replicas > 1:  # where something happens often; both viewers are the same replica's in any case
            lags = stream_lags(running.url, addresses, _EVENTS)
            figures.append(at_most(EVENT, median(lags), "ms", _ADDED, lags))
        with yardstick(bodies[LARGE]) as plain:
            figures += _fast(f"{plain}/ready", straight, running.url, rounds)
    return [_told(figure, replicas) for figure in figures]


def _told(figure: Figure, replicas: int) -> Figure:
    """Of which rack; the bars are for one replica, but for answering at all and for events."""
    name = f"{replicas} replica{'s' * (replicas > 1)}: {figure.name}"
    judged = replicas == 1 or figure.name in (ANSWERED, EVENT)
    return replace(figure, name=name) if judged else replace(figure, name=name, bar="", met=None)


def _asks(pair: Pair) -> list[Ask]:
    etag = pair.etag_of(LARGE)
    return [
        Ask(SMALL, "GET", SMALL),
        Ask(LARGE, "GET", LARGE),
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
    return [*figures, at_most(ANSWERED, failures, "", 0.0, [failures])]


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
        at_least(f"{name}: rate ratio through/straight", shares, "x", _SHARE),
        Figure(
            f"{name}: through the gateway, as a share of ready bytes", median(of_ready), "x", raw=of_ready
        ),
        Figure(f"{name}: p99 ratio through/straight", percentile(p99, 0.5), "x", raw=p99),
    ]

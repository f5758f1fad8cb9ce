"""How fast ``/api/swarms`` is, as a share of what the same server does with ready bytes.

The yardstick is bench/ready_bytes.py: a Flask view that returns the very same bytes, under the same gunicorn
settings, beside the same idle rack. The three are loaded in turn, several rounds, and each round gives one
ratio: what the machine does meanwhile weighs on all three.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from statistics import median

import urllib3

from bench import load
from bench.figures import Figure, at_least, at_most
from bench.rack import RunningRack, rack
from bench.yardstick import yardstick

_REPLICAS = 10
"""Of each of two services: twenty."""
_SECONDS = 3.0
_ENGINE_CALLS = re.compile(rb"^clawbucket_rack_engine_calls_total (\S+)", re.MULTILINE)


def measure(rounds: int = 5) -> list[Figure]:
    """The ratios of rate and p99, and the engine's calls at rest and under load."""
    http = urllib3.PoolManager(timeout=5.0, retries=False)
    with rack("--replicas", str(_REPLICAS)) as running:
        running.wait_running(2 * _REPLICAS, timeout=90.0)
        replica = f"http://{running.running()[0].address}/api/swarms"
        with yardstick(http.request("GET", replica).data) as plain:
            targets = (plain, replica, f"{running.url}/api/swarms")
            results: dict[str, list[load.Result]] = {url: [] for url in targets}

            def loads() -> None:
                for _ in range(rounds):
                    for url in targets:
                        results[url].append(load.run(url, seconds=_SECONDS))

            at_rest = _engine_rate(running, http, lambda: time.sleep(2 * _SECONDS))
            busy = _engine_rate(running, http, loads)
    added = at_most("engine calls added by the load", busy - at_rest, "1/s", 0.5, [at_rest, busy])
    return [*_ratios(*results.values()), added]


def _ratios(base: list[load.Result], straight: list[load.Result], through: list[load.Result]) -> list[Figure]:
    failures = float(sum(r.failures for r in [*base, *straight, *through]))
    rates = [r.rate for r in base]
    p99 = [s.percentile(0.99) / b.percentile(0.99) for s, b in zip(straight, base, strict=True)]
    return [
        Figure(
            f"ready bytes, the yardstick, {load.CONNECTIONS} connections", median(rates), "1/s", raw=rates
        ),
        at_least("/api/swarms straight, rate ratio", _shares(straight, base), "x", 0.5),
        at_most("/api/swarms straight, p99 ratio", median(p99), "x", 3.0, p99),
        at_least("/api/swarms through the gateway, rate ratio", _shares(through, base), "x", 0.35),
        at_most("answers that were not 200", failures, "", 0.0, [failures]),
    ]


def _shares(some: list[load.Result], base: list[load.Result]) -> list[float]:
    return [s.rate / b.rate for s, b in zip(some, base, strict=True)]


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

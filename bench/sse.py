"""The stream: how late 100, 1,000 and 2,000 viewers of one replica hear, and what its health takes meanwhile.

The replica is bench/board_generator.py (1,000 made-up troopers, of which 5 % change every 0.53 s; the
real stream), the viewers are bench/viewers.py in a process of their own, and the limit is bench/sse_limit.py,
which writes the same bytes to as many sockets without an application, in the same run.
"""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import urlsplit

import psutil
import urllib3

from bench.figures import Figure, at_most, percentile
from bench.generator_process import generator
from bench.rack import ROOT, free_port, wait_until
from bench.sse_limit import TICK

TILES = 1_000
SIZES = (100, 1_000, 2_000)
SECONDS = 12.0
LAG_BAR, HEALTH_BAR = 500.0, 100.0
"""Milliseconds at p99, of 1,000 viewers of one replica."""
BARRED = 1_000
DEAF = 50
HEALTH = ("/livez", "/readyz")
_RECORDED = 8.0
"""Seconds of the stream that are recorded for the limit."""
_EVERY = 0.1


@dataclass(slots=True)
class Watched:
    """What one run of viewers found. Milliseconds; ``processor`` is a share of one core."""

    told: dict[str, Any]
    seconds: float
    health: dict[str, list[float]] = field(default_factory=dict)
    processor: float = 0.0
    kilobytes_each: float = 0.0


def measure() -> list[Figure]:
    """Each size of crowd on a replica of its own, and beside it the limit."""
    with tempfile.TemporaryDirectory(prefix="claw-sse-") as directory:
        recorded = Path(directory, "stream")
        with _replica() as url:
            recorded.write_bytes(record(url, _RECORDED))
        found: list[Figure] = []
        for count in SIZES:
            with _replica() as url:
                ours = watched(url, count, SECONDS)
            with _limit(recorded) as url:
                found += figures(count, ours, watched(url, count, SECONDS))
    with _replica() as url:
        lags = watched(url, BARRED, SECONDS, deaf=DEAF).told["lags"]
    name = f"{BARRED} viewers, and {DEAF} that do not read: event lag, p99"
    return [*found, _tail(name, lags, LAG_BAR, barred=True), _refusal()]


def watched(
    url: str, count: int, seconds: float, health: tuple[str, ...] = HEALTH, *, deaf: int = 0
) -> Watched:
    """Have that many viewers watch, and ask for ``health`` meanwhile, each ten times a second.

    ``deaf``: as many more do not read what they asked for.
    """
    family = _family(url)
    before = _memory(family)
    command = [sys.executable, "-m", "bench.viewers", url, str(count), str(seconds), "--deaf", str(deaf)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        if process.stdout is None or process.stdout.readline().strip() != "counting":
            raise AssertionError(f"{count} viewers could not be connected")
        began, spent = time.monotonic(), _spent(family)
        took = _health(url, health, seconds - 1.0)
        processor = (_spent(family) - spent) / (time.monotonic() - began)
        grown = _memory(family) - before
        said, _ = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    return Watched(json.loads(said), seconds, took, processor, grown / 1024 / count)


def figures(count: int, ours: Watched, limit: Watched) -> list[Figure]:
    """One crowd's figures; the bars are for that of 1,000."""
    name, barred = f"{count} viewers of {TILES} tiles", count == BARRED
    lags, parts = ours.told["lags"], ours.told["deliveries"]
    found = [
        _spread(f"{name}: event lag, median", lags, 0.5),
        _tail(f"{name}: event lag, p99", lags, LAG_BAR, barred=barred),
    ]
    for path in HEALTH:
        asked = ours.health[path]
        found.append(_spread(f"{name}: {path}, median", asked, 0.5))
        found.append(_tail(f"{name}: {path}, p99", asked, HEALTH_BAR, barred=barred))
    found += [
        at_most(f"{name}: cut off", float(count - ours.told["viewers"]), "", 0.0, []),
        _spread(f"{name}: of the lag, from made to heard, median", parts, 0.5),
        _spread(f"{name}: of the lag, from made to heard, p99", parts, 0.99),
        _spread(f"{name}: the limit's, from made to heard, p99", limit.told["deliveries"], 0.99),
        Figure(f"{name}: of it, p99, the limit takes", _p99(limit.told["deliveries"]) / _p99(parts), "times"),
        _spread(f"{name}: the limit's event lag, p99", limit.told["lags"], 0.99),
        _spread(f"{name}: the limit's answer to /readyz, p99", limit.health["/readyz"], 0.99),
        _spread(f"{name}: connected, p99", ours.told["connects"], 0.99),
        _spread(f"{name}: first picture, p99", ours.told["firsts"], 0.99),
        Figure(f"{name}: sent", ours.told["bytes"] / ours.seconds / 1e6, "MB/s"),
        Figure(f"{name}: the replica's share of a core", 100 * ours.processor, "%"),
        Figure(f"{name}: the limit's share of a core", 100 * limit.processor, "%"),
        Figure(f"{name}: memory for each", ours.kilobytes_each, "KB"),
    ]
    return found


def record(url: str, seconds: float) -> bytes:
    """The body of the stream, from its first picture to the end of the last event within that time."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10.0)
    connection.request("GET", "/api/stream")
    answer, until, body = connection.getresponse(), time.monotonic() + seconds, bytearray()
    while time.monotonic() < until:
        body += answer.read1(65_536)
    connection.close()
    return bytes(body[: body.rindex(b"\n\n") + 2])


def _replica() -> AbstractContextManager[str]:
    return generator(TILES, "--tick", str(TICK))


@contextmanager
def _limit(recorded: Path) -> Iterator[str]:
    port = free_port()
    process = subprocess.Popen([sys.executable, "-m", "bench.sse_limit", str(port), str(recorded)], cwd=ROOT)
    url, http_pool = f"http://127.0.0.1:{port}", urllib3.PoolManager(timeout=2.0, retries=False)
    try:
        wait_until("the limit answers", lambda: http_pool.request("GET", f"{url}/").status == 200)
        yield url
    finally:
        http_pool.clear()
        process.kill()
        process.wait()


def _refusal() -> Figure:
    """Of three viewers of a replica that takes two, the third is refused."""
    with generator(10, "--viewers", "2") as url:
        refused = watched(url, 3, 1.5, ()).told["refused"]
    return Figure("one viewer above the cap: refused with 503", float(refused), "", "= 1", refused == 1)


def _health(url: str, paths: tuple[str, ...], seconds: float) -> dict[str, list[float]]:
    """Milliseconds of each answer, on new connections, as a load balancer asks."""
    took: dict[str, list[float]] = {path: [] for path in paths}
    pause, until = threading.Event(), time.monotonic() + seconds
    while time.monotonic() < until:
        for path in paths:
            pool = urllib3.PoolManager(timeout=10.0, retries=False)
            began = time.monotonic()
            status = pool.request("GET", f"{url}{path}").status
            took[path].append(1_000 * (time.monotonic() - began))
            pool.clear()
            if status != 200:
                raise AssertionError(f"{url}{path} answered {status}")
        pause.wait(_EVERY)
    return took


def _family(url: str) -> list[psutil.Process]:
    """The processes, started by this one, that serve ``url``."""
    port = str(urlsplit(url).port)
    found = []
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):  # one that has just ended, of whoever runs the bench
            if port in child.cmdline():
                found.append(child)
    return found


def _spent(family: list[psutil.Process]) -> float:
    return sum(times.user + times.system for times in (process.cpu_times() for process in family))


def _memory(family: list[psutil.Process]) -> int:
    """Bytes that are these processes' own."""
    return sum(process.memory_full_info().uss for process in family)


def _p99(values: list[float]) -> float:
    return percentile(values, 0.99)


def _hundredths(values: list[float]) -> list[float]:
    """The distribution, not each of some ten thousand values."""
    return [percentile(values, n / 100) for n in range(101)]


def _spread(name: str, values: list[float], share: float) -> Figure:
    value = median(values) if share == 0.5 else percentile(values, share)
    return Figure(name, value, "ms", raw=_hundredths(values))


def _tail(name: str, values: list[float], bar: float, *, barred: bool) -> Figure:
    if barred:
        return at_most(name, _p99(values), "ms", bar, _hundredths(values))
    return Figure(name, _p99(values), "ms", raw=_hundredths(values))

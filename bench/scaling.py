"""How each cost of a rack grows: racks of the sim engine of several sizes, at rest, watched from outside.

Nothing is done to them but that somebody watches: nobody at first, then one viewer, then some more. memcached
tells its own counters, /proc the processor time and memory of each kind of process, the rack manager its
calls of the engine. docs/scaling.md is made of these figures (bench/report.py).
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import Self

import psutil
import urllib3

from bench import election_traffic
from bench.bus_stats import stats
from bench.election_traffic import CountingBus
from bench.figures import Figure
from bench.rack import ROOT, RunningRack, rack, wait_until
from bench.sim import COUNTS, SERVICE, Load
from clawbucket import codecs, keys
from clawbucket.board import BoardReader
from clawbucket.bus.memcached import MemcachedBus
from clawbucket.clock import SystemClock
from clawbucket.codecs import Gate
from clawbucket.settings import Settings

VIEWERS = 20
"""How many more viewers are connected to see what each costs. At 5,000 troopers they take what a core has."""
_SETTLE, _WATCH = 6.0, 20.0
"""Seconds before the first watch, and of each: ten beats of everybody, two rounds."""
_ENGINE_CALLS = re.compile(rb"^clawbucket_rack_engine_calls_total (\S+)", re.MULTILINE)
_CAS = ("cas_hits", "cas_misses", "cas_badval")
_EVENT = re.compile(rb"^event: (\w+)", re.MULTILINE)


def measure(counts: Iterable[int] = COUNTS, seconds: float = _WATCH) -> list[Figure]:
    """The costs of a rack of each size."""
    return [figure for count in counts for figure in of_size(count, seconds)]


def of_size(count: int, seconds: float = _WATCH) -> list[Figure]:
    """A rack of so many troopers in two workers, with one front that serves the page."""
    with rack("--engine", "sim", "--services", SERVICE, "--replicas", str(count)) as running:
        wait_until(
            f"{count} troopers run", lambda: len(running.running(SERVICE)) == count, timeout=110.0, every=0.5
        )
        time.sleep(_SETTLE)
        rest = watch(running, seconds)
        snapshot, figures = _sizes(running)
        with Listener(running) as listener:
            one = watch(running, seconds, listener)
            with _viewers(running, seconds):
                many = watch(running, seconds)
        memory = _memory(rest.load, count)
    named = [
        *rest.figures(),
        *figures,
        *memory,
        *listener.figures(one.seconds),
        *_of_viewers(rest, one, many),
    ]
    said = f"{count} troopers: "
    return [
        *(Figure(said + each.name, each.value, each.unit, raw=each.raw, size=count) for each in named),
        *election_traffic.at_rest(snapshot, count),
    ]


# At rest ------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Watched:
    """What changed in ``seconds``: memcached's counters, percent of a core of each kind, engine calls."""

    seconds: float
    before: dict[str, int]
    after: dict[str, int]
    cores: dict[str, float]
    engine_calls: float
    load: Load

    def rate(self, *counters: str) -> float:
        """Of memcached's counters, per second."""
        return sum(self.after.get(name, 0) - self.before.get(name, 0) for name in counters) / self.seconds

    def figures(self) -> list[Figure]:
        """Per rack."""
        return [
            Figure("bus: keys read", self.rate("cmd_get"), "1/s"),
            Figure("bus: values set", self.rate("cmd_set") - self.rate(*_CAS), "1/s"),
            Figure("bus: compare-and-swaps", self.rate(*_CAS), "1/s"),
            Figure("bus: bytes to memcached", self.rate("bytes_read"), "B/s"),
            Figure("bus: bytes from memcached", self.rate("bytes_written"), "B/s"),
            Figure("bus: connections", float(self.after["curr_connections"]), ""),
            Figure("bus: memory of the items", float(self.after["bytes"]), "B"),
            Figure("engine: calls", self.engine_calls, "1/s"),
            *(
                Figure(f"processor: {kind}", share, "% of a core")
                for kind, share in sorted(self.cores.items())
            ),
        ]


def watch(running: RunningRack, seconds: float, listener: Listener | None = None) -> Watched:
    """Let it be for so long; a listener counts meanwhile."""
    port, load, calls = running.memcached_port(), Load.of(running), _engine_calls(running)
    before, began = stats(port), time.monotonic()
    if listener is not None:
        listener.counts.set()
    time.sleep(seconds)
    if listener is not None:
        listener.counts.clear()
    after, elapsed = stats(port), time.monotonic() - began
    return Watched(elapsed, before, after, load.since(), (_engine_calls(running) - calls) / elapsed, load)


def _engine_calls(running: RunningRack) -> float:
    found = _ENGINE_CALLS.search(urllib3.request("GET", f"{running.rack_url}/metrics", timeout=5.0).data)
    if found is None:
        raise AssertionError("the rack manager's /metrics tell no clawbucket_rack_engine_calls_total")
    return float(found[1])


def _sizes(running: RunningRack) -> tuple[bytes, list[Figure]]:
    """The snapshot as it is on the bus, and how large that, its JSON and the board are."""
    bus = MemcachedBus("127.0.0.1", running.memcached_port())
    raw = bus.get(keys.SNAPSHOT.of())
    counting, clock = CountingBus(bus), SystemClock()
    settings = Settings(service_name=SERVICE, swarm_services=(SERVICE,))
    BoardReader(counting, Gate(clock), clock, settings).board(max_age=0.0)
    bus.close()
    if raw is None:
        raise AssertionError("no snapshot is on the bus")
    plain = codecs.SNAPSHOT.plain(codecs.SNAPSHOT.decode(raw))
    board = urllib3.request("GET", f"{running.url}/api/swarms", timeout=20.0).data
    return raw, [
        Figure("snapshot: as JSON", float(len(plain)), "B"),
        Figure("snapshot: on the bus", float(len(raw)), "B"),
        Figure("board: bytes read for a look", float(counting.asked.bytes), "B"),
        Figure("board: /api/swarms", float(len(board)), "B"),
    ]


def _memory(load: Load, count: int) -> list[Figure]:
    """Pages of its own (USS) of each kind, and a packed trooper's share of the workers'."""
    kinds = ("workers", "fronts", "rack manager", "gateway", "aggregator", "memcached")
    used = {kind: [_uss(process) for process in load.of_kind(kind)] for kind in kinds}
    return [
        Figure("memory: a packed trooper", sum(used["workers"]) / count, "B", raw=used["workers"]),
        *(Figure(f"memory: {kind}", sum(sizes), "B", raw=sizes) for kind, sizes in used.items() if sizes),
    ]


def _uss(process: psutil.Process) -> float:
    return float(process.memory_full_info().uss)


# Watched by people --------------------------------------------------------------------------------------


@dataclass(slots=True)
class Listener:
    """One viewer's stream through the gateway, read in a thread: the first picture, and what follows.

    Events are counted while ``counts`` is set.
    """

    running: RunningRack
    first: int = 0
    heard: int = 0
    sizes: list[float] = field(default_factory=list)
    counts: threading.Event = field(default_factory=threading.Event)
    _ended: threading.Event = field(default_factory=threading.Event)
    _greeted: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        """Connected, with its first picture."""
        self._thread = threading.Thread(target=self._listen, name="listener")
        self._thread.start()
        if not self._greeted.wait(30):
            self._ended.set()
            raise AssertionError("the stream sent no first picture")
        return self

    def __exit__(self, *_: object) -> None:
        """Hung up."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join(30)

    def _listen(self) -> None:
        with urllib3.PoolManager(timeout=30.0, retries=False) as http:
            answer = http.request("GET", f"{self.running.url}/api/stream", preload_content=False)
            waiting = b""
            for piece in answer.stream(1 << 20):
                if self._ended.is_set():
                    break
                waiting += piece
                *events, waiting = waiting.split(b"\n\n")
                for event in events:
                    self._note(event + b"\n\n")
            answer.close()

    def _note(self, event: bytes) -> None:
        kind = _EVENT.search(event)
        if not self._greeted.is_set():
            self.first += len(event)
            if kind is not None and kind[1] == b"snapshot":
                self._greeted.set()
        elif self.counts.is_set():
            self.heard += len(event)
            if kind is not None and kind[1] == b"delta":
                self.sizes.append(float(len(event)))

    def figures(self, seconds: float) -> list[Figure]:
        """What one viewer was sent."""
        return [
            Figure("stream: the first picture", float(self.first), "B"),
            Figure("stream: deltas", len(self.sizes) / seconds, "1/s"),
            Figure("stream: a delta, median", median(self.sizes or [0.0]), "B"),
            Figure("stream: a delta, largest", max(self.sizes or [0.0]), "B"),
            Figure("stream: bytes of a viewer", self.heard / seconds, "B/s"),
        ]


@contextmanager
def _viewers(running: RunningRack, seconds: float) -> Iterator[None]:
    """So many more than the listener, in a process of their own, for the length of a block."""
    command = [sys.executable, "-m", "bench.viewers", running.url, str(VIEWERS), str(seconds + 2)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        if process.stdout is None or process.stdout.readline().strip() != "counting":
            raise AssertionError(f"{VIEWERS} viewers could not be connected")
        yield
        said, _ = process.communicate(timeout=60)
        if json.loads(said)["viewers"] != VIEWERS:
            raise AssertionError(f"of {VIEWERS} viewers some were cut off")
    finally:
        process.kill()
        process.wait()


def _of_viewers(rest: Watched, one: Watched, many: Watched) -> list[Figure]:
    """What the first viewer costs, who has everything serialised for all, and what each further one does."""

    def cost(watched: Watched, kind: str) -> float:
        return watched.cores.get(kind, 0.0)

    figures = []
    for kind, name in (("fronts", "front"), ("gateway", "gateway")):
        first, more = cost(one, kind) - cost(rest, kind), (cost(many, kind) - cost(one, kind)) / VIEWERS
        raw = [cost(watched, kind) for watched in (rest, one, many)]
        figures += [
            Figure(f"viewers: the first one's, {name}", first, "% of a core", raw=raw),
            Figure(f"viewers: each further one's, {name}", more, "% of a core", raw=raw),
        ]
    return figures

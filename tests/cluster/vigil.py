"""How punctual a rack's troopers are, read from its own memcached all the time, from outside."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TypeVar

from bench.figures import percentile
from bench.rack import RunningRack
from clawbucket import codecs, keys
from clawbucket.bus.memcached import MemcachedBus
from clawbucket.clock import SystemClock
from clawbucket.codecs import Gate, Reader
from clawbucket.core.membership import BEAT_EVERY
from clawbucket.core.records import Heartbeat, Lease, Throw
from clawbucket.ports import ClawError
from tests.cluster.conftest import SECOND, SERVICE

T = TypeVar("T")
_LOOK_EVERY = 0.02
"""Seconds between two looks: what a figure may be wrong by."""


@dataclass
class Vigil:
    """When each heartbeat, lease and round was first seen to have moved, by this process' monotonic clock.

    ``beats`` (seq) by task name, ``leases`` (epoch, renewal) by service, ``looks`` each time when it looked.
    """

    beats: dict[str, list[tuple[float, int]]] = field(default_factory=dict)
    leases: dict[str, list[tuple[float, tuple[int, int]]]] = field(default_factory=dict)
    rounds: list[tuple[float, int]] = field(default_factory=list)
    looks: list[float] = field(default_factory=list)

    def lateness(self) -> list[float]:
        """Seconds by which each beat came later after the one before than the two that it should."""
        return [
            max(0.0, later - earlier - BEAT_EVERY * (after - before))
            for moved in self.beats.values()
            for (earlier, before), (later, after) in pairwise(moved)
        ]

    def gaps(self, service: str) -> list[float]:
        """Seconds between two renewals of a lease."""
        return [after[0] - before[0] for before, after in pairwise(self.leases[service])]

    def epochs(self, service: str) -> set[int]:
        """Every epoch that a service's lease had."""
        return {epoch for _, (epoch, _) in self.leases[service]}

    def blinks(self) -> list[float]:
        """Seconds between two looks: the observer's own lateness."""
        return [after - before for before, after in pairwise(self.looks)]


class _Watcher:
    """Looks at all keys at once."""

    def __init__(self, running: RunningRack) -> None:
        self._bus, gate = MemcachedBus("127.0.0.1", running.memcached_port()), Gate(SystemClock())
        names = {task.name: keys.HEARTBEAT.of(task.name) for task in running.running()}
        self._beats: dict[str, tuple[str, Reader[Heartbeat]]] = {
            name: (key, gate.reader(codecs.HEARTBEAT, key)) for name, key in names.items()
        }
        leases = {service: keys.LEADER.of(service) for service in (SERVICE, SECOND)}
        self._leases: dict[str, tuple[str, Reader[Lease]]] = {
            service: (key, gate.reader(codecs.LEASE, key)) for service, key in leases.items()
        }
        self._round: Reader[Throw] = gate.reader(codecs.THROW, keys.RPS_STATE.of())
        self._keys = [*names.values(), *leases.values(), keys.RPS_STATE.of()]
        self.seen = Vigil({name: [] for name in names}, {service: [] for service in leases})
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="vigil")

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join()
        self._bus.close()

    def _watch(self) -> None:
        while not self._over.wait(_LOOK_EVERY):
            try:
                values = self._bus.get_many(self._keys)
            except ClawError:
                continue
            self._look(values, time.monotonic())

    def _look(self, values: dict[str, bytes], now: float) -> None:
        seen = self.seen
        seen.looks.append(now)
        for name, (key, read) in self._beats.items():
            beat = read(values.get(key))
            if beat is not None:
                _note(seen.beats[name], now, beat.seq)
        for service, (key, reader) in self._leases.items():
            lease = reader(values.get(key))
            if lease is not None:
                _note(seen.leases[service], now, (lease.epoch, lease.renewal))
        throw = self._round(values.get(keys.RPS_STATE.of()))
        if throw is not None:
            _note(seen.rounds, now, throw.round)


def _note(moved: list[tuple[float, T]], now: float, version: T) -> None:
    if not moved or moved[-1][1] != version:
        moved.append((now, version))


@contextmanager
def vigil(running: RunningRack) -> Iterator[Vigil]:
    """Watch the troopers that run now, for the length of a block."""
    watcher = _Watcher(running)
    watcher.start()
    try:
        yield watcher.seen
    finally:
        watcher.stop()


def spread(seconds: list[float]) -> str:
    """Median, p99 and worst, in milliseconds, and of how many."""
    p50, p99, worst = (1000 * s for s in (percentile(seconds, 0.5), percentile(seconds, 0.99), max(seconds)))
    return f"median {p50:.0f} ms, p99 {p99:.0f} ms, worst {worst:.0f} ms (of {len(seconds)})"

"""What an election asks of the bus at rest, counted beneath the real loops, one leader and one follower.

Each is a replica of its own: it looks for itself, as a container does. (Packed troopers of the sim share
their worker's look.) Time is stepped, so the rates are those that the loops choose, on any machine; the
snapshot that they read is one that a rack of that size had on its bus.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from structlog.testing import capture_logs

from bench.figures import Figure
from clawbucket import codecs, keys
from clawbucket.bus.memory import MemoryBus
from clawbucket.clock import iso_of
from clawbucket.codecs import Gate
from clawbucket.loops.leadership import Leadership
from clawbucket.loops.sight import Sight
from clawbucket.ports import Bus, CasToken

_SECONDS = 20.0
_SETTLE = 5.0


class Stepped:
    """A clock that stands until it is moved. Its day is today: the snapshot's number must be plausible."""

    def __init__(self) -> None:
        self._now, self._began = 0.0, time.time_ns() // 1_000_000

    def step(self, seconds: float) -> None:
        """Let time pass."""
        self._now += seconds

    def monotonic(self) -> float:
        """Seconds."""
        return self._now

    def wall_ms(self) -> int:
        """Unix milliseconds."""
        return self._began + round(1_000 * self._now)

    def iso(self) -> str:
        """Now, for people."""
        return iso_of(self.wall_ms())


@dataclass(slots=True)
class Asked:
    """Commands (a get of many keys is one), and the bytes of the values that went either way."""

    commands: int = 0
    bytes: int = 0


class CountingBus:
    """A Bus that counts what is asked of the one below it."""

    def __init__(self, below: Bus) -> None:
        self._below, self.asked = below, Asked()

    def _note(self, *values: bytes) -> None:
        self.asked.commands += 1
        self.asked.bytes += sum(map(len, values))

    def get(self, key: str) -> bytes | None:
        """As the one below."""
        value = self._below.get(key)
        self._note(value or b"")
        return value

    def get_many(self, keys: Iterable[str]) -> dict[str, bytes]:
        """As the one below; one command."""
        values = self._below.get_many(keys)
        self._note(*values.values())
        return values

    def gets(self, key: str) -> tuple[bytes, CasToken] | None:
        """As the one below."""
        found = self._below.gets(key)
        self._note(found[0] if found else b"")
        return found

    def set(self, key: str, value: bytes, ttl: int) -> None:
        """As the one below."""
        self._note(value)
        self._below.set(key, value, ttl)

    def set_many(self, values: Mapping[str, tuple[bytes, int]]) -> None:
        """As the one below."""
        for key, (value, ttl) in values.items():
            self.set(key, value, ttl)

    def add(self, key: str, value: bytes, ttl: int) -> bool:
        """As the one below."""
        self._note(value)
        return self._below.add(key, value, ttl)

    def cas(self, key: str, value: bytes, token: CasToken, ttl: int) -> bool:
        """As the one below."""
        self._note(value)
        return self._below.cas(key, value, token, ttl)

    def delete(self, key: str) -> bool:
        """As the one below."""
        self._note()
        return self._below.delete(key)

    def ping(self) -> None:
        """As the one below."""
        self._below.ping()


def at_rest(snapshot: bytes, troopers: int, seconds: float = _SECONDS) -> list[Figure]:
    """Commands and bytes a second of the leader and of a follower, in a rack whose ``snapshot`` this is."""
    first, second = sorted(
        (task for task in codecs.SNAPSHOT.decode(snapshot).tasks if task.running), key=lambda task: task.slot
    )[:2]
    clock = Stepped()
    below, gate = MemoryBus(clock), Gate(clock)
    buses = [CountingBus(below), CountingBus(below)]
    parts = [
        Leadership(bus, gate, clock, Sight(bus, gate, clock), first.service, task.id)
        for task, bus in zip((first, second), buses, strict=True)
    ]
    turns, settling = round(seconds / Leadership.every), round(_SETTLE / Leadership.every)
    with capture_logs():  # else they would be among the JSON on standard output
        for turn in range(-settling, turns):
            if turn == 0:
                for bus in buses:
                    bus.asked = Asked()
            below.set(keys.SNAPSHOT.of(), snapshot, keys.SNAPSHOT.ttl)
            clock.step(Leadership.every)
            for part in parts:
                part.tick(clock.monotonic())
    if parts[0].epoch(clock.monotonic()) is None:
        raise AssertionError("the preferred trooper does not lead at rest")
    said = f"{troopers} troopers: election"
    return [
        figure
        for name, bus in zip(("the leader", "a follower"), buses, strict=True)
        for figure in (
            Figure(f"{said}: commands of {name}", bus.asked.commands / seconds, "1/s", size=troopers),
            Figure(f"{said}: bytes of {name}", bus.asked.bytes / seconds, "B/s", size=troopers),
        )
    ]

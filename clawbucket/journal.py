"""Bounded lists of events on the bus: chat, ARM, orders and what was done with them.

An append is a compare-and-swap of the whole list, so no append is lost to another. Each event has an id:
an append whose answer was lost is looked for by it before it is tried again, and two copies of one
event are one event. Every process remembers (up to the list's cap) what it appended and saw, and merges
that back when the list has lost it: a wiped bus heals from its readers.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Generic, Protocol, TypeVar

from clawbucket.codecs import Codec, Gate
from clawbucket.ports import Bus, BusInDoubt, BusRefused, Clock

_ATTEMPTS = 12
"""Tries of one append against other writers. Each loss means that somebody else's append landed."""


class Event(Protocol):
    """What a journal can hold."""

    @property
    def id(self) -> str:
        """Unique among all events of the list, ever."""
        ...

    @property
    def seq(self) -> int:
        """Its place: a hybrid clock (core/records.py)."""
        ...


E = TypeVar("E", bound=Event)


class Journal(Generic[E]):
    """One list. Thread- and greenlet-safe.

    ``member`` names the list within its family of keys; a plain key has none.
    """

    def __init__(self, bus: Bus, gate: Gate, clock: Clock, codec: Codec[list[E]], member: str = "") -> None:
        self._bus, self._gate, self._clock, self._codec = bus, gate, clock, codec
        self._key = codec.key.of(member)
        self._read = gate.reader(codec, self._key)
        self._learned_from: list[E] | None = None
        self._cap = codec.key.cap
        self._lock = threading.Lock()
        self._known: dict[str, E] = {}
        self._learned = 0
        self._healed: tuple[bytes, int] | None = None

    def read(self) -> list[E]:
        """The events, oldest first."""
        events = self._read(self._bus.get(self._key))
        if events is None:
            return []
        if events is not self._learned_from:  # the very list of before has nothing to tell
            self._learn(events)
            self._learned_from = events
        return list(events)

    def knows(self, event_id: str) -> bool:
        """Whether this process has appended or seen that event among the last; asks no bus."""
        with self._lock:
            return event_id in self._known

    def append(self, make: Callable[[int], E], attempts: int = _ATTEMPTS) -> E:
        """Add the event that ``make`` builds from its ``seq``, and return it.

        ``make`` may be called again with another ``seq`` and must give the same id each time. BusDown and
        BusRefused: it was not added. BusInDoubt: it may have been; it is not remembered here. ``attempts``
        bounds the tries against others who write.
        """
        doubt: BusInDoubt | None = None
        for _ in range(attempts):
            try:
                current, store = self._open()
                seq = max((e.seq + 1 for e in current), default=0)
                event = make(max(seq, self._clock.wall_ms()))
                there = next((e for e in current if e.id == event.id), None)
                if there is not None:
                    self._learn([there])
                    return there
                if store([*current, event]):
                    self._learn([event])
                    return event
            except BusInDoubt as error:
                if doubt is not None:
                    raise
                doubt = error
        if doubt is not None:
            raise doubt
        raise BusRefused(f"{self._key}: {attempts} others wrote first, one after another; try again")

    def heal(self) -> int:
        """Merge back what this process remembers and the list has lost; how many events that were."""
        raw = self._bus.get(self._key)
        # The same bytes may come back after a wipe, from somebody who had not seen all that is known here.
        if raw is not None and (raw, self._learned) == self._healed:
            return 0
        if raw is None and not self._known:
            return 0  # nobody has said anything yet
        current, store = self._open()
        self._learn(current)
        with self._lock:
            learned = self._learned
            merged = self._bounded({**{e.id: e for e in current}, **self._known}.values())
        lost = len({e.id for e in merged} - {e.id for e in current})
        if lost and not store(merged):
            return 0  # somebody else wrote; the next beat looks again
        self._healed = None if lost or raw is None else (raw, learned)
        return lost

    def _open(self) -> tuple[list[E], Callable[[list[E]], bool]]:
        """The list as it is, and how to replace just this version of it."""
        found = self._bus.gets(self._key)
        if found is None:
            return [], lambda events: self._bus.add(self._key, self._encoded(events), self._codec.key.ttl)
        raw, token = found
        current = self._gate.read(self._codec, self._key, raw) or []
        return current, lambda events: self._bus.cas(
            self._key, self._encoded(events), token, self._codec.key.ttl
        )

    def _encoded(self, events: Iterable[E]) -> bytes:
        """The newest events that fit the cap and the key's size bound."""
        kept = self._bounded(events)
        encoded = self._codec.encode(kept)
        while len(encoded) > self._codec.key.max_bytes and kept:
            kept = kept[max(1, len(kept) // 8) :]
            encoded = self._codec.encode(kept)
        return encoded

    def _bounded(self, events: Iterable[E]) -> list[E]:
        return sorted(events, key=lambda e: (e.seq, e.id))[-self._cap :]

    def _learn(self, events: Iterable[E]) -> None:
        with self._lock:
            told = {e.id: e for e in events}
            self._learned += len(told.keys() - self._known.keys())
            self._known.update(told)
            if len(self._known) > self._cap:
                self._known = {e.id: e for e in self._bounded(self._known.values())}

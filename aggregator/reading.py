"""What the aggregator knows: the ARM events that the bus told it, and how old that knowledge is."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from clawbucket import codecs
from clawbucket.codecs import Gate
from clawbucket.core.records import ArmEvent
from clawbucket.core.scoreboard import Line, scoreboard
from clawbucket.ports import Bus, BusDown, BusInDoubt, BusRefused, Clock

MAX_AGE = 0.25
"""Seconds for which a reading counts as current, however many people ask (DESIGN, the way of the data)."""


@dataclass(frozen=True, slots=True)
class Reading:
    """The scoreboard of ``events`` events. ``stale_seconds``: since the bus last answered; None: it does."""

    lines: tuple[Line, ...]
    events: int
    stale_seconds: float | None = None


class Reader:
    """One process's view of the ARM journal; it never writes. Thread- and greenlet-safe.

    Events that vanish from the bus (a wipe, before the troopers have healed it) are kept, up to the
    journal's own cap.
    """

    def __init__(self, bus: Bus, gate: Gate, clock: Clock) -> None:
        self._bus, self._clock = bus, clock
        self._key = codecs.ARM_EVENTS.key.of()
        self._cap = codecs.ARM_EVENTS.key.cap
        self._read = gate.reader(codecs.ARM_EVENTS, self._key)
        self._lock = threading.Lock()
        self._known: dict[str, ArmEvent] = {}
        self._seen: list[ArmEvent] | None = None
        self._reading: Reading | None = None
        self._asked_at = self._answered_at = float("-inf")
        self._down: str | None = None

    def reading(self) -> Reading:
        """The scoreboard now, or as last known. BusDown while the bus has never answered."""
        with self._lock:
            if self._clock.monotonic() - self._asked_at >= MAX_AGE:
                self._refresh()
            if self._reading is None:
                raise BusDown(self._down or "the bus has not answered yet")
            if self._down is None:
                return self._reading
            stale = round(self._clock.monotonic() - self._answered_at, 1)
            return Reading(self._reading.lines, self._reading.events, stale)

    def _refresh(self) -> None:
        self._asked_at = self._clock.monotonic()
        try:
            raw = self._bus.get(self._key)
        except (BusDown, BusInDoubt, BusRefused) as error:
            self._down = str(error)
            return
        self._down, self._answered_at = None, self._asked_at
        events = self._read(raw)
        if self._reading is not None and (events is None or events is self._seen):
            return
        self._seen = events
        known = {**self._known, **{event.id: event for event in events or ()}}
        kept = sorted(known.values(), key=lambda e: (e.seq, e.id))[-self._cap :]
        self._known = {event.id: event for event in kept}
        self._reading = Reading(scoreboard(kept), len(kept))

"""Tells the rack's journal what this trooper knows first hand, behind its other behaviours' backs.

Whoever notes something returns at once: what is noted waits in a short queue, and this behaviour takes
one event of it a tick to the bus, with one read and one write. So neither a heartbeat nor a lease waits for
an append, and while the bus fails this keeps away from it for a while.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import structlog

from clawbucket.clock import iso_of
from clawbucket.core.events import EventKind, RackEvent
from clawbucket.journal import Journal
from clawbucket.ports import BusRefused, ClawError, Clock

log = structlog.get_logger(__name__)

MOST_NOTED = 32
"""Events that wait; the oldest is given up for a newer one. A service that flaps makes two a second."""
KEEP_AWAY = 2.0
"""Seconds without a try after the bus failed one: as long as a beat takes."""


class Chronicle:
    """One trooper's part of the journal of the rack."""

    name = "chronicle"
    every = 0.1

    def __init__(self, clock: Clock, journal: Journal[RackEvent]) -> None:
        self._clock, self._journal = clock, journal
        self._noted: deque[RackEvent] = deque()
        self._not_before = float("-inf")

    def note(
        self, kind: EventKind, event_id: str, service: str, task_id: str, epoch: int = 0, *,
        detail: str = "", ago: float = 0.0,
    ) -> None:  # fmt: skip
        """Have the event told; it happened ``ago`` seconds before now. Never waits, never raises."""
        if len(self._noted) >= MOST_NOTED:
            given_up = self._noted.popleft()
            log.warning("event given up", kind=given_up.kind, id=given_up.id)
        at = iso_of(self._clock.wall_ms() - round(ago * 1000))
        self._noted.append(RackEvent(event_id, 0, at, kind, service, task_id, epoch, detail=detail))

    def knows(self, event_id: str) -> bool:
        """Whether the event was told already, as far as this trooper has heard."""
        return self._journal.knows(event_id)

    def tick(self, now: float) -> None:
        """Tell the oldest event that waits. ClawError: it is told later."""
        if not self._noted or now < self._not_before:
            return
        event = self._noted[0]
        try:
            self._journal.append(_made_of(event), attempts=1)
        except BusRefused:
            return  # somebody else wrote first; the next tick is soon
        except ClawError:
            self._not_before = now + KEEP_AWAY
            raise
        self._told(event)

    def flush(self) -> None:
        """Tell all that waits: the last act of a trooper that is told to end. ClawError: it is lost."""
        for event in list(self._noted):
            self._journal.append(_made_of(event))
            self._told(event)

    def _told(self, event: RackEvent) -> None:
        with suppress(ValueError):  # the last act may come while a tick hangs; the id keeps it one event
            self._noted.remove(event)


def _made_of(event: RackEvent) -> Callable[[int], RackEvent]:
    return lambda seq: replace(event, seq=seq)

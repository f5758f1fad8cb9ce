"""Notes which of the service's tasks came and went, as the snapshots that this trooper reads show it.

Everybody watches, and only the manager writes. What it had no time to write when it died, its heir has seen
too and writes; where both did, it is one event, since its id is made of the task's. What happened before
this trooper's first look, or between two managers for longer than ``KEPT``, is told by nobody.
"""

from __future__ import annotations

from clawbucket.core.events import EventKind
from clawbucket.core.model import Snapshot
from clawbucket.loops.chronicle import Chronicle
from clawbucket.loops.leadership import Leadership
from clawbucket.loops.sight import Sight

KEPT = 10.0
"""Seconds for which a change is kept by who may not write it: longer than any election takes."""
MOST_KEPT = 64
"""Changes that are kept: thrice the replicas that a service may have."""


class Witness:
    """One trooper's eye on its service."""

    name = "witness"
    every = 0.25

    def __init__(self, sight: Sight, leadership: Leadership, chronicle: Chronicle, service: str) -> None:
        self._sight, self._leadership, self._chronicle = sight, leadership, chronicle
        self._service = service
        self._looked_at: Snapshot | None = None
        self._running: set[str] = set()
        self._kept: list[tuple[float, EventKind, str, str]] = []

    def tick(self, now: float) -> None:
        """Look once, and have what changed told by who leads."""
        snapshot = self._sight.snapshot
        if snapshot is not None and snapshot is not self._looked_at:
            self._look(snapshot, now)
        if self._kept and self._leadership.epoch(now) is not None:
            for seen_at, kind, task_id, detail in self._kept:
                event_id = f"{kind}-{task_id}"
                self._chronicle.note(kind, event_id, self._service, task_id, detail=detail, ago=now - seen_at)
            self._kept = []
        self._kept = [change for change in self._kept if now - change[0] < KEPT]

    def _look(self, snapshot: Snapshot, now: float) -> None:
        first, self._looked_at = self._looked_at is None, snapshot
        running = {t.id for t in snapshot.tasks if t.service == self._service and t.running}
        ended = {who: snapshot.ended[who] for who in self._running if who in snapshot.ended}
        if not first:
            came: list[tuple[float, EventKind, str, str]] = [
                (now, "started", who, "") for who in sorted(running - self._running)
            ]
            went: list[tuple[float, EventKind, str, str]] = [
                (now, "ended", who, state.value) for who, state in sorted(ended.items())
            ]
            self._kept = [*self._kept, *went, *came][-MOST_KEPT:]
        # Who runs no more and is not known to be gone is on its way out, and still to be seen ending.
        leaving = self._running & {t.id for t in snapshot.tasks}
        self._running = running | leaving - ended.keys()

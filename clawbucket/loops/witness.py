"""Notes which of the service's tasks came and went, as the snapshots that this trooper reads show it.

The manager watches, and tells at once. So do the few who would manage next, but they wait: by ``KEPT``
seconds later their journal has what the manager told, and only what it did not tell (it died, or is too
young to have seen it) they tell themselves. Where two do, it is one event, since its id is made of the
task's. What was before a trooper's first look, or while it could not look, it does not tell.
"""

from __future__ import annotations

from clawbucket.core.events import EventKind
from clawbucket.core.model import Snapshot
from clawbucket.loops.chronicle import Chronicle
from clawbucket.loops.leadership import Leadership
from clawbucket.loops.sight import Sight

KEPT = 4.5
"""Seconds for which who does not lead leaves it to others: an election, and two beats of journals healed."""
WATCHERS = 3
"""How many of those who would manage next watch beside the manager. More would only tell the same."""
MOST_KEPT = 64
"""Changes that are kept: thrice the replicas that a service may have."""
LOOKED_AWAY = 2.0
"""Seconds between two ticks after which this trooper was stopped meanwhile, and knows no times."""

Change = tuple[float, EventKind, str, str]
"""When it was seen, what it was, whose, and the engine's word for it."""


class Witness:
    """One trooper's eye on its service."""

    name = "witness"
    every = 0.25

    def __init__(self, sight: Sight, leadership: Leadership, chronicle: Chronicle, service: str) -> None:
        self._sight, self._leadership, self._chronicle = sight, leadership, chronicle
        self._service = service
        self._looked_at: Snapshot | None = None
        self._ticked_at = float("-inf")
        self._running: set[str] = set()
        self._kept: list[Change] = []

    def tick(self, now: float) -> None:
        """Look once, and tell what is this trooper's to tell."""
        leads = self._leadership.epoch(now) is not None
        if not leads and not self._sight.is_among_first(self._leadership.task_id, self._service, WATCHERS):
            self._looked_at, self._kept = None, []
            return
        snapshot, away = self._sight.snapshot, now - self._ticked_at > LOOKED_AWAY
        self._ticked_at = now
        if snapshot is not None and snapshot is not self._looked_at:
            changes = self._look(snapshot, now)
            if not away and self._looked_at is not None:
                self._kept = [*self._kept, *changes][-MOST_KEPT:]
            self._looked_at = snapshot
        if self._kept:
            due = [change for change in self._kept if leads or now - change[0] >= KEPT]
            self._kept = [change for change in self._kept if change not in due]
            for change in due:
                self._tell(change, now)

    def _look(self, snapshot: Snapshot, now: float) -> list[Change]:
        """What changed since the last look: first who went, then who came."""
        last = self._looked_at
        if last is not None and last.tasks is snapshot.tasks and last.ended == snapshot.ended:
            return []
        running = {t.id for t in snapshot.tasks if t.service == self._service and t.running}
        ended = {who: snapshot.ended[who] for who in self._running if who in snapshot.ended}
        went: list[Change] = [(now, "ended", who, state.value) for who, state in sorted(ended.items())]
        came: list[Change] = [(now, "started", who, "") for who in sorted(running - self._running)]
        # Who runs no more and is not known to be gone is on its way out, and still to be seen ending.
        leaving = self._running & {t.id for t in snapshot.tasks}
        self._running = running | leaving - ended.keys()
        return went + came

    def _tell(self, change: Change, now: float) -> None:
        seen_at, kind, task_id, detail = change
        event_id = f"{kind}-{task_id}"
        if not self._chronicle.knows(event_id):
            self._chronicle.note(kind, event_id, self._service, task_id, detail=detail, ago=now - seen_at)

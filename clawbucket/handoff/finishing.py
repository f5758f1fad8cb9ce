"""The manager's part in handoffs: finish or undo whatever their coordinators left open.

Only the one that leads a service looks after its handoffs, and in a thread of its own, since it asks
another rack and waits for tasks: none of that may hold up a lease. Two who believe to lead do no harm;
every step is safe to take twice.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable

import structlog

from clawbucket.core.callsign import name_of
from clawbucket.core.model import Task
from clawbucket.core.revolt import Handoff, Phase
from clawbucket.handoff.files import SnapshotFiles
from clawbucket.handoff.ordering import Gone, Ordering
from clawbucket.handoff.registry import Registry
from clawbucket.handoff.source import OFFER_SECONDS, Source
from clawbucket.handoff.target import TAKE_IN, Target
from clawbucket.loops.handover import THAWED
from clawbucket.ports import ClawError, Clock
from clawbucket.settings import Settings

log = structlog.get_logger(__name__)

PATIENCE = {Phase.PREPARED: OFFER_SECONDS + 10.0, Phase.ACCEPTED: TAKE_IN + 6.0, Phase.IN_DOUBT: 0.0}
"""Seconds that a coordinator which runs has for an undecided handoff: what it may need, and some."""
FINISHED_WITHIN = 2.0
"""Seconds that it has for what comes after the decision."""
ORPHAN_AFTER = 8.0
"""Seconds that a trooper may be held for a handoff of which there is no record: capturing takes four."""
ORPHANS_EVERY = 2.0
"""Seconds between two looks for such while there is none: each asks about every trooper of the service."""
TAKE_IN_AGAIN = 8.0
"""Seconds for a new task to come and take over where the coordinator died meanwhile."""
SWEEP_EVERY = 600.0


class Finishing:
    """Look after the handoffs of this trooper's service. ``leads`` says whether this one does."""

    name = "handoffs"
    every = 0.5

    def __init__(
        self, settings: Settings, clock: Clock, registry: Registry, ordering: Ordering, source: Source,
        target: Target, files: SnapshotFiles, leads: Callable[[], bool],
    ) -> None:  # fmt: skip
        self._settings, self._clock = settings, clock
        self._registry, self._ordering = registry, ordering
        self._source, self._target, self._files, self._leads = source, target, files, leads
        self._since: dict[tuple[str, Phase], float] = {}
        self._held: dict[str, Task] = {}
        self._looked_at = self._swept_at = float("-inf")

    def tick(self, now: float) -> None:
        """Take each open handoff as far as it goes."""
        if not self._leads():
            self._since.clear()
            self._held = {}
            return
        records = self._registry.unsettled(self._settings.service_name)
        seen = {(record.snapshot_id, record.phase): now for record in records}
        if self._held or now - self._looked_at >= ORPHANS_EVERY:
            self._looked_at = now
            self._held = self._orphans({record.snapshot_id for record in records})
        orphans = self._held
        seen |= {(handoff, Phase.PREPARED): now for handoff in orphans}
        self._since = {key: self._since.get(key, first) for key, first in seen.items()}
        for record in records:
            self._attempt(record, now)
        for handoff, task in orphans.items():
            if now - self._since[handoff, Phase.PREPARED] >= ORPHAN_AFTER:
                self._thaw_orphan(handoff, task)
        if now - self._swept_at >= SWEEP_EVERY:
            self._swept_at = now
            self._files.sweep(time.time())

    def _attempt(self, record: Handoff, now: float) -> None:
        if self._is_in_hands(record, now - self._since[record.snapshot_id, record.phase]):
            return
        try:
            self._go_on(record)
        except ClawError as error:
            told = {"handoff": record.snapshot_id, "phase": record.phase.value}
            log.warning("handoff waits", **told, reason=str(error))

    def _is_in_hands(self, record: Handoff, age: float) -> bool:
        """Whether its coordinator runs and still has time."""
        if record.by == self._settings.task_id and record.phase is Phase.IN_DOUBT:
            return False
        patience = FINISHED_WITHIN if record.phase.decided else PATIENCE[record.phase]
        return age < patience and self._ordering.task(record.by) is not None

    def _go_on(self, record: Handoff) -> None:
        if record.phase is Phase.ACCEPTED:
            record = self._target.take_in(record, self._clock.monotonic() + TAKE_IN_AGAIN)
        if record.phase is Phase.REJECTED:
            self._target.unwind(record)
            return
        if record.phase is Phase.PREPARED:
            why = f"{name_of(record.by)}, which carried it out, ended or fell silent"
            record = self._registry.decide(record, Phase.IN_DOUBT, why)
        if record.phase is Phase.IN_DOUBT:
            record = self._source.resolve(record)
        if record.phase is Phase.COMMITTED:
            self._source.retire(record)
        elif record.phase is Phase.ABORTED:
            self._source.undo(record)
        elif record.phase is Phase.RESTORED:
            self._ordering.release(record.target_task_id, record.snapshot_id)
            self._registry.settle(record)

    def _orphans(self, open_ones: set[str]) -> dict[str, Task]:
        """The service's troopers that are taken or frozen for what is no open handoff here."""
        found: dict[str, Task] = {}
        tasks = self._ordering.tasks(self._settings.service_name)
        claims, beats = self._ordering.claims(tasks), self._ordering.beats(tasks)
        for task in tasks:
            beat = beats.get(task.id)
            for handoff in (claims.get(task.id, ""), beat.frozen if beat is not None else ""):
                if handoff and handoff not in open_ones:
                    found[handoff] = task
        return found

    def _thaw_orphan(self, handoff: str, task: Task) -> None:
        try:
            self._thaw(handoff, task)
        except (ClawError, Gone) as error:
            log.warning("orphan waits", handoff=handoff, task_id=task.id, reason=str(error))

    def _thaw(self, handoff: str, task: Task) -> None:
        """Nobody wrote down why it is frozen, or it was let go already: it goes on."""
        me = self._settings
        record = self._registry.find(handoff, "source") or self._registry.open(
            Handoff(
                snapshot_id=handoff, side="source", service=task.service, source_task_id=task.id,
                source_rack=me.label, target_rack="", peer="", phase=Phase.ABORTED, phases=(), by=me.task_id,
                slot=task.slot, reason="its coordinator ended before it was written down",
            ),
            Phase.ABORTED,
        )  # fmt: skip
        if record.phase is Phase.ABORTED:
            # Named anew: it may have been frozen by an order that came later than an earlier thaw.
            again = f"{handoff}-{uuid.uuid4().hex[:8]}"
            if self._ordering.order(task.id, "thaw", handoff, FINISHED_WITHIN, name=again) != THAWED:
                return
        if record.phase.decided:
            self._ordering.release(task.id, handoff)
        if record.phase is Phase.ABORTED:
            self._registry.settle(record)

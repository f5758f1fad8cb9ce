"""The target's part of a handoff: take a trooper in, or refuse it and leave nothing of it behind.

Every step can be taken again by somebody else from the record alone: the engine counts a replica once for
each handoff, a task is claimed by one handoff, an order is one order by its id.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import structlog

from clawbucket.core.model import Task
from clawbucket.core.revolt import Handoff, Offer, Phase
from clawbucket.handoff.ordering import LOOK_EVERY, Gone, Ordering
from clawbucket.handoff.registry import Registry
from clawbucket.loops.handover import RESTORED
from clawbucket.ports import (
    ClawError,
    Clock,
    Conflict,
    Definite,
    EngineDown,
    EngineInDoubt,
    Indefinite,
    Orders,
    ServiceUnknown,
    TaskElsewhere,
    TaskUnknown,
)
from clawbucket.settings import Settings

log = structlog.get_logger(__name__)

TAKE_IN = 18.0
"""Seconds in which a new task must have come and taken the state over; the source waits 23."""
UNWIND = 4.0
"""Seconds for the extra task to end again; the next who looks goes on with it."""
GROW = 5.0
"""Seconds that the rack manager is waited for; one that was killed is back after a second or two."""
_ACK = 6.0
"""Seconds that one task has to acknowledge, before another is looked for."""


class Rejected(Definite):
    """The trooper is not taken in, and nothing of it is left here."""


class Unclear(Indefinite):
    """The trooper is being taken in; ask what became of it."""


class Target:
    """Taking in, for one replica. Thread- and greenlet-safe."""

    def __init__(
        self, settings: Settings, clock: Clock, registry: Registry, ordering: Ordering, rack: Orders
    ) -> None:
        self._settings, self._clock = settings, clock
        self._registry, self._ordering, self._rack = registry, ordering, rack

    def accept(self, offer: Offer) -> Handoff:
        """Take the trooper in; the record, RESTORED. The same offer again has the same answer.

        ServiceUnknown, Conflict, BusDown and DiskRefused: nothing was written. Rejected: it is refused for
        good. Unclear: ask later.
        """
        if offer.to_rack != self._settings.label:
            here = self._settings.label
            raise Conflict(f"the offer is meant for the rack {offer.to_rack!r}, and this one is {here!r}")
        service = self._settings.service_named(offer.service)
        if service is None:
            raise ServiceUnknown(
                f"no service {offer.service!r} is shown on this rack; there are: "
                f"{', '.join(self._settings.swarm_services)}"
            )
        ends_at = self._clock.monotonic() + TAKE_IN
        first = self._first(offer, service)
        self._registry.check()
        try:
            record = self._decided(offer, self._registry.open(first, Phase.ACCEPTED), ends_at)
        except Rejected:
            raise
        except ClawError as error:
            raise Unclear(f"the trooper may be being taken in: {error}") from error
        if record.phase is Phase.RESTORED:
            return record
        if record.phase is Phase.REJECTED and record.settled:
            raise Rejected(record.reason or "the trooper was refused")
        raise Unclear("the trooper is still being taken in; ask what became of it")

    def _decided(self, offer: Offer, record: Handoff, ends_at: float) -> Handoff:
        """The record once it is decided, by whoever does, or as it is at ``ends_at``."""
        if record.source_task_id != offer.source_task_id and record.phase is not Phase.REJECTED:
            raise Rejected(f"{offer.snapshot_id} is another handoff's id here")
        if record.phase is Phase.ACCEPTED and record.by == self._settings.task_id:
            return self.take_in(record, ends_at)
        while record.phase is Phase.ACCEPTED and self._clock.monotonic() < ends_at:  # another takes it in
            self._ordering.pause(LOOK_EVERY)
            record = self._registry.find(offer.snapshot_id, "target") or record
        return record

    def refuse_unknown(self, snapshot_id: str) -> Handoff:
        """The record of the handoff; a tombstone from now on where there was none."""
        known = self._registry.find(snapshot_id, "target")
        if known is not None:
            return known
        me = self._settings
        stone = Handoff(
            snapshot_id=snapshot_id, side="target", service=me.primary, source_task_id="", source_rack="",
            target_rack=me.label, peer="", phase=Phase.REJECTED, phases=(), by=me.task_id, settled=True,
            reason="the other rack asked before the offer came",
        )  # fmt: skip
        return self._registry.open(stone, Phase.REJECTED)

    def take_in(self, record: Handoff, ends_at: float) -> Handoff:
        """Go on with an accepted handoff until it is decided; refuse it when that is not by ``ends_at``."""
        try:
            self._grow(record, min(ends_at, self._clock.monotonic() + GROW))
        except (Conflict, ServiceUnknown) as error:
            return self._registry.settle(self._registry.decide(record, Phase.REJECTED, str(error)))
        except ClawError as error:  # unwound below: whether it counted is found out there
            return self.unwind(
                self._registry.decide(record, Phase.REJECTED, f"the rack could not be asked: {error}")
            )
        refused: set[str] = set()
        while self._clock.monotonic() < ends_at:
            task = self._newcomer(record, refused)
            if task is None:
                self._ordering.pause(LOOK_EVERY)
                continue
            record = self._registry.note(record, target_task_id=task.id)
            if record.phase is not Phase.ACCEPTED:
                break
            if self._restored(record, task, refused, ends_at):
                record = self._registry.decide(record, Phase.RESTORED)
                with suppress(ClawError):  # whoever settles it does that, too
                    self._ordering.release(task.id, record.snapshot_id)
                return record
        if record.phase is Phase.ACCEPTED:
            why = "no new task took the trooper over in time"
            record = self._registry.decide(record, Phase.REJECTED, why)
        return self.unwind(record) if record.phase is Phase.REJECTED else record

    def _grow(self, record: Handoff, ends_at: float) -> None:
        """One replica more, once for the handoff; a rack manager that is starting anew is waited for."""
        while True:
            try:
                self._rack.resize(record.service, 1, f"{record.snapshot_id}:grow")
            except (EngineDown, EngineInDoubt):
                if self._clock.monotonic() >= ends_at:
                    raise
                self._ordering.pause(2 * LOOK_EVERY)
            else:
                return

    def unwind(self, record: Handoff) -> Handoff:
        """After a refusal: take the extra task away again, with what it may have taken over."""
        if record.settled:
            return record
        mark = record.snapshot_id
        # Whether the service has grown at all may be unknown. Once it surely has, it can shrink again.
        try:
            self._rack.resize(record.service, 1, f"{mark}:grow")
        except (Conflict, ServiceUnknown):  # it has not, and it cannot any more
            return self._registry.settle(record)
        ends_at = self._clock.monotonic() + UNWIND
        leaving = record.target_task_id
        while not leaving or self._ordering.ended(leaving):
            # It died, or there never was one: the one to go is one that nobody has taken over yet.
            task = self._newcomer(record, set(), running=False)
            if task is not None:
                leaving = task.id
                record = self._registry.note(record, target_task_id=leaving)
            elif self._clock.monotonic() >= ends_at:
                return record
            else:
                self._ordering.pause(LOOK_EVERY)
        if self.sent_away(record.service, leaving, f"{mark}:shrink", ends_at):
            return self._registry.settle(record)
        return record

    def sent_away(self, service: str, task_id: str, mark: str, ends_at: float) -> bool:
        """End the task, and the service has one less if it may; whether the task has ended by ``ends_at``."""
        try:
            return self._taken_away(service, task_id, mark, ends_at)
        except Conflict as last:  # several left at once, or the service was scaled down meanwhile
            log.warning("the service stays as large", task_id=task_id, mark=mark, reason=str(last))
            return self._killed(task_id, mark, ends_at)

    def _taken_away(self, service: str, task_id: str, mark: str, ends_at: float) -> bool:
        """Shrink the service by that task, once for the mark; whether the task has ended by ``ends_at``."""
        try:
            self._rack.resize(service, -1, mark, task_id)
        except TaskElsewhere:
            self._ordering.destroy(task_id, mark)
            if not self._until(lambda: self._ordering.ended(task_id), ends_at):
                return False
            self._rack.resize(service, -1, mark, task_id)
        except TaskUnknown:  # so long gone that nobody remembers its slot
            log.warning("nothing to take away", task_id=task_id, mark=mark)
            return True
        return self._until(
            lambda: self._ordering.ended(task_id) or self._ordering.task(task_id) is None, ends_at
        )

    def _killed(self, task_id: str, mark: str, ends_at: float) -> bool:
        """Kill the task, whose slot the engine then fills anew; whether it has ended by ``ends_at``."""
        if not self._ordering.ended(task_id):
            try:
                self._rack.kill(task_id)
            except TaskElsewhere:
                self._ordering.destroy(task_id, mark)
            except TaskUnknown:
                return True
        return self._until(lambda: self._ordering.ended(task_id), ends_at)

    def _until(self, condition: Callable[[], bool], ends_at: float) -> bool:
        while not condition():
            if self._clock.monotonic() >= ends_at:
                return False
            self._ordering.pause(LOOK_EVERY)
        return True

    def _first(self, offer: Offer, service: str) -> Handoff:
        """The record of an offer, before anything was done about it."""
        return Handoff(
            snapshot_id=offer.snapshot_id, side="target", service=service,
            source_task_id=offer.source_task_id, source_rack=offer.from_rack,
            target_rack=self._settings.label, peer="", phase=Phase.ACCEPTED, phases=(),
            by=self._settings.task_id, state=offer.state,
            before=tuple(task.id for task in self._ordering.tasks(service)),
        )  # fmt: skip

    def _newcomer(self, record: Handoff, refused: set[str], *, running: bool = True) -> Task | None:
        """The task that takes the trooper over: one that came since, and is nobody yet."""
        mine = record.target_task_id
        tasks = self._ordering.tasks(record.service)
        chosen = next((task for task in tasks if task.id == mine and mine not in refused), None)
        if chosen is not None:  # it may have taken the trooper over already: nobody else while it lives
            return chosen if chosen.running or not running else None
        for task in tasks:
            if task.id in record.before or task.id in refused or (running and not task.running):
                continue
            beat = self._ordering.beat(task)
            if running and beat is None:
                continue
            if beat is not None and (beat.frozen or beat.handoff not in {"", record.snapshot_id}):
                continue
            if self._ordering.claim(task.id, record.snapshot_id):
                return task
        return None

    def _restored(self, record: Handoff, task: Task, refused: set[str], ends_at: float) -> bool:
        within = min(_ACK, max(0.0, ends_at - self._clock.monotonic()))
        try:
            said = self._ordering.order(task.id, "restore", record.snapshot_id, within)
        except Gone:
            return False
        if said != RESTORED and said is not None:
            log.warning("trooper not taken over", task_id=task.id, handoff=record.snapshot_id, reason=said)
            refused.add(task.id)
            self._ordering.release(task.id, record.snapshot_id)
        return said == RESTORED

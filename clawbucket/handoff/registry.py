"""One rack's records of handoffs, on its bus and on its disk, changed by compare-and-swap.

The bus decides between two who change a record at once; the disk remembers what a wiped bus forgot. A change
is swapped on the bus first and written to the disk before anybody hears of it. Killed in between, the next
who looks finds the change on the bus and writes it down; where the bus is wiped in that very moment too,
the change never was, and nobody had heard of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import structlog

from clawbucket import codecs, keys
from clawbucket.codecs import Gate
from clawbucket.core.revolt import (
    Handoff,
    NotAllowed,
    Phase,
    RevoltEvent,
    Side,
    advanced,
    event_of,
    later,
    opened,
)
from clawbucket.handoff.files import SnapshotFiles
from clawbucket.journal import Journal
from clawbucket.ports import Bus, BusInDoubt, BusRefused, ClawError, Clock

log = structlog.get_logger(__name__)

_ATTEMPTS = 12
_REMEMBERED = 4_096
"""Settled handoffs that are not looked at again."""

Change = Callable[[Handoff | None], Handoff | None]
"""What becomes of a record; None, or the same one: nothing."""


class Registry:
    """The records of the rack ``rack``, for the task ``task_id``. Thread- and greenlet-safe."""

    def __init__(
        self, bus: Bus, gate: Gate, clock: Clock, files: SnapshotFiles, events: Journal[RevoltEvent],
        rack: str, task_id: str,
    ) -> None:  # fmt: skip
        self._bus, self._gate, self._clock = bus, gate, clock
        self._files, self._events, self._rack, self._me = files, events, rack, task_id
        self._settled: dict[tuple[str, Side], None] = {}

    def check(self) -> None:
        """See that a record could be begun. DiskRefused."""
        self._files.check()

    def find(self, snapshot_id: str, side: Side | None = None) -> Handoff | None:
        """The record of that handoff here, of either side where none is named.

        One that whoever began it could not write down any more is written down now: nobody knows of it else.
        """
        key = keys.HANDOFF.of(snapshot_id)
        on_bus = self._gate.read(codecs.HANDOFF, key, self._bus.get(key))
        sides: tuple[Side, ...] = ("target", "source") if side is None else (side,)
        for one in sides:
            mine = on_bus if on_bus is not None and on_bus.side == one else None
            on_disk = self._ours(self._files.read(snapshot_id, one))
            found = later(on_disk, mine)
            if found is not None:
                if found != on_disk:
                    self._files.write(found)
                return found
        return None

    def open(self, record: Handoff, phase: Phase) -> Handoff:
        """Begin a record in ``phase``; the one that stands now, which is another's where there was one."""
        path = str(self._files.path(record.snapshot_id, record.side))
        first = opened(replace(record, path=path), phase, self._clock.iso())
        return self._told(self._swap(first, lambda there: there or first))

    def decide(self, record: Handoff, phase: Phase, reason: str = "", **more: str) -> Handoff:
        """Take the record to ``phase``; what stands now, which may be what somebody else decided."""

        def change(there: Handoff | None) -> Handoff:
            current = there or record
            try:
                changed = advanced(current, phase, self._clock.iso(), self._me, reason)
            except NotAllowed:
                return current
            return changed if changed is current else replace(changed, **more)  # type: ignore[arg-type]

        return self._told(self._swap(record, change))

    def note(self, record: Handoff, **changes: object) -> Handoff:
        """Change other fields of a record that is in the same phase still; what stands now."""

        def change(there: Handoff | None) -> Handoff:
            current = there or record
            if current.phase is not record.phase or all(getattr(current, k) == v for k, v in changes.items()):
                return current
            return replace(current, rev=current.rev + 1, **changes)  # type: ignore[arg-type]

        return self._swap(record, change)

    def settle(self, record: Handoff, reason: str = "") -> Handoff:
        """Nothing is left to do about it."""
        done = self.note(record, settled=True, reason=reason or record.reason)
        log.info("handoff settled", handoff=done.snapshot_id, side=done.side, phase=done.phase.value)
        return self._told(done)

    def unsettled(self, service: str) -> list[Handoff]:
        """The service's handoffs about which something is left to do, as far as disk and bus know."""
        ids: dict[tuple[str, Side], None] = {}
        sides: tuple[Side, ...] = ("source", "target")
        for side in sides:
            ids.update(((snapshot_id, side), None) for snapshot_id in self._files.ids(side))
        for event in self._events.read():
            side = "source" if event.source_rack == self._rack else "target"
            ids[event.snapshot_id, side] = None
        found = []
        for snapshot_id, side in ids:
            if (snapshot_id, side) in self._settled:
                continue
            record = self.find(snapshot_id, side)
            if record is None or record.settled:
                self._remember(snapshot_id, side)
            elif record.service == service:
                found.append(record)
        return found

    def _remember(self, snapshot_id: str, side: Side) -> None:
        self._settled[snapshot_id, side] = None
        while len(self._settled) > _REMEMBERED:
            del self._settled[next(iter(self._settled))]

    def _ours(self, record: Handoff | None) -> Handoff | None:
        """Not the other rack's, where two share a directory."""
        if record is None:
            return None
        rack = record.source_rack if record.side == "source" else record.target_rack
        return record if rack == self._rack else None

    def _swap(self, record: Handoff, change: Change) -> Handoff:
        """Change the record on bus and disk, whoever else does. BusDown: it was not changed."""
        snapshot_id, side = record.snapshot_id, record.side
        key, ttl = keys.HANDOFF.of(snapshot_id), keys.HANDOFF.ttl
        doubt: BusInDoubt | None = None
        for _ in range(_ATTEMPTS):
            try:
                found = self._bus.gets(key)
                on_bus = self._gate.read(codecs.HANDOFF, key, found[0]) if found else None
                there = later(self._files.read(snapshot_id, side), on_bus)
                wanted = change(there)
                if wanted is None:
                    raise BusRefused(f"there is no record of the handoff {snapshot_id} here")
                if wanted == on_bus:
                    self._files.write(wanted)
                    return wanted
                encoded = codecs.HANDOFF.encode(wanted)
                if len(encoded) > keys.HANDOFF.max_bytes:
                    raise BusRefused(f"the record of the handoff {snapshot_id} has {len(encoded)} bytes")
                if found is None:
                    stored = self._bus.add(key, encoded, ttl)
                else:
                    stored = self._bus.cas(key, encoded, found[1], ttl)
                if stored:
                    self._files.write(wanted)
                    return wanted
            except BusInDoubt as error:
                if doubt is not None:
                    raise
                doubt = error
        raise doubt or BusRefused(f"{key}: {_ATTEMPTS} others wrote first, one after another; try again")

    def _told(self, record: Handoff) -> Handoff:
        """See that the journal has an event of each phase; one that it lacks now comes when it is settled."""
        for change in record.phases:
            try:
                self._events.append(lambda seq, change=change: event_of(record, change, seq))  # type: ignore[misc]
            except ClawError as error:
                log.warning("revolt event is late", handoff=record.snapshot_id, reason=str(error))
        return record

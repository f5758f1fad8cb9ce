"""Drives this trooper's Candidacy against the bus: look, decide, write, and take note of how it went.

Winning the lease is not yet leading. First each leader-owned key is stamped with the new epoch by CAS, so
that a write which an older leader prepared before it was stopped (SIGSTOP, a long pause) fails whenever
it arrives. Only then is the leadership confirmed, and ``epoch`` tells it to the other behaviours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import structlog

from clawbucket import codecs, keys
from clawbucket.codecs import Gate
from clawbucket.core.election import Bid, Candidacy, How, Ranking
from clawbucket.loops.sight import Sight
from clawbucket.ports import Bus, CasToken, ClawError, Clock

log = structlog.get_logger(__name__)

Stamp = Callable[[int], bool]
"""Put an epoch on a leader-owned key. False: a higher epoch is there, or somebody wrote meanwhile."""

Change = Literal["election", "released", "lost"]
Note = Callable[[Change, int, float], None]
"""A confirmed leadership began or ended: which, in which epoch, how many seconds ago. Must return at once."""


class Leadership:
    """One service's leadership as this trooper lives it. ``stamps`` are for its leader-owned keys."""

    name = "leadership"
    every = 0.1

    def __init__(self, bus: Bus, gate: Gate, clock: Clock, sight: Sight, service: str, task_id: str) -> None:
        self._bus, self._gate, self._clock, self._sight = bus, gate, clock, sight
        self._service = service
        self._key = keys.LEADER.of(service)
        self._read = gate.reader(codecs.LEASE, self._key)
        self.stamps: Sequence[Stamp] = ()
        self.note: Note = lambda _change, _epoch, _ago: None
        self._candidacy = Candidacy(task_id)
        self._stamped: int | None = None
        self._told: int | None = None

    def epoch(self, now: float) -> int | None:
        """The epoch in which this trooper leads, confirmed and stamped; None when it does not."""
        leads = self._candidacy.leads(now)
        return leads if leads is not None and leads == self._stamped else None

    @property
    def task_id(self) -> str:
        """Whose it is."""
        return self._candidacy.task_id

    def tick(self, now: float) -> None:
        """Look at the lease once, and write at most once."""
        order = self._sight.look(self._service)
        found = self._bus.gets(self._key)
        raw, token = found or (None, None)
        lease = self._read(raw)
        ended = lease is not None and self._sight.ended(lease.task_id)
        self._candidacy.see(lease, now, holder_ended=ended)
        leading = self._candidacy.leads(now) is not None
        beats = self._beats(order) if leading else {}
        bid = self._candidacy.decide(now, self._clock.wall_ms(), order, beats)
        if bid is not None:
            # Who gives up has stopped leading before the bus can hear of it.
            self._tell(now, "released" if bid.lease.released else "lost")
            if token is not None and bid.how is How.ADD:
                bid = self._candidacy.overwrite_poison(bid)
            self._write(bid, token, beats if leading else self._beats(order))
        self._stamp(now)
        self._tell(now)

    def release(self) -> None:
        """Give the lease up, if it is held: the last act of a trooper that is told to end."""
        now = self._clock.monotonic()
        bid = self._candidacy.release(now)
        if bid is None:
            return
        self._tell(now, "released")
        found = self._bus.gets(self._key)
        held = self._gate.read(codecs.LEASE, self._key, found[0]) if found else None
        if found and held and (held.task_id, held.epoch) == (bid.lease.task_id, bid.lease.epoch):
            self._bus.cas(self._key, codecs.LEASE.encode(bid.lease), found[1], keys.LEADER.ttl)
            facts = {"service": self._service, "task_id": bid.lease.task_id}
            log.info("leadership released", epoch=bid.lease.epoch, **facts)

    def _beats(self, order: Ranking) -> dict[str, int]:
        """The heartbeat ``seq`` of the candidates preferred to this one, which alone it may give way to."""
        me = self._candidacy.task_id
        if me not in order:
            return {}
        better = frozenset(order[: order.rank(me)])
        if not better:
            return {}
        names = {t.id: keys.HEARTBEAT.of(t.name) for t in self._sight.tasks() if t.id in better}
        values = self._bus.get_many(names.values())
        beats = {who: self._gate.read(codecs.HEARTBEAT, key, values.get(key)) for who, key in names.items()}
        return {who: beat.seq for who, beat in beats.items() if beat is not None}

    def _write(self, bid: Bid, token: CasToken | None, beats: dict[str, int]) -> None:
        encoded = codecs.LEASE.encode(bid.lease)
        try:
            if bid.how is How.ADD:
                stored = self._bus.add(self._key, encoded, keys.LEADER.ttl)
            else:
                stored = token is not None and self._bus.cas(self._key, encoded, token, keys.LEADER.ttl)
        except ClawError:
            self._candidacy.in_doubt()
            raise
        if stored:
            self._candidacy.confirmed(beats, self._clock.monotonic())
        else:
            self._candidacy.refused()

    def _stamp(self, now: float) -> None:
        epoch = self._candidacy.leads(now)
        if epoch is None or epoch == self._stamped:
            return
        if all(stamp(epoch) for stamp in self.stamps):
            self._stamped = epoch

    def _tell(self, now: float, end: Change = "lost") -> None:
        """Log each beginning and end of a confirmed leadership once: the recorded history's raw material.

        ``late``: seconds by which the end is told too late, as by a process that was stopped meanwhile.
        ``end`` is how one ends.
        """
        epoch = self.epoch(now)
        if epoch == self._told:
            return
        facts = {"service": self._service, "task_id": self._candidacy.task_id}
        if self._told is not None:
            late = round(self._candidacy.overdue(now), 3)
            log.info("leadership ended", epoch=self._told, late=late, **facts)
            self.note(end, self._told, late)
        if epoch is not None:
            log.info("leadership confirmed", epoch=epoch, **facts)
            self.note("election", epoch, 0.0)
        self._told = epoch

"""The source's part of a handoff: freeze, capture, offer, and then do what the target decided."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import replace

import structlog

from clawbucket import codecs, keys
from clawbucket.codecs import Gate
from clawbucket.core.board import Squad, Trooper
from clawbucket.core.callsign import name_of
from clawbucket.core.model import Task
from clawbucket.core.revolt import Handoff, Offer, Phase, Told, TrooperState, verdict
from clawbucket.handoff.ordering import Gone, Ordering
from clawbucket.handoff.registry import Registry
from clawbucket.handoff.target import Target
from clawbucket.loops.handover import FROZEN, RESTORED, THAWED
from clawbucket.ports import (
    Bus,
    ClawError,
    Clock,
    Conflict,
    Definite,
    Indefinite,
    PeerInDoubt,
    PeerRefused,
    Peers,
)
from clawbucket.settings import Peer, Settings

log = structlog.get_logger(__name__)

ANSWER_SECONDS = 26.0
"""Seconds for all of it and no more than a question: the gateway waits 30 for the answer."""
OFFER_SECONDS = 23.0
"""Seconds for the target's answer: it takes 18 for its decision and 4 to unwind, and the gateway waits 30."""
FREEZE = 4.0
"""Seconds for a trooper to freeze: it looks into its inbox every half."""
AFTER = 4.0
"""Seconds that whoever asked waits at most for what comes after a decision."""

Standing = Callable[[str, str], tuple[Trooper, Squad]]
"""The running trooper of a service, and its squad. TaskUnknown, ServiceUnknown, Conflict, BusDown."""


class RevoltInDoubt(Indefinite):
    """Nobody here knows yet whether the trooper changed sides; it is held until that is known."""


class Source:
    """Handing over, for one replica. Thread- and greenlet-safe."""

    def __init__(
        self, settings: Settings, bus: Bus, gate: Gate, clock: Clock, registry: Registry,
        ordering: Ordering, target: Target, peers: Peers, standing: Standing,
    ) -> None:  # fmt: skip
        self._settings, self._bus, self._gate, self._clock = settings, bus, gate, clock
        self._registry, self._ordering, self._target = registry, ordering, target
        self._peers, self._standing = peers, standing

    def revolt(self, service: str, task_id: str, peer: str = "") -> Handoff:
        """Hand the trooper over to ``peer`` (the first where none is named); the record, COMMITTED.

        What is left to do then is ``retire``. TaskUnknown, Conflict and DiskRefused: it cannot be done.
        PeerDown and PeerRefused: the other rack did not take it, and it goes on here. RevoltInDoubt.
        """
        ends_at = self._clock.monotonic() + ANSWER_SECONDS
        trooper, squad = self._standing(service, task_id)
        there = self._peer(peer)
        self._may_go(trooper, squad)
        self._registry.check()
        rack = self._peers.hello(there.url)
        if rack == self._settings.label:
            raise Conflict(
                f"the rack at {there.url} is called {rack!r} as this one is, or is this one; give each a "
                "label of its own (DASHBOARD_BOT_LABEL), and see that PEER_DASHBOARD_URL is another's"
            )
        handoff = uuid.uuid4().hex
        if not self._ordering.claim(task_id, handoff):
            raise Conflict(f"{trooper.name} is in a handoff already")
        record = self._prepared(service, trooper, there, rack, handoff)
        return self._committed(record, ends_at)

    def retire(self, record: Handoff) -> Handoff:
        """After COMMITTED: the source task ends, and the service has one less."""
        if record.settled:
            return record
        me, ends_at = record.source_task_id, self._clock.monotonic() + AFTER
        if self._ordering.ended(me):
            heir = self._in_slot(record)
            if heir is not None and self._may_be_awaited(heir):
                return record  # the slot was given up, perhaps, and filled for another handoff: that first
            if heir is not None and not self._taken_for(heir, record.snapshot_id):
                # Its slot has somebody from another handoff by now: rather one too many than one lost.
                return self._registry.settle(record, "its slot has a trooper of another handoff by now")
        gone = self._target.sent_away(record.service, me, f"{record.snapshot_id}:retire", ends_at)
        return self._registry.settle(record) if gone else record

    def undo(self, record: Handoff) -> Handoff:
        """After ABORTED: the trooper goes on in its own task, or in a new one where that died."""
        if record.settled:
            return record
        me, handoff = record.source_task_id, record.snapshot_id
        try:
            if self._ordering.order(me, "thaw", handoff, AFTER) != THAWED:
                return record
        except Gone:
            if record.state is None:
                return self._registry.settle(record)
            heir = self._heir(record)
            if heir is None or not heir.running or not self._ordering.claim(heir.id, handoff):
                return record
            said = self._told_to_take_over(heir, handoff)
            if said is not None:  # one that did not answer yet may still do it: nobody else meanwhile
                self._ordering.release(heir.id, handoff)
            if said != RESTORED:
                return record
        self._ordering.release(me, handoff)
        return self._registry.settle(record)

    def resolve(self, record: Handoff) -> Handoff:
        """Ask the target what became of it, and decide accordingly, where the target can tell."""
        try:
            told = self._peers.ask(record.peer, record.snapshot_id)
        except ClawError as error:
            log.info("handoff still in doubt", handoff=record.snapshot_id, reason=str(error))
            return record
        return self._decided(record, told)

    def _peer(self, name: str) -> Peer:
        peers = self._settings.all_peers
        if not peers:
            raise Conflict("this rack knows no other; start two with ./claw racks, or set PEER_DASHBOARD_URL")
        if not name:
            return peers[0]
        found = next((peer for peer in peers if peer.name == name), None)
        if found is None:
            raise Conflict(f"no peer {name[:40]!r}; there are: {', '.join(p.name for p in peers)}")
        return found

    def _may_go(self, trooper: Trooper, squad: Squad) -> None:
        if trooper.frozen or trooper.defected:
            raise Conflict(f"{trooper.name} is in a handoff already")
        leaving = sum(other.frozen or other.defected for other in squad.replicas)
        if min(squad.desired_replicas, squad.running_count) - leaving < 2:
            raise Conflict(f"{trooper.name} is the last of its service, which would end; scale it up first")

    def _prepared(self, service: str, trooper: Trooper, peer: Peer, rack: str, handoff: str) -> Handoff:
        """Freeze it and write down what it told. Where it does not tell, it is let go again. Conflict."""
        record = Handoff(
            snapshot_id=handoff, side="source", service=service, source_task_id=trooper.id,
            source_rack=self._settings.label, target_rack=rack, peer=peer.url, phase=Phase.PREPARED,
            phases=(), by=self._settings.task_id, slot=trooper.slot,
            before=tuple(task.id for task in self._ordering.tasks(service)),
        )  # fmt: skip
        state: TrooperState | None = None
        try:
            said = self._ordering.order(trooper.id, "freeze", handoff, FREEZE)
        except Gone:
            said = "it ended"
        if said in {FROZEN, "it ended"}:  # what it told before it ended counts
            key = keys.CAPTURE.of(handoff)
            state = self._gate.read(codecs.CAPTURE, key, self._bus.get(key))
        if state is None:
            why = f"{trooper.name} did not freeze ({said or f'no answer in {FREEZE:.0f} s'})"
            self._let_go(self._registry.open(record, Phase.ABORTED), why)
            raise Conflict(f"{why}; it goes on here, unharmed")
        opened = self._registry.open(replace(record, state=state), Phase.PREPARED)
        if opened.phase is not Phase.PREPARED:
            raise Conflict(f"{trooper.name} was let go again meanwhile; try once more")
        return opened

    def _committed(self, record: Handoff, ends_at: float) -> Handoff:
        state = record.state
        assert state is not None  # noqa: S101 - what is prepared has one
        offer = Offer(
            record.snapshot_id, record.service, record.source_task_id, record.source_rack,
            record.target_rack, state,
        )  # fmt: skip
        try:
            seconds = min(OFFER_SECONDS, ends_at - self._clock.monotonic())
            told = self._peers.offer(record.peer, offer, seconds)
        except Definite as error:
            self._let_go(self._registry.decide(record, Phase.ABORTED, str(error)), str(error))
            raise
        except PeerInDoubt as error:
            why = str(error)
            try:
                record = self.resolve(self._registry.decide(record, Phase.IN_DOUBT, why))
            except ClawError as bus:
                raise self._doubt(record, f"{why}; and {bus}") from bus
        else:
            try:
                record = self._decided(record, told)
            except ClawError as error:
                raise self._doubt(record, str(error)) from error
        if record.phase is Phase.ABORTED:
            self._let_go(record, record.reason)
            raise PeerRefused(record.reason or "the other rack did not take it")
        if record.phase is not Phase.COMMITTED:
            raise self._doubt(record, record.reason)
        return record

    def _decided(self, record: Handoff, told: Told) -> Handoff:
        phase = verdict(told.phase)
        if phase is None:
            return record
        if phase is Phase.ABORTED:
            return self._registry.decide(record, phase, record.reason or "the other rack did not take it")
        return self._registry.decide(
            record, phase, target_task_id=told.target_task_id, peer_path=told.path, target_rack=told.rack
        )

    def _let_go(self, record: Handoff, why: str) -> None:
        """Undo as far as that goes at once; the service's manager does the rest."""
        log.warning("handoff undone", handoff=record.snapshot_id, reason=why)
        try:
            self.undo(record)
        except ClawError as error:
            log.warning("undone later", handoff=record.snapshot_id, reason=str(error))

    def _doubt(self, record: Handoff, why: str) -> RevoltInDoubt:
        who = name_of(record.source_task_id)
        return RevoltInDoubt(
            f"nobody knows yet whether {who} changed sides ({why}); it is held until the other rack tells: "
            f"see /api/revolt/{record.snapshot_id}"
        )

    def _in_slot(self, record: Handoff) -> Task | None:
        """Whoever holds the source task's slot now."""
        tasks = self._ordering.tasks(record.service)
        return next((t for t in tasks if t.slot == record.slot and t.id != record.source_task_id), None)

    def _heir(self, record: Handoff) -> Task | None:
        """In whom the trooper of a task that died goes on: a recruit that came since, in its slot if it can.

        Its slot may have been filled for somebody who came here, or given up for somebody who left. Then one
        who came for that one is left over, unless it is awaited still.
        """
        since = [task for task in self._ordering.tasks(record.service) if task.id not in record.before]
        in_slot = next((task for task in since if task.slot == record.slot), None)
        if in_slot is not None and self._is_recruit(in_slot, record):
            return in_slot
        return next((t for t in since if self._is_recruit(t, record) and not self._is_awaited(t)), None)

    def _is_recruit(self, task: Task, record: Handoff) -> bool:
        """Whether it is nobody yet, or is the trooper of this very handoff."""
        beat = self._ordering.beat(task)
        if beat is None:
            return task.slot == record.slot  # it has not said yet who it is
        return beat.frozen == "" and beat.handoff in {"", record.snapshot_id}

    def _is_awaited(self, task: Task) -> bool:
        """Whether a trooper that is still to be taken in may be put into that task."""
        accepted = (r for r in self._registry.unsettled(task.service) if r.phase is Phase.ACCEPTED)
        return any(task.id not in record.before for record in accepted)

    def _may_be_awaited(self, heir: Task) -> bool:
        """Whether a trooper that comes here looks for its new task, and this may be the one, or have been."""
        if heir.running and self._ordering.beat(heir) is None:
            return True  # it has not said yet who it is, or the bus has forgotten it
        return any(
            open_one.side == "target" and not open_one.settled and heir.id not in open_one.before
            for open_one in self._registry.unsettled(heir.service)
            if open_one.phase is not Phase.RESTORED
        )

    def _taken_for(self, heir: Task, handoff: str) -> bool:
        """Claim who fills the slot now; not where it is, or is becoming, another handoff's trooper."""
        if not self._ordering.claim(heir.id, handoff):
            return False
        beat = self._ordering.beat(heir)
        if beat is None or not (beat.frozen or beat.handoff not in {"", handoff}):
            return True
        self._ordering.release(heir.id, handoff)
        return False

    def _told_to_take_over(self, heir: Task, handoff: str) -> str | None:
        """How it said that went; None: nothing yet."""
        try:
            return self._ordering.order(heir.id, "restore", handoff, AFTER)
        except Gone:
            return "it ended"

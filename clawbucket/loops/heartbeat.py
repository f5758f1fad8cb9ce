"""The beat: a trooper publishes its own truth, all of it, every two seconds, and heals the journals.

Because each beat writes everything that is the trooper's own, a bus that was wiped holds it again within
one beat, and a lost publication is repaired by the next. On its first beat a trooper takes over a score
that the bus has of its task id: a program that was started again within the same task goes on with it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any

import structlog

from clawbucket import codecs, keys
from clawbucket.codecs import Gate
from clawbucket.core.agent import Agent
from clawbucket.core.membership import BEAT_EVERY
from clawbucket.core.records import Arm, ArmEvent, Heartbeat
from clawbucket.core.rps import ScoreCard
from clawbucket.journal import Journal
from clawbucket.loops.memory import Memory
from clawbucket.loops.sight import Sight
from clawbucket.ports import Bus, BusRefused, Clock

log = structlog.get_logger(__name__)


class Beating:
    """Publish this trooper; heal what the bus forgot."""

    name = "heartbeat"
    every = BEAT_EVERY

    def __init__(
        self, bus: Bus, gate: Gate, clock: Clock, memory: Memory, sight: Sight,
        arm_events: Journal[ArmEvent], journals: Mapping[str, Journal[Any]], agent: Callable[[], Agent],
    ) -> None:  # fmt: skip
        self._bus, self._gate, self._clock, self._memory, self._sight = bus, gate, clock, memory, sight
        self._arm_events, self._journals = arm_events, journals
        self._agent = agent
        self._seq = itertools.count(1)
        self._adopted = False

    def tick(self, now: float) -> None:  # noqa: ARG002 - a behaviour is given the time
        """Beat once."""
        if not self._adopted:
            self._adopt()
        self._note_interval()
        self._put_override_back()
        self.note_arm()
        memory = self._memory
        mine = {
            keys.HEARTBEAT.of(memory.task_name): (codecs.HEARTBEAT.encode(self._beat()), keys.HEARTBEAT.ttl),
            keys.SCORE.of(memory.task_id): (codecs.SCORE.encode(memory.card.score), keys.SCORE.ttl),
            keys.LAST_SEEN.of(memory.task_id): (
                codecs.LAST_SEEN.encode(memory.card.round),
                keys.LAST_SEEN.ttl,
            ),
        }
        if memory.words is not None:
            mine[keys.WORDS.of(memory.task_id)] = (codecs.WORDS.encode(memory.words), keys.WORDS.ttl)
        self._bus.set_many(mine)
        for name, journal in self._journals.items():
            self._heal(name, journal)

    def _heal(self, name: str, journal: Journal[Any]) -> None:
        try:
            healed = journal.heal()
        except BusRefused as error:
            log.warning("journal cannot be healed", journal=name, reason=str(error))
            return
        if healed:
            log.info("journal healed", journal=name, events=healed)

    def _beat(self) -> Heartbeat:
        memory = self._memory
        return Heartbeat(
            task_id=memory.task_id,
            task_name=memory.task_name,
            service=memory.service,
            slot=memory.slot,
            node=memory.node,
            seq=next(self._seq),
            at=self._clock.iso(),
            started_at=memory.started_at,
            score=memory.card.score,
            round=memory.latest_round,
            move=memory.card.move,
            outcome=memory.card.outcome,
            arm=memory.arm,
            agent=self._agent(),
            frozen=memory.frozen,
            from_rack=memory.from_rack,
            handoff=memory.handoff,
        )

    def _adopt(self) -> None:
        score_key, round_key = keys.SCORE.of(self._memory.task_id), keys.LAST_SEEN.of(self._memory.task_id)
        values = self._bus.get_many([score_key, round_key])
        score = self._gate.read(codecs.SCORE, score_key, values.get(score_key))
        last = self._gate.read(codecs.LAST_SEEN, round_key, values.get(round_key))
        if score is not None and last is not None and last > self._memory.card.round:
            self._memory.card = ScoreCard(score, last)
            log.info("score taken over", score=score, round=last)
        self._adopted = True

    def _note_interval(self) -> None:
        """Remember the interval; put it back where it was lost."""
        key = keys.RPS_INTERVAL.of()
        interval = self._gate.read(codecs.INTERVAL, key, self._bus.get(key))
        if interval is not None:
            self._memory.interval = interval
        elif self._memory.interval is not None:
            self._bus.add(key, codecs.INTERVAL.encode(self._memory.interval), keys.RPS_INTERVAL.ttl)

    def _put_override_back(self) -> None:
        """Put the service's override back where it was lost, for the rest of its time."""
        service = self._memory.service
        lost = self._sight.lost_override(service)
        if lost is None:
            return
        slot, seconds = lost
        if self._bus.add(keys.OVERRIDE.of(service), codecs.OVERRIDE.encode(slot), seconds):
            log.info("override put back", service=service, slot=slot, seconds=seconds)

    def note_arm(self) -> None:
        """Remember the latest order to arm or disarm this trooper; not while it is held for a handoff."""
        if self._memory.frozen:
            return
        mine = [e for e in self._arm_events.read() if e.task_id == self._memory.task_id]
        if not mine:
            return
        latest = max(mine, key=lambda e: (e.seq, e.id))
        if self._memory.arm is None or latest.seq > self._memory.arm.seq:
            self._memory.arm = Arm(latest.state, latest.seq)

"""What a trooper does when it changes racks: it freezes and tells its state, thaws, or takes a state over.

Each is carried out in the trooper's own loop, like everything that changes its memory: between freezing and
telling nothing can be scored. Each can be ordered twice without harm.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import structlog

from clawbucket import codecs, keys
from clawbucket.core.callsign import name_of
from clawbucket.core.model import ArmState
from clawbucket.core.records import Arm, ArmEvent, Order, Words
from clawbucket.core.revolt import MOST_SAID, Handoff, TrooperState
from clawbucket.journal import Journal
from clawbucket.loops.answering import Answering
from clawbucket.loops.memory import Memory
from clawbucket.ports import Bus, Clock

log = structlog.get_logger(__name__)

FROZEN, THAWED, RESTORED = "frozen", "thawed", "restored"
"""How a trooper acknowledges what it did. Anything else is a sentence on why it did not."""


class Handover:
    """One trooper's part in handoffs.

    ``find`` gives this rack's record of a handoff, or None; ``note_arm`` has the trooper look whether it was
    armed; ``beat`` publishes it at once.
    """

    def __init__(
        self, bus: Bus, clock: Clock, memory: Memory, answering: Answering, arm_events: Journal[ArmEvent],
        find: Callable[[str], Handoff | None], note_arm: Callable[[], None], beat: Callable[[], None],
    ) -> None:  # fmt: skip
        self._bus, self._clock, self._memory, self._answering = bus, clock, memory, answering
        self._arm_events, self._find, self._note_arm, self._beat = arm_events, find, note_arm, beat

    def freeze(self, order: Order) -> str:
        """Hold everything as it is, and tell it."""
        memory, handoff = self._memory, order.text
        if memory.frozen not in {"", handoff}:
            return "it is in another handoff already"
        if not memory.frozen:
            self._note_arm()  # who armed it a moment ago armed the one who goes
            memory.frozen = handoff
            log.info("trooper frozen", task_id=memory.task_id, handoff=handoff, score=memory.card.score)
        told = codecs.CAPTURE.encode(self._state())
        self._bus.set(keys.CAPTURE.of(handoff), told, keys.CAPTURE.ttl)
        self._beat()
        return FROZEN

    def thaw(self, order: Order) -> str:
        """Go on as if nothing had been."""
        memory = self._memory
        if memory.frozen == order.text:
            memory.frozen = ""
            log.info("trooper thawed", task_id=memory.task_id, handoff=order.text)
            self._beat()
        return THAWED

    def restore(self, order: Order) -> str:
        """Go on as the trooper whose state the handoff's record has.

        The rounds that this recruit has scored by itself stay: what is handed over is added to them, so
        that the sum over all logs is the sum over all troopers.
        """
        memory = self._memory
        if memory.handoff == order.text:
            return RESTORED
        if memory.handoff or memory.frozen:
            return "it is another trooper already"
        record = self._find(order.text)
        if record is None or record.state is None:
            return "its snapshot is not here"
        state = record.state
        if state.arm is ArmState.ON:
            memory.arm = self._armed(order)
        memory.card = replace(memory.card, score=memory.card.score + state.score)
        if state.words:
            memory.words = Words(state.words, self._clock.iso(), state.words_source)
        memory.handoff = order.text
        memory.from_rack = record.source_rack if record.side == "target" else memory.from_rack
        self._answering.remember(state.conversation)
        log.info(
            "trooper restored",
            task_id=memory.task_id,
            handoff=order.text,
            score=memory.card.score,
            base=state.score,
        )
        self._beat()
        return RESTORED

    def _state(self) -> TrooperState:
        memory, words = self._memory, self._memory.words
        return TrooperState(
            score=memory.card.score,
            words=words.text if words else "",
            words_source=words.source if words else "",
            arm=memory.arm.state if memory.arm else ArmState.OFF,
            conversation=self._answering.conversation[-MOST_SAID:],
        )

    def _armed(self, order: Order) -> Arm:
        """The event by which the rack hears that it is armed; the same one however often it is told."""
        who, at = self._memory.task_id, self._clock.iso()
        event = self._arm_events.append(
            lambda seq: ArmEvent(f"{order.id}-arm", seq, who, name_of(who), ArmState.ON, at, "revolt")
        )
        return Arm(event.state, event.seq)

"""Puts one trooper together: its memory, its journals, its behaviours, and the runner that ticks them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from clawbucket import codecs
from clawbucket.codecs import Gate
from clawbucket.core.records import Ack, ArmEvent, ChatMessage, Order
from clawbucket.journal import Journal
from clawbucket.loops.haiku import Composing
from clawbucket.loops.heartbeat import Beating
from clawbucket.loops.leadership import Leadership
from clawbucket.loops.memory import Memory
from clawbucket.loops.orders import Obeying
from clawbucket.loops.runner import Behaviour, LoopRunner
from clawbucket.loops.scoring import Scoring
from clawbucket.loops.sight import Sight
from clawbucket.loops.throwing import Throwing
from clawbucket.loops.words import Speaking
from clawbucket.ports import Bus, Clock
from clawbucket.settings import Settings


@dataclass(frozen=True, slots=True)
class Journals:
    """The lists that every process of a rack shares; one set a process, so that its memory of them is one."""

    chat: Journal[ChatMessage]
    arm_events: Journal[ArmEvent]

    @classmethod
    def on(cls, bus: Bus, gate: Gate, clock: Clock) -> Journals:
        """The journals on that bus."""
        return cls(
            chat=Journal(bus, gate, clock, codecs.CHAT),
            arm_events=Journal(bus, gate, clock, codecs.ARM_EVENTS),
        )


def inbox(bus: Bus, gate: Gate, clock: Clock, task_id: str) -> Journal[Order]:
    """The orders for one task."""
    return Journal[Order](bus, gate, clock, codecs.ORDERS, task_id)


@dataclass(frozen=True, slots=True)
class TrooperLoops:
    """A trooper's running parts, for whoever starts, stops or watches it."""

    runner: LoopRunner
    memory: Memory
    leadership: Leadership


def build(
    bus: Bus,
    gate: Gate,
    clock: Clock,
    settings: Settings,
    rng: Random,
    journals: Journals,
    on_self_destruct: Callable[[], None],
    also: Sequence[Behaviour] = (),
) -> TrooperLoops:
    """The behaviours of the trooper that ``settings`` describe, and ``also`` others; not yet started."""
    memory = Memory(
        task_id=settings.task_id,
        task_name=settings.task_name,
        service=settings.service_name,
        slot=settings.task_slot,
        node=settings.swarm_node,
        started_at=clock.iso(),
    )
    sight = Sight(bus, gate)
    throwing = Throwing(bus, gate, clock, memory, sight, rng)
    composing = Composing(bus, gate, clock, rng)
    primary = settings.service_name == settings.primary
    stamps = (throwing.stamp, composing.stamp) if primary else ()
    leadership = Leadership(bus, gate, clock, sight, settings.service_name, settings.task_id, stamps)
    acks = Journal[Ack](bus, gate, clock, codecs.ACKS, settings.task_id)
    behaviours: list[Behaviour] = [
        leadership,
        Scoring(bus, gate, memory, settings.primary, rng),
        Beating(
            bus, gate, clock, memory, journals.arm_events,
            {"chat": journals.chat, "arm": journals.arm_events},
        ),
        Speaking(bus, clock, memory, rng),
        Obeying(clock, inbox(bus, gate, clock, settings.task_id), acks, on_self_destruct),
    ]  # fmt: skip
    if primary:
        throwing.leadership = composing.leadership = leadership
        behaviours += [throwing, composing]
    runner = LoopRunner([*behaviours, *also], clock, on_stop=[leadership.release])
    return TrooperLoops(runner, memory, leadership)

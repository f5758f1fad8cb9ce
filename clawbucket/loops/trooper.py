"""Puts one trooper together: its memory, its journals, its behaviours, and the runner that ticks them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random

from clawbucket import codecs
from clawbucket.board import BoardReader
from clawbucket.codecs import Gate
from clawbucket.core.events import RackEvent
from clawbucket.core.records import Ack, Answer, ArmEvent, ChatMessage, Order
from clawbucket.core.revolt import Handoff, RevoltEvent
from clawbucket.journal import Journal
from clawbucket.loops.answering import Answering
from clawbucket.loops.chronicle import Chronicle
from clawbucket.loops.haiku import Composing
from clawbucket.loops.handover import Handover
from clawbucket.loops.heartbeat import Beating
from clawbucket.loops.leadership import Change, Leadership
from clawbucket.loops.memory import Memory
from clawbucket.loops.mind import Mind
from clawbucket.loops.orders import Obeying
from clawbucket.loops.outlook import Outlook
from clawbucket.loops.runner import Behaviour, LoopRunner
from clawbucket.loops.scoring import Scoring
from clawbucket.loops.sight import Sight
from clawbucket.loops.thinker import Thinker
from clawbucket.loops.throwing import Throwing
from clawbucket.loops.witness import Witness
from clawbucket.loops.words import Speaking
from clawbucket.ports import AgentRuntime, Bus, Clock
from clawbucket.settings import Settings


@dataclass(frozen=True, slots=True)
class Journals:
    """The lists that every process of a rack shares; one set a process, so that its memory of them is one."""

    chat: Journal[ChatMessage]
    arm_events: Journal[ArmEvent]
    revolts: Journal[RevoltEvent]
    events: Journal[RackEvent]

    @classmethod
    def on(cls, bus: Bus, gate: Gate, clock: Clock) -> Journals:
        """The journals on that bus."""
        return cls(
            chat=Journal(bus, gate, clock, codecs.CHAT),
            arm_events=Journal(bus, gate, clock, codecs.ARM_EVENTS),
            revolts=Journal(bus, gate, clock, codecs.REVOLT_EVENTS),
            events=Journal(bus, gate, clock, codecs.EVENTS),
        )


def inbox(bus: Bus, gate: Gate, clock: Clock, task_id: str) -> Journal[Order]:
    """The orders for one task."""
    return Journal[Order](bus, gate, clock, codecs.ORDERS, task_id)


def acks(bus: Bus, gate: Gate, clock: Clock, task_id: str) -> Journal[Ack]:
    """What one task did with its orders."""
    return Journal[Ack](bus, gate, clock, codecs.ACKS, task_id)


def answers(bus: Bus, gate: Gate, clock: Clock, task_id: str) -> Journal[Answer]:
    """What one task answered to what it was asked."""
    return Journal[Answer](bus, gate, clock, codecs.ANSWERS, task_id)


@dataclass(frozen=True, slots=True)
class TrooperLoops:
    """A trooper's running parts, for whoever starts, stops or watches it."""

    runner: LoopRunner
    memory: Memory
    leadership: Leadership
    mind: Mind
    thinker: Thinker

    def start(self) -> None:
        """Act and think from now on."""
        self.runner.start()
        self.mind.start()

    def stop(self, timeout: float) -> None:
        """Begin nothing more, and release what is led; ``timeout`` seconds for that."""
        self.mind.stop()
        self.runner.stop(timeout)


def build(
    bus: Bus,
    gate: Gate,
    clock: Clock,
    settings: Settings,
    rng: Random,
    journals: Journals,
    board: BoardReader,
    on_self_destruct: Callable[[], None],
    runtime: AgentRuntime | None = None,
    also: Sequence[Behaviour] = (),
    handoff: Callable[[str], Handoff | None] = lambda _id: None,
    sight: Sight | None = None,
) -> TrooperLoops:
    """The behaviours of the trooper that ``settings`` describe, and ``also`` others; not yet started.

    ``runtime`` is its agent, None where it has none. ``handoff`` finds this rack's record of a handoff.
    ``sight`` is what several troopers of one process see together; None: it looks for itself.
    """
    memory = Memory(
        task_id=settings.task_id,
        task_name=settings.task_name,
        service=settings.service_name,
        slot=settings.task_slot,
        node=settings.swarm_node,
        started_at=clock.iso(),
    )
    sight, mind = sight or Sight(bus, gate, clock), Mind()
    thinker = Thinker(runtime, clock, rng, Outlook(board, memory))
    leadership = Leadership(bus, gate, clock, sight, settings.service_name, settings.task_id)
    chronicle = Chronicle(clock, journals.events)
    leadership.note = _reigns(chronicle, settings)
    answering = Answering(
        bus, clock, memory, mind, thinker, runtime,
        answers(bus, gate, clock, settings.task_id), journals.chat, settings.hostname,
    )  # fmt: skip
    hands: dict[str, Callable[[Order], None]] = {
        "self_destruct": lambda _order: on_self_destruct(),
        "ask": answering.take,
    }
    beating = Beating(
        bus, gate, clock, memory, sight, journals.arm_events,
        {
            "chat": journals.chat, "arm": journals.arm_events, "revolt": journals.revolts,
            "events": journals.events,
        },
        lambda: replace(thinker.agent, busy=mind.busy),
    )  # fmt: skip
    handover = Handover(
        bus, clock, memory, answering, journals.arm_events, handoff, beating.note_arm,
        lambda: beating.tick(clock.monotonic()),
    )  # fmt: skip
    told = {"freeze": handover.freeze, "thaw": handover.thaw, "restore": handover.restore}
    behaviours: list[Behaviour] = [
        leadership,
        Scoring(bus, gate, memory, settings.primary, rng),
        beating,
        Speaking(bus, clock, memory, rng, mind, thinker),
        Obeying(
            clock, inbox(bus, gate, clock, settings.task_id), acks(bus, gate, clock, settings.task_id), hands,
            told,
        ),
        answering,
        Witness(sight, leadership, chronicle, settings.service_name),
        chronicle,
    ]  # fmt: skip
    if settings.service_name == settings.primary:
        throwing = Throwing(bus, gate, clock, memory, sight, rng, leadership)
        composing = Composing(bus, gate, clock, rng, leadership, mind, thinker)
        leadership.stamps = (throwing.stamp, composing.stamp)
        behaviours += [throwing, composing]
    runner = LoopRunner([*behaviours, *also], clock, on_stop=[leadership.release, chronicle.flush])
    return TrooperLoops(runner, memory, leadership, mind, thinker)


def _reigns(chronicle: Chronicle, settings: Settings) -> Callable[[Change, int, float], None]:
    """Notes each beginning and end of a reign, by an id that is made of the reign's own names."""
    service, me = settings.service_name, settings.task_id

    def note(change: Change, epoch: int, ago: float) -> None:
        chronicle.note(change, f"{change}-{epoch}-{me}", service, me, epoch, ago=ago)

    return note

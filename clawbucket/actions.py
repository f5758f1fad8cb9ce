"""What people ask of the swarm, as one function each: checked, carried out, and told in plain words.

Nothing here knows HTTP. A failure is one of clawbucket.ports' errors, whose text is for the person who
asked.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace

import structlog

from clawbucket import codecs, keys
from clawbucket.asking import Asking, PassedOn
from clawbucket.board import BoardReader
from clawbucket.codecs import Gate
from clawbucket.core import rps
from clawbucket.core.board import Board, Squad, Trooper
from clawbucket.core.callsign import name_of
from clawbucket.core.election import NO_SLOT, preference
from clawbucket.core.events import EventKind, RackEvent
from clawbucket.core.model import ArmState, TaskState
from clawbucket.core.records import LONGEST_CHAT, ArmEvent, ChatMessage, Order
from clawbucket.loops.trooper import Journals, inbox
from clawbucket.ports import (
    Bus,
    BusDown,
    ClawError,
    Clock,
    Conflict,
    Definite,
    Indefinite,
    Orders,
    ServiceUnknown,
    TaskElsewhere,
    TaskUnknown,
)
from clawbucket.settings import Settings

log = structlog.get_logger(__name__)

OVERRIDE_TTL = keys.OVERRIDE.ttl
IN_DOUBT = "in_doubt"
"""What an event says of an act of which nobody knows whether it was carried out."""


class Actions:
    """The acts, for one replica. ``end_own`` ends its own task, as a crash would, soon after it returns."""

    def __init__(
        self, bus: Bus, gate: Gate, clock: Clock, settings: Settings, rack: Orders, board: BoardReader,
        journals: Journals, end_own: Callable[[], None] | None = None,
    ) -> None:  # fmt: skip
        self._bus, self._gate, self._clock, self._settings = bus, gate, clock, settings
        self._rack, self._board, self._journals, self._end_own = rack, board, journals, end_own
        self.asking = Asking(bus, gate, clock, board)

    def say(self, text: str, sender: str) -> tuple[ChatMessage, PassedOn | None]:
        """Put a message into the chat; the first 280 characters are kept.

        One that begins with ``@`` and a callsign, or ``@all``, is also said to those troopers, who answer in
        the chat; what comes with the message says whom it reached, or why nobody.
        """
        mention = self.asking.mention_in(text.strip()[:LONGEST_CHAT])
        message_id, at = uuid.uuid4().hex, self._clock.iso()
        kept = text.strip()[:LONGEST_CHAT]
        host = self._settings.hostname[:255]
        message = self._journals.chat.append(lambda seq: ChatMessage(message_id, seq, sender, host, kept, at))
        self._board.invalidate()
        if mention is None:
            return message, None
        return message, PassedOn(self.asking.pass_on(mention), mention.problem)

    def arm(self, task_id: str, bot: str | None, state: ArmState) -> ArmEvent:
        """Arm or disarm a trooper; the event says so from now on."""
        event_id, at = uuid.uuid4().hex, self._clock.iso()
        name = bot or name_of(task_id)
        event = self._journals.arm_events.append(
            lambda seq: ArmEvent(event_id, seq, task_id, name, state, at, source="dashboard")
        )
        self._board.invalidate()
        return event

    def set_interval(self, seconds: int) -> int:
        """Seconds between two rounds from now on: the nearest allowed to what was asked."""
        interval = rps.clamped_interval(seconds)
        with self._recorded("interval", before=self._interval(), after=interval):
            self._bus.set(keys.RPS_INTERVAL.of(), codecs.INTERVAL.encode(interval), keys.RPS_INTERVAL.ttl)
        self._board.invalidate()
        return interval

    def scale(self, service: str, replicas: int) -> None:
        """Make ``replicas`` the desired count of the service (full name)."""
        with self._recorded("scale", service, before=self._desired(service), after=replicas):
            self._rack.scale(service, replicas)
        self._board.invalidate()

    def outage(self, service: str, task_id: str) -> int:
        """Kill the service's manager and prefer the next candidate's slot for 300 s; that slot.

        TaskUnknown; Conflict when the task is not the manager or nobody else could take over.
        """
        trooper, _ = self.standing(service, task_id)
        if not trooper.is_manager:
            raise Conflict(f"task {task_id} does not manage {service}; an outage is for its manager")
        snapshot = self._board.snapshot
        heirs = [t for t in preference(snapshot, service, None) if t.id != task_id] if snapshot else []
        if not heirs:
            raise Conflict(f"{service} has no other running replica that could take over; scale it up first")
        heir = heirs[0]
        override = keys.OVERRIDE.of(service)
        self._bus.set(override, codecs.OVERRIDE.encode(heir.slot), OVERRIDE_TTL)
        try:
            with self._recorded("outage", service, task_id):
                self._end(task_id)
        except Definite:
            # Not deleted: a trooper would take that for a loss, and put the override back.
            with contextlib.suppress(ClawError):
                self._bus.set(override, codecs.OVERRIDE.encode(NO_SLOT), OVERRIDE_TTL)
            raise
        return heir.slot

    def self_destruct(self, service: str, task_id: str) -> None:
        """Kill one task. TaskUnknown; Conflict when it is on its way out already."""
        self.standing(service, task_id)
        with self._recorded("self_destruct", service, task_id):
            self._end(task_id)

    def standing(self, service: str, task_id: str) -> tuple[Trooper, Squad]:
        """The running trooper, and its squad. ServiceUnknown, TaskUnknown, Conflict, BusDown."""
        board = self._board.board(max_age=0.0)
        if board.stale_seconds is not None:
            raise BusDown(f"the bus does not answer (for {board.stale_seconds:.0f} s); try again shortly")
        squad, snapshot = board.squad(service), self._board.snapshot
        if squad is None or squad.error is not None or snapshot is None:
            raise ServiceUnknown(squad.error if squad and squad.error else f"no service {service} runs here")
        trooper = next((t for t in squad.replicas if t.id == task_id), None)
        if trooper is None:
            dying = snapshot.task(task_id)
            if dying is not None and dying.service == service:
                raise Conflict(f"task {task_id} is on its way out already")
            raise TaskUnknown(f"no task {task_id} of {service} runs here")
        if trooper.state != TaskState.RUNNING:
            raise Conflict(f"task {task_id} is {trooper.state}, not running")
        return trooper, squad

    @contextlib.contextmanager
    def _recorded(
        self, kind: EventKind, service: str = "", task_id: str = "", *,
        before: int | None = None, after: int | None = None,
    ) -> Iterator[None]:  # fmt: skip
        """Puts what is done inside into the journal, once it is done, or as in doubt where it is.

        A journal that cannot be written does not undo what was done: it is logged.
        """
        event = RackEvent(
            uuid.uuid4().hex, 0, self._clock.iso(), kind, service, task_id, before=before, after=after
        )
        try:
            yield
        except Indefinite:
            self._record(replace(event, detail=IN_DOUBT))
            raise
        self._record(event)

    def _record(self, event: RackEvent) -> None:
        try:
            self._journals.events.append(lambda seq: replace(event, seq=seq))
        except ClawError as error:
            log.warning("event lost", kind=event.kind, reason=str(error))
        self._board.invalidate()

    def _desired(self, service: str) -> int | None:
        """How many replicas are wanted now, where that is known."""
        board = self._seen()
        squad = board.squad(service) if board else None
        return squad.desired_replicas if squad is not None and squad.error is None else None

    def _interval(self) -> int | None:
        board = self._seen()
        return board.interval_seconds if board else None

    def _seen(self) -> Board | None:
        """The board, if there is one."""
        try:
            return self._board.board()
        except BusDown:
            return None

    def _end(self, task_id: str) -> None:
        """Kill the task: by the rack manager's hand, or by an order where that does not reach.

        This replica's own task is ended a moment later, so that whoever asked is answered first.
        """
        self._board.invalidate()
        if task_id == self._settings.task_id and self._end_own is not None:
            self._end_own()
            return
        try:
            self._rack.kill(task_id)
        except TaskElsewhere:
            order_id, at = uuid.uuid4().hex, self._clock.iso()
            inbox(self._bus, self._gate, self._clock, task_id).append(
                lambda seq: Order(order_id, seq, "self_destruct", at)
            )
            log.info("order sent", task_id=task_id, order="self_destruct", id=order_id)

"""How somebody talks to a trooper: an order into its inbox, and its answer from where it publishes it.

Whoever is asked may live in any replica on any node; the bus reaches them all. A trooper answers when it
can: who asked waits for a while, and finds the answer in the history after that.
"""

from __future__ import annotations

import threading
import uuid
from dataclasses import dataclass

import structlog

from clawbucket import codecs, keys
from clawbucket.board import BoardReader
from clawbucket.codecs import Gate
from clawbucket.core.agent import Utterance
from clawbucket.core.board import Board
from clawbucket.core.callsign import name_of
from clawbucket.core.mentions import Mention, mention_in
from clawbucket.core.records import Answer, Order
from clawbucket.loops.trooper import answers, inbox
from clawbucket.ports import AgentFailed, AgentInDoubt, Bus, BusDown, ClawError, Clock, Conflict, TaskUnknown

log = structlog.get_logger(__name__)

ANSWER_WITHIN = 25.0
"""Seconds that an ask is waited for: the gateway gives up on an answer after 30."""
LONGEST_ASK = 900
"""Characters that a trooper is told: below what the gate takes for plausible (codecs.py)."""
MOST_ASKING = 16
"""People who wait at one replica at once; each looks for its answer some four times a second."""
SOMEBODY = "somebody in the chat"
_LOOK_EVERY = 0.25
_BETWEEN = 2
"""Seconds between the beginnings of two answers to ``@all``: Ollama thinks for all of them."""


@dataclass(frozen=True, slots=True)
class PassedOn:
    """Whom a chat line reached, as task ids; ``problem`` is why nobody, None where it was for somebody."""

    reached: tuple[str, ...]
    problem: str | None


class Asking:
    """The way to a trooper's agent, for one replica. Thread- and greenlet-safe."""

    def __init__(self, bus: Bus, gate: Gate, clock: Clock, board: BoardReader) -> None:
        self._bus, self._gate, self._clock, self._board = bus, gate, clock, board
        self._places = threading.BoundedSemaphore(MOST_ASKING)
        self._pause = threading.Event()

    def ask(self, task_id: str, text: str, asker: str, within: float = ANSWER_WITHIN) -> Answer:
        """Say something to a trooper and wait for what it answers.

        TaskUnknown; AgentFailed where it cannot answer; Conflict where it ended instead; AgentInDoubt where
        it has not answered yet.
        """
        self._known(task_id)
        if not self._places.acquire(blocking=False):
            raise AgentFailed(
                f"{MOST_ASKING} people wait for an answer at this replica already", code="agent_busy"
            )
        try:
            answer = self._answer_to(self._send(task_id, text, asker), task_id, within)
        finally:
            self._places.release()
        if answer.failed is not None:
            raise AgentFailed(answer.sentence or "the trooper could not answer", code=answer.failed)
        return answer

    def history(self, task_id: str) -> list[Utterance]:
        """The end of what was said with a trooper, oldest first. TaskUnknown."""
        self._known(task_id)
        key = keys.CONVERSATION.of(task_id)
        return self._gate.read(codecs.CONVERSATION, key, self._bus.get(key)) or []

    def mention_in(self, text: str) -> Mention | None:
        """Whom a chat line is for; None when it is for nobody in particular."""
        if not text.startswith("@"):
            return None
        try:
            squads = self._board.board(max_age=0.0).squads
        except BusDown:  # nothing is known of any trooper, and the chat itself will say how the bus is
            squads = ()
        return mention_in(
            text, [(t.id, t.name) for squad in squads for t in squad.replicas if t.state == "running"]
        )

    def pass_on(self, mention: Mention) -> tuple[str, ...]:
        """Say it to them; the task ids of those that it reached."""
        reached = []
        for place, task_id in enumerate(mention.addressees if mention.problem is None else ()):
            try:
                self._send(task_id, mention.text, SOMEBODY, to_chat=True, wait=place * _BETWEEN)
            except ClawError as error:
                log.warning("ask not sent", task_id=task_id, reason=str(error))
            else:
                reached.append(task_id)
        return tuple(reached)

    def _known(self, task_id: str) -> None:
        try:
            self._shown(task_id, self._board.board())
        except (TaskUnknown, Conflict, BusDown):
            # A board may be older than the task's start: nobody is refused by what was true a moment ago.
            self._shown(task_id, self._board.board(max_age=0.0))

    def _shown(self, task_id: str, board: Board) -> None:
        if board.stale_seconds is not None:
            raise BusDown(f"the bus does not answer (for {board.stale_seconds:.0f} s); try again shortly")
        trooper = next((t for squad in board.squads for t in squad.replicas if t.id == task_id), None)
        if trooper is None:
            raise TaskUnknown(f"no task {task_id} runs here")
        if trooper.state != "running":
            raise Conflict(f"{trooper.name} is {trooper.state}, not running")

    def _send(self, task_id: str, text: str, asker: str, *, to_chat: bool = False, wait: int = 0) -> str:
        order_id, at = uuid.uuid4().hex, self._clock.iso()
        said = text.strip()[:LONGEST_ASK]
        inbox(self._bus, self._gate, self._clock, task_id).append(
            lambda seq: Order(order_id, seq, "ask", at, said, asker, to_chat, wait)
        )
        log.info("ask sent", task_id=task_id, id=order_id)
        return order_id

    def _answer_to(self, order_id: str, task_id: str, within: float) -> Answer:
        told = answers(self._bus, self._gate, self._clock, task_id)
        ends_at = self._clock.monotonic() + within
        while True:
            found = next((a for a in told.read() if a.id == order_id), None)
            if found is not None:
                return found
            self._board.board()
            snapshot = self._board.snapshot
            if snapshot is not None and task_id in snapshot.ended:
                raise Conflict(f"{name_of(task_id)} ended before it could answer")
            left = ends_at - self._clock.monotonic()
            if left <= 0:
                raise AgentInDoubt(
                    f"{name_of(task_id)} has not answered within {within:.0f} s; its answer, if one comes, "
                    "will be in its history"
                )
            self._pause.wait(min(_LOOK_EVERY, left))

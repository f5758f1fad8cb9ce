"""What others say to a trooper and what it answers: taken from the inbox, thought of elsewhere, told here.

An answer goes under the task's own key, where who asked looks for it by the ask's id, and into the chat
where it was asked there. The end of the conversation is published too, so that any replica can show it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

import structlog

from clawbucket import codecs, keys
from clawbucket.core.agent import PICOCLAW, AgentReply, Utterance
from clawbucket.core.callsign import name_of
from clawbucket.core.facts import without_facts
from clawbucket.core.phrases import SOURCE as FALLBACK
from clawbucket.core.records import LONGEST_CHAT, Answer, ChatMessage, Order
from clawbucket.journal import Journal
from clawbucket.loops.memory import Memory
from clawbucket.loops.mind import Mind, Thought
from clawbucket.loops.thinker import TALK_SESSION, Thinker
from clawbucket.ports import AgentFailed, AgentRuntime, Bus, Clock

log = structlog.get_logger(__name__)

LONGEST_SAID = 900
"""Characters of one utterance on the bus: below what the gate takes for plausible (codecs.py)."""
_TELL_AGAIN = 10.0
"""Seconds between two looks whether the bus still has the conversation."""


@dataclass(frozen=True, slots=True)
class _Said:
    """How an ask went: the reply or the failure, and the conversation as it then stood."""

    reply: AgentReply | None = None
    failure: AgentFailed | None = None
    conversation: tuple[Utterance, ...] = ()


_BUG = _Said(failure=AgentFailed("thinking failed by a bug; the log of this replica has it"))
_AWAY = _Said(
    failure=AgentFailed("this trooper is about to change racks; ask again in a moment", code="agent_busy")
)
_BUSY = _Said(
    failure=AgentFailed("this trooper has enough to think about; ask again in a moment", code="agent_busy")
)


class Answering:
    """Answer what was asked, one after another. ``runtime`` None: there is no agent to answer."""

    name = "answers"
    every = 0.2

    def __init__(
        self, bus: Bus, clock: Clock, memory: Memory, mind: Mind, thinker: Thinker,
        runtime: AgentRuntime | None, answers: Journal[Answer], chat: Journal[ChatMessage], host: str,
    ) -> None:  # fmt: skip
        self._bus, self._clock, self._memory = bus, clock, memory
        self._mind, self._thinker, self._runtime = mind, thinker, runtime
        self._answers, self._chat, self._host = answers, chat, host
        self._waiting: list[tuple[float, Order]] = []
        self._thinking: list[tuple[Order, Thought[_Said]]] = []
        self._untold: deque[tuple[Order, Answer]] = deque()
        self._conversation: tuple[Utterance, ...] = ()
        self._told_at = float("-inf")

    def take(self, order: Order) -> None:
        """Take an ask on. The inbox's cap bounds how many there can be."""
        if self._memory.frozen:
            self._done(order, _AWAY)
            return
        self._waiting.append((self._clock.monotonic() + order.wait, order))

    @property
    def conversation(self) -> tuple[Utterance, ...]:
        """The end of the conversation, as people are shown it."""
        return self._conversation

    def remember(self, conversation: tuple[Utterance, ...]) -> None:
        """Go on from a conversation that was had elsewhere; the agent is told of it when it has time."""
        self._conversation = conversation
        self._told_at = float("-inf")
        runtime = self._runtime
        if runtime is not None and conversation:
            self._mind.submit(lambda: runtime.remember(TALK_SESSION, conversation), asked=True)

    def tick(self, now: float) -> None:
        """Begin what is due, tell what is done. What could not be told is told at a later tick."""
        due = [order for at, order in self._waiting if at <= now]
        self._waiting = [(at, order) for at, order in self._waiting if at > now]
        for order in due:
            thought = self._mind.submit(lambda order=order: self._think(order), asked=True)  # type: ignore[misc]
            if thought is None:
                self._done(order, _BUSY)
            else:
                self._thinking.append((order, thought))
        for order, thought in [(o, t) for o, t in self._thinking if t.done]:
            self._done(order, thought.value or _BUG)
        self._thinking = [(o, t) for o, t in self._thinking if not t.done]
        while self._untold:
            self._tell(*self._untold[0])
            self._untold.popleft()
        if self._conversation and now - self._told_at >= _TELL_AGAIN:
            self._publish(self._bus.add)

    def _think(self, order: Order) -> _Said:
        """In the mind's thread: ask the agent, then look what the conversation has become."""
        try:
            reply = self._thinker.answer(order.asker, order.text)
        except AgentFailed as error:
            return _Said(failure=error)
        try:
            conversation = self._runtime.history(TALK_SESSION) if self._runtime else ()
        except AgentFailed as error:
            log.warning("conversation cannot be read", reason=str(error))
            conversation = ()
        return _Said(reply, conversation=conversation)

    def _done(self, order: Order, said: _Said) -> None:
        if said.conversation:
            self._conversation = tuple(map(_shown, said.conversation[-keys.CONVERSATION.cap :]))
            self._told_at = float("-inf")
        at, reply = self._clock.iso(), said.reply
        if reply is None:
            failure = said.failure or AgentFailed("there is no answer")
            answer = Answer(order.id, 0, at, failed=failure.code, sentence=_cut(str(failure), LONGEST_SAID))
        else:
            answer = Answer(
                order.id, 0, at, text=_cut(reply.text, LONGEST_SAID), session=reply.session,
                model=reply.model, backend=reply.backend, outcome=reply.outcome,
                milliseconds=round(reply.seconds * 1000),
            )  # fmt: skip
        self._untold.append((order, answer))

    def _tell(self, order: Order, answer: Answer) -> None:
        """Each append is looked for by its id first, so telling again tells nothing twice."""
        if order.to_chat:
            text = answer.text or f"I cannot think just now: {answer.sentence}"
            source = FALLBACK if answer.failed else PICOCLAW
            sender = name_of(self._memory.task_id)
            line = ChatMessage(answer.id, 0, sender, self._host, _cut(text, LONGEST_CHAT), answer.at, source)
            self._chat.append(lambda seq: replace(line, seq=seq))
        if self._conversation and answer.failed is None:
            self._publish(self._bus.set)
        self._answers.append(lambda seq: replace(answer, seq=seq))
        log.info("answered", id=order.id, failed=answer.failed, milliseconds=answer.milliseconds)

    def _publish(self, store: Callable[[str, bytes, int], object]) -> None:
        """The end of the conversation that fits its key."""
        key = keys.CONVERSATION
        told = list(self._conversation)
        while len(encoded := codecs.CONVERSATION.encode(told)) > key.max_bytes:
            del told[0]
        store(key.of(self._memory.task_id), encoded, key.ttl)
        self._told_at = self._clock.monotonic()


def _shown(said: Utterance) -> Utterance:
    """As people see it: without the facts that went before what they said."""
    return replace(said, text=_cut(without_facts(said.text), LONGEST_SAID), at=said.at[:40])


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[: limit - 1]}…"

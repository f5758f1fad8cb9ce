"""What a trooper thinks and with what: PicoClaw first, then the model alone, then the phrase book.

Each step is honest: what a step gives is used only when it is what was asked for (three words, three
lines), and its ``source`` says which step it was. Nothing here is called by the loop that renews leases;
clawbucket/loops/mind.py says where it runs.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from random import Random

import structlog

from clawbucket.core import phrases, three_words, verse
from clawbucket.core.agent import OLLAMA, PICOCLAW, Agent, AgentReply, Health, Purpose
from clawbucket.core.facts import said, unmarked
from clawbucket.ports import AgentFailed, AgentRuntime, Clock

log = structlog.get_logger(__name__)

THOUGHT_SECONDS = 25.0
"""Seconds for one thought of its own, the steps together: less than the 30 between two."""
AGENT_SECONDS = 18.0
"""Of these, what the first step may take, so that something is left for the second."""
ANSWER_SECONDS = 60.0
"""Seconds for an answer to somebody. Who asked by HTTP waits less (clawbucket/asking.py) and finds the answer
in the history."""
LONGEST_PROBLEM = 240
"""Characters of a problem that a heartbeat carries."""
WORDS_SESSION, HAIKU_SESSION, TALK_SESSION = "agent:main:words", "agent:main:haiku", "agent:main:talk"
"""Three conversations: what people said is not drowned in three words every half minute."""
BUCKETS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0)
"""Seconds of a turn."""


_UNFIT: dict[Purpose, str] = {
    "words": "the model was asked for three words and answered something else",
    "haiku": "the model was asked for three lines and answered something else",
    "ask": "the model said nothing that could be shown; ask again in other words",
}


@dataclass(slots=True)
class Tally:
    """What was thought, for /metrics. Written by the mind's thread alone.

    ``turns`` by purpose, source and outcome; ``latency`` and ``seconds`` by source.
    """

    turns: dict[tuple[str, str, str], int] = field(default_factory=dict)
    latency: dict[str, list[int]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    tokens: dict[str, int] = field(default_factory=dict)
    thoughts: int = 0
    fallbacks: int = 0

    def count(self, purpose: str, source: str, outcome: str, seconds: float) -> None:
        """A step was taken."""
        key = (purpose, source, outcome)
        self.turns[key] = self.turns.get(key, 0) + 1
        counts = self.latency.setdefault(source, [0] * (len(BUCKETS) + 1))
        counts[bisect_left(BUCKETS, seconds)] += 1
        self.seconds[source] = self.seconds.get(source, 0.0) + seconds

    def spend(self, reply: AgentReply) -> None:
        """Tokens as the server counted them; what it did not count is not guessed."""
        for kind, tokens in (("prompt", reply.prompt_tokens), ("completion", reply.completion_tokens)):
            if tokens is not None:
                self.tokens[kind] = self.tokens.get(kind, 0) + tokens


class Thinker:
    """One trooper's thinking. ``runtime`` None: it has no agent, and the phrase book speaks.

    ``facts`` gives the block about the trooper's world that goes before what is asked.
    """

    def __init__(
        self, runtime: AgentRuntime | None, clock: Clock, rng: Random, facts: Callable[[], str]
    ) -> None:
        self._runtime, self._clock, self._rng, self._facts = runtime, clock, rng, facts
        self.why_none = "this trooper has no agent: PICOCLAW_ENABLED is off, or OLLAMA_URL is empty"
        self.tally = Tally()
        self.agent = Agent("off" if runtime is None else "unknown")

    @property
    def awake(self) -> bool:
        """Whether there is an agent at all."""
        return self._runtime is not None

    def words(self) -> tuple[str, str]:
        """Three words and their source."""
        return self._own(
            "words", WORDS_SESSION, three_words.prompt(self._rng), three_words.three_words_in
        ) or (phrases.three_words(self._rng), phrases.SOURCE)

    def haiku(self) -> tuple[str, str]:
        """A haiku and its source."""
        return self._own("haiku", HAIKU_SESSION, verse.prompt(self._rng), verse.haiku_in) or (
            phrases.haiku(self._rng),
            phrases.SOURCE,
        )

    def answer(self, asker: str, text: str) -> AgentReply:
        """What the trooper says to somebody, out of its own context. AgentFailed."""
        if self._runtime is None:
            raise AgentFailed(self.why_none, "off", "agent_off")
        prompt = f"{self._facts()}\n{said(asker, text)}"
        return self._step(
            "ask",
            PICOCLAW,
            lambda: self._ask(TALK_SESSION, prompt, ANSWER_SECONDS),
            lambda reply: unmarked(reply) or None,
        )

    def _own(
        self, purpose: Purpose, session: str, ask: str, read: Callable[[str], str | None]
    ) -> tuple[str, str] | None:
        """What the first step that gives what is asked for gives, with its source."""
        runtime = self._runtime
        self.tally.thoughts += 1
        if runtime is not None:
            ends_at = self._clock.monotonic() + THOUGHT_SECONDS
            steps: tuple[tuple[str, Callable[[float], AgentReply]], ...] = (
                (PICOCLAW, lambda left: self._ask(session, self._with_facts(ask), min(left, AGENT_SECONDS))),
                (OLLAMA, lambda left: runtime.plain(ask, left)),
            )
            for source, step in steps:
                left = ends_at - self._clock.monotonic()
                if left <= 0:
                    break
                try:
                    reply = self._step(purpose, source, lambda step=step, left=left: step(left), read)  # type: ignore[misc]
                except AgentFailed as error:
                    log.debug("thought failed", purpose=purpose, source=source, reason=str(error))
                    continue
                self.agent = replace(self.agent, source=source)
                return reply.text, source
        self.tally.fallbacks += 1
        self.agent = replace(self.agent, source=phrases.SOURCE)
        return None

    def _with_facts(self, ask: str) -> str:
        return f"{self._facts()}\n{ask}"

    def _ask(self, session: str, prompt: str, seconds: float) -> AgentReply:
        assert self._runtime is not None  # noqa: S101 - whoever calls has looked
        return self._runtime.ask(session, prompt, seconds)

    def _step(
        self,
        purpose: Purpose,
        source: str,
        step: Callable[[], AgentReply],
        read: Callable[[str], str | None],
    ) -> AgentReply:
        """Take one step, note how it went, and give its reply with what ``read`` made of the text."""
        began = self._clock.monotonic()
        try:
            reply = step()
        except AgentFailed as error:
            self._noted(error)
            self.tally.count(purpose, source, error.code, self._clock.monotonic() - began)
            raise
        found = read(reply.text)
        self._noted(None)
        self.tally.spend(reply)
        outcome = reply.outcome if found else "unfit"
        self.tally.count(purpose, source, outcome, self._clock.monotonic() - began)
        if found is None:
            raise AgentFailed(_UNFIT[purpose], code="agent_unfit")
        return replace(reply, text=found)

    def _noted(self, error: AgentFailed | None) -> None:
        runtime = self._runtime
        if runtime is None:
            return
        health: Health = error.health if error else "ok"
        problem = error.brief[:LONGEST_PROBLEM] if error else ""
        now = replace(
            self.agent, health=health, backend=runtime.backend, model=runtime.model, problem=problem
        )
        if now.health != self.agent.health:
            log.info("agent", health=now.health, problem=now.problem)
        self.agent = now

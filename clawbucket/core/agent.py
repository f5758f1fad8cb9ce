"""What a trooper's agent says and how it is, as frozen values; clawbucket/ports.py has the port to it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from clawbucket.core.commands import Commands

Health = Literal["off", "unknown", "ok", "unreachable", "model_missing", "misconfigured", "failing"]
"""``off``: no agent is wanted. ``unknown``: it has not been asked yet. ``unreachable``: the model's server
does not answer. ``model_missing``: it has no such model. ``misconfigured``: the config is no good.
``failing``: the last turn failed otherwise (out of time, busy, an answer that is none)."""
Purpose = Literal["words", "haiku", "ask"]
PICOCLAW, OLLAMA = "picoclaw", "ollama"
"""Sources, beside the phrase book's: the agent with its own context, and its model asked without one."""
PERSON = "person"
"""The source of what somebody typed."""


@dataclass(frozen=True, slots=True)
class AgentReply:
    """One turn's answer. Tokens are None where the model's server did not say."""

    text: str
    session: str
    model: str
    backend: str
    seconds: float
    outcome: str
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Agent:
    """A trooper's agent as its heartbeat tells of it. ``problem`` is one sentence, "" while there is none.

    ``source`` is where the last thought came from; ``busy`` says that it is thinking.
    """

    health: Health
    backend: str = ""
    model: str = ""
    source: str = ""
    busy: bool = False
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Utterance:
    """One line of a conversation with a trooper; ``role`` is ``user`` or ``assistant``."""

    role: Literal["user", "assistant"]
    text: str
    at: str


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a rack's troopers speak from the phrase book: one sentence, and what to type about it."""

    problem: str
    mend: str


def trouble_of(agents: Sequence[Agent], typed: Commands) -> Trouble | None:
    """What keeps the agents from thinking, if it is the same for more of them than think.

    One that fails among many that think is its own matter; all of one rack share a model, and its loss
    shows in each within a thought. ``typed`` are the commands that fit how the rack was deployed.
    """
    counted = Counter(a.health for a in agents if a.health in _OF_ALL)
    if not counted:
        return None
    health, troubled = counted.most_common(1)[0]
    if troubled <= sum(a.health == "ok" for a in agents):
        return None
    agent = next(a for a in agents if a.health == health)
    return Trouble(agent.problem, typed.mend(health, agent.model))


_OF_ALL = frozenset({"unreachable", "model_missing", "misconfigured"})
"""What ails all of a rack's agents alike, since they share one model."""

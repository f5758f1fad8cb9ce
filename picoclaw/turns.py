"""What goes into a turn and what comes out: frozen values that both backends share."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any, Literal

Outcome = Literal["ok", "empty", "tool_limit", "truncated"]
"""How a turn that did not fail ended. ``empty``: the model said nothing; ``tool_limit``: it still wanted
tools when its iterations were used up; ``truncated``: it ran into ``max_tokens``."""
BackendName = Literal["binary", "embedded"]
Role = Literal["system", "user", "assistant", "tool"]

DEFAULT_SESSION = "agent:main:cli"
DEFAULT_SECONDS = 120.0
"""Seconds of one attempt in upstream (``request_timeout``), taken here as the default for a whole turn."""


@dataclass(frozen=True, slots=True)
class TurnRequest:
    """One thing said to the agent.

    ``session`` names the conversation it belongs to; ``model`` is a ``model_name`` of the config, None for
    the default; ``seconds`` is the turn's one deadline: waiting for a free place and for the session,
    every attempt and every tool included. Setting ``cancel`` from another thread ends the turn early.
    """

    text: str
    session: str = DEFAULT_SESSION
    model: str | None = None
    seconds: float = DEFAULT_SECONDS
    channel: str = "cli"
    cancel: threading.Event | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as the model's server counted them; None where it did not say, never 0 for unknown."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class TurnReply:
    """What the agent answered. ``text`` is cleaned (picoclaw/clean.py) and "" when ``outcome`` is empty.

    ``session`` is the key that the turn is stored under; ``seconds`` the whole turn's; ``tool_calls`` how
    many tools were used, None where the backend does not say.
    """

    text: str
    outcome: Outcome
    session: str
    model: str
    backend: BackendName
    seconds: float
    usage: Usage = Usage()
    tool_calls: int | None = None


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool that the model asks for. ``arguments`` are as it gave them, parsed but not checked."""

    id: str
    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation: a line of the session file, or a message to a model.

    ``created_at`` is ISO-8601; ``tool_calls`` are an assistant's, ``tool_call_id`` is a tool result's.
    """

    role: Role
    content: str
    created_at: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """A stored session: its messages that still count, the summary of those that do not, and its times."""

    key: str
    messages: int
    summary: str
    created_at: str
    updated_at: str


@dataclass(frozen=True, slots=True)
class Compaction:
    """What compacting did. ``how`` says whether the model summarised or the oldest turns were dropped."""

    dropped: int
    kept: int
    how: Literal["nothing", "summarised", "dropped"]


@dataclass(frozen=True, slots=True)
class RuntimeStatus:
    """A runtime at one moment. ``problem`` is one sentence when the model's server cannot be used."""

    backend: BackendName
    version: str
    model: str
    api_base: str
    home: str
    workspace: str
    config: str
    tools: bool
    in_flight: int
    waiting: int
    most_at_once: int
    problem: str | None = None

"""The port to a language model: one call with a whole conversation, one answer. Adapters are beside it.

``ollama_model.py`` speaks Ollama's own API, ``openai_model.py`` any server with ``/chat/completions``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from picoclaw.deadline import Deadline
from picoclaw.turns import Message, ToolCall, Usage

Finish = Literal["stop", "length", "tool_calls"]
"""Why the model stopped: it was done, it ran into ``max_tokens``, or it wants tools."""


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool as a model is told of it; ``parameters`` is a JSON schema of an object."""

    name: str
    description: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ModelCall:
    """A conversation to continue. ``context_window`` and ``max_tokens`` are tokens."""

    messages: tuple[Message, ...]
    tools: tuple[ToolSpec, ...]
    max_tokens: int
    context_window: int
    temperature: float


@dataclass(frozen=True, slots=True)
class ModelAnswer:
    """How the model continued it. ``text`` is raw: as the server sent it, bounded in size."""

    text: str
    tool_calls: tuple[ToolCall, ...]
    finish: Finish
    usage: Usage


class ToolsRefused(Exception):  # noqa: N818 - not a failed turn: it is asked again without tools
    """The model's server says that this model takes no tools."""


class ChatModel(Protocol):
    """A model behind a server. Thread-safe. Nothing connects before the first call."""

    @property
    def name(self) -> str:
        """The model as its server knows it ("smollm2:135m")."""
        ...

    @property
    def api_base(self) -> str:
        """The server's address, for status and error texts."""
        ...

    def chat(self, call: ModelCall, deadline: Deadline) -> ModelAnswer:
        """One attempt, no retries.

        BackendUnreachable (``retryable`` says whether another attempt makes sense: connection failures,
        408, 429, 5xx and a cut answer do, other refusals do not), ModelNotFound, ContextOverflow,
        TurnTimeout when the deadline passes, ToolsRefused.
        """
        ...

    def probe(self, deadline: Deadline) -> None:
        """Return when the server answers and has the model; else BackendUnreachable or ModelNotFound."""
        ...

    def close(self) -> None:
        """Let go of the connections."""
        ...

"""How the tests of the model adapters speak to a model: an entry, a call, a fake Ollama behind it."""

from __future__ import annotations

from typing import Any

import pytest

from picoclaw.config import ModelEntry
from picoclaw.deadline import Deadline
from picoclaw.model import ChatModel, ModelAnswer, ModelCall, ToolSpec
from picoclaw.models import model_of
from picoclaw.turns import Message
from tests.fake_ollama_process import FakeOllama

READ = ToolSpec(
    "read_file",
    "Reads a file.",
    {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]},
)
ASKED = (READ,)
BOTH = pytest.mark.parametrize("provider", ["ollama", "openai"])


def entry(base: str, provider: str, **more: Any) -> ModelEntry:
    """An entry of ``model_list``."""
    told: dict[str, Any] = {
        "model_name": "m", "provider": provider, "model": "smollm2:135m", "api_base": base, "api_keys": (),
        "request_timeout": 30.0, "rpm": 0, "extra_body": {}, "enabled": True,
    }  # fmt: skip
    return ModelEntry(**{**told, **more})


class Talk:
    """Models of one provider, closed at the end."""

    def __init__(self, server: FakeOllama, provider: str) -> None:
        self.server, self.provider = server, provider
        self.path = "/api/chat" if provider == "ollama" else "/v1/chat/completions"
        self._made: list[ChatModel] = []

    def model(self, base: str | None = None, **more: Any) -> ChatModel:
        """A model, with these fields of its entry changed."""
        self._made.append(model_of(entry(base or self.server.base, self.provider, **more)))
        return self._made[-1]

    def ask(
        self, text: str = "hello", tools: tuple[ToolSpec, ...] = (), seconds: float = 10.0, **more: Any
    ) -> ModelAnswer:
        """The answer of a fresh model."""
        return self.model(**more).chat(call(Message("user", text), tools=tools), Deadline(seconds))

    def close(self) -> None:
        """Close all."""
        for model in self._made:
            model.close()


def call(*messages: Message, tools: tuple[ToolSpec, ...] = ()) -> ModelCall:
    """A conversation to continue."""
    return ModelCall(messages, tools, max_tokens=99, context_window=2_048, temperature=0.5)

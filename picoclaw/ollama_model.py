"""A model at Ollama, by its own API: unlike its /v1 it can be told the context window (``num_ctx``).

Streamed, though nobody reads along: Ollama stops working for a caller that has gone, and only a stream
lets it notice at once. ``keep_alive`` stays Ollama's own unless ``extra_body`` says otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, suppress
from typing import Any

import ollama

from picoclaw.config import ModelEntry
from picoclaw.deadline import Deadline
from picoclaw.errors import BackendUnreachable, ConfigInvalid, PicoClawError
from picoclaw.model import Finish, ModelAnswer, ModelCall, ToolsRefused
from picoclaw.ollama_server import client_of, full_name, ollama_base, translated
from picoclaw.refusals import Server
from picoclaw.text_tools import MOST_CALLS, call_of, calls_in, offered
from picoclaw.turns import Message, ToolCall, Usage
from picoclaw.wire import within

LONGEST_TEXT = 1024 * 1024
"""Characters of an answer. A model that says more is in a loop, and no max_tokens holds it."""
_LONGEST_STREAM = 16 * 1024 * 1024
_DRAIN_SECONDS = 0.2
_NAMED = ("think", "format", "keep_alive")
"""What ``extra_body`` may say beside options: fields of Ollama's request."""


class OllamaModel:
    """See ``ChatModel``. ``extra_body``: think, format, keep_alive; all else is an option of Ollama's."""

    def __init__(self, entry: ModelEntry) -> None:
        base = ollama_base(entry.api_base)
        self._server = Server(entry.model, base, is_ollama=True)
        self._seconds = entry.request_timeout
        extra = dict(entry.extra_body)
        self._named = {key: extra.pop(key) for key in _NAMED if key in extra}
        options = extra.pop("options", None)
        self._options = {**extra, **(options if isinstance(options, Mapping) else {})}
        self._client = client_of(base, _LONGEST_STREAM, next(iter(entry.api_keys), None))

    @property
    def name(self) -> str:
        """The model as Ollama knows it."""
        return self._server.name

    @property
    def api_base(self) -> str:
        """Ollama's address, without /v1."""
        return self._server.base

    def chat(self, call: ModelCall, deadline: Deadline) -> ModelAnswer:
        """One attempt. See ``ChatModel``."""
        options = {
            "num_ctx": call.context_window,
            "num_predict": call.max_tokens,
            "temperature": call.temperature,
            **self._options,
        }
        with within(deadline, self.api_base, self._seconds):
            parts = self._parts(call, options)
            with closing(parts):
                texts, calls, last = self._read(parts)
                self._drain(parts, deadline)
        names = {tool.name for tool in call.tools}
        text, calls = "".join(texts), calls if names else []
        if not calls:
            text, found = calls_in(text, names)
            calls = list(found)
        finish: Finish = "tool_calls" if calls else "length" if last.done_reason == "length" else "stop"
        usage = Usage(last.prompt_eval_count, last.eval_count)
        return ModelAnswer(text, tuple(calls[:MOST_CALLS]), finish, usage)

    def probe(self, deadline: Deadline) -> None:
        """Whether Ollama is there and has the model. See ``ChatModel``."""
        with within(deadline, self.api_base, self._seconds), translated(self._server):
            names = {full_name(m.model) for m in self._client.list().models if m.model}
        if full_name(self.name) not in names:
            raise self._server.missing()

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()  # type: ignore[no-untyped-call]

    def _parts(self, call: ModelCall, options: dict[str, Any]) -> Any:
        """The stream, not begun. ConfigInvalid when the library finds the request itself wrong."""
        try:
            return self._client.chat(
                model=self.name,
                messages=_told(call.messages),
                tools=offered(call.tools),
                stream=True,
                options=options,
                **self._named,
            )
        except ValueError as error:
            wrong = " ".join(str(error).split("\n")[1:3])
            raise ConfigInvalid(f'the model "{self.name}" cannot be asked like this: {wrong}') from error

    def _read(
        self, parts: Iterator[ollama.ChatResponse]
    ) -> tuple[list[str], list[ToolCall], ollama.ChatResponse]:
        """Everything up to the part that says that it is done, and that part."""
        texts: list[str] = []
        calls: list[ToolCall] = []
        length = 0
        while True:
            part = self._next(parts, begun=bool(length or calls))
            text = part.message.content or ""
            length += len(text)
            if length > LONGEST_TEXT:
                raise BackendUnreachable(
                    f"{self.name} at {self.api_base} said more than {LONGEST_TEXT} characters; "
                    "lower max_tokens",
                    retryable=False,
                )
            texts.append(text)
            for asked in part.message.tool_calls or ():
                if len(calls) < MOST_CALLS:
                    calls.append(call_of(asked.function.name, asked.function.arguments))
            if part.done:
                return texts, calls, part

    def _next(self, parts: Iterator[ollama.ChatResponse], *, begun: bool) -> ollama.ChatResponse:
        try:
            with translated(self._server):
                part = next(parts, None)
        except BackendUnreachable as error:
            if begun and isinstance(error.__cause__, ValueError):
                raise self._server.cut() from error  # half a line: it went away while writing it
            raise
        if part is None:
            raise self._server.cut()
        return part

    def _drain(self, parts: Iterator[ollama.ChatResponse], deadline: Deadline) -> None:
        """Read the end that follows "done", so that the connection is used again; without waiting for it."""
        brief = Deadline(min(_DRAIN_SECONDS, deadline.remaining()))
        with within(brief, self.api_base), suppress(PicoClawError, ToolsRefused), translated(self._server):
            next(parts, None)


def _told(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """The messages as Ollama takes them: a tool's result names the tool, not the call."""
    names = {call.id: call.name for message in messages for call in message.tool_calls}
    told: list[dict[str, Any]] = []
    for message in messages:
        one: dict[str, Any] = {"role": message.role, "content": message.content}
        if message.tool_calls:
            one["tool_calls"] = [
                {"function": {"name": call.name, "arguments": call.arguments}} for call in message.tool_calls
            ]
        if message.role == "tool":
            one["tool_name"] = names.get(message.tool_call_id or "", "")
        told.append(one)
    return told

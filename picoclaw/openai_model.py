"""A model at any server with ``/chat/completions``, the form that OpenAI gave. Not streamed, as upstream."""

from __future__ import annotations

import json
from typing import Any

import httpx

from picoclaw.config import ModelEntry
from picoclaw.deadline import Deadline
from picoclaw.errors import ConfigInvalid, PicoClawError
from picoclaw.model import Finish, ModelAnswer, ModelCall, ToolsRefused
from picoclaw.refusals import Server, words_of
from picoclaw.text_tools import MOST_CALLS, call_of, calls_in, offered
from picoclaw.turns import Message, ToolCall, Usage
from picoclaw.wire import Bearer, Transport, shown, within

LONGEST_ANSWER = 1024 * 1024
"""Bytes of a whole answer."""
_KEY_FAULTS = {401, 403, 429}
"""Refusals that concern the key: another of ``api_keys`` may be taken."""


class OpenAIModel:
    """See ``ChatModel``.

    ``api_keys`` are tried in order within one attempt, each at most once, after 401, 403 and 429; the one
    that was taken is used first next time. ``extra_body`` is merged over the request's own fields, except
    ``stream``.
    """

    def __init__(self, entry: ModelEntry) -> None:
        base = entry.api_base.strip().rstrip("/")
        if not base.startswith(("http://", "https://")) or not httpx.URL(base).host:
            raise ConfigInvalid(
                f'the model "{entry.model_name}" has the api_base {shown(base)!r}; '
                "give an address such as http://localhost:8080/v1"
            )
        self._server = Server(entry.model, shown(base), is_ollama=False)
        self._base, self._seconds = base, entry.request_timeout
        self._keys: tuple[str | None, ...] = entry.api_keys or (None,)
        self._first = 0
        self._extra = {key: value for key, value in entry.extra_body.items() if key != "stream"}
        self._client = httpx.Client(
            transport=Transport(base, LONGEST_ANSWER), trust_env=False, follow_redirects=False
        )

    @property
    def name(self) -> str:
        """The model as the server knows it."""
        return self._server.name

    @property
    def api_base(self) -> str:
        """The server's address."""
        return self._server.base

    def chat(self, call: ModelCall, deadline: Deadline) -> ModelAnswer:
        """One attempt. See ``ChatModel``."""
        body: dict[str, Any] = {
            "model": self.name,
            "messages": [_told(message) for message in call.messages],
            "max_tokens": call.max_tokens,
            "temperature": call.temperature,
        }
        if call.tools:
            body["tools"] = offered(call.tools)
        answer = self._asked("POST", "/chat/completions", deadline, {**body, **self._extra})
        if answer.status_code != 200:
            raise self._refused(answer)
        return self._read(self._json(answer), {tool.name for tool in call.tools})

    def probe(self, deadline: Deadline) -> None:
        """Whether the server is there and, where it tells its models, has this one. See ``ChatModel``."""
        answer = self._asked("GET", "/models", deadline)
        if answer.status_code in {404, 405, 501}:
            return  # it is there; not every such server tells what it has
        if answer.status_code != 200:
            raise self._refused(answer)
        listed = self._json(answer).get("data")
        names = (
            {one.get("id") for one in listed if isinstance(one, dict)} if isinstance(listed, list) else set()
        )
        if names and not names & {self.name, f"{self.name}:latest"}:
            raise self._server.missing()

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()

    def _asked(self, method: str, path: str, deadline: Deadline, body: Any = None) -> httpx.Response:
        """The answer, with the first key that is taken; with the last one's refusal otherwise."""
        first, count = self._first, len(self._keys)
        with within(deadline, self.api_base, self._seconds):
            for number in range(first, first + count):
                try:
                    answer = self._client.request(
                        method, self._base + path, json=body, auth=Bearer(self._keys[number % count])
                    )
                except (httpx.HTTPError, httpx.InvalidURL) as error:
                    raise self._server.unreachable(error) from error
                if answer.status_code not in _KEY_FAULTS:
                    self._first = number % count
                    return answer
        return answer

    def _refused(self, answer: httpx.Response) -> PicoClawError | ToolsRefused:
        return self._server.refused(answer.status_code, words_of(answer.text))

    def _json(self, answer: httpx.Response) -> dict[str, Any]:
        try:
            value = json.loads(answer.content)
        except (ValueError, RecursionError) as error:
            raise self._server.garbled(str(error)) from error
        if not isinstance(value, dict):
            raise self._server.garbled("its answer is no JSON object")
        return value

    def _read(self, body: dict[str, Any], names: set[str]) -> ModelAnswer:
        """What the first choice says. Some servers put an error into a 200."""
        if body.get("error"):
            error = body["error"]
            code = error.get("code") if isinstance(error, dict) else None
            raise self._server.refused(code if isinstance(code, int) else -1, words_of(body))
        choices = body.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices else None
        message = choice.get("message") if isinstance(choice, dict) else None
        if not isinstance(choice, dict) or not isinstance(message, dict):
            raise self._server.garbled("its answer has no choice with a message")
        text = _text(message.get("content"))
        calls = _calls(message.get("tool_calls")) if names else ()
        if not calls:
            text, calls = calls_in(text, names)
        finish: Finish = (
            "tool_calls" if calls else "length" if choice.get("finish_reason") == "length" else "stop"
        )
        return ModelAnswer(text, calls, finish, _usage(body.get("usage")))


def _text(content: Any) -> str:
    """The text of a message, which may come in parts."""
    if isinstance(content, list):
        return "".join(part["text"] for part in content if isinstance(part, dict) and _is_text(part))
    return content if isinstance(content, str) else ""


def _is_text(part: dict[str, Any]) -> bool:
    return isinstance(part.get("text"), str)


def _calls(told: Any) -> tuple[ToolCall, ...]:
    found = []
    for one in told[:MOST_CALLS] if isinstance(told, list) else ():
        function = one.get("function") if isinstance(one, dict) else None
        if isinstance(function, dict) and isinstance(function.get("name"), str):
            found.append(call_of(function["name"], function.get("arguments"), one.get("id")))
    return tuple(found)


def _usage(told: Any) -> Usage:
    """What was counted; None for each number that is not there."""
    if not isinstance(told, dict):
        return Usage()
    counts = [told.get(key) for key in ("prompt_tokens", "completion_tokens")]
    return Usage(*(count if isinstance(count, int) else None for count in counts))


def _told(message: Message) -> dict[str, Any]:
    told: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        told["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": json.dumps(call.arguments, ensure_ascii=False)},
            }
            for call in message.tool_calls
        ]
    if message.role == "tool":
        told["tool_call_id"] = message.tool_call_id or ""
    return told

"""How tools are offered and their calls read, also those that a small model writes into its text.

The latter is upstream's issue #2482. Two forms are taken: ``<tool_call>{…}</tool_call>`` anywhere (the end
tag may be missing), and a text that is nothing but such JSON, in a ``` fence or not. Only names of tools
that were offered count: all else stays text, so JSON that somebody asked for is not run.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Collection, Sequence
from typing import Any

from picoclaw.model import ToolSpec
from picoclaw.turns import ToolCall

MOST_CALLS = 16
"""Of one answer. More than that is a model in a loop."""
_LONGEST = 65_536
_LONGEST_RAW = 2_000
_TAGGED = re.compile(r"<tool_call>(.*?)(?:</tool_call>|\Z)", re.DOTALL)
_FENCED = re.compile(r"\A```(?:json|tool_call)?\s*\n(.*?)\n?```\Z", re.DOTALL)


def calls_in(text: str, names: Collection[str]) -> tuple[str, tuple[ToolCall, ...]]:
    """The text without its tool calls, and these; ``names`` are those that count."""
    if not names or len(text) > _LONGEST:
        return text, ()
    calls: list[ToolCall] = []

    def taken(match: re.Match[str]) -> str:
        found = _calls(match[1], names)
        calls.extend(found)
        return "" if found else match[0]

    rest = _TAGGED.sub(taken, text)
    if calls:
        return rest.strip(), tuple(calls[:MOST_CALLS])
    fenced = _FENCED.match(text.strip())
    found = _calls(fenced[1] if fenced else text, names)
    return ("", tuple(found[:MOST_CALLS])) if found else (text, ())


def offered(tools: Sequence[ToolSpec]) -> list[dict[str, Any]]:
    """Tools as a request carries them, the same at Ollama and at all who copied OpenAI."""
    return [
        {
            "type": "function",
            "function": {"name": t.name, "description": t.description, "parameters": dict(t.parameters)},
        }
        for t in tools
    ]


def call_of(name: str, arguments: Any, identity: Any = None) -> ToolCall:
    """A call as a server tells of it. Without an id it gets one, since its result must name it.

    Arguments that are no JSON object are kept as ``{"raw": text}``, cut: the tool then says what is
    missing, and the model can mend it.
    """
    told = identity if isinstance(identity, str) and identity else f"call_{uuid.uuid4().hex[:12]}"
    if isinstance(arguments, str) and arguments.strip():
        try:
            parsed = json.loads(arguments)
        except (ValueError, RecursionError):
            parsed = None
        arguments = parsed if isinstance(parsed, dict) else {"raw": arguments[:_LONGEST_RAW]}
    return ToolCall(told, name, dict(arguments) if isinstance(arguments, dict) else {})


def _calls(text: str, names: Collection[str]) -> list[ToolCall]:
    """The calls that this JSON is; none when any part of it is something else."""
    text = text.strip()
    if not text.startswith(("{", "[")):
        return []
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return []
    if isinstance(value, dict) and isinstance(value.get("tool_calls"), list):
        value = value["tool_calls"]
    found = [_call(v, names) for v in (value if isinstance(value, list) else [value])]
    return [call for call in found if call is not None] if all(found) else []


def _call(value: Any, names: Collection[str]) -> ToolCall | None:
    if isinstance(value, dict) and isinstance(value.get("function"), dict):
        value = {**value["function"], "id": value.get("id")}
    if not isinstance(value, dict) or value.get("name") not in names:
        return None
    arguments = value.get("arguments", value.get("parameters"))
    return call_of(value["name"], arguments, value.get("id")) if isinstance(arguments, dict | str) else None

"""A session file's lines: one message each, as upstream writes them (pkg/memory/jsonl.go, protocoltypes).

Upstream's reader gives up on a line whose ``created_at`` is not RFC 3339 and on a file with a line over
10 MiB, so neither is ever written here. Fields that this package does not know stay in the raw line.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, cast, get_args

from picoclaw.turns import Message, Role, ToolCall

MAX_LINE = 256 * 1024
"""Bytes of a line that is written here; a longer message is cut and says so."""
MAX_READ_LINE = 10 * 1024 * 1024
"""Bytes of a line that is read: upstream's ``maxLineSize``."""
INTERRUPTED = "This turn was interrupted before it was answered."
"""The reply that a repaired session has in place of the one that never came."""
TOOL_INTERRUPTED = "This tool call was interrupted; whether it took effect is not known."
"""The result of a tool call whose own was never written."""

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
_ROLES = frozenset(get_args(Role))
_SHORTEST_CONTENT = 1_024


@dataclass(frozen=True, slots=True)
class Line:
    """A message and its line as it is on disk, without the newline."""

    raw: bytes
    message: Message


def is_rfc3339(text: object) -> bool:
    """Whether upstream can read this as a time."""
    if not isinstance(text, str) or not _RFC3339.fullmatch(text):
        return False
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def line_of(message: Message, now: str) -> Line:
    """The message as it is stored: bounded, with a time (``now`` where it has none that upstream reads)."""
    if not is_rfc3339(message.created_at):
        message = replace(message, created_at=now)
    raw = _bounded(message)
    stored = message_of(raw)
    assert stored is not None  # noqa: S101 - it has no reasoning, so it is not a mere thought
    return Line(raw, stored)


def message_of(raw: bytes) -> Message | None:
    """The message of a line. ValueError with the reason when it is none.

    None for an assistant's line that holds its reasoning only: upstream discards those too
    (``IsTransientAssistantThoughtMessage``).
    """
    if len(raw) > MAX_READ_LINE:
        raise ValueError(f"{len(raw)} bytes, at most {MAX_READ_LINE} are read")
    try:
        value = json.loads(raw.decode("utf-8", "replace"))
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError("not an object")  # noqa: TRY004 - bad data, not a wrong call
    role, content = value.get("role"), value.get("content")
    if not isinstance(role, str) or role not in _ROLES:
        raise ValueError("role is not one of system, user, assistant, tool")
    if not isinstance(content, str | None):
        raise ValueError("content is not text")  # noqa: TRY004 - bad data, not a wrong call
    calls = _calls(value.get("tool_calls"))
    if _is_thought(value, content or "", calls):
        return None
    answers, at = value.get("tool_call_id"), value.get("created_at")
    return Message(
        role=cast("Role", role),
        content=_whole(content or "")[:MAX_LINE],
        created_at=at if isinstance(at, str) else "",
        tool_calls=calls,
        tool_call_id=_whole(answers) if isinstance(answers, str) and answers else None,
    )


def without_orphans(lines: Sequence[Line]) -> list[Line]:
    """The lines without tool results that answer no call before them: servers refuse such a history."""
    kept: list[Line] = []
    unanswered: list[str] = []
    for line in lines:
        message = line.message
        if message.role != "tool":
            unanswered = [call.id for call in message.tool_calls]
        elif (answers := message.tool_call_id or "") in unanswered:
            unanswered.remove(answers)
        else:
            continue
        kept.append(line)
    return kept


def with_missing(lines: Sequence[Line], now: str) -> list[Line]:
    """The lines with a result after every tool call and a reply at the end, as a whole history has them.

    Upstream hides everything from an unanswered tool call on (``sanitizeRecoveredHistory``), so they are
    put in wherever they are missing. ``lines`` are without orphans.
    """
    whole: list[Line] = []
    unanswered: list[str] = []

    def answer_all() -> None:
        whole.extend(line_of(Message("tool", TOOL_INTERRUPTED, now, (), i), now) for i in unanswered)
        unanswered.clear()

    for line in lines:
        if line.message.role == "tool":
            unanswered.remove(line.message.tool_call_id or "")
        else:
            answer_all()
            unanswered.extend(call.id for call in line.message.tool_calls)
        whole.append(line)
    answer_all()
    if whole and whole[-1].message.role in {"user", "tool"}:
        whole.append(line_of(Message("assistant", INTERRUPTED, now), now))
    return whole


def _bounded(message: Message) -> bytes:
    raw = _raw(message)
    if len(raw) <= MAX_LINE:
        return raw
    if message.tool_calls:
        share = MAX_LINE // (2 * len(message.tool_calls))
        message = replace(message, tool_calls=tuple(_shortened(c, share) for c in message.tool_calls))
        raw = _raw(message)
    text, length = message.content, len(message.content)
    while len(raw) > MAX_LINE and length > _SHORTEST_CONTENT:
        # A character takes 1 to 6 bytes of JSON: shrink in proportion until it fits.
        length = max(_SHORTEST_CONTENT, length * MAX_LINE // len(raw) * 9 // 10)
        note = f"\n[cut: the first {length} of {len(text)} characters]"
        raw = _raw(replace(message, content=text[:length] + note))
    return raw


def _shortened(call: ToolCall, most: int) -> ToolCall:
    arguments = _json(call.arguments)
    if len(arguments) <= most:
        return call
    # Quoted twice in the line, a character may become eight bytes.
    return replace(call, arguments={"cut": arguments[: most // 8]})


def _raw(message: Message) -> bytes:
    value: dict[str, Any] = {
        "role": message.role,
        "content": message.content,
        "created_at": message.created_at,
    }
    if message.tool_calls:
        value["tool_calls"] = [
            {"id": c.id, "type": "function", "function": {"name": c.name, "arguments": _json(c.arguments)}}
            for c in message.tool_calls
        ]
    if message.tool_call_id:
        value["tool_call_id"] = message.tool_call_id
    return _json(value).encode("utf-8", "replace")


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)


def _calls(value: object) -> tuple[ToolCall, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise ValueError("tool_calls is not a list")  # noqa: TRY004 - bad data, not a wrong call
    return tuple(_call(item) for item in value)


def _call(item: object) -> ToolCall:
    function = item.get("function") if isinstance(item, dict) else None
    if not isinstance(item, dict) or not isinstance(function, dict):
        raise ValueError("a tool call is not an object with a function")  # noqa: TRY004 - bad data
    call_id, name = item.get("id") or "", function.get("name") or ""
    if not isinstance(call_id, str) or not isinstance(name, str):
        raise ValueError("a tool call's id or name is not text")  # noqa: TRY004 - bad data
    return ToolCall(_whole(call_id), _whole(name), _arguments(function.get("arguments")))


def _arguments(value: object) -> dict[str, Any]:
    if isinstance(value, str):
        try:
            value = json.loads(value or "{}")
        except (ValueError, RecursionError):
            return {"raw": value}
    return value if isinstance(value, dict) else {"raw": value}


def _is_thought(value: dict[str, Any], content: str, calls: tuple[ToolCall, ...]) -> bool:
    reasoning = value.get("reasoning_content")
    return (
        value["role"] == "assistant"
        and isinstance(reasoning, str)
        and bool(reasoning.strip())
        and not content.strip()
        and not (calls or value.get("media") or value.get("attachments") or value.get("tool_call_id"))
    )


def _whole(text: str) -> str:
    """Without lone surrogates, which JSON can spell and UTF-8 cannot."""
    return text.encode("utf-8", "replace").decode("utf-8")

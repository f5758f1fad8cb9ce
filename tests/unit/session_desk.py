"""A sessions folder for tests, and what is said in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from picoclaw.deadline import Deadline
from picoclaw.sessions import SessionStore
from picoclaw.turns import Message, ToolCall

KEY = "agent:main:alpha"
NAME = "agent_main_alpha"
NOW = "2026-06-01T12:00:00.000001Z"


class Desk:
    """A workspace's sessions folder, and what is in it."""

    def __init__(self, path: Path) -> None:
        self.folder = path / "workspace" / "sessions"
        self.lines = self.folder / f"{NAME}.jsonl"
        self.meta = self.folder / f"{NAME}.meta.json"
        self.store = self.another()

    def another(self, **options: Any) -> SessionStore:
        """A store of another process on the same folder."""
        return SessionStore(self.folder, now=lambda: NOW, **{"sync": lambda _: None, **options})

    def say(self, *messages: Message, store: SessionStore | None = None, key: str = KEY) -> None:
        """Append those in one opening."""
        with (store or self.store).open(key, Deadline(5.0)) as session:
            for message in messages:
                session.append(message)

    def texts(self, key: str = KEY) -> list[str]:
        """What a fresh store finds after opening it."""
        with self.another().open(key, Deadline(5.0)) as session:
            return [message.content for message in session.messages]

    def write(self, *lines: object, meta: object | None = None) -> None:
        """Put files there as upstream, or an accident, would have left them."""
        self.folder.mkdir(parents=True, exist_ok=True)
        written = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines]
        self.lines.write_bytes(b"".join(line + b"\n" for line in written))
        if meta is not None:
            self.meta.write_bytes(meta if isinstance(meta, bytes) else json.dumps(meta).encode())

    def told(self) -> dict[str, Any]:
        """The meta file."""
        value: dict[str, Any] = json.loads(self.meta.read_bytes())
        return value


def user(text: str) -> Message:
    """Somebody says that."""
    return Message("user", text)


def reply(text: str, *calls: ToolCall) -> Message:
    """The assistant says that."""
    return Message("assistant", text, tool_calls=calls)


def call(call_id: str) -> ToolCall:
    """A wish to read a file."""
    return ToolCall(call_id, "read_file", {"path": "a.txt"})

"""What an agent can do besides talking: read, write and list its workspace, and say something.

Names and arguments are upstream's (sipeed/picoclaw, pkg/tools), so that a session that used tools reads
the same with either backend. Whatever a model asks for, ``run`` answers with text: a mistake is a
result starting ``error: `` that says what is allowed, for the model to do better.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from picoclaw.clean import clean, one_line
from picoclaw.errors import PicoClawError
from picoclaw.inside import LIST_ENTRIES, READ_BYTES, Inside, Piece, Refused
from picoclaw.model import ToolSpec
from picoclaw.turns import ToolCall

log = logging.getLogger(__name__)

MESSAGES_A_TURN = 5
MESSAGE_CHARS = 2_000
"""Bounds of ``message``: a model in a loop must not flood the app's bus."""
_ERROR_CHARS = 500
_SMALLEST_READ = 4
"""Bytes: one character of UTF-8 has at most this many, so every read gets on."""


def _schema(required: tuple[str, ...], properties: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {"type": "object", "properties": dict(properties), "required": list(required)}


_PATH = {"type": "string", "description": "Path inside the workspace, like memory/MEMORY.md."}

READ_FILE = ToolSpec(
    "read_file",
    "Read a text file. Long files come in pieces: go on with offset.",
    _schema(
        ("path",),
        {
            "path": _PATH,
            "offset": {"type": "integer", "description": "Byte to start from.", "default": 0},
            "length": {"type": "integer", "description": "Most bytes to read.", "default": READ_BYTES},
        },
    ),
)
WRITE_FILE = ToolSpec(
    "write_file",
    "Write a text file. To replace a file that exists, set overwrite to true.",
    _schema(
        ("path", "content"),
        {
            "path": _PATH,
            "content": {"type": "string", "description": "The whole text of the file."},
            "overwrite": {"type": "boolean", "description": "Replace the file.", "default": False},
        },
    ),
)
APPEND_FILE = ToolSpec(
    "append_file",
    "Add text to the end of a file, which is made when it is missing.",
    _schema(
        ("path", "content"),
        {"path": _PATH, "content": {"type": "string", "description": "The text to add."}},
    ),
)
LIST_DIR = ToolSpec(
    "list_dir",
    "List the files and folders of a folder.",
    _schema(("path",), {"path": {"type": "string", "description": "The folder; . is the workspace."}}),
)
MESSAGE = ToolSpec(
    "message",
    "Send a message to the user right away, before the answer is done.",
    _schema(("content",), {"content": {"type": "string", "description": "The text to send."}}),
)


class Toolbox:
    """The tools of one turn: it counts the turn's messages. Made in no time; not for several threads.

    ``restrict`` is upstream's ``restrict_to_workspace``; ``say`` takes a message's cleaned text, and
    without it there is no ``message`` tool; ``read_bytes`` is the most that one read_file gives, for
    models with a small window (at most READ_BYTES).
    """

    def __init__(
        self,
        workspace: Path,
        *,
        restrict: bool = True,
        say: Callable[[str], None] | None = None,
        read_bytes: int = READ_BYTES,
    ) -> None:
        self._files = Inside(workspace, restrict=restrict)
        self._say, self._said = say, 0
        self._read_bytes = max(_SMALLEST_READ, min(read_bytes, READ_BYTES))
        self._tools: dict[str, tuple[ToolSpec, Callable[[_Arguments], str]]] = {
            "read_file": (READ_FILE, self._read_file),
            "write_file": (WRITE_FILE, self._write_file),
            "append_file": (APPEND_FILE, self._append_file),
            "list_dir": (LIST_DIR, self._list_dir),
        }
        if say is not None:
            self._tools["message"] = (MESSAGE, self._message)

    @property
    def specs(self) -> tuple[ToolSpec, ...]:
        """The tools as a model is told of them."""
        return tuple(spec for spec, _ in self._tools.values())

    def run(self, call: ToolCall) -> str:
        """Do what the model asks, and say in a text for the model what came of it. Never raises for it."""
        try:
            spec, tool = self._tool(str(call.name))
            return tool(_Arguments(spec, call.arguments))
        except Refused as refused:
            return "error: " + one_line(str(refused), _ERROR_CHARS)
        except OSError as error:
            log.warning("%s failed: %s", call.name, error)
            return f"error: {call.name} failed: {error.strerror or 'the machine refused it'}"

    def _tool(self, name: str) -> tuple[ToolSpec, Callable[[_Arguments], str]]:
        if name not in self._tools:
            raise Refused(f"there is no tool {one_line(name, 64)!r}; there are {', '.join(self._tools)}")
        return self._tools[name]

    def _read_file(self, given: _Arguments) -> str:
        path, offset = given.text("path"), given.number("offset", 0, lowest=0)
        length = given.number("length", given.number("limit", self._read_bytes, lowest=1), lowest=1)
        wanted = max(_SMALLEST_READ, min(length, self._read_bytes))
        piece = self._files.read(path, offset, wanted)
        text, start, end = _whole_characters(piece, path)
        name = one_line(path.rstrip("/").rpartition("/")[2], 255)
        if not text:
            return f"[file: {name} | total: {piece.size} bytes]\n[END OF FILE - no content at this offset.]"
        head = f"[file: {name} | total: {piece.size} bytes | read: bytes {start}-{end - 1}]\n"
        if end < piece.size:
            head += f"[TRUNCATED - there is more. Call read_file again with offset={end} to continue.]\n\n"
        else:
            head += "[END OF FILE - no further content.]\n\n"
        return head + text

    def _write_file(self, given: _Arguments) -> str:
        path, data = given.text("path"), given.encoded("content")
        self._files.write(path, data, overwrite=given.flag("overwrite"))
        return f"File written: {path} ({len(data)} bytes)"

    def _append_file(self, given: _Arguments) -> str:
        path, data = given.text("path"), given.encoded("content")
        self._files.append(path, data)
        return f"Appended to {path} ({len(data)} bytes)"

    def _list_dir(self, given: _Arguments) -> str:
        path = given.text("path", ".")
        entries, more = self._files.entries(path)
        if not entries:
            return f"{path or '.'} is empty"
        lines = [f"{entry.kind + ':':<6}{_shown(entry.name)}" for entry in entries]
        return "\n".join(
            [*lines, f"[TRUNCATED - only {LIST_ENTRIES} entries are listed.]"] if more else lines
        )

    def _message(self, given: _Arguments) -> str:
        text = clean(given.text("content"), MESSAGE_CHARS)
        if not text:
            raise Refused("content is empty; give the text to send")
        if self._said >= MESSAGES_A_TURN:
            raise Refused(f"{MESSAGES_A_TURN} messages a turn are allowed and sent; now give your answer")
        assert self._say is not None  # noqa: S101 - else there is no such tool
        self._said += 1
        try:
            self._say(text)
        except PicoClawError:
            raise
        except Exception:  # the app's own code: a lost message must not cost the turn
            log.exception("a message of the agent was not delivered")
            return "error: the message was not delivered; go on without it"
        return "Message sent"


class _Arguments:
    """What the model gave for a tool, checked as it is asked for. What no tool knows is ignored."""

    def __init__(self, spec: ToolSpec, given: object) -> None:
        needed = spec.parameters["required"]
        shape = (name if name in needed else f"{name}?" for name in spec.parameters["properties"])
        self._usage = f"{spec.name}({', '.join(shape)})"
        if not isinstance(given, dict):
            raise Refused(f"the arguments are not an object; the tool is {self._usage}")
        self._given: dict[str, Any] = given

    def text(self, name: str, default: str | None = None) -> str:
        """A text; without a default it is required."""
        value = self._given.get(name, default)
        if value is None:
            raise Refused(f"{name} is missing; the tool is {self._usage}")
        if not isinstance(value, str):
            raise self._wrong(name, value, "a text")
        return value

    def encoded(self, name: str) -> bytes:
        """A required text as UTF-8."""
        try:
            return self.text(name).encode()
        except UnicodeEncodeError:
            raise Refused(f"{name} has half a character (a lone surrogate); give valid text") from None

    def number(self, name: str, default: int, *, lowest: int) -> int:
        """A whole number. As upstream, 12.0 and "12" are taken for 12."""
        value = self._given.get(name)
        if value is None:
            return default
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
            value = int(value)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise self._wrong(name, value, "a whole number")
        if value < lowest:
            raise Refused(f"{name} is {max(value, -(10**9))}, at least {lowest} is allowed")
        return value

    def flag(self, name: str) -> bool:
        """True or false; false when it is not given. Small models write "true"."""
        value = self._given.get(name, False)
        if isinstance(value, str) and value.lower() in {"true", "false"}:
            return value.lower() == "true"
        if not isinstance(value, bool):
            raise self._wrong(name, value, "true or false")
        return value

    def _wrong(self, name: str, value: object, wanted: str) -> Refused:
        return Refused(f"{name} is a {type(value).__name__}, it must be {wanted}; the tool is {self._usage}")


def _whole_characters(piece: Piece, path: str) -> tuple[str, int, int]:
    """The text, and the bytes it reaches from and to: a read may begin and end inside a character."""
    data, skipped = piece.data, 0
    while piece.offset and skipped < min(3, len(data)) and data[skipped] & 0xC0 == 0x80:
        skipped += 1
    kept = data[skipped:]
    try:
        text = kept.decode()
    except UnicodeDecodeError as error:
        at_the_end = piece.offset + len(data) >= piece.size
        if error.reason != "unexpected end of data" or at_the_end:
            raise Refused(f"{path} is not text (UTF-8)") from None
        kept = kept[: error.start]
        text = kept.decode()
    if "\0" in text:
        raise Refused(f"{path} is not text (UTF-8)")
    start = piece.offset + skipped
    return text, start, start + len(kept)


def _shown(name: str) -> str:
    """A name from the disk in one line, whatever is in it."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in name)

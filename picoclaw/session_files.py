"""A session's two files on disk, ``KEY.jsonl`` and ``KEY.meta.json``, written so that a crash leaves either.

Whoever writes holds the session's lock. What is written is on disk on return: the file's data is synced,
and its directory too after a creation or a rename.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from picoclaw.errors import ConfigInvalid
from picoclaw.session_lines import is_rfc3339

MAX_FILE = 32 * 1024 * 1024
"""Bytes of a session file that are read, from its end; what is before them counts as skipped."""
MAX_META = 1024 * 1024
"""Bytes of a meta file; a longer one is poison."""
MAX_SUMMARY = 64 * 1024
"""Characters of a summary."""
MAX_FILE_NAME = 230
"""Bytes of a key's file name: 255 (ext4) less the longest ending, ``.meta.json.part``."""

_FILE = 0o600
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_WRITE = os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Meta:
    """What ``KEY.meta.json`` says. ``skip`` of ``count`` lines no longer count; times are RFC 3339.

    ``other`` are upstream's ``scope`` and ``aliases`` and any field that a newer upstream adds.
    """

    key: str
    created_at: str
    updated_at: str
    summary: str = ""
    skip: int = 0
    count: int = 0
    other: Mapping[str, Any] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """The file's content, fields in upstream's order."""
        return {
            "key": self.key,
            "summary": self.summary,
            "skip": self.skip,
            "count": self.count,
            "created_at": self.created_at,
            "updated_at": self.updated_at,
            **self.other,
        }


@dataclass(frozen=True, slots=True)
class Content:
    """A session file as it is: ``lines`` that are not empty, without newlines.

    ``torn`` is what stands after the last newline; ``whole`` is the bytes before it and ``last`` the bytes
    before the last line. ``beheaded``: the file is over ``MAX_FILE`` and its beginning was not read.
    """

    lines: tuple[bytes, ...] = ()
    torn: bytes = b""
    whole: int = 0
    last: int = 0
    beheaded: bool = False


def file_name(key: str) -> str:
    """The key as upstream turns it into a file name (``sanitizeKey``)."""
    return key.replace(":", "_").replace("/", "_").replace("\\", "_")


def meta_of(document: object, key: str, now: str) -> Meta:
    """The meta behind a JSON value, each field that makes no sense replaced by one that does."""
    given = document if isinstance(document, dict) else {}
    known = {"key", "summary", "skip", "count", "created_at", "updated_at"}
    other = {name: value for name, value in given.items() if name not in known}
    aliases = other.get("aliases")
    if not isinstance(aliases, list) or not all(isinstance(alias, str) for alias in aliases):
        other.pop("aliases", None)
    own, summary = given.get("key"), given.get("summary")
    created, updated = given.get("created_at"), given.get("updated_at")
    return Meta(
        key=own if isinstance(own, str) and file_name(own) == file_name(key) else key,
        created_at=str(created) if is_rfc3339(created) else now,
        updated_at=str(updated) if is_rfc3339(updated) else now,
        summary=summary[:MAX_SUMMARY] if isinstance(summary, str) else "",
        skip=_counted(given.get("skip")),
        count=_counted(given.get("count")),
        other=other,
    )


def _counted(value: object) -> int:
    return max(0, value) if isinstance(value, int) and not isinstance(value, bool) else 0


@contextmanager
def on_disk(path: Path) -> Iterator[None]:
    """Turn what the disk refuses into ConfigInvalid: one of the six, saying which file and why."""
    try:
        yield
    except OSError as error:
        raise ConfigInvalid(
            f"the session file {path} cannot be used: {error.strerror or error}; make its folder writable "
            "with room on its disk, or set agents.defaults.workspace to one that is"
        ) from error


class SessionFiles:
    """The files of one session. ``sync`` is os.fsync, or a test's."""

    def __init__(self, directory: Path, name: str, sync: Callable[[int], None]) -> None:
        self._directory, self._sync = directory, sync
        self.lines = directory / f"{name}.jsonl"
        self.meta = directory / f"{name}.meta.json"
        self.lock = directory / f"{name}.lock"

    def prepare(self) -> None:
        """Make the directory where it is missing. ConfigInvalid where it cannot be."""
        with on_disk(self._directory):
            if not self._directory.is_dir():
                self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._sync_directory(self._directory.parent)

    def read(self) -> Content:
        """The lines, none where there is no file."""
        with on_disk(self.lines):
            found = _tail(self.lines, MAX_FILE)
        if found is None:
            return Content()
        data, start = found
        if start:  # the line that the bound cuts in two is not read either
            dropped = data.find(b"\n") + 1 or len(data)
            data, start = data[dropped:], start + dropped
        end = data.rfind(b"\n") + 1
        return Content(
            lines=tuple(line for line in map(_stripped, data[:end].split(b"\n")) if line),
            torn=data[end:],
            whole=start + end,
            last=start + data.rfind(b"\n", 0, max(0, end - 1)) + 1,
            beheaded=start > 0,
        )

    def read_meta(self) -> dict[str, Any] | None:
        """The meta file's JSON object, None where it is missing or poison."""
        with on_disk(self.meta):
            found = _tail(self.meta, MAX_META)
        if found is None or found[1]:
            return None
        try:
            value = json.loads(found[0].decode("utf-8", "replace"), parse_constant=_refused)
        except (ValueError, RecursionError):
            return None
        return value if isinstance(value, dict) else None

    def append(self, line: bytes) -> None:
        """Write one line at the end. A line that could be written only in part is taken back."""
        with on_disk(self.lines), self._appending() as (file, made):
            before = os.fstat(file).st_size
            try:
                _write(file, line + b"\n")
                self._sync(file)
            except OSError:
                with suppress(OSError):  # then the next opening cuts it off
                    os.ftruncate(file, before)
                raise
            if made:
                self._sync_directory(self._directory)

    def end_line(self) -> None:
        """Give the last line the newline that it lacks."""
        with on_disk(self.lines), self._appending() as (file, _):
            _write(file, b"\n")
            self._sync(file)

    def cut(self, size: int) -> None:
        """Drop what is after ``size`` bytes."""
        with on_disk(self.lines), self._appending() as (file, _):
            os.ftruncate(file, size)
            self._sync(file)

    def write_lines(self, lines: tuple[bytes, ...]) -> None:
        """Replace all lines at once."""
        self._replace(self.lines, b"".join(line + b"\n" for line in lines))

    def write_meta(self, meta: Meta) -> None:
        """Replace the meta file at once, indented as upstream's."""
        text = json.dumps(meta.document(), ensure_ascii=False, indent=2, default=str)
        self._replace(self.meta, text.encode("utf-8", "replace"))

    def _replace(self, path: Path, data: bytes) -> None:
        # One name will do, since the lock is held: what a crash leaves there is overwritten by the next.
        part = path.with_name(f"{path.name}.part")
        with on_disk(path):
            file = os.open(part, _WRITE | os.O_CREAT | os.O_TRUNC, _FILE)
            try:
                _write(file, data)
                self._sync(file)
            finally:
                os.close(file)
            os.replace(part, path)  # noqa: PTH105 - the fault tests kill at each os call
            self._sync_directory(self._directory)

    @contextmanager
    def _appending(self) -> Iterator[tuple[int, bool]]:
        made = False
        try:
            file = os.open(self.lines, _WRITE | os.O_APPEND)
        except FileNotFoundError:
            file, made = os.open(self.lines, _WRITE | os.O_APPEND | os.O_CREAT, _FILE), True
        try:
            yield file, made
        finally:
            os.close(file)

    def _sync_directory(self, directory: Path) -> None:
        opened = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self._sync(opened)
        finally:
            os.close(opened)


def _tail(path: Path, most: int) -> tuple[bytes, int] | None:
    """The file's last ``most`` bytes and where they begin; None where there is no file."""
    try:
        opened = os.open(path, _READ)
    except FileNotFoundError:
        return None
    with os.fdopen(opened, "rb") as file:
        status = os.fstat(opened)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(0, "it is not a plain file")
        start = max(0, status.st_size - most)
        file.seek(start)
        return file.read(most), start


def _refused(name: str) -> None:
    raise ValueError(f"{name} is not JSON")  # Python reads NaN and Infinity, upstream does not


def _write(file: int, data: bytes) -> None:
    while data:
        data = data[os.write(file, data) :]


def _stripped(line: bytes) -> bytes:
    """Without the carriage return that Go's line scanner takes off too."""
    return line.removesuffix(b"\r")

"""Sessions: conversations in ``workspace/sessions``, in upstream's own files, so that either backend goes on.

A turn opens its session, which locks it and repairs what a killed turn left; every appended message is on
disk before ``append`` returns.
"""

from __future__ import annotations

import hashlib
import heapq
import logging
import os
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from picoclaw.deadline import Deadline
from picoclaw.errors import ConfigInvalid
from picoclaw.session_files import MAX_FILE_NAME, MAX_SUMMARY, Meta, SessionFiles, file_name, meta_of, on_disk
from picoclaw.session_lines import Line, line_of, message_of, with_missing, without_orphans
from picoclaw.session_lock import locked
from picoclaw.turns import DEFAULT_SESSION, Message, SessionInfo

log = logging.getLogger(__name__)

MAX_KEY = 120
"""Characters of a key that is taken as it was asked for."""
MAX_SLUG = 48
"""Characters of a name that are kept in its key; what is cut off is in the hash behind it."""
MAX_SESSIONS = 1_000
"""Sessions that are listed, the latest used."""

_KEPT = re.compile(r"(?:agent:|sk_v1_)[!-~]+")
_SHARED = re.compile(r"agent:[^:]*:main", re.IGNORECASE)
_HASHED = re.compile(r".*-[0-9a-f]{12}")
_REMEMBERED = 1_024


def session_key(asked: str) -> str:
    """The key that a session asked for by that name is stored under. Any text will do.

    Upstream keeps sessions apart only under keys that begin with ``agent:`` or ``sk_v1_``: those are taken
    as they are when they are at most ``MAX_KEY`` printable characters without a space. Any other name
    becomes ``agent:main:<slug>`` of lower-case letters, digits, - and _, with 12 hexadecimal digits of its
    SHA-256 where that changed it (or where it looks like such a one), so that two names are two sessions.
    ``agent:main:main`` is upstream's shared fallback, mixed into others: it gets a hash too. No name at all
    is ``DEFAULT_SESSION``. A name and its full key are one session: ``bob`` is ``agent:main:bob``.
    """
    if not asked:
        return DEFAULT_SESSION
    if _KEPT.fullmatch(asked) and len(asked) <= MAX_KEY and not _SHARED.fullmatch(asked):
        return asked
    slug = re.sub(r"[^a-z0-9_-]+", "-", asked.lower())[:MAX_SLUG].strip("-")
    if slug == asked and slug != "main" and not _HASHED.fullmatch(slug):
        return f"agent:main:{slug}"
    digest = hashlib.sha256(asked.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    return f"agent:main:{slug or 'session'}-{digest}"


def iso_now() -> str:
    """Now in UTC, as RFC 3339 with microseconds."""
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


class OpenSession:
    """A session whose lock is held: for one turn, by one thread. Made by ``SessionStore.open``."""

    def __init__(self, key: str, files: SessionFiles, now: Callable[[], str]) -> None:
        self.key = key
        self.poisoned = 0
        """Lines among those that count which are no messages; they are left out and left where they are."""
        self._files, self._now = files, now
        self._lines: list[Line] = []
        self._summary = ""
        self._count = 0
        self._has_meta = False
        self._is_counted = True
        self._beheaded = False

    @property
    def messages(self) -> tuple[Message, ...]:
        """The messages that count, oldest first."""
        return tuple(line.message for line in self._lines)

    @property
    def summary(self) -> str:
        """What is known of the messages that no longer count; "" for nothing."""
        return self._summary

    def append(self, message: Message) -> None:
        """Write it at the end; it is on disk on return. A message too long for a line is cut and says so.

        ConfigInvalid when the disk refuses; the message is then not in the session.
        """
        if not self._has_meta:
            # Before the first line: the meta alone knows the key, which the file's name tells only roughly.
            self._files.write_meta(self._meta())
            self._has_meta = True
        line = line_of(message, self._now())
        self._files.append(line.raw)
        self._lines.append(line)
        self._count, self._is_counted = self._count + 1, False

    def reload(self) -> None:
        """Read the files again, after somebody else (the binary) has written them. Cuts a torn last line."""
        content = self._files.read()
        lines = list(content.lines)
        if content.torn:
            lines += self._mend_tail(content.torn, content.whole)
        elif lines and content.whole - content.last == len(lines[-1]) + 1 and not _is_message(lines[-1]):
            self._cut(content.last, len(lines.pop()))
        document = self._files.read_meta()
        meta = meta_of(document, self.key, self._now())
        if meta.key != self.key and document is not None:
            raise ConfigInvalid(
                f"the session {self.key} would share its file {self._files.lines.name} with the session "
                f"{meta.key}; use another name with -s"
            )
        # Where the file's beginning was not read, what was read is all that counts.
        skip = 0 if content.beheaded else min(meta.skip, len(lines))
        self._has_meta, self._is_counted = document is not None, True
        self._summary, self._count, self._beheaded = meta.summary, len(lines), content.beheaded
        self._lines, self.poisoned = _parsed(lines[skip:])

    def compact(self, keep: int, summary: str) -> None:
        """Keep the last ``keep`` messages, drop those before, and remember ``summary`` of what is gone."""
        kept = self._lines[max(0, len(self._lines) - keep) :]
        self._rewrite(kept, summary[:MAX_SUMMARY])

    def repair(self) -> None:
        """Load it and put in what a killed turn left out, so that the next one finds a whole conversation."""
        self.reload()
        whole = with_missing(self._lines, self._now())
        if whole[: len(self._lines)] != self._lines:
            log.warning("session %s: tool calls without results were answered", self.key)
            self._rewrite(whole, self._summary)
        elif len(whole) > len(self._lines):
            log.warning("session %s: the last turn was interrupted; that is written there now", self.key)
            for line in whole[len(self._lines) :]:
                self.append(line.message)
        self._heal_meta()

    def settle(self) -> None:
        """Bring the meta's count up to date: once a turn, since whoever reads it counts again anyway."""
        if not self._is_counted:
            self._files.write_meta(replace(self._meta(), count=self._count, updated_at=self._now()))
            self._is_counted = True

    def _meta(self) -> Meta:
        """The meta as it is on disk now: upstream may have written it since."""
        return meta_of(self._files.read_meta(), self.key, self._now())

    def _heal_meta(self) -> None:
        """Write the meta where it is missing or poison, or does not fit the lines."""
        if self._beheaded or not (self._count or self._has_meta or self._files.meta.exists()):
            return
        document, first = self._files.read_meta(), self._lines[0].message.created_at if self._lines else ""
        meta = meta_of(document, self.key, self._now())
        if document is None:
            log.warning("session %s: its meta file was missing or unreadable and is made anew", self.key)
            meta = meta_of({"created_at": first}, self.key, self._now())
        meta = replace(meta, count=self._count, skip=min(meta.skip, self._count))
        if meta.document() != document:
            self._files.write_meta(meta)
        self._has_meta = self._is_counted = True

    def _rewrite(self, lines: Sequence[Line], summary: str) -> None:
        """Make these all the lines there are.

        The meta goes first, as in upstream's Compact: killed between the two renames, skip is 0 and the old
        lines are all still there, so that old messages count again and the next compaction drops them. The
        other way round the old skip would hide as many of the new lines, which are the live ones.
        """
        meta = replace(self._meta(), summary=summary, skip=0, count=len(lines), updated_at=self._now())
        self._files.write_meta(meta)
        self._files.write_lines(tuple(line.raw for line in lines))
        self._lines, self._summary, self._count = list(lines), summary, len(lines)
        self._has_meta, self._is_counted, self._beheaded, self.poisoned = True, True, False, 0

    def _mend_tail(self, torn: bytes, whole: int) -> list[bytes]:
        if _is_message(torn):
            self._files.end_line()
            return [torn]
        self._cut(whole, len(torn))
        return []

    def _cut(self, size: int, lost: int) -> None:
        log.warning("session %s: a torn last line of %d bytes was cut off", self.key, lost)
        self._files.cut(size)


class SessionStore:
    """All sessions of a workspace. Thread-, greenlet- and process-safe; nothing is touched before its use.

    ``now`` gives RFC 3339 times. ``sync`` stands for os.fsync.
    """

    def __init__(
        self,
        directory: Path,
        *,
        now: Callable[[], str] = iso_now,
        sync: Callable[[int], None] = os.fsync,
    ) -> None:
        self._directory, self._now, self._sync = directory, now, sync
        self._guard = threading.Lock()
        self._told: OrderedDict[str, int] = OrderedDict()

    @contextmanager
    def open(self, key: str, deadline: Deadline) -> Iterator[OpenSession]:
        """The session of that key, locked, repaired, and made by its first message.

        RuntimeBusy when it is held until the deadline; TurnTimeout when the turn is cancelled meanwhile;
        ConfigInvalid when its files cannot be used.
        """
        with self._held(key, deadline) as session:
            session.repair()
            self._tell(session)
            try:
                yield session
            finally:
                self._settle(session)

    def sessions(self) -> tuple[SessionInfo, ...]:
        """The sessions that there are, the latest used first, at most ``MAX_SESSIONS``."""
        with on_disk(self._directory):
            try:
                with os.scandir(self._directory) as entries:
                    found = heapq.nlargest(MAX_SESSIONS, _used(entries))
            except FileNotFoundError:
                return ()
        infos = (self._info(name) for _, name in found)
        return tuple(info for info in infos if info is not None)

    def history(self, key: str) -> tuple[Message, ...]:
        """The messages that count, oldest first, without lock or repair: a turn may be under way."""
        files = self._files(key)
        meta = meta_of(files.read_meta(), key, self._now())
        return tuple(line.message for line in self._read(files, meta.skip))

    def clear(self, key: str, deadline: Deadline) -> None:
        """Forget the messages and the summary. RuntimeBusy, TurnTimeout and ConfigInvalid as ``open``."""
        files = self._files(key)
        if not files.lines.exists() and not files.meta.exists():
            return
        with self._held(key, deadline) as session:
            session.reload()
            session.compact(0, "")

    @contextmanager
    def _held(self, key: str, deadline: Deadline) -> Iterator[OpenSession]:
        files = self._files(key)
        files.prepare()
        with locked(files.lock, key, deadline):
            yield OpenSession(key, files, self._now)

    def _settle(self, session: OpenSession) -> None:
        try:
            session.settle()
        except ConfigInvalid as error:
            # The messages are on disk and the next opening counts them: no reason to fail a turn.
            log.warning("session %s: %s", session.key, error)

    def _info(self, name: str) -> SessionInfo | None:
        files, key = SessionFiles(self._directory, name, self._sync), _key_of(name)
        try:
            meta = meta_of(files.read_meta(), key, "")
            messages = len(self._read(files, meta.skip))
        except ConfigInvalid as error:
            log.warning("%s", error)  # one unusable file does not hide the others
            return None
        return SessionInfo(
            key=meta.key,
            messages=messages,
            summary=meta.summary,
            created_at=meta.created_at,
            updated_at=meta.updated_at,
        )

    def _read(self, files: SessionFiles, skip: int) -> list[Line]:
        content = files.read()
        lines = content.lines
        if content.torn and _is_message(content.torn):
            lines = (*lines, content.torn)
        return _parsed(lines[0 if content.beheaded else skip :])[0]

    def _files(self, key: str) -> SessionFiles:
        name = file_name(key)
        if not name or "\0" in name or len(name.encode("utf-8", "surrogatepass")) > MAX_FILE_NAME:
            raise ConfigInvalid(
                f"{key[:40]!r} cannot name a session: 1 to {MAX_FILE_NAME} bytes without NUL are allowed; "
                "use a short name with -s"
            )
        return SessionFiles(self._directory, name, self._sync)

    def _tell(self, session: OpenSession) -> None:
        """Log poisoned lines, once for each number of them."""
        with self._guard:
            told = self._told.get(session.key, 0)
            self._told[session.key] = session.poisoned
            self._told.move_to_end(session.key)
            while len(self._told) > _REMEMBERED:
                self._told.popitem(last=False)
        if session.poisoned > told:
            log.warning("session %s: %d lines are no messages; left out", session.key, session.poisoned)


def _parsed(lines: Sequence[bytes]) -> tuple[list[Line], int]:
    """The messages among the lines, and how many lines are poison."""
    found: list[Line] = []
    poisoned = 0
    for raw in lines:
        try:
            message = message_of(raw)
        except ValueError:
            poisoned += 1
        else:
            found += [Line(raw, message)] if message is not None else []
    return without_orphans(found), poisoned


def _is_message(raw: bytes) -> bool:
    try:
        message_of(raw)
    except ValueError:
        return False
    return True


def _used(entries: Iterator[os.DirEntry[str]]) -> Iterator[tuple[float, str]]:
    """When each session's lines were last written, and the name of its files."""
    for entry in entries:
        with suppress(FileNotFoundError):  # somebody deleted it meanwhile
            if entry.name.endswith(".jsonl") and entry.is_file(follow_symlinks=False):
                yield entry.stat(follow_symlinks=False).st_mtime, entry.name.removesuffix(".jsonl")


def _key_of(name: str) -> str:
    """The key that files of that name most likely belong to, where no meta tells."""
    return name.replace("_", ":", 2) if name.startswith("agent_") else name

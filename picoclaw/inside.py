"""Files of a workspace for an agent whose wishes nobody has checked: every path is taken as hostile.

A path is opened component by component, each relative to the folder opened before and without
following links, so that nothing swapped in between can lead anywhere else. Links are refused
altogether, and so is all that is no regular file or folder. Kept back from tools, whatever is asked:
``sessions/`` (one conversation must not read or rewrite another's), ``state/`` (the runtime's own), and
the config with its keys where the workspace is the home, or lies in it.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

READ_BYTES = 65_536
"""Most bytes of one read; upstream's ``MaxReadFileSize``."""
WRITE_BYTES = 262_144
"""Most bytes of one write or append."""
FILE_BYTES = 1_048_576
"""Most bytes of a file that is appended to."""
TOTAL_BYTES = 16 * 1_048_576
"""Most bytes of a workspace without ``sessions/`` and ``state/``. Two writers at once may each pass it by
one write."""
TOTAL_ENTRIES = 10_000
"""Most files and folders of a workspace that tools still add to."""
LIST_ENTRIES = 500
"""Most entries of one listing."""
NAME_BYTES = 255
"""Most bytes of one component: Linux' NAME_MAX."""
_PATH_CHARS, _DEPTH = 1_024, 32

KEPT_FOLDERS = frozenset({"sessions", "state"})
_CONFIG, _KEYS = "config.json", ".security.yml"
_TEMPORARY = ".picoclaw-tmp-"
_STALE_SECONDS = 3_600.0
"""A temporary file older than this was left by a writer that was killed; the next write removes it."""

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_SAFELY = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
"""No link, no waiting for a FIFO's other end, no terminal."""


class Refused(Exception):  # noqa: N818 - not a failure: an answer to the model
    """What was asked is not done. The text tells the model why, and what is allowed."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes of a file from ``offset`` on; ``size`` is the whole file's."""

    data: bytes
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Entry:
    """A folder's entry; ``kind`` is ``DIR``, ``FILE``, ``LINK`` or ``OTHER``."""

    name: str
    kind: str


@dataclass(frozen=True, slots=True)
class _Place:
    """An open folder and a name in it."""

    folder: int
    name: str


class Inside:
    """The files below ``root``. Thread-safe: nothing is kept between calls.

    ``restrict`` False lets paths lead anywhere, and through links (upstream's ``restrict_to_workspace``);
    all limits and what is kept back stay. Every method raises Refused for what the asker got wrong and
    OSError for what the machine did.
    """

    def __init__(self, root: Path, *, restrict: bool = True) -> None:
        self._root, self._restrict = root, restrict

    def read(self, path: str, offset: int, length: int) -> Piece:
        """At most ``length`` bytes (and READ_BYTES) of a file."""
        with self._place(path) as place:
            _must_be_file(place, path)
            file, found = _open(place, os.O_RDONLY, path)
            try:
                wanted = min(length, READ_BYTES)
                data = os.pread(file, wanted, offset) if offset < found.st_size else b""
                return Piece(data, offset, found.st_size)
            finally:
                os.close(file)

    def write(self, path: str, data: bytes, *, overwrite: bool) -> None:
        """Make the file, or replace it as a whole: a reader sees the old content or the new."""
        _bounded(data)
        used, count = self._measure()
        with self._place(path, make=count < TOTAL_ENTRIES) as place:
            there = _look(place)
            _must_fit(used, count, there, len(data) - (there.st_size if there else 0))
            if there is not None:
                _must_be_file(place, path)
                if not overwrite:
                    raise Refused(
                        f"{path} exists already; set overwrite to true to replace it, or append_file"
                    )
            temporary = _Place(place.folder, f"{_TEMPORARY}{secrets.token_hex(8)}")
            try:
                file, _ = _open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, path)
                _write(file, data)
                os.rename(temporary.name, place.name, src_dir_fd=place.folder, dst_dir_fd=place.folder)
            except BaseException:
                with suppress(FileNotFoundError):
                    os.unlink(temporary.name, dir_fd=place.folder)
                raise
            os.fsync(place.folder)

    def append(self, path: str, data: bytes) -> None:
        """Add to the end of a file, which is made when it is missing."""
        _bounded(data)
        used, count = self._measure()
        with self._place(path, make=count < TOTAL_ENTRIES) as place:
            there = _look(place)
            _must_fit(used, count, there, len(data))
            new = there is None
            if not new:
                _must_be_file(place, path)
            file, found = _open(
                place, os.O_WRONLY | os.O_APPEND | (os.O_CREAT | os.O_EXCL if new else 0), path
            )
            if found.st_nlink != 1 or found.st_size + len(data) > FILE_BYTES:
                os.close(file)
                if found.st_nlink != 1:
                    raise Refused(f"{path} has a second name elsewhere (a hard link) and is not appended to")
                raise Refused(f"{path} has {found.st_size} bytes; a file may grow to {FILE_BYTES}")
            _write(file, data)

    def entries(self, path: str) -> tuple[list[Entry], bool]:
        """The first LIST_ENTRIES entries of a folder, sorted, and whether there are more."""
        with self._folder(self._parts(path), path, make=False) as folder, os.scandir(folder) as found:
            kept = self._kept_back(folder)
            seen = list(islice((e for e in found if e.name.casefold() not in kept), LIST_ENTRIES + 1))
            entries = [Entry(e.name, _kind(e)) for e in seen[:LIST_ENTRIES]]
        return sorted(entries, key=lambda e: (e.kind != "DIR", e.name)), len(seen) > LIST_ENTRIES

    def _parts(self, path: str) -> list[str]:
        """The components below the root (below ``/`` without restriction), checked one by one."""
        if len(path) > _PATH_CHARS:
            raise Refused(f"the path has {len(path)} characters, at most {_PATH_CHARS} are allowed")
        if not path.isprintable() or "\\" in path:
            raise Refused(
                "the path has characters that are not allowed; use letters, digits and / between folders"
            )
        parts = [part for part in path.split("/") if part not in ("", ".")]
        if self._restrict:
            if ".." in parts or parts[:1] == ["~"]:
                raise Refused(
                    f"{path} leads outside the workspace; give a path inside it, like memory/MEMORY.md"
                )
            if path.startswith("/"):
                parts = self._below_root(parts, path)
        else:
            parts = _components(os.path.realpath(self._root / path))
        if any(len(part.encode()) > NAME_BYTES for part in parts):
            raise Refused(f"a name in the path is longer than {NAME_BYTES} bytes")
        if len(parts) > _DEPTH:
            raise Refused(f"the path has {len(parts)} folders, at most {_DEPTH} are allowed")
        return parts

    def _below_root(self, parts: list[str], path: str) -> list[str]:
        """The rest of an absolute path that names the workspace as it is configured, or as it is really."""
        for root in (str(self._root.absolute()), os.path.realpath(self._root)):
            above = _components(root)
            if parts[: len(above)] == above:
                return parts[len(above) :]
        raise Refused(f"{path} is outside the workspace; give a path inside it, like memory/MEMORY.md")

    @contextmanager
    def _place(self, path: str, *, make: bool = False) -> Iterator[_Place]:
        """The folder of a file, open, with the file's name; ``make`` makes the folders that are missing."""
        parts = self._parts(path)
        if not parts:
            raise Refused(f"{path or 'an empty path'} names no file; give one, like memory/MEMORY.md")
        with self._folder(parts[:-1], path, make=make) as folder:
            if parts[-1].casefold() in self._kept_back(folder):
                raise Refused(f"{path} is kept from tools")
            yield _Place(folder, parts[-1])

    @contextmanager
    def _folder(self, parts: list[str], path: str, *, make: bool) -> Iterator[int]:
        """A folder, open; ``make`` makes it, and those above it, when they are missing."""
        kept = self._kept_identities()
        folder = os.open(self._root if self._restrict else "/", _FOLDER)  # the root itself may be a link
        try:
            for part in parts:
                if part.casefold() in self._kept_back(folder):
                    raise Refused(f"{path} is kept from tools: sessions and state belong to the runtime")
                inner = _enter(_Place(folder, part), path, make=make)
                os.close(folder)
                folder = inner
                if _identity(os.fstat(folder)) in kept:  # the same folder under another spelling
                    raise Refused(f"{path} is kept from tools: sessions and state belong to the runtime")
            yield folder
        finally:
            os.close(folder)

    def _kept_identities(self) -> set[tuple[int, int]]:
        """The kept folders as the file system knows them: a name can be spelt in more ways than one."""
        kept = set()
        for name in KEPT_FOLDERS:
            with suppress(OSError):
                kept.add(_identity((self._root / name).stat()))
        return kept

    def _kept_back(self, folder: int) -> frozenset[str]:
        """Names, lowered, that tools do not reach in this folder. The keys are kept back anywhere."""
        here = _identity(os.fstat(folder))
        root = self._root.stat()
        if here == _identity(root):
            return KEPT_FOLDERS | {_CONFIG, _KEYS}
        home = Path(os.path.realpath(self._root)).parent.stat()
        return frozenset({_CONFIG, _KEYS} if here == _identity(home) else {_KEYS})

    def _measure(self) -> tuple[int, int]:
        """Bytes and entries that count against the limits; also removes what killed writers left."""
        used = count = 0
        stale = time.time() - _STALE_SECONDS
        root = os.path.realpath(self._root)
        for top, folders, files, folder in os.fwalk(root):  # which checks that no link came in between
            if top == root:
                folders[:] = [name for name in folders if name not in KEPT_FOLDERS]
            count += len(folders) + len(files)
            for name in files:
                with suppress(FileNotFoundError):
                    found = os.stat(name, dir_fd=folder, follow_symlinks=False)
                    used += found.st_size
                    if name.startswith(_TEMPORARY) and found.st_mtime < stale:
                        os.unlink(name, dir_fd=folder)
            if used > TOTAL_BYTES or count >= TOTAL_ENTRIES:
                break
        return used, count


def _components(absolute: str) -> list[str]:
    return [part for part in absolute.split("/") if part]


def _identity(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino


def _look(place: _Place) -> os.stat_result | None:
    try:
        return os.stat(place.name, dir_fd=place.folder, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _must_be_file(place: _Place, path: str) -> None:
    """Looked at before it is opened: opening a device can already do something."""
    found = _look(place)
    if found is None:
        raise Refused(f"{path} does not exist; list_dir shows what is there")
    if stat.S_ISDIR(found.st_mode):
        raise Refused(f"{path} is a folder; give a file in it, or use list_dir")
    if not stat.S_ISREG(found.st_mode):
        raise Refused(f"{path} is a link or a device; only regular files are allowed")


def _open(place: _Place, flags: int, path: str) -> tuple[int, os.stat_result]:
    try:
        file = os.open(place.name, flags | _SAFELY, 0o600, dir_fd=place.folder)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):
            raise Refused(f"{path} is a link or a device; only regular files are allowed") from None
        raise
    found = os.fstat(file)
    if not stat.S_ISREG(found.st_mode):
        os.close(file)
        raise Refused(f"{path} is a link or a device; only regular files are allowed")
    return file, found


def _enter(place: _Place, path: str, *, make: bool) -> int:
    if make:
        with suppress(FileExistsError):
            os.mkdir(place.name, 0o700, dir_fd=place.folder)
    try:
        return os.open(place.name, _FOLDER | os.O_NOFOLLOW, dir_fd=place.folder)
    except FileNotFoundError:
        raise Refused(f"{path} does not exist; list_dir shows what is there") from None
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise Refused(
                f"{path}: {place.name} is a link or a file; only real folders are allowed"
            ) from None
        raise


def _write(file: int, data: bytes) -> None:
    """All of ``data``, synced; closes the file."""
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(file, rest) :]
        os.fsync(file)
    finally:
        os.close(file)


def _must_fit(used: int, count: int, there: os.stat_result | None, growth: int) -> None:
    """A file that shrinks always fits: there is no other way to make room."""
    if growth > 0 and used + growth > TOTAL_BYTES:
        raise Refused(f"the workspace is full: it may hold {TOTAL_BYTES} bytes; shorten a file first")
    if there is None and count >= TOTAL_ENTRIES:
        raise Refused(f"the workspace is full: it may hold {TOTAL_ENTRIES} files; use one that is there")


def _bounded(data: bytes) -> None:
    if len(data) > WRITE_BYTES:
        raise Refused(f"content has {len(data)} bytes, at most {WRITE_BYTES} are allowed; write it in pieces")


def _kind(entry: os.DirEntry[str]) -> str:
    if entry.is_symlink():
        return "LINK"
    if entry.is_dir(follow_symlinks=False):
        return "DIR"
    return "FILE" if entry.is_file(follow_symlinks=False) else "OTHER"

"""The snapshots of handoffs on disk: one file a side of a handoff, whole or not there, with its digest.

``<snapshot_id>.json`` is a source's, ``<snapshot_id>.accepted.json`` a target's, so that two racks on one
machine may share a directory. A record is written to a fresh file, flushed to the disk and renamed over
the old one. It never goes back: what is there and knows more stays.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import structlog

from clawbucket import codecs
from clawbucket.core.revolt import SNAPSHOT_ID, Handoff, Side, later
from clawbucket.ports import Definite

log = structlog.get_logger(__name__)

SCHEMA = 1
KEPT = 86_400.0
"""Seconds for which the file of a settled handoff is kept (issue: 24 h)."""
_LARGEST = codecs.HANDOFF.key.max_bytes + 1_024
_LOCKED = 5.0
"""Seconds that another process' write is waited for; one takes some milliseconds."""
_UNFINISHED = ".new"
_SUFFIX: dict[Side, str] = {"source": ".json", "target": ".accepted.json"}


class DiskRefused(Definite):
    """The snapshot directory cannot be used."""


class SnapshotFiles:
    """The directory of one rack's snapshots. Process-, thread- and greenlet-safe. ``sync`` is fsync."""

    def __init__(self, directory: Path, sync: Callable[[int], None] = os.fsync) -> None:
        self._directory, self._sync = directory, sync
        self._pause = threading.Event()

    def path(self, snapshot_id: str, side: Side) -> Path:
        """Where that side's record is. ValueError for what is no id, so that no path is ever made of one."""
        if not SNAPSHOT_ID.fullmatch(snapshot_id):
            raise ValueError(f"{snapshot_id[:40]!r} is no snapshot id")
        return self._directory / f"{snapshot_id}{_SUFFIX[side]}"

    def read(self, snapshot_id: str, side: Side) -> Handoff | None:
        """The record; None where there is none, or none that is whole."""
        return self._read(self.path(snapshot_id, side), snapshot_id, side)

    def write(self, record: Handoff) -> None:
        """Put the record on the disk, unless one that knows more is there. DiskRefused."""
        path = self.path(record.snapshot_id, record.side)
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self._locked():
                there = self._read(path, record.snapshot_id, record.side)
                if there is None or (later(there, record) is record and there != record):
                    self._replace(path, record)
        except OSError as error:
            raise self._unusable(error) from error

    def check(self) -> None:
        """See that a record could be written now, before anything is done that needs one. DiskRefused."""
        probe = self._directory / ".probe"  # one name: who is killed meanwhile leaves one file at most
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            try:
                probe.write_bytes(b" " * _LARGEST)
            finally:
                probe.unlink(missing_ok=True)
        except OSError as error:
            raise self._unusable(error) from error

    def ids(self, side: Side) -> list[str]:
        """The handoffs that have a file of that side. DiskRefused."""
        suffix = _SUFFIX[side]
        try:
            names = [path.name for path in self._directory.iterdir()]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise self._unusable(error) from error
        found = (name.removesuffix(suffix) for name in names if name.endswith(suffix))
        return [name for name in found if SNAPSHOT_ID.fullmatch(name)]

    def sweep(self, now: float) -> int:
        """Remove what was settled a day ago (``now`` in unix seconds, as the disk dates files); how many."""
        removed = 0
        sides: tuple[Side, ...] = ("source", "target")
        for side in sides:
            for snapshot_id in self.ids(side):
                path = self.path(snapshot_id, side)
                try:
                    if now - path.stat().st_mtime < KEPT:
                        continue
                    record = self._read(path, snapshot_id, side)
                    if record is None or record.settled:
                        path.unlink()
                        removed += 1
                except FileNotFoundError:
                    continue
                except OSError as error:
                    log.warning("snapshot not swept", path=str(path), reason=str(error))
        self._sweep_unfinished(now)
        return removed

    def _sweep_unfinished(self, now: float) -> None:
        """What was being written when whoever wrote it was killed."""
        for path in self._directory.glob(f"*{_UNFINISHED}"):
            with contextlib.suppress(OSError):  # gone meanwhile, or tried again at the next sweep
                if now - path.stat().st_mtime >= KEPT:
                    path.unlink()

    def _unusable(self, error: OSError) -> DiskRefused:
        return DiskRefused(
            f"the snapshot directory {self._directory} cannot be used: {error.strerror or error}; "
            "REVOLT_SNAPSHOT_DIR names another"
        )

    def _read(self, path: Path, snapshot_id: str, side: Side) -> Handoff | None:
        try:
            with path.open("rb") as file:
                raw = file.read(_LARGEST + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise DiskRefused(f"the snapshot {path} cannot be read: {error.strerror or error}") from error
        try:
            record = _unpacked(raw)
            if (record.snapshot_id, record.side) != (snapshot_id, side):
                raise ValueError(f"it is of the handoff {record.snapshot_id}")  # noqa: TRY301
        except ValueError as error:
            log.warning("snapshot is not whole", path=str(path), reason=str(error)[:200])
            return None
        return record

    def _replace(self, path: Path, record: Handoff) -> None:
        fresh = path.with_name(f"{path.name}.{os.getpid()}{_UNFINISHED}")
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(_packed(record))
            file.flush()
            self._sync(file.fileno())
        fresh.replace(path)
        directory = os.open(self._directory, os.O_RDONLY)
        try:
            self._sync(directory)
        finally:
            os.close(directory)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Nobody else writes. Polled, not waited for in the kernel: that would stop every greenlet here."""
        handle = os.open(self._directory / ".lock", os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            deadline = time.monotonic() + _LOCKED
            while True:
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() >= deadline:
                        raise
                    self._pause.wait(0.01)
            yield
        finally:
            os.close(handle)


def _packed(record: Handoff) -> bytes:
    body = codecs.HANDOFF.encode(record)
    return b'{"schema":%d,"sha256":"%b","handoff":%b}\n' % (SCHEMA, _digest(body), body)


def _unpacked(raw: bytes) -> Handoff:
    """ValueError with one sentence where it is not a record as ``_packed`` makes them."""
    if len(raw) > _LARGEST:
        raise ValueError("it is too large")
    told: Any = orjson.loads(raw)
    if not isinstance(told, dict) or told.get("schema") != SCHEMA:
        raise ValueError(f"it is not of schema {SCHEMA}")
    body = orjson.dumps(told.get("handoff"))
    if told.get("sha256") != _digest(body).decode():
        raise ValueError("its digest is another")
    return codecs.HANDOFF.decode(body)


def _digest(body: bytes) -> bytes:
    return hashlib.sha256(body).hexdigest().encode()

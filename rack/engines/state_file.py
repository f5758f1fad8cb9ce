"""The local engine's state on disk: one JSON file, replaced whole, so that a crash leaves the old or the new.

Beside it lies a lock that the kernel lets go of when its holder ends, however it ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from pathlib import Path
from typing import IO

import orjson
import structlog
from pydantic import TypeAdapter, ValidationError

from rack.engines.state import State

log = structlog.get_logger(__name__)

_SHAPE = TypeAdapter(State)
_LOCK_PATIENCE = 2.0
"""Seconds for a former holder that was killed a moment ago to vanish."""


class Locked(Exception):  # noqa: N818 - it names the state of the directory
    """Another rack manager lives in this directory; the text says which process."""


def load(path: Path) -> State | None:
    """The state that was saved last, or None. A file that cannot be understood is set aside and reported."""
    try:
        return _SHAPE.validate_json(path.read_bytes(), strict=True)
    except FileNotFoundError:
        return None
    except (ValidationError, OSError) as error:
        aside = path.with_suffix(".unreadable")
        log.warning("state file unreadable", path=str(path), kept_as=str(aside), reason=str(error)[:200])
        with contextlib.suppress(OSError):
            path.replace(aside)
        return None


def save(path: Path, state: State) -> None:
    """Write the state so that it survives a crash of this process or the machine. OSError when it cannot."""
    fresh = path.with_suffix(".new")
    with fresh.open("wb") as file:
        file.write(orjson.dumps(state))
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def lock(directory: Path) -> IO[str]:
    """Claim the directory for this process until the file returned is closed. Locked when it is taken."""
    directory.mkdir(parents=True, exist_ok=True)
    file = (directory / "rack.lock").open("a+", encoding="ascii")
    deadline = time.monotonic() + _LOCK_PATIENCE
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            if time.monotonic() < deadline:
                time.sleep(0.05)
                continue
            file.seek(0)
            holder = file.read(20).strip() or "unknown"
            file.close()
            raise Locked(
                f"another rack manager (process {holder}) already runs in {directory}; "
                "end it first, or set CLAWBUCKET_STATE_DIR to another directory"
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        return file

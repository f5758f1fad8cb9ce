"""A home with a config and the stand-in for upstream's binary, for the tests of the binary backend."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from picoclaw.backend import BackendAnswer
from picoclaw.binary import BinaryBackend
from picoclaw.config import Config, default_document, load
from picoclaw.deadline import Deadline
from picoclaw.sessions import OpenSession, SessionStore
from tests.stand_in_binary import write_stand_in

KEY = "agent:main:rico"
HAIKU = "bug in the rain\nsix legs march\nno moon"
EMPTY = "The model returned an empty response. This may indicate a provider error or token limit."


class Place:
    """A home with a config, and the stand-in started with some switches."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.environ = {
            "PATH": os.environ["PATH"], "HOME": str(root), "TZ": "Asia/Tokyo",
            "PICOCLAW_HOME": str(root / "home"), "STAND_IN_BACKOFF": "0.01",
        }  # fmt: skip
        self.backend: BinaryBackend = None
        self.configure("http://127.0.0.1:9")

    def configure(self, api_base: str) -> Config:
        """Write the config, and read it."""
        path = self.root / "home" / "config.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(default_document("tiny:latest", api_base)), encoding="utf-8")
        self.config = load(self.environ)
        return self.config

    def start(self, **switches: str | int) -> BinaryBackend:
        """Make the backend with such a stand-in."""
        self.backend = BinaryBackend(write_stand_in(self.root / "bin", **switches), self.config, self.environ)
        return self.backend

    @contextmanager
    def session(self, key: str = KEY) -> Iterator[OpenSession]:
        """Open and lock it, as the runtime does around a turn."""
        with SessionStore(self.config.workspace / "sessions").open(key, Deadline(5.0)) as opened:
            yield opened

    def ask(
        self,
        text: str = "hello",
        seconds: float = 20.0,
        cancel: threading.Event | None = None,
        key: str = KEY,
    ) -> BackendAnswer:
        """One turn, in its session."""
        deadline = Deadline(seconds, cancel)
        with self.session(key) as session:
            return self.backend.turn(text, session, self.config.entry(None), "cli", deadline)

    def stored(self, key: str = KEY) -> list[tuple[str, str]]:
        """What the session's file holds, line by line."""
        path = self.config.workspace / "sessions" / f"{key.replace(':', '_')}.jsonl"
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        return [(line["role"], line["content"]) for line in lines]

    def pids(self) -> list[int]:
        """Wait for the stand-in and its grandchild, and give their numbers."""
        path = self.root / "pids"
        until(path.exists)
        return [int(number) for number in path.read_text(encoding="utf-8").split()]


def until(holds: Callable[[], bool], seconds: float = 10.0) -> None:
    """Return as soon as it holds."""
    deadline = Deadline(seconds)
    while not holds():
        assert deadline.remaining() > 0.0, f"not within {seconds} s"
        deadline.sleep(0.01)


def gone(pid: int) -> bool:
    """Whether it ended; a zombie that init has yet to bury did."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True

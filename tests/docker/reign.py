"""Who manages the deployed rack's services, looked at all the time, and clients that never stop asking."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import urllib3

from tests.docker.deployed import Deployed

LOOK_EVERY = 0.05
"""Seconds between two looks."""
PAUSE = 0.03
"""Seconds that a client waits between an answer and its next request; two cores carry all of this."""
_PATIENCE = 35.0
"""Seconds for an answer: more than the gateway's own 30, so that it is the gateway who gives up."""


@dataclass
class Reign:
    """What each look showed: managers at once, epochs, and how long nobody managed (seconds, by service)."""

    most: dict[str, int] = field(default_factory=dict)
    epochs: dict[str, list[int]] = field(default_factory=dict)
    longest_without: dict[str, float] = field(default_factory=dict)
    fewest: dict[str, int] = field(default_factory=dict)
    rounds: set[int] = field(default_factory=set)
    looks: int = 0
    _without_since: dict[str, float] = field(default_factory=dict)

    def see(self, swarms: list[dict[str, Any]]) -> None:
        """One look."""
        self.looks += 1
        now = time.monotonic()
        for swarm in swarms:
            name, replicas = swarm["service"], swarm["replicas"]
            count = sum(r["is_manager"] for r in replicas)
            self.most[name] = max(self.most.get(name, 0), count)
            self.fewest[name] = min(self.fewest.get(name, swarm["running_count"]), swarm["running_count"])
            self.epochs.setdefault(name, []).append(swarm["manager_epoch"])
            self.longest_without.setdefault(name, 0.0)
            self.rounds |= {r["round"] for r in replicas}
            if count:
                self._without_since.pop(name, None)
            else:
                since = self._without_since.setdefault(name, now)
                self.longest_without[name] = max(self.longest_without[name], now - since)

    def check(self, longest: float) -> None:
        """Never two; nobody for at most ``longest`` seconds; epochs that only rise."""
        assert set(self.most.values()) == {1}, self.most
        assert max(self.longest_without.values()) <= longest, self.longest_without
        for service, epochs in self.epochs.items():
            assert epochs == sorted(epochs), (service, epochs)


@contextmanager
def watched(stack: Deployed, reign: Reign | None = None) -> Iterator[Reign]:
    """Look at ``/api/swarms`` for the length of a block, and tell ``reign``.

    A look at a rack whose bus or gateway is away does not count: what is shown then is what was last known.
    """
    told = reign or Reign()

    def watch(over: threading.Event) -> None:
        while not over.wait(LOOK_EVERY):
            try:
                swarms = stack.swarms()
            except (LookupError, OSError, urllib3.exceptions.HTTPError):
                continue
            told.see(swarms)

    with _meanwhile(watch):
        yield told


@dataclass
class Load:
    """What the clients were answered: how often what, and each failure with its time of day."""

    answers: Counter[tuple[str, int]] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    slowest: float = 0.0
    seconds: float = 0.0

    def __str__(self) -> str:
        total = self.answers.total()
        return (
            f"{total} requests in {self.seconds:.0f} s ({total / max(self.seconds, 0.001):.0f}/s), "
            f"{len(self.failures)} failed, slowest {self.slowest:.2f} s; {dict(self.answers)}"
        )


class _Client:
    """One client on a connection of its own, that reads or writes and never repeats a request."""

    def __init__(self, stack: Deployed, load: Load, guard: threading.Lock, number: int) -> None:
        self._load, self._guard, self._number = load, guard, number
        self._url = stack.url
        self._headers = {"Authorization": f"Bearer {stack.secrets['token']}"}
        self._someone = stack.replicas()[0]["id"]

    def run(self, over: threading.Event) -> None:
        """Ask until it is over."""
        turn = 0
        with urllib3.PoolManager(retries=False, timeout=_PATIENCE, maxsize=1) as http:
            while not over.wait(PAUSE):
                turn += 1
                self._ask(http, *self._next(turn))

    def _next(self, turn: int) -> tuple[str, str, dict[str, str] | None, int]:
        if self._number % 2:
            return "GET", ("/api/whoami", "/api/swarms", "/", "/api/chat")[turn % 4], None, 200
        if turn % 2:
            return "POST", "/api/chat", {"text": f"client {self._number}, line {turn}"}, 201
        return "POST", "/api/arm", {"task_id": self._someone, "state": ("on", "off")[turn // 2 % 2]}, 201

    def _ask(
        self, http: urllib3.PoolManager, method: str, path: str, body: dict[str, str] | None, good: int
    ) -> None:
        began = time.monotonic()
        told = ""
        status = 0
        try:
            more: dict[str, Any] = {} if body is None else {"json": body}
            answer = http.request(method, self._url + path, headers=self._headers, **more)
            status = answer.status
            told = answer.data.decode("utf-8", "replace")[:300]
        except (OSError, urllib3.exceptions.HTTPError) as error:
            told = repr(error)[:300]
        took = time.monotonic() - began
        with self._guard:
            self._load.answers[method, status] += 1
            self._load.slowest = max(self._load.slowest, took)
            if status != good:
                at = time.strftime("%H:%M:%S", time.gmtime())
                self._load.failures.append(f"{at} {method} {path}: {status} after {took:.2f} s: {told}")


@contextmanager
def loaded(stack: Deployed, clients: int = 8) -> Iterator[Load]:
    """Half of the clients read, half write, for the length of a block."""
    load, guard = Load(), threading.Lock()
    began = time.monotonic()
    with ExitStack() as held:
        for number in range(clients):
            held.enter_context(_meanwhile(_Client(stack, load, guard, number).run))
        yield load
    load.seconds = time.monotonic() - began


@contextmanager
def _meanwhile(work: Any) -> Iterator[None]:
    over = threading.Event()
    thread = threading.Thread(target=work, args=(over,))
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()

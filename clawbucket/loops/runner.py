"""One thread (a greenlet in a replica) ticks every behaviour of a trooper in turn.

A behaviour is one steppable call, ``tick(now)``, after huey's consumer: a test steps it with a FakeClock,
and nothing in it sleeps. A behaviour that fails is told once and ticked again; the others go on.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Protocol

import structlog

from clawbucket.ports import ClawError, Clock

log = structlog.get_logger(__name__)
_LONGEST_WAIT = 0.5
"""Seconds between two looks at what is due, so that a stop is never waited for longer."""


class Behaviour(Protocol):
    """Something a trooper does again and again."""

    @property
    def name(self) -> str:
        """For the logs."""
        ...

    @property
    def every(self) -> float:
        """Seconds between two ticks."""
        ...

    def tick(self, now: float) -> None:
        """Do one step; ``now`` is monotonic seconds. May raise ClawError; is then ticked again."""
        ...


class LoopRunner:
    """Ticks behaviours when they are due. ``on_stop`` are last acts, each tried once.

    ``failures`` counts ticks that the bus failed, ``bugs`` those that failed by our own doing.
    """

    def __init__(
        self, behaviours: Sequence[Behaviour], clock: Clock, on_stop: Sequence[Callable[[], None]] = ()
    ) -> None:
        self._behaviours = behaviours
        self._clock = clock
        self._on_stop = on_stop
        self._due = dict.fromkeys((b.name for b in behaviours), float("-inf"))
        self._failing: dict[str, str] = {}
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self.failures = 0
        self.bugs = 0

    def step(self, now: float) -> float:
        """Tick what is due; seconds until the next is."""
        for behaviour in self._behaviours:
            if now >= self._due[behaviour.name]:
                self._due[behaviour.name] = now + behaviour.every
                self._tick(behaviour, self._clock.monotonic())
        return max(0.0, min(self._due.values(), default=now) - self._clock.monotonic())

    def start(self) -> None:
        """Tick from now on, in a thread of its own."""
        self._thread = threading.Thread(target=self._run, name="loops", daemon=True)
        self._thread.start()

    def stop(self, timeout: float = 1.0) -> None:
        """Stop ticking and do the last acts (a leader releases its lease). Safe to call twice."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout)
        for act in self._on_stop:
            try:
                act()
            except ClawError as error:
                log.warning("last act failed", reason=str(error))

    def _run(self) -> None:
        while not self._stopping.is_set():
            wait = self.step(self._clock.monotonic())
            self._stopping.wait(min(wait, _LONGEST_WAIT))

    def _tick(self, behaviour: Behaviour, now: float) -> None:
        try:
            behaviour.tick(now)
        except ClawError as error:
            self.failures += 1
            if self._failing.get(behaviour.name) != type(error).__name__:
                self._failing[behaviour.name] = type(error).__name__
                log.warning("behaviour waits", behaviour=behaviour.name, reason=str(error))
        except Exception:  # a bug in one behaviour must not end the others; it is told with its trace
            self.bugs += 1
            if self._failing.get(behaviour.name) != "bug":
                self._failing[behaviour.name] = "bug"
                log.exception("behaviour failed", behaviour=behaviour.name)
        else:
            if self._failing.pop(behaviour.name, None) is not None:
                log.info("behaviour goes on", behaviour=behaviour.name)

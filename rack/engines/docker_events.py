"""Docker's event stream, followed by a thread until told to stop: news, not facts.

An event only says what to look at again. So none is lost that matters: after each (re)connection
everything is looked at, and a stream that stays quiet for long is opened anew, for it may be dead. That one
was quiet is no news, though, and no reason to look sooner or more often than at rest.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Collection, Mapping
from enum import Flag, auto
from typing import Any, Protocol

import structlog

from clawbucket.ports import EngineDown
from rack.engines.docker_daemon import Daemon, Quiet, Stream

log = structlog.get_logger(__name__)

FILTERS = {
    "type": ["service", "node", "container"],
    "event": ["create", "update", "remove", "start", "die", "health_status"],
}
"""What is asked for. Each health check is an ``exec_*`` event, which nobody needs."""
_OF_A_SERVICE = "com.docker.swarm.service.name"
"""The label of a task's container."""
FIRST_DELAY = 0.1
LONGEST_DELAY = 5.0
STEADY = 5.0
"""Seconds that a stream must last for the row of failures to end."""


class News(Flag):
    """What has to be looked at again; tasks always."""

    TASKS = auto()
    SERVICES = auto()
    NODES = auto()


ALL = News.TASKS | News.SERVICES | News.NODES


class Heard(Protocol):
    """Who is told the news."""

    def __call__(self, news: News, *, calm: bool = False) -> None:
        """Look at these again: soon, or, where ``calm``, with the next look that is due anyway."""
        ...


def news_of(event: Mapping[str, Any], services: Collection[str]) -> News | None:
    """What an event makes worth a look; None for one that is about none of the ``services``.

    A swarm may run much else, whose comings and goings are nobody's business here.
    """
    kind = event.get("Type")
    attributes = (event.get("Actor") or {}).get("Attributes") or {}
    if kind == "service" and attributes.get("name") in services:
        return News.TASKS | News.SERVICES
    if kind == "node":
        return News.TASKS | News.NODES
    return News.TASKS if kind == "container" and attributes.get(_OF_A_SERVICE) in services else None


def delay(failures: int, rng: random.Random) -> float:
    """Seconds before the next attempt after so many failures in a row: doubling, bounded, half by chance.

    The chance is for several rack managers that lost the same daemon ("full jitter" might try at once).
    """
    ceiling = min(LONGEST_DELAY, FIRST_DELAY * 2.0 ** min(failures - 1, 16))
    return float(ceiling * rng.uniform(0.5, 1.0))


class Follower:
    """Calls ``heard`` with the news of ``services`` (full names), from a thread of its own."""

    def __init__(
        self,
        daemon: Daemon,
        services: Collection[str],
        heard: Heard,
        now: Callable[[], float],
        rng: random.Random | None = None,
    ) -> None:
        self._daemon = daemon
        self._services = frozenset(services)
        self._heard = heard
        self._now = now
        self._rng = rng or random.Random()  # noqa: S311 - it spreads retries
        self._stopped = threading.Event()
        self._guard = threading.Lock()
        self._stream: Stream | None = None
        self._thread = threading.Thread(target=self._run, name="docker-events", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def alive(self) -> bool:
        """Whether the thread still turns."""
        return self._thread.is_alive()

    def drop(self) -> None:
        """The daemon does not answer: this stream may be dead without knowing. Open another."""
        with self._guard:
            stream = self._stream
        if stream is not None:
            stream.close()

    def stop(self) -> None:
        """End the thread."""
        self._stopped.set()
        self.drop()
        if self._thread.is_alive():
            self._thread.join(timeout=5.0)

    def _run(self) -> None:
        failures = 0
        complaint = "nothing was looked at yet"
        while not self._stopped.is_set():
            began, calm = self._now(), not complaint
            complaint = "the stream ended"
            try:
                self._follow(calm=calm)
            except Quiet:
                complaint = ""
            except EngineDown as error:
                complaint = str(error)
            if not complaint or self._now() - began >= STEADY:
                failures = 0
            if complaint and not self._stopped.is_set():
                failures += 1
                if failures == 1:
                    log.warning("docker's events are lost; following them again", reason=complaint)
                self._stopped.wait(delay(failures, self._rng))

    def _follow(self, *, calm: bool) -> None:
        stream = self._daemon.events(FILTERS)
        with self._guard:
            self._stream = stream
        try:
            if self._stopped.is_set():
                return
            self._heard(ALL, calm=calm)
            for event in stream:
                news = news_of(event, self._services)
                if news is not None:
                    self._heard(news)
        finally:
            with self._guard:
                self._stream = None
            stream.close()

"""From the engine to everybody: one numbered snapshot, at every change and at least every second.

The engine is asked by this one observer, however many people watch. What it said goes to the API's
callers first and then on the bus, so that a bus that hangs delays nobody who does not need it.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace

import structlog

from clawbucket import codecs, keys
from clawbucket.core.model import Snapshot
from clawbucket.ports import Bus, ClawError, Clock, Engine, EngineDown
from rack.metrics import Metrics

log = structlog.get_logger(__name__)

AT_LEAST_EVERY = 1.0
"""Seconds between two publications when nothing changes. A reader takes silence for a dead rack manager."""


@dataclass(frozen=True, slots=True)
class Publication:
    """A snapshot with the JSON that the API's callers get; the bus gets it deflated where it is long."""

    snapshot: Snapshot
    body: bytes


class Observer:
    """Publishes what the engine says. Thread-safe.

    ``seq`` starts at this object's birth in unix milliseconds and rises by one, so that it goes on rising
    when a rack manager follows another.
    """

    def __init__(self, engine: Engine, bus: Bus, clock: Clock, metrics: Metrics, rack: str) -> None:
        self._engine = engine
        self._bus = bus
        self._clock = clock
        self._metrics = metrics
        self._seq = clock.wall_ms()
        self._last = Snapshot(rack=rack, seq=0, at=clock.iso(), engine="")
        self._publishing = threading.Lock()
        self._news = threading.Condition()
        self._latest: Publication | None = None
        self._bus_outage = False
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="observer", daemon=True)

    def start(self) -> None:
        """Publish from a thread of its own until ``stop``."""
        self._thread.start()

    def stop(self) -> None:
        """Let everybody who waits go, and have the thread end at the engine's next change or its close."""
        self._stopped.set()
        with self._news:
            self._news.notify_all()

    def publish(self) -> Publication:
        """Ask the engine and publish, now. That engine or bus is down is part of the news, not a failure."""
        with self._publishing:
            try:
                heard = self._engine.snapshot()
            except EngineDown as error:
                heard = replace(self._last, at=self._clock.iso(), error=str(error))
            self._seq += 1
            self._last = replace(heard, seq=self._seq)
            publication = Publication(self._last, codecs.SNAPSHOT.plain(self._last))
            with self._news:
                self._latest = publication
                self._news.notify_all()
            self._metrics.published.inc()
            self._put_on_bus(publication.body)
            return publication

    def latest(self) -> Snapshot | None:
        """What was published last, or None at the very start."""
        publication = self._latest
        return publication.snapshot if publication else None

    def wait(self, after: int, timeout: float) -> Publication | None:
        """The latest publication when it is not number ``after``, waiting up to ``timeout`` seconds for it.

        "Not", where "later than" would do within one life of the rack manager: whoever comes with a number
        from a former one, on a clock that was ahead, is answered instead of left waiting.
        """
        with self._news:
            self._news.wait_for(
                lambda: self._stopped.is_set() or (self._latest and self._latest.snapshot.seq != after),
                timeout,
            )
            latest = self._latest
        return latest if latest is not None and latest.snapshot.seq != after else None

    def step(self, seen: int) -> int:
        """Publish, then wait for the engine's next change; returns its change counter for the next step."""
        publication = self.publish()
        if publication.snapshot.error is not None:
            self._stopped.wait(AT_LEAST_EVERY)  # an engine that is down may not wait
            return seen
        return self._engine.wait_change(seen, AT_LEAST_EVERY)

    def _run(self) -> None:
        seen = 0
        while not self._stopped.is_set():
            seen = self.step(seen)

    def _put_on_bus(self, plain: bytes) -> None:
        complaint, body = None, codecs.packed(plain)
        if len(body) > keys.SNAPSHOT.max_bytes:
            complaint = f"the snapshot has {len(body)} bytes, at most {keys.SNAPSHOT.max_bytes} fit"
        else:
            try:
                self._bus.set(keys.SNAPSHOT.of(), body, keys.SNAPSHOT.ttl)
            except ClawError as error:
                complaint = str(error)
        if complaint is not None:
            self._metrics.bus_failures.inc()
            if not self._bus_outage:
                log.warning("bus does not take snapshots", reason=complaint)
        elif self._bus_outage:
            log.info("bus takes snapshots again")
        self._bus_outage = complaint is not None

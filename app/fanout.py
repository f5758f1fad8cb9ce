"""One picture, many viewers: the state is read, compared and serialised once, whoever is watching.

What changed goes out as a JSON Merge Patch (RFC 7396): nested objects are merged, ``null`` removes,
anything else replaces. Nothing in a state is therefore ever ``None``; absent says that.

Every event is a line of one short log (the *ring*) that all viewers share, and a viewer is no more than
a place in it, as a consumer is in Kafka. A slow viewer costs no memory, since there is no queue of its
own to fill: when the ring has run away from it, it gets the whole picture and goes on from there. To
come back with a ``Last-Event-ID`` is the same thing. Event ids carry a token of this process, so another
replica's id, or one from before a restart, is never taken for a place in this ring.

Prior art: the WHATWG HTML standard, section 9.2 (server-sent events), for the frames; kube-ops-view for
"the whole once, then what changed".
"""

from __future__ import annotations

import secrets
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

import orjson
import structlog

from clawbucket.ports import Clock, Definite

log = structlog.get_logger(__name__)

PERIOD = 0.25
"""Seconds between two looks at the state (DESIGN, the way of the data)."""
PING_EVERY = 15.0
"""Seconds between two pings; a viewer that hears nothing for longer knows that it is cut off."""
RETRY = b"retry: 1000\n\n"
"""Tells a browser how many milliseconds to wait before it reconnects."""
RING = 128
"""Events kept for those who come back: half a minute when every look finds a change."""

State = dict[str, Any]


def diff(old: State, new: State) -> State:
    """The smallest merge patch that makes ``new`` of ``old``; empty when nothing changed."""
    patch: State = {key: None for key in old if key not in new}
    for key, value in new.items():
        before = old.get(key)
        if isinstance(value, dict) and isinstance(before, dict):
            inner = diff(before, value)
            if inner:
                patch[key] = inner
        elif key not in old or type(before) is not type(value) or before != value:
            patch[key] = value
    return patch


def applied(state: State, patch: State) -> State:
    """``state`` with ``patch`` merged in; neither is changed. static/state.js does the same."""
    merged = dict(state)
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict):
            inner = merged.get(key)
            merged[key] = applied(inner if isinstance(inner, dict) else {}, value)
        else:
            merged[key] = value
    return merged


def pruned(state: State) -> State:
    """The same without its ``None``s, which a merge patch cannot carry."""
    return {
        key: pruned(value) if isinstance(value, dict) else value
        for key, value in state.items()
        if value is not None
    }


def frame(event_id: str, event: str, data: State, at_ms: int) -> bytes:
    """One server-sent event. JSON has no line breaks of its own, so one ``data`` line holds it.

    A comment line, which browsers skip, says in unix milliseconds when it was made: who runs on the same
    clock can tell from it how late the event comes.
    """
    form = b": at %d\nid: %b\nevent: %b\ndata: %b\n\n"
    return form % (at_ms, event_id.encode(), event.encode(), orjson.dumps(data))


def _in_a_thread(run: Callable[[], None]) -> None:
    threading.Thread(target=run, name="fanout", daemon=True).start()


class Full(Definite):
    """As many viewers are watching as one replica takes."""


class Fanout:
    """The stream of one process. Thread- and greenlet-safe.

    ``produce`` gives the state now (a dict that is not changed afterwards) within its own deadline. It is
    called from one thread, every ``period`` seconds, and only while somebody is watching. ``spawn`` starts
    that thread; a test that calls ``step`` itself gives one that does not.
    """

    def __init__(
        self, produce: Callable[[], State], clock: Clock, *, cap: int, period: float = PERIOD,
        ring: int = RING, spawn: Callable[[Callable[[], None]], None] | None = None,
    ) -> None:  # fmt: skip
        self._produce, self._clock, self._cap, self._period = produce, clock, cap, period
        self._spawn = spawn or _in_a_thread
        self._token = secrets.token_hex(4)
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._viewers: set[Viewer] = set()
        self._ring: deque[bytes] = deque(maxlen=ring)
        self._head = 0
        self._state: State = {}
        self._whole: bytes | None = None
        self._current = False
        self._running = False
        self._pinged_at = clock.monotonic()
        self.looks = 0

    @property
    def viewers(self) -> int:
        """How many are watching."""
        return len(self._viewers)

    def open(self, last_event_id: str | None = None) -> Viewer:
        """A new viewer, that goes on after ``last_event_id`` where this process can. Full, or closing."""
        with self._changed:
            if self._closing.is_set():
                raise Full("this replica is about to end; the next one takes over")
            if len(self._viewers) >= self._cap:
                raise Full(f"{self._cap} viewers are watching this replica, and it takes no more; try again")
            viewer = Viewer(self, self._place_of(last_event_id))
            self._viewers.add(viewer)
            if not self._running:
                self._running = True
                self._spawn(self._run)
        return viewer

    def step(self) -> None:
        """Look once: tell everyone what changed, and ping when it is time."""
        state = self._produce()
        self.looks += 1
        with self._changed:
            patch = {} if state is self._state else diff(self._state, state)
            if patch:
                self._state, self._whole = state, None
                self._append("delta", patch)
            now = self._clock.monotonic()
            if now - self._pinged_at >= PING_EVERY:
                self._pinged_at = now
                self._append("ping", {"viewers": len(self._viewers)})
            if not self._current:
                self._current = True
                self._changed.notify_all()

    def close(self) -> None:
        """End every stream and take no new viewer: the process is about to end."""
        self._closing.set()
        with self._changed:
            self._changed.notify_all()

    def _append(self, event: str, data: State) -> None:
        self._head += 1
        self._ring.append(frame(self._id(), event, data, self._clock.wall_ms()))
        self._changed.notify_all()

    def _id(self) -> str:
        return f"{self._token}-{self._head}"

    def _place_of(self, event_id: str | None) -> int | None:
        """The place in the ring that an id names; None where this ring has none for it."""
        token, _, number = (event_id or "").rpartition("-")
        if token != self._token or not (number.isascii() and number.isdigit()) or len(number) > 18:
            return None
        return int(number) if int(number) <= self._head else None

    def _take(self, viewer: Viewer) -> bytes | None:
        """What ``viewer`` has not seen, as soon as there is something; None: its stream is over."""

        def something() -> bool:
            return (
                self._closing.is_set()
                or viewer.ended
                or (self._current and (viewer.place is None or viewer.place < self._head))
            )

        with self._changed:
            # Pings come from the same thread as everything else: none for this long means that it is gone.
            if not self._changed.wait_for(something, timeout=2 * PING_EVERY):
                return None
            if self._closing.is_set() or viewer.ended:
                return None
            behind = None if viewer.place is None else self._head - viewer.place
            viewer.place = self._head
            if behind is None or behind > len(self._ring):
                if self._whole is None:
                    self._whole = frame(self._id(), "snapshot", self._state, self._clock.wall_ms())
                return self._whole
            return b"".join(list(self._ring)[-behind:])

    def _leave(self, viewer: Viewer) -> None:
        with self._changed:
            self._viewers.discard(viewer)
            viewer.ended = True
            self._changed.notify_all()

    def _run(self) -> None:
        try:
            while self._wanted():
                self.step()
                self._closing.wait(self._period)
        except Exception:
            # A fault of ours. Those who watch are sent away, come back, and so start this thread anew.
            log.exception("the stream's producer failed")
            with self._changed:
                self._rest()
                for viewer in self._viewers:
                    viewer.ended = True
                self._viewers.clear()
                self._changed.notify_all()

    def _wanted(self) -> bool:
        with self._changed:
            if not self._viewers or self._closing.is_set():
                self._rest()
                return False
            return True

    def _rest(self) -> None:
        """Nobody looks any more, so what is kept here grows old; the next viewer waits for a new look."""
        self._running = self._current = False


class Viewer:
    """One stream's body: an iterator of bytes, which the server closes when the viewer is gone."""

    def __init__(self, fanout: Fanout, place: int | None) -> None:
        self._fanout = fanout
        self._greeted = False
        self.place = place
        self.ended = False

    def __iter__(self) -> Viewer:
        return self

    def __next__(self) -> bytes:
        """The next events, as one piece. StopIteration: the stream is over."""
        if not self._greeted:
            self._greeted = True
            return RETRY
        piece = self._fanout._take(self)  # noqa: SLF001 - a viewer is the outer half of its fanout
        if piece is None:
            self.close()
            raise StopIteration
        return piece

    def close(self) -> None:
        """The viewer is gone. Safe to repeat."""
        self._fanout._leave(self)  # noqa: SLF001

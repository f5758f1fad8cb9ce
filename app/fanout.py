"""One picture, many viewers: the state is read, compared and serialised once, whoever is watching.

What changed goes out as a JSON Merge Patch (RFC 7396): nested objects are merged, ``null`` removes,
anything else replaces. Nothing in a state is therefore ever ``None``; absent says that.

Every event is a line of one short log (the *ring*) that all viewers share, and a viewer is no more than
a place in it, as a consumer is in Kafka. A slow viewer costs no memory, since there is no queue of its
own to fill: when the ring has run away from it, it gets the whole picture and goes on from there. To
come back with a ``Last-Event-ID`` is the same thing. Event ids carry a token of this process, so another
replica's id, or one from before a restart, is never taken for a place in this ring.

Where the server lays a viewer's socket open (app/outlet.py), the one who looks also sends: an event is
framed once, and written to each socket that takes it at once, a lot at a time, with a pause after each in
which requests get their turn. A viewer's own greenlet sleeps meanwhile. It is woken for what only that
viewer needs: its first picture, what its full socket did not take, what it missed while that went out.

Prior art: the WHATWG HTML standard, section 9.2 (server-sent events), for the frames; kube-ops-view for
"the whole once, then what changed".
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import orjson
import structlog

from app.outlet import NOTHING, Outlet, Piece
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
BACKLOG = 256 * 1024
"""Bytes that a slow viewer is told of all that it missed; where it is more, the whole if that is less."""
LOT = 50
"""Viewers that are sent to between two pauses: about two milliseconds of work."""
BREATH = 0.0005
"""Seconds of such a pause. Not none: gevent's sleep(0) does not look whether somebody came."""
LEAST_PAUSE = 0.05
"""Seconds between a look, with its sending, and the next, however long they took."""

State = dict[str, Any]


def diff(old: State, new: State) -> State:
    """The smallest merge patch that makes ``new`` of ``old``; empty when nothing changed."""
    patch: State = {key: None for key in old if key not in new}
    for key, value in new.items():
        before = old.get(key)
        if value is before:
            continue
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


def until_next(period: float, took: float) -> float:
    """Seconds from the end of a look that took so long to the next: looks begin ``period`` apart.

    However long they take, some time is left for everything else.
    """
    return max(period - took, min(period, LEAST_PAUSE))


def _in_a_thread(run: Callable[[], None]) -> None:
    threading.Thread(target=run, name="fanout", daemon=True).start()


class Full(Definite):
    """As many viewers are watching as one replica takes."""


class Fanout:
    """The stream of one process. Thread- and greenlet-safe.

    ``produce`` gives the state now (a dict that is not changed afterwards) within its own deadline. It is
    called from one thread, every ``period`` seconds, and only while somebody is watching. ``spawn`` starts
    that thread; a test that calls ``step`` itself gives one that does not. ``pause`` waits for some seconds.
    """

    def __init__(
        self, produce: Callable[[], State], clock: Clock, *, cap: int, period: float = PERIOD,
        ring: int = RING, spawn: Callable[[Callable[[], None]], None] | None = None,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:  # fmt: skip
        self._produce, self._clock, self._cap, self._period = produce, clock, cap, period
        self._spawn, self._pause = spawn or _in_a_thread, pause
        self._token = secrets.token_hex(4)
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._viewers: set[Viewer] = set()
        self._ring: deque[bytes] = deque(maxlen=ring)
        self._head = 0
        self._state: State = {}
        self._whole: Piece | None = None
        self._current = False
        self._running = False
        self._pinged_at = clock.monotonic()
        self.looks = 0

    @property
    def viewers(self) -> int:
        """How many are watching."""
        return len(self._viewers)

    def open(self, last_event_id: str | None = None, outlet: Outlet | None = None) -> Viewer:
        """A new viewer, that goes on after ``last_event_id`` where this process can. Full, or closing.

        ``outlet``: its socket, to which everything after the first piece is then sent.
        """
        with self._lock:
            if self._closing.is_set():
                raise Full("this replica is about to end; the next one takes over")
            if len(self._viewers) >= self._cap:
                raise Full(f"{self._cap} viewers are watching this replica, and it takes no more; try again")
            viewer = Viewer(self, self._place_of(last_event_id), outlet)
            self._viewers.add(viewer)
            start = not self._running
            self._running = True
        if start:
            self._spawn(self._run)
        return viewer

    def step(self) -> None:
        """Look once: tell everyone what changed, and ping when it is time."""
        state = self._produce()
        self.looks += 1
        with self._lock:
            before, first = self._head, not self._current
            patch = {} if state is self._state else diff(self._state, state)
            if patch:
                self._state, self._whole = state, None
                self._append("delta", patch)
            now = self._clock.monotonic()
            if now - self._pinged_at >= PING_EVERY:
                self._pinged_at = now
                self._append("ping", {"viewers": len(self._viewers)})
            self._current = True
            fresh = self._head - before
            if not fresh and not first:
                return
            piece = Piece(b"".join(list(self._ring)[-fresh:] if fresh else ()))
            viewers = list(self._viewers)
        self._tell(viewers, before, piece)

    def close(self) -> None:
        """End every stream and take no new viewer: the process is about to end."""
        self._closing.set()
        with self._lock:
            for viewer in self._viewers:
                viewer.wake.set()

    def _tell(self, viewers: list[Viewer], before: int, piece: Piece) -> None:
        """Send ``piece``, all that came after ``before``, to whoever waits for just that; wake the others."""
        for start in range(0, len(viewers), LOT):
            if start:
                self._pause(BREATH)
            with self._lock:
                if self._closing.is_set():
                    return
                for viewer in viewers[start : start + LOT]:
                    if viewer.outlet is None or viewer.place != before or not piece.plain:
                        viewer.wake.set()
                    elif viewer.waits and not viewer.ended:
                        viewer.place = self._head
                        self._offer(viewer, viewer.outlet, piece)

    def _offer(self, viewer: Viewer, outlet: Outlet, piece: Piece) -> None:
        try:
            if outlet.offer(piece):
                return
        except OSError:
            viewer.ended = True
        viewer.waits = False
        viewer.wake.set()

    def _append(self, event: str, data: State) -> None:
        self._head += 1
        self._ring.append(frame(self._id(), event, data, self._clock.wall_ms()))

    def _id(self) -> str:
        return f"{self._token}-{self._head}"

    def _place_of(self, event_id: str | None) -> int | None:
        """The place in the ring that an id names; None where this ring has none for it."""
        token, _, number = (event_id or "").rpartition("-")
        if token != self._token or not (number.isascii() and number.isdigit()) or len(number) > 18:
            return None
        return int(number) if int(number) <= self._head else None

    def _take(self, viewer: Viewer) -> Piece | None:
        """What ``viewer`` has not seen, as soon as there is something; None: its stream is over."""
        while True:
            with self._lock:
                viewer.wake.clear()
                viewer.waits = False
                if self._closing.is_set() or viewer.ended:
                    return None
                if viewer.outlet is not None and viewer.outlet.unfinished:
                    return NOTHING
                if self._current and (viewer.place is None or viewer.place < self._head):
                    return self._missed(viewer)
                viewer.waits = True
                heard = viewer.place
            # Pings come from the same thread as everything else: none for this long means that it is gone.
            if not viewer.wake.wait(2 * PING_EVERY) and viewer.place == heard:
                return None

    def _missed(self, viewer: Viewer) -> Piece:
        """Everything after the viewer's place, which is then the head; the whole where that is simpler."""
        behind = None if viewer.place is None else self._head - viewer.place
        viewer.place = self._head
        if behind is not None and behind <= len(self._ring):
            events = list(self._ring)[-behind:]
            size = sum(map(len, events))
            if size <= BACKLOG or size <= len(self._everything().plain):
                return Piece(b"".join(events))
        return self._everything()

    def _everything(self) -> Piece:
        if self._whole is None:
            self._whole = Piece(frame(self._id(), "snapshot", self._state, self._clock.wall_ms()))
        return self._whole

    def _leave(self, viewer: Viewer) -> None:
        with self._lock:
            self._viewers.discard(viewer)
            viewer.ended = True
            viewer.wake.set()

    def _run(self) -> None:
        try:
            while self._wanted():
                began = self._clock.monotonic()
                self.step()
                self._closing.wait(until_next(self._period, self._clock.monotonic() - began))
        except Exception:
            # A fault of ours. Those who watch are sent away, come back, and so start this thread anew.
            log.exception("the stream's producer failed")
            with self._lock:
                self._rest()
                for viewer in self._viewers:
                    viewer.ended = True
                    viewer.wake.set()
                self._viewers.clear()

    def _wanted(self) -> bool:
        with self._lock:
            if not self._viewers or self._closing.is_set():
                self._rest()
                return False
            return True

    def _rest(self) -> None:
        """Nobody looks any more, so what is kept here grows old; the next viewer waits for a new look."""
        self._running = self._current = False


class Viewer:
    """One stream's body: an iterator of bytes, which the server closes when the viewer is gone.

    With an ``outlet`` it yields only its first piece, which takes the head along, and then sends by itself
    until the stream is over. ``waits``: its greenlet sleeps and its socket is at rest, so that another may
    write to it; that, ``place`` and ``ended`` change under the fanout's lock.
    """

    __slots__ = ("_fanout", "_greeted", "ended", "outlet", "place", "waits", "wake")

    def __init__(self, fanout: Fanout, place: int | None, outlet: Outlet | None = None) -> None:
        self._fanout = fanout
        self._greeted = False
        self.place = place
        self.outlet = outlet
        self.wake = threading.Event()
        self.waits = self.ended = False

    def __iter__(self) -> Viewer:
        return self

    def __next__(self) -> bytes:
        """The next events, as one piece. StopIteration: the stream is over. OSError: the viewer is gone."""
        if not self._greeted:
            self._greeted = True
            return RETRY
        while (piece := self._fanout._take(self)) is not None:  # noqa: SLF001 - the outer half of its fanout
            if self.outlet is None:
                return piece.plain
            self.outlet.send(piece)
        self.close()
        if self.outlet is not None:
            self.outlet.finish()  # the server's last words are not to stand in the middle of an event
        raise StopIteration

    def close(self) -> None:
        """The viewer is gone. Safe to repeat."""
        self._fanout._leave(self)  # noqa: SLF001

"""Where a trooper thinks: one thought at a time, in a thread of its own (a greenlet in a replica).

A model takes seconds; a lease has one. So the loop that renews leases and beats never waits for a thought:
it hands it in, goes on, and looks later whether it is done. What people asked goes before what the trooper
says of its own accord.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

import structlog

log = structlog.get_logger(__name__)
T = TypeVar("T")

MOST_WAITING = 16
"""Thoughts that wait. A trooper that is asked more is told so at once."""
_LONGEST_WAIT = 1.0


class Thought(Generic[T]):
    """Something being thought. ``done`` first, then ``value``: None where thinking it failed by a bug."""

    def __init__(self, think: Callable[[], T]) -> None:
        self._think = think
        self.done = False
        self.value: T | None = None

    def run(self) -> None:
        """Think it through."""
        try:
            self.value = self._think()
        except Exception:  # a bug in one thought must not end all thinking; it is told with its trace
            log.exception("thought failed")
        finally:
            self.done = True


class Mind:
    """A bounded queue of thoughts and who thinks them. Thread-safe. A test calls ``step`` instead."""

    def __init__(self, most_waiting: int = MOST_WAITING) -> None:
        self._most_waiting = most_waiting
        self._changed = threading.Condition()
        self._asked: deque[Thought[object]] = deque()
        self._own: deque[Thought[object]] = deque()
        self._stopping = False
        self._thread: threading.Thread | None = None
        self.busy = False

    def submit(self, think: Callable[[], T], *, asked: bool = False) -> Thought[T] | None:
        """Have it thought, after what is waiting already; None when too much is.

        ``asked``: somebody waits for it, so it goes before the trooper's own.
        """
        thought = Thought(think)
        with self._changed:
            if len(self._asked) + len(self._own) >= self._most_waiting:
                return None
            (self._asked if asked else self._own).append(thought)  # type: ignore[arg-type]
            self._changed.notify()
        return thought

    @property
    def idle(self) -> bool:
        """Whether nothing waits to be thought."""
        return not (self._asked or self._own)

    def step(self) -> bool:
        """Think the next thought, if there is one."""
        with self._changed:
            queue = self._asked or self._own
            thought = queue.popleft() if queue else None
            self.busy = thought is not None
        if thought is None:
            return False
        try:
            thought.run()
        finally:
            self.busy = False
        return True

    def start(self) -> None:
        """Think in a thread of its own from now on."""
        self._thread = threading.Thread(target=self._run, name="mind", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Begin no further thought. One that is being thought is not waited for."""
        with self._changed:
            self._stopping = True
            self._changed.notify()

    def _run(self) -> None:
        while not self._stopping:
            if not self.step():
                with self._changed:
                    if not (self._asked or self._own or self._stopping):
                        self._changed.wait(_LONGEST_WAIT)

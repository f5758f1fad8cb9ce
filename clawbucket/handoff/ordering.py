"""What a coordinator asks of one trooper: an order into its inbox, and how the trooper says it went.

An order is named after its handoff, so that it is one order however many coordinators send it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Literal

from clawbucket import codecs, keys
from clawbucket.board import BoardReader
from clawbucket.codecs import Gate
from clawbucket.core.model import Task
from clawbucket.core.records import Heartbeat, Order
from clawbucket.loops.trooper import acks, inbox
from clawbucket.ports import Bus, BusDown, Clock

LOOK_EVERY = 0.1
"""Seconds between two looks for an acknowledgement."""
FRESH = 0.1
"""Seconds that a look at the rack may be old."""


class Gone(Exception):  # noqa: N818 - it says what became of the task
    """The task has ended; it will not acknowledge anything any more."""


class Ordering:
    """The way to the troopers of this rack, and what is seen of them. Thread- and greenlet-safe.

    ``pause`` lets others go on for some seconds; a test's lets its world go on.
    """

    def __init__(
        self, bus: Bus, gate: Gate, clock: Clock, board: BoardReader,
        pause: Callable[[float], object] | None = None,
    ) -> None:  # fmt: skip
        self._bus, self._gate, self._clock, self._board = bus, gate, clock, board
        self._pause = pause or threading.Event().wait

    def order(
        self,
        task_id: str,
        kind: Literal["freeze", "thaw", "restore"],
        handoff: str,
        within: float,
        name: str = "",
    ) -> str | None:
        """Have the task do it, and how it said that went; None where it said nothing ``within`` seconds.

        Gone where it ended instead.
        """
        order_id, at = f"{name or handoff}-{kind}", self._clock.iso()
        inbox(self._bus, self._gate, self._clock, task_id).append(
            lambda seq: Order(order_id, seq, kind, at, text=handoff)
        )
        told = acks(self._bus, self._gate, self._clock, task_id)
        ends_at = self._clock.monotonic() + within
        while True:
            found = next((ack.result for ack in told.read() if ack.id == order_id), None)
            if found is not None:
                return found
            if self.ended(task_id):
                raise Gone(task_id)
            left = ends_at - self._clock.monotonic()
            if left <= 0:
                return None
            self.pause(min(LOOK_EVERY, left))

    def destroy(self, task_id: str, mark: str) -> None:
        """Have the task end itself, where the rack manager's hand does not reach."""
        at = self._clock.iso()
        inbox(self._bus, self._gate, self._clock, task_id).append(
            lambda seq: Order(f"{mark}-destroy", seq, "self_destruct", at)
        )

    def pause(self, seconds: float) -> None:
        """Let others go on."""
        self._pause(seconds)

    def tasks(self, service: str) -> tuple[Task, ...]:
        """The service's tasks that hold a slot, as the engine said a moment ago. BusDown."""
        board = self._board.board(max_age=FRESH)
        snapshot = self._board.snapshot
        if board.stale_seconds is not None or snapshot is None:
            raise BusDown("the bus does not answer; try again shortly")
        return snapshot.tasks_of(service)

    def task(self, task_id: str) -> Task | None:
        """The task, if it has not ended."""
        self._board.board(max_age=FRESH)
        return self._board.snapshot.task(task_id) if self._board.snapshot else None

    def ended(self, task_id: str) -> bool:
        """Whether the engine says that its process is gone."""
        self._board.board(max_age=FRESH)
        return self._board.snapshot is not None and task_id in self._board.snapshot.ended

    def beat(self, task: Task) -> Heartbeat | None:
        """What the task last said of itself."""
        key = keys.HEARTBEAT.of(task.name)
        return self._gate.read(codecs.HEARTBEAT, key, self._bus.get(key))

    def beats(self, tasks: Iterable[Task]) -> dict[str, Heartbeat]:
        """What those said last that said something, by task id."""
        names = {keys.HEARTBEAT.of(task.name): task.id for task in tasks}
        found = {
            names[key]: self._gate.read(codecs.HEARTBEAT, key, raw)
            for key, raw in self._bus.get_many(names).items()
        }
        return {task_id: beat for task_id, beat in found.items() if beat is not None}

    # Claims: a task is in one handoff at a time ----------------------------------------------------------

    def claim(self, task_id: str, handoff: str) -> bool:
        """Take the task for this handoff. False: it is in another."""
        key = keys.CLAIM.of(task_id)
        return self._bus.add(key, handoff.encode(), keys.CLAIM.ttl) or self._bus.get(key) == handoff.encode()

    def claims(self, tasks: Iterable[Task]) -> dict[str, str]:
        """Of the tasks that are in a handoff, which, by task id."""
        by_key = {keys.CLAIM.of(task.id): task.id for task in tasks}
        return {by_key[key]: value.decode() for key, value in self._bus.get_many(by_key).items()}

    def release(self, task_id: str, handoff: str) -> None:
        """Let the task be taken again, if this handoff has it."""
        key = keys.CLAIM.of(task_id)
        if self._bus.get(key) == handoff.encode():
            self._bus.delete(key)

"""An Engine that only remembers what it was asked: for tests of what stands in front of engines."""

from __future__ import annotations

import threading
from dataclasses import replace

from clawbucket.core.model import Node, Service, Snapshot, Task, TaskState
from clawbucket.ports import ClawError, Conflict, NodeUnknown, ServiceUnknown, TaskElsewhere, TaskUnknown

A, B = "clawbucket_clawbucket", "clawbucket_clawbucket-b"
HERE = Task("here", A, 1, "n1", TaskState.RUNNING, TaskState.RUNNING, f"{A}.1.here", "127.0.0.1:1")
FAR = Task("far", B, 1, "n2", TaskState.RUNNING, TaskState.RUNNING, f"{B}.1.far", "127.0.0.1:2")
DEAD = Task("dead", A, 1, "n1", TaskState.FAILED, TaskState.SHUTDOWN, f"{A}.1.dead", error="it ended")


class StubEngine:
    """Two services, a task each, on two nodes. ``fails`` is raised by every call while it is set."""

    def __init__(self) -> None:
        self.fails: ClawError | None = None
        self.orders: list[tuple[object, ...]] = []
        self.asked = 0
        self.marks: set[str] = set()
        self.state = Snapshot(
            rack="BOT 1",
            seq=0,
            at="2026-11-20T09:30:00.000Z",
            engine="stub",
            nodes=(Node("n1", "node-1", leader=True), Node("n2", "node-2")),
            services=(Service(A, 1), Service(B, 1)),
            tasks=(HERE, FAR),
            ended={DEAD.id: DEAD.state},
        )
        self._changed = threading.Condition()
        self._changes = 1

    def change(self, state: Snapshot | None = None) -> None:
        """Something happened."""
        with self._changed:
            self.state = state or self.state
            self._changes += 1
            self._changed.notify_all()

    def snapshot(self) -> Snapshot:
        """The state."""
        self._fail()
        self.asked += 1
        return self.state

    def history(self, service: str) -> tuple[Task, ...]:
        """One dead task of the first service."""
        self._know(service)
        self.asked += 1
        return (DEAD,) if service == A else ()

    def wait_change(self, after: int, timeout: float) -> int:
        """Wait for ``change``."""
        with self._changed:
            self._changed.wait_for(lambda: self._changes > after, timeout)
            return self._changes

    def calls(self) -> int:
        """How often the state was asked for."""
        return self.asked

    def close(self) -> None:
        """Nothing to let go of."""

    def scale(self, service: str, replicas: int) -> None:
        """Remember it."""
        self._know(service)
        self.orders.append(("scale", service, replicas))
        self._want(service, replicas)

    def resize(self, service: str, by: int, mark: str, leaving: str = "") -> int:
        """Remember it, once for each mark, from 1 to 20."""
        self._know(service)
        known = self.state.service(service)
        assert known is not None
        if mark in self.marks:
            return known.desired
        if leaving == FAR.id:
            raise TaskElsewhere(f"task {leaving} runs on node-2")
        if leaving not in {"", HERE.id, DEAD.id}:
            raise TaskUnknown(f"no task {leaving!r} is known of {service}")
        if not 1 <= known.desired + by <= 20:
            raise Conflict(f"{known.desired + by} is not from 1 to 20 replicas")
        self.marks.add(mark)
        self.orders.append(("resize", service, by, mark, leaving))
        self._want(service, known.desired + by)
        return known.desired + by

    def restart(self, service: str) -> None:
        """Remember it."""
        self._know(service)
        self.orders.append(("restart", service))

    def kill(self, task_id: str) -> None:
        """Remember it, where it can be done."""
        self._fail()
        if task_id == FAR.id:
            raise TaskElsewhere(f"task {task_id} runs on node-2")
        if task_id != HERE.id:
            raise TaskUnknown(f"no task {task_id!r} runs here")
        self.orders.append(("kill", task_id))

    def set_availability(self, node_id: str, availability: str) -> None:
        """Remember it."""
        self._fail()
        if node_id not in {"n1", "n2"}:
            raise NodeUnknown(f"no node {node_id!r}")
        self.orders.append(("availability", node_id, availability))

    def _want(self, service: str, replicas: int) -> None:
        services = tuple(
            replace(s, desired=replicas) if s.name == service else s for s in self.state.services
        )
        self.change(replace(self.state, services=services))

    def _know(self, service: str) -> None:
        self._fail()
        if service not in {A, B}:
            raise ServiceUnknown(f"no service {service!r} runs here")

    def _fail(self) -> None:
        if self.fails is not None:
            raise self.fails

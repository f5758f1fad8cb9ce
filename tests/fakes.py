"""Verified stand-ins that tests share: time that moves only when a test says so, a rack that obeys."""

from __future__ import annotations

from collections.abc import Iterable

from clawbucket.clock import iso_of
from clawbucket.ports import ClawError, NodeUnknown, ServiceUnknown, TaskElsewhere, TaskUnknown


class FakeClock:
    """A Clock whose two times move together, by ``advance`` alone."""

    def __init__(self, monotonic: float = 1_000.0, wall_ms: int = 1_790_000_000_000) -> None:
        self._monotonic = monotonic
        self._wall_ms = wall_ms

    def advance(self, seconds: float) -> None:
        """Let ``seconds`` go by."""
        self._monotonic += seconds
        self._wall_ms += round(seconds * 1000)

    def monotonic(self) -> float:
        """Seconds since the fake start."""
        return self._monotonic

    def wall_ms(self) -> int:
        """Unix milliseconds."""
        return self._wall_ms

    def iso(self) -> str:
        """Now, for people."""
        return iso_of(self._wall_ms)


class FakeRack:
    """Orders on a list of tasks, as the rack manager would take them; ``calls`` tells which came.

    ``fails`` is raised by the next order, and by each after it until it is None again.
    """

    def __init__(
        self, services: dict[str, int], tasks: Iterable[str] = (), nodes: Iterable[str] = ()
    ) -> None:
        self.desired = dict(services)
        self.tasks = set(tasks)
        self.elsewhere: set[str] = set()
        self.nodes = set(nodes)
        self.calls: list[tuple[str, ...]] = []
        self.fails: ClawError | None = None

    def scale(self, service: str, replicas: int) -> None:
        """Remember the count."""
        self._take("scale", service, str(replicas))
        if service not in self.desired:
            raise ServiceUnknown(f"no service {service} runs here")
        self.desired[service] = replicas

    def kill(self, task_id: str) -> None:
        """Forget the task."""
        self._take("kill", task_id)
        if task_id in self.elsewhere:
            raise TaskElsewhere(f"task {task_id} runs on another node")
        if task_id not in self.tasks:
            raise TaskUnknown(f"no task {task_id} runs here")
        self.tasks.discard(task_id)

    def restart(self, service: str) -> None:
        """Do nothing but check."""
        self._take("restart", service)
        if service not in self.desired:
            raise ServiceUnknown(f"no service {service} runs here")

    def set_availability(self, node_id: str, availability: str) -> None:
        """Do nothing but check."""
        self._take("set_availability", node_id, availability)
        if node_id not in self.nodes:
            raise NodeUnknown(f"no node {node_id} is in the swarm")

    def _take(self, *call: str) -> None:
        self.calls.append(call)
        if self.fails is not None:
            raise self.fails

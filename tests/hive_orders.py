"""A rack manager for a swarm in one process (tests/hive.py)."""

from __future__ import annotations

from clawbucket.ports import ServiceUnknown, TaskUnknown
from tests.hive import Hive


class HiveOrders:
    """A rack manager's hand on the hive."""

    def __init__(self, hive: Hive) -> None:
        self._hive = hive
        self._marks: set[str] = set()

    def scale(self, service: str, replicas: int) -> None:
        """Fill or empty slots, the highest first."""
        if service not in self._hive.services:
            raise ServiceUnknown(f"no service {service} runs here")
        mine = sorted((t for t in self._hive.tasks.values() if t.service == service), key=lambda t: t.slot)
        for slot in range(len(mine) + 1, replicas + 1):
            self._hive.start(service, slot)
        for task in mine[replicas:]:
            self._hive.kill(task.id)

    def resize(self, service: str, by: int, mark: str, leaving: str = "") -> int:
        """Fill the lowest free slot, or empty that of the task that leaves, or else the highest."""
        if service not in self._hive.services:
            raise ServiceUnknown(f"no service {service} runs here")
        mine = sorted((t for t in self._hive.tasks.values() if t.service == service), key=lambda t: t.slot)
        if mark in self._marks:
            return len(mine)
        self._marks.add(mark)
        if by > 0:
            held = {task.slot for task in mine}
            self._hive.start(service, next(n for n in range(1, len(mine) + 2) if n not in held))
        elif not leaving or leaving in self._hive.tasks:
            self._hive.kill(leaving or mine[-1].id)
        return len([t for t in self._hive.tasks.values() if t.service == service])

    def kill(self, task_id: str) -> None:
        """Kill a task; its slot is filled again at once."""
        if task_id not in self._hive.tasks:
            raise TaskUnknown(f"no task {task_id} runs here")
        task = self._hive.tasks[task_id]
        self._hive.kill(task_id)
        self._hive.start(task.service, task.slot)

    def restart(self, service: str) -> None:
        """Kill every task of the service."""
        for task in list(self._hive.tasks.values()):
            if task.service == service:
                self.kill(task.id)

    def set_availability(self, node_id: str, availability: str) -> None:
        """The hive has one node, and it stays."""

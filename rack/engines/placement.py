"""On which node a task goes: spread, as Swarm does. What is where is counted once for many."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from clawbucket.core.model import Node, Task


class Crowd:
    """How many tasks are where. ``tasks`` are those that hold a slot and are to go on holding it."""

    def __init__(self, nodes: Iterable[Node], tasks: Iterable[Task]) -> None:
        self._fit = [node for node in nodes if node.availability == "active" and node.state == "ready"]
        self._of_all: Counter[str] = Counter()
        self._of_service: Counter[tuple[str, str]] = Counter()
        for task in tasks:
            self._count(task.service, task.node_id)

    def place(self, service: str) -> Node | None:
        """The fit node with the fewest tasks of the service, then of all, then the first; one more is there.

        None: no node is active and ready.
        """
        node = min(
            self._fit,
            key=lambda node: (self._of_service[service, node.id], self._of_all[node.id]),
            default=None,
        )
        if node is not None:
            self._count(service, node.id)
        return node

    def _count(self, service: str, node_id: str) -> None:
        self._of_all[node_id] += 1
        self._of_service[service, node_id] += 1

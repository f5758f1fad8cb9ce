"""On which node a task goes: spread, as Swarm does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from clawbucket.core.model import Node, Task


def spread(service: str, nodes: Iterable[Node], tasks: Iterable[Task]) -> Node | None:
    """The active node with the fewest tasks of the service, then of all, then the first.

    ``tasks`` are those that hold a slot and are to go on holding it. None: no node is active.
    """
    of_service: Counter[str] = Counter()
    of_all: Counter[str] = Counter()
    for task in tasks:
        of_all[task.node_id] += 1
        of_service[task.node_id] += task.service == service
    active = [node for node in nodes if node.availability == "active"]
    return min(active, key=lambda node: (of_service[node.id], of_all[node.id]), default=None)

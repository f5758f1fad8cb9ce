"""How one certain slot of a service is given up: its next task is held up. Pure.

When the count goes down, Swarm gives up first a slot whose task has no node (swarmkit, manager/orchestrator/
replicated/services.go and slot.go); only then does it look at which node has the most. So before who
leaves has ended, the service's placement is narrowed: one task a node at most, and none on a node that
has no other. The next task of the slot then finds no place, and it is the one that a lower count gives up.

A changed placement is no reason for Swarm to replace a task whose node still fits (orchestrator/task.go,
IsTaskDirty). Who leaves may be alone on its node, which fits no more: then Swarm makes its next task
beside it, which finds no place either; a slot with two tasks goes first as well.

The placement as it was is in a label, written with the narrow one, so that whoever comes next can let go.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from rack.engines.docker_tasks import Raw

HELD = "clawbucket.held"
"""The service's label with its placement as it was (JSON; ``null`` for none)."""


def held(spec: Raw) -> str:
    """The placement as it was, where the service's new tasks are held up; "" where they are not."""
    return str((spec.get("Labels") or {}).get(HELD, ""))


def hold(spec: dict[str, Any], empty_nodes: Iterable[str]) -> None:
    """Hold new tasks up, in place. ``empty_nodes`` are those with no other task of the service than one's."""
    was = held(spec) or json.dumps(spec["TaskTemplate"].get("Placement"))
    placement = json.loads(was) or {}
    constraints = [*(placement.get("Constraints") or ()), *(f"node.id!={node}" for node in empty_nodes)]
    spec["TaskTemplate"]["Placement"] = {**placement, "Constraints": constraints, "MaxReplicas": 1}
    spec["Labels"] = {**(spec.get("Labels") or {}), HELD: was}


def let_go(spec: dict[str, Any]) -> bool:
    """Place new tasks as before, in place; whether they were held up."""
    was = held(spec)
    if not was:
        return False
    placement = json.loads(was)
    if placement is None:
        spec["TaskTemplate"].pop("Placement", None)
    else:
        spec["TaskTemplate"]["Placement"] = placement
    spec["Labels"] = {name: value for name, value in spec["Labels"].items() if name != HELD}
    return True

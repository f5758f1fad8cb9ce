"""The nouns of the swarm, as frozen dataclasses.

The words are Docker Swarm's: a *service* wants replicas, each replica lives in a *slot*, and each
attempt to fill a slot is a *task* with a *desired* and an *actual* state. All times are ISO-8601 UTC
text: they are for people to read and are never compared between machines.
"""

from __future__ import annotations

import string
from dataclasses import dataclass, field
from enum import StrEnum

TASK_ID_ALPHABET = string.digits + string.ascii_lowercase
"""Swarm's ids are 25 characters of base 36 (swarmkit, identity/randomid.go)."""
TASK_ID_LENGTH = 25


class TaskState(StrEnum):
    """A task's life as Swarm tells it (docs.docker.com, "Swarm task states"), spelled as its API does."""

    NEW = "new"
    PENDING = "pending"
    ASSIGNED = "assigned"
    ACCEPTED = "accepted"
    PREPARING = "preparing"
    READY = "ready"
    STARTING = "starting"
    RUNNING = "running"
    COMPLETE = "complete"
    SHUTDOWN = "shutdown"
    FAILED = "failed"
    REJECTED = "rejected"
    ORPHANED = "orphaned"
    REMOVE = "remove"

    @property
    def ended(self) -> bool:
        """True when the task's process is known to be gone.

        ``orphaned`` is not in it: Swarm says so of a task on a node it lost sight of, whose process
        may well still run and still hold its lease.
        """
        return self in _ENDED


_ENDED = frozenset(
    {TaskState.COMPLETE, TaskState.SHUTDOWN, TaskState.FAILED, TaskState.REJECTED, TaskState.REMOVE}
)


class Freshness(StrEnum):
    """What an observer thinks of a trooper from its heartbeats alone (core/membership.py)."""

    ALIVE = "alive"
    SUSPECT = "suspect"
    MISSING = "missing"


class ArmState(StrEnum):
    """A trooper is armed or it is not."""

    ON = "on"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class Node:
    """A machine of the swarm. ``leader`` marks the manager node that leads Raft."""

    id: str
    hostname: str
    leader: bool = False
    role: str = "manager"
    availability: str = "active"
    state: str = "ready"


@dataclass(frozen=True, slots=True)
class Service:
    """What is wanted: ``desired`` replicas. ``error`` says in one sentence why it could not be read."""

    name: str
    desired: int
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Task:
    """One attempt to fill a slot. ``name`` is ``service.slot.id``; ``address`` is ``host:port``."""

    id: str
    service: str
    slot: int
    node_id: str
    state: TaskState
    desired_state: TaskState
    name: str
    address: str | None = None
    created_at: str = ""
    updated_at: str = ""
    message: str = ""
    error: str | None = None
    exit_code: int | None = None

    @property
    def running(self) -> bool:
        """It runs and is meant to go on running: it may lead, and it may be given requests."""
        return self.state is TaskState.RUNNING and self.desired_state is TaskState.RUNNING

    @property
    def live(self) -> bool:
        """It holds its slot: not ended, and not on its way out."""
        return not self.state.ended and not self.desired_state.ended


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the engine said of one rack at one moment.

    ``seq`` rises with every publication of one rack manager (it starts at its start time in unix
    milliseconds, so it goes on rising over a restart). ``tasks`` are those whose process is not known
    to be gone; ``ended`` maps the ids of the kept dead ones to their final states. ``error`` is set
    when the engine could not be asked, and the rest is then the last that it did say.
    """

    rack: str
    seq: int
    at: str
    engine: str
    nodes: tuple[Node, ...] = ()
    services: tuple[Service, ...] = ()
    tasks: tuple[Task, ...] = ()
    ended: dict[str, TaskState] = field(default_factory=dict)
    error: str | None = None

    def service(self, name: str) -> Service | None:
        """The service of that full name, or None."""
        return next((s for s in self.services if s.name == name), None)

    def task(self, task_id: str) -> Task | None:
        """The task of that id among those not ended, or None."""
        return next((t for t in self.tasks if t.id == task_id), None)

    def tasks_of(self, service: str) -> tuple[Task, ...]:
        """The service's tasks that hold a slot, by slot then id."""
        mine = (t for t in self.tasks if t.service == service and t.live)
        return tuple(sorted(mine, key=lambda t: (t.slot, t.id)))

    @property
    def leader_node_id(self) -> str | None:
        """The Swarm leader's node id, or None when no node leads."""
        return next((n.id for n in self.nodes if n.leader), None)


def short_alias(service: str) -> str:
    """``clawbucket_clawbucket-b`` -> ``clawbucket-b``: the name without the stack's prefix."""
    return service.split("_", 1)[1] if "_" in service else service


def resolve_service(name: str | None, services: tuple[str, ...]) -> str | None:
    """The full name that a full name or short alias stands for; None asked for is the first (primary)."""
    if name is None:
        return services[0] if services else None
    if name in services:
        return name
    return next((s for s in services if short_alias(s) == name), None)

"""What the local engine remembers over its own death, as frozen dataclasses; state_file.py keeps them."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field

from clawbucket.core.model import TASK_ID_ALPHABET, TASK_ID_LENGTH, Node, Service, Task


@dataclass(frozen=True, slots=True)
class Record:
    """A task that holds its slot, and the process behind it.

    ``pid`` is also the number of its session and process group. ``born`` is the process' creation time
    as psutil tells it: with the pid it names one process even after the pid was used again. Both are
    None from the moment the task is meant to start until its process exists.
    """

    task: Task
    pid: int | None = None
    born: float | None = None


@dataclass(frozen=True, slots=True)
class SlotRecord:
    """One slot's past: ``failures`` in a row, and its dead tasks, newest first."""

    service: str
    slot: int
    failures: int = 0
    dead: tuple[Task, ...] = ()


@dataclass(frozen=True, slots=True)
class State:
    """Everything. ``rolling`` maps a service to the tasks that a rolling restart has yet to replace.

    ``wanted`` are the slots that a service wants, ``marks`` the newest changes of its count by one. A file
    from before either has none: then the slots are those from 1 on.
    """

    run: str
    nodes: tuple[Node, ...]
    services: tuple[Service, ...]
    tasks: tuple[Record, ...] = ()
    slots: tuple[SlotRecord, ...] = ()
    rolling: dict[str, tuple[str, ...]] = field(default_factory=dict)
    wanted: dict[str, tuple[int, ...]] = field(default_factory=dict)
    marks: dict[str, tuple[str, ...]] = field(default_factory=dict)


def new_id() -> str:
    """A fresh id as Swarm makes them: 25 characters of base 36, not to be guessed."""
    return "".join(secrets.choice(TASK_ID_ALPHABET) for _ in range(TASK_ID_LENGTH))


def first_state(run: str, services: Sequence[str], replicas: int, nodes: int) -> State:
    """The state of a rack that starts for the first time; ``node-1`` is its Swarm leader."""
    return State(
        run=run,
        nodes=tuple(
            Node(id=new_id(), hostname=f"node-{number}", leader=number == 1) for number in range(1, nodes + 1)
        ),
        services=tuple(Service(name, replicas) for name in services),
    )

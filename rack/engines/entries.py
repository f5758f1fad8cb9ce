"""What the ledger's books are made of: a task with what only the engine knows, a slot's past, a restart."""

from __future__ import annotations

from dataclasses import dataclass, field

from clawbucket.core.model import Task


@dataclass(slots=True)
class Entry:
    """A task that holds its slot, with what only the engine knows of it. Times are monotonic."""

    task: Task
    pid: int | None = None
    born: float | None = None
    start_at: float = 0.0
    running_since: float | None = None
    term_at: float | None = None
    kill_at: float | None = None
    misses: int = 0
    doom: str | None = None

    @property
    def leaving(self) -> bool:
        """It is on its way out."""
        return self.task.desired_state.ended


@dataclass(slots=True)
class Past:
    """A slot's: failures in a row, when it may be filled again, and its dead tasks, newest first."""

    failures: int = 0
    start_at: float = 0.0
    dead: list[Task] = field(default_factory=list)


@dataclass(slots=True)
class Rolling:
    """A rolling restart: who is left to replace, and the slot whose replacement it waits for."""

    waiting: list[str]
    slot: int | None = None
    until: float = 0.0

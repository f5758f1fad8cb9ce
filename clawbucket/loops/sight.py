"""What a trooper last saw of its rack: the snapshot, kept over a bus that forgot it."""

from __future__ import annotations

from clawbucket import codecs, keys
from clawbucket.codecs import Gate
from clawbucket.core.election import preference
from clawbucket.core.model import Snapshot, Task
from clawbucket.ports import Bus


class Sight:
    """The newest snapshot that this process read, and what follows from it."""

    def __init__(self, bus: Bus, gate: Gate) -> None:
        self._bus = bus
        self._gate = gate
        self._read = gate.reader(codecs.SNAPSHOT, keys.SNAPSHOT.of())
        self.snapshot: Snapshot | None = None

    def look(self, service: str) -> tuple[str, ...]:
        """Ask the bus; the task ids of the service's candidates, the preferred one first."""
        override_key = keys.OVERRIDE.of(service)
        values = self._bus.get_many([keys.SNAPSHOT.of(), override_key])
        self.snapshot = self._read(values.get(keys.SNAPSHOT.of())) or self.snapshot
        if self.snapshot is None:
            return ()
        override = self._gate.read(codecs.OVERRIDE, override_key, values.get(override_key))
        return tuple(task.id for task in preference(self.snapshot, service, override))

    def ended(self, task_id: str) -> bool:
        """Whether the snapshot says that the task's process is gone. Not listed at all is no proof."""
        return self.snapshot is not None and task_id in self.snapshot.ended

    def tasks(self) -> tuple[Task, ...]:
        """The tasks not ended, of every service."""
        return self.snapshot.tasks if self.snapshot else ()

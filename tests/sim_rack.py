"""One of the racks of ``two_racks.py``: its processes, the bus and the engine as each of them reaches it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from greenlet import getcurrent, greenlet

from clawbucket.core.model import Snapshot, TaskState
from clawbucket.core.revolt import Handoff
from clawbucket.handoff.files import SnapshotFiles
from clawbucket.ports import CasToken, Conflict, TaskUnknown
from tests.hive import PRIMARY, Hive

if TYPE_CHECKING:
    from tests.two_racks import World

REFILL = 0.6
"""Seconds after which the engine has another task in the slot of one that crashed."""


class Killed(BaseException):
    """The process in which this was done is gone."""


@dataclass
class Process:
    """One replica's process. ``fuse``: the touches that are left to it; None: no end is set."""

    rack: SimRack
    task_id: str
    alive: bool = True
    fuse: int | None = None
    actors: list[greenlet] = field(default_factory=list)

    def touch(self) -> None:
        """Something is about to take effect, or just did."""
        if self.fuse is not None:
            self.fuse -= 1
            if self.fuse <= 0:
                self.rack.crash(self.task_id)
        if not self.alive:
            raise Killed


class TouchedBus:
    """The rack's bus, as one process reaches it."""

    def __init__(self, process: Process) -> None:
        self._process, self._bus = process, process.rack.hive.bus

    def _touched(self, call: Callable[[], Any]) -> Any:
        self._process.touch()
        result = call()
        self._process.touch()
        return result

    def get(self, key: str) -> bytes | None:
        return self._bus.get(key)

    def get_many(self, keys: Iterable[str]) -> dict[str, bytes]:
        return self._bus.get_many(keys)

    def gets(self, key: str) -> tuple[bytes, CasToken] | None:
        return self._bus.gets(key)

    def set(self, key: str, value: bytes, ttl: int) -> None:
        self._touched(lambda: self._bus.set(key, value, ttl))

    def set_many(self, values: Mapping[str, tuple[bytes, int]]) -> None:
        self._touched(lambda: self._bus.set_many(values))

    def add(self, key: str, value: bytes, ttl: int) -> bool:
        return bool(self._touched(lambda: self._bus.add(key, value, ttl)))

    def cas(self, key: str, value: bytes, token: CasToken, ttl: int) -> bool:
        return bool(self._touched(lambda: self._bus.cas(key, value, token, ttl)))

    def delete(self, key: str) -> bool:
        return bool(self._touched(lambda: self._bus.delete(key)))

    def ping(self) -> None:
        self._bus.ping()


class RackHive(Hive):
    """A hive whose services want what the engine wants."""

    wanted: dict[str, set[int]]

    def snapshot(self) -> Snapshot:
        """The rack as its manager sees it."""
        said = super().snapshot()
        counts = {name: len(slots) for name, slots in self.wanted.items()}
        return replace(said, services=tuple(replace(s, desired=counts[s.name]) for s in said.services))


class SimRack:
    """One rack: its hive, its engine (this object, as one process sees it by ``Hand``), its processes."""

    def __init__(self, world: World, label: str, directory: Path, replicas: int, seed: int) -> None:
        self.world, self.label, self.directory = world, label, directory
        self.processes: dict[str, Process] = {}
        self.marks: set[str] = set()
        self.refills: list[tuple[float, int]] = []
        self.hive = RackHive(0, clock=world.clock, seed=seed, handoff=self._record)
        self.hive._number = 500 * len(world.racks)  # task ids name processes here, of both racks
        self.hive.wanted = {PRIMARY: set(range(1, replicas + 1))}
        self.files = SnapshotFiles(directory, sync=lambda _fd: None)
        for slot in range(1, replicas + 1):
            self.fill(slot)

    @property
    def url(self) -> str:
        return f"http://{self.label}"

    def _record(self, snapshot_id: str) -> Handoff | None:
        """What a trooper finds when it is told to restore: by the registry of any process here."""
        process = next(iter(self.processes.values()))
        return self.world.parts[process.task_id].registry.find(snapshot_id)

    def fill(self, slot: int) -> str:
        """Start a task in the slot, with a process of its own."""
        task_id = self.hive.start(PRIMARY, slot)
        # Task ids are unique over both racks: they are the names of processes here.
        process = self.processes[task_id] = Process(self, task_id)
        self.world.furnish(process)
        return task_id

    def crash(self, task_id: str) -> None:
        """SIGKILL: the slot is filled again in a while."""
        slot = self.hive.tasks[task_id].slot if task_id in self.hive.tasks else None
        self._end(task_id, TaskState.FAILED)
        if slot is not None and slot in self.hive.wanted[PRIMARY]:
            self.refills.append((self.world.clock.monotonic() + REFILL, slot))

    def _end(self, task_id: str, state: TaskState) -> None:
        process = self.processes.get(task_id)
        if process is None or not process.alive:
            return
        self.world.mourn(self, task_id)
        process.alive = False
        self.hive.kill(task_id)
        self.hive.ended[task_id] = state
        for actor in process.actors:
            if actor and actor is not getcurrent():  # begun, and not over
                actor.parent = getcurrent()  # where it comes back to once it has ended
                actor.throw(Killed)
        del self.processes[task_id]

    def resize(self, service: str, by: int, mark: str, leaving: str = "") -> int:
        """As the engine does it."""
        wanted = self.hive.wanted[service]
        if mark in self.marks:
            return len(wanted)
        if not 1 <= len(wanted) + by <= 20:
            raise Conflict("a service has 1 to 20 replicas")
        if by > 0:
            slot = next(n for n in range(1, 30) if n not in wanted)
            wanted.add(slot)
            self.refills.append((self.world.clock.monotonic() + REFILL, slot))
        else:
            slot = self.world.slots[leaving] if leaving else max(wanted)
            if leaving and leaving not in self.world.slots:
                raise TaskUnknown(f"no task {leaving}")
            wanted.discard(slot)
            self.refills = [(at, other) for at, other in self.refills if other != slot]
            for task in list(self.hive.tasks.values()):
                if task.slot == slot:
                    self._end(task.id, TaskState.SHUTDOWN)
        self.marks.add(mark)
        return len(wanted)

    def step(self) -> None:
        """Fill what is to be filled, and let the troopers act."""
        now = self.world.clock.monotonic()
        due = [slot for at, slot in self.refills if at <= now]
        self.refills = [(at, slot) for at, slot in self.refills if at > now]
        for slot in due:
            if slot in self.hive.wanted[PRIMARY] and all(t.slot != slot for t in self.hive.tasks.values()):
                self.fill(slot)
        self.hive.step()


class Hand:
    """The engine as one process reaches it."""

    def __init__(self, process: Process) -> None:
        self._process = process

    def resize(self, service: str, by: int, mark: str, leaving: str = "") -> int:
        self._process.touch()
        count = self._process.rack.resize(service, by, mark, leaving)
        self._process.touch()
        return count

    def scale(self, service: str, replicas: int) -> None:
        raise NotImplementedError

    def kill(self, task_id: str) -> None:
        self._process.rack.crash(task_id)

    def restart(self, service: str) -> None:
        raise NotImplementedError

    def set_availability(self, node_id: str, availability: str) -> None:
        raise NotImplementedError

"""A whole swarm in one process: real loops on a MemoryBus, stepped by a FakeClock.

What the cluster tests show once with processes and signals, tests on this can show for thousands of
schedules: a trooper can be stopped, killed, and its writes delayed, and the bus wiped or cut off.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random

from clawbucket import codecs, keys
from clawbucket.board import BoardReader
from clawbucket.bus.memory import MemoryBus
from clawbucket.codecs import Gate
from clawbucket.core.model import Node, Service, Snapshot, Task, TaskState
from clawbucket.core.revolt import Handoff
from clawbucket.loops.trooper import Journals, TrooperLoops, build
from clawbucket.ports import AgentRuntime
from clawbucket.settings import Settings
from tests.fakes import FakeClock

PRIMARY = "clawbucket_clawbucket"
SECOND = "clawbucket_clawbucket-b"
STEP = 0.05
PUBLISHED_EVERY = 1.0
"""Seconds between two snapshots when nothing changes, as the real observer has it."""


def task(
    service: str, slot: int, number: int, *, state: TaskState = TaskState.RUNNING, node: str = "n1"
) -> Task:
    """A task with an id made of its service, slot and number."""
    letter = "b" if service.endswith("-b") else "a"
    task_id = f"{letter}{slot:02d}{number:03d}".ljust(25, "0")
    name = f"{service}.{slot}.{task_id}"
    return Task(task_id, service, slot, node, state, TaskState.RUNNING, name, address="127.0.0.1:1")


class Hive:
    """Troopers, their bus and their rack manager's snapshot. ``agent`` makes a task's agent; None: none.

    ``handoff`` finds the rack's record of a handoff.
    """

    def __init__(
        self, replicas: int = 3, services: tuple[str, ...] = (PRIMARY,), seed: int = 0,
        agent: Callable[[str], AgentRuntime] | None = None, clock: FakeClock | None = None,
        handoff: Callable[[str], Handoff | None] = lambda _id: None,
    ) -> None:  # fmt: skip
        self.clock = clock or FakeClock()
        self.agent, self.handoff = agent, handoff
        self.bus = MemoryBus(self.clock)
        self.gate = Gate(self.clock)
        self.services = services
        self._rng = Random(seed)
        self._number = 0
        self._seq = 0
        self._told: tuple[object, ...] = ()
        self._told_at = float("-inf")
        self.tasks: dict[str, Task] = {}
        self.ended: dict[str, TaskState] = {}
        self.troopers: dict[str, TrooperLoops] = {}
        self.stopped: set[str] = set()
        self.destroyed: list[str] = []
        for service in services:
            for slot in range(1, replicas + 1):
                self.start(service, slot)

    def start(self, service: str, slot: int) -> str:
        """Fill a slot with a new task; its id."""
        self._number += 1
        new = task(service, slot, self._number)
        self.tasks[new.id] = new
        settings = Settings(
            service_name=service, task_id=new.id, task_name=new.name, task_slot=slot, swarm_node="node-1",
            swarm_services=self.services,
        )  # fmt: skip
        rng = Random(self._rng.random())
        journals = Journals.on(self.bus, self.gate, self.clock)
        board = BoardReader(self.bus, self.gate, self.clock, settings)
        self.troopers[new.id] = build(
            self.bus, self.gate, self.clock, settings, rng, journals, board,
            lambda: self.destroyed.append(new.id), self.agent(new.id) if self.agent else None,
            handoff=self.handoff,
        )  # fmt: skip
        return new.id

    def kill(self, task_id: str) -> None:
        """End a process; the rack manager's next snapshot says so."""
        self.ended[task_id] = TaskState.FAILED
        del self.tasks[task_id], self.troopers[task_id]
        self.stopped.discard(task_id)

    def run(self, seconds: float) -> None:
        """Let time pass, stepping everybody who is not stopped."""
        for _ in range(round(seconds / STEP)):
            self.clock.advance(STEP)
            self.step()

    def step(self) -> None:
        """Step everybody who is not stopped, at the time that it is."""
        self.publish()
        for task_id, trooper in list(self.troopers.items()):
            if task_id not in self.stopped:
                trooper.runner.step(self.clock.monotonic())
                trooper.mind.step()

    def publish(self) -> None:
        """What the rack manager does: at every change, at least every second, and over a wipe too."""
        facts = (tuple(self.tasks.values()), tuple(self.ended))
        recent = self.clock.monotonic() - self._told_at < PUBLISHED_EVERY
        if self.bus.down or (recent and facts == self._told):
            return
        self._told, self._told_at = facts, self.clock.monotonic()
        lost, self.bus.in_doubt = self.bus.in_doubt, 0  # the answers to be lost are the troopers'
        self._seq += 1
        key = keys.SNAPSHOT
        self.bus.set(key.of(), codecs.SNAPSHOT.encode(self.snapshot()), key.ttl)
        self.bus.in_doubt = lost

    def snapshot(self) -> Snapshot:
        """The rack as its manager sees it."""
        counts = [sum(t.service == s for t in self.tasks.values()) for s in self.services]
        return Snapshot(
            "rack", self._seq, self.clock.iso(), "local", (Node("n1", "node-1", leader=True),),
            tuple(Service(name, count) for name, count in zip(self.services, counts, strict=True)),
            tuple(self.tasks.values()), dict(self.ended),
        )  # fmt: skip

    def running_in(self, service: str, slot: int) -> str:
        """The id of the task in that slot."""
        return next(t.id for t in self.tasks.values() if (t.service, t.slot) == (service, slot))

    def move(self, task_id: str, node: str) -> None:
        """Say that the task is on another node."""
        self.tasks[task_id] = replace(self.tasks[task_id], node_id=node)

    def leaders(self, service: str = PRIMARY) -> dict[str, int]:
        """The service's confirmed leaders and their epochs."""
        now = self.clock.monotonic()
        epochs = {
            who: t.leadership.epoch(now) for who, t in self.troopers.items() if t.memory.service == service
        }
        return {who: epoch for who, epoch in epochs.items() if epoch is not None}

    def leader(self, service: str = PRIMARY) -> str | None:
        """The one confirmed leader, if there is one."""
        leaders = self.leaders(service)
        assert len(leaders) <= 1, f"two leaders of {service}: {leaders}"
        return next(iter(leaders), None)

    def scores(self) -> dict[str, int]:
        """Every trooper's own truth."""
        return {who: t.memory.card.score for who, t in self.troopers.items()}

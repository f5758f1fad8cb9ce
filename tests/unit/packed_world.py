"""Sim workers' crews on a memory bus and a clock that a test turns, with what can befall them."""

from __future__ import annotations

from random import Random

from clawbucket import codecs, keys
from clawbucket.bus.memory import MemoryBus
from clawbucket.codecs import Gate
from clawbucket.core.model import Node, Service, Snapshot, Task, TaskState
from clawbucket.loops.trooper import TrooperLoops
from clawbucket.settings import Settings
from rack.packed.crew import Crew, Packed
from rack.packed.shared_bus import SharedBus
from tests.fakes import FakeClock
from tests.hive import PRIMARY

STEP = 0.025


class World:
    """``crews`` workers with ``each`` troopers of one service. A worker that is stopped is not stepped."""

    def __init__(self, crews: int = 2, each: int = 3, seed: int = 0) -> None:
        self.clock = FakeClock()
        self.bus = MemoryBus(self.clock)
        self.gate = Gate(self.clock)
        self.tasks: dict[str, Task] = {}
        self.ended: dict[str, TaskState] = {}
        self.home: dict[str, int] = {}
        self.stopped: set[int] = set()
        self.crews: list[Crew] = []
        self.shared: list[SharedBus] = []
        self.said: list[list[tuple[str, int]]] = []
        self.running: set[str] = set()
        self._seq = self._number = 0
        self._told_at = float("-inf")
        settings = Settings(swarm_services=(PRIMARY,), swarm_node="node-1")
        for number in range(crews):
            self.shared.append(SharedBus(self.bus, self.clock, (PRIMARY,)))
            self.crews.append(Crew(self.shared[-1], self.clock, settings, Random(seed + number)))
            self.said.append([])
        for slot in range(1, crews * each + 1):
            self.start(slot)

    def start(self, slot: int) -> str:
        """A new task in the slot, in the worker with the fewest."""
        self._number += 1
        task_id = f"{self._number:025d}"
        new = Task(
            task_id, PRIMARY, slot, "n1", TaskState.RUNNING, TaskState.RUNNING, f"{PRIMARY}.{slot}.{task_id}"
        )
        home = min(range(len(self.crews)), key=lambda number: list(self.home.values()).count(number))
        self.tasks[new.id], self.home[new.id] = new, home
        self.crews[home].start([Packed(new.id, new.name, new.service, new.slot)])
        return new.id

    def kill(self, task_id: str) -> None:
        """As a crash: the snapshot tells of it, and the slot is filled anew."""
        home, slot = self.home.pop(task_id), self.tasks.pop(task_id).slot
        self.crews[home].kill([task_id])
        self.ended[task_id] = TaskState.FAILED
        self.start(slot)

    def run(self, seconds: float) -> None:
        """Let time pass, and look at each moment that nobody leads beside another."""
        for _ in range(round(seconds / STEP)):
            self.clock.advance(STEP)
            if not self.bus.down and self.clock.monotonic() - self._told_at >= 0.2:
                self.publish()
            for number, crew in enumerate(self.crews):
                if number not in self.stopped:
                    crew.step()
                    news = crew.news()
                    self.said[number] += news.ended
                    self.running |= set(news.running)
            self.leader()

    def publish(self) -> None:
        """What the rack manager does."""
        self._told_at = self.clock.monotonic()
        self._seq += 1
        lost, self.bus.in_doubt = self.bus.in_doubt, 0
        said = Snapshot(
            "rack", self._seq, self.clock.iso(), "sim", (Node("n1", "node-1", leader=True),),
            (Service(PRIMARY, len(self.tasks)),), tuple(self.tasks.values()), dict(self.ended),
        )  # fmt: skip
        self.bus.set(keys.SNAPSHOT.of(), codecs.SNAPSHOT.encode(said), keys.SNAPSHOT.ttl)
        self.bus.in_doubt = lost

    def loops(self, task_id: str) -> TrooperLoops | None:
        """The trooper's running parts, once it has begun."""
        return self.crews[self.home[task_id]]._wheel.get(task_id)

    def leader(self) -> str | None:
        """The one confirmed leader, if there is one."""
        now = self.clock.monotonic()
        leaders = [
            who
            for who in self.home
            if (loops := self.loops(who)) is not None and loops.leadership.epoch(now) is not None
        ]
        assert len(leaders) <= 1, f"two lead: {leaders}"
        return leaders[0] if leaders else None

    def scores(self) -> dict[str, int]:
        """The round that each scored or threw last."""
        return {who: loops.memory.latest_round for who in self.home if (loops := self.loops(who)) is not None}

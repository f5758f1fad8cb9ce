"""A replica's services on a MemoryBus with a populated rack: what tests of the HTTP side stand on.

No loop runs and no time passes by itself: what is on the bus is what ``Stage`` put there.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

from flask import Flask
from flask.testing import FlaskClient

from app.factory import create_app
from app.services import Services, assemble
from clawbucket import codecs
from clawbucket.bus.memory import MemoryBus
from clawbucket.codecs import Codec
from clawbucket.core.model import Node, Service, Snapshot, Task, TaskState
from clawbucket.core.records import Haiku, Heartbeat, Lease, Throw, Words
from clawbucket.ports import AgentRuntime
from clawbucket.settings import Settings
from tests.fakes import FakeClock, FakeRack

T = TypeVar("T")
PRIMARY = "clawbucket_clawbucket"
SECOND = "clawbucket_clawbucket-b"
SERVICES = (PRIMARY, SECOND)
EPOCH = 1_790_000_000_000


def task_id(service: str, slot: int) -> str:
    """The id of the task in that slot."""
    letter = "b" if service.endswith("-b") else "a"
    return f"{letter}{slot:02d}".ljust(25, "0")


class Stage:
    """``replicas`` of each service, all running and beating, the first of each its manager.

    ``loops``: the replica's own loops are there, for the test to step; ``agent`` is what they think with.
    """

    def __init__(
        self, replicas: int = 3, *, populated: bool = True, loops: bool = False,
        agent: AgentRuntime | None = None, **settings: object,
    ) -> None:  # fmt: skip
        self.clock = FakeClock()
        self.bus = MemoryBus(self.clock)
        me = task_id(PRIMARY, 1)
        self.settings = Settings(
            **{  # type: ignore[arg-type]
                "service_name": PRIMARY, "task_id": me, "task_name": f"{PRIMARY}.1.{me}", "task_slot": 1,
                "swarm_node": "node-1", "swarm_services": SERVICES, "label": "Machine Rack 1", **settings,
            }
        )  # fmt: skip
        self.tasks = [_task(service, slot) for service in SERVICES for slot in range(1, replicas + 1)]
        self.rack = FakeRack(dict.fromkeys(SERVICES, replicas), [t.id for t in self.tasks], ["n1"])
        self.seq = 0
        if populated:
            self.populate()
        self.destroyed = 0
        self.services: Services = assemble(
            self.settings, self.clock, self.bus, self.rack,
            on_self_destruct=self._destroy if loops else None, agent=(lambda _: agent) if agent else None,
        )  # fmt: skip
        self.app: Flask = create_app(self.services)

    def _destroy(self) -> None:
        self.destroyed += 1

    def client(self) -> FlaskClient:
        """A client that keeps its cookies."""
        return self.app.test_client()

    def populate(self) -> None:
        """Everything that a running swarm has on the bus."""
        self.publish()
        at = self.clock.iso()
        for service in SERVICES:
            self.put(codecs.LEASE, Lease(task_id(service, 1), EPOCH, 7), service)
        for task in self.tasks:
            beat = Heartbeat(
                task.id, task.name, task.service, task.slot, "node-1", 9, at, at, 4, 12, "rock", "win"
            )
            self.put(codecs.HEARTBEAT, beat, task.name)
            self.put(codecs.SCORE, 4, task.id)
            self.put(codecs.WORDS, Words("brave quiet otter", at, "fallback"), task.id)
        self.put(codecs.THROW, Throw("paper", "Brave Otter", at, 12, EPOCH))
        self.put(codecs.HAIKU, Haiku("one\ntwo\nthree", "fallback", at, EPOCH))
        self.put(codecs.INTERVAL, 10)

    def publish(self, **changes: object) -> None:
        """What the rack manager says, and with what ``changes``."""
        self.seq += 1
        desired = tuple(Service(name, count) for name, count in self.rack.desired.items())
        nodes = (Node("n1", "node-1", leader=True),)
        said = Snapshot("rack-1", self.seq, self.clock.iso(), "local", nodes, desired, tuple(self.tasks))
        self.put(codecs.SNAPSHOT, replace(said, **changes))  # type: ignore[arg-type]

    def put(self, codec: Codec[T], value: T, member: str = "") -> None:
        """Store one value as its writer would."""
        self.bus.set(codec.key.of(member), codec.encode(value), codec.key.ttl)

    def beat(self, seconds: float = 1.0) -> None:
        """Let time go by, with the rack manager speaking."""
        self.clock.advance(seconds)
        self.publish()


def _task(service: str, slot: int) -> Task:
    me = task_id(service, slot)
    return Task(
        me, service, slot, "n1", TaskState.RUNNING, TaskState.RUNNING, f"{service}.{slot}.{me}",
        address=f"127.0.0.1:{9000 + slot}",
    )  # fmt: skip

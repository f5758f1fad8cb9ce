"""A ledger to play with: the local engine's decisions in a world without processes."""

from __future__ import annotations

import itertools

from clawbucket.core.model import Task
from rack.engines.ledger import Ledger, Start, Stop
from rack.engines.restart_policy import RestartPolicy
from rack.engines.state import State, first_state
from rack.engines.timing import Timing
from tests.fakes import FakeClock

A, B = "clawbucket_clawbucket", "clawbucket_clawbucket-b"


class Play:
    """A ledger, its clock, and a world in which every process starts and dies as the test says."""

    def __init__(self, replicas: int = 3, nodes: int = 1, state: State | None = None) -> None:
        self.clock = FakeClock()
        self.timing = Timing()
        ids = itertools.count(1)
        self._new_id = lambda: f"{next(ids):025d}"
        self.pids = itertools.count(100)
        self.stops: list[Stop] = []
        self.ledger = self.book(state or first_state("", [A, B], replicas, nodes))

    def book(self, state: State) -> Ledger:
        return Ledger(state, self.clock, RestartPolicy(), self.timing, self._new_id)

    def turn(self, *, answer: bool = True) -> list[Task]:
        """Decide once and do it; the tasks started."""
        deeds = self.ledger.decide()
        started = [deed.task for deed in deeds if isinstance(deed, Start)]
        for task in started:
            self.ledger.listening(task.id, "127.0.0.1:1")
            self.ledger.started(task.id, next(self.pids), 1.0)
            if answer:
                self.ledger.healthy(task.id)
        self.stops += [deed for deed in deeds if isinstance(deed, Stop)]
        return started

    def tasks(self, service: str = A) -> list[Task]:
        return [task for task in self.ledger.snapshot("rack").tasks if task.service == service]

    def slot(self, slot: int, service: str = A) -> Task:
        return next(task for task in self.tasks(service) if task.slot == slot)

    def later(self, seconds: float) -> list[Task]:
        self.clock.advance(seconds)
        return self.turn()

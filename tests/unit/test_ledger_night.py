"""The local engine's decisions in any order of orders, deaths and waits."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from clawbucket.core.model import Task, TaskState
from clawbucket.ports import Conflict
from rack.engines.slots import KEPT_MARKS, MOST
from tests.unit.ledger_play import A, B, Play


class Night(RuleBasedStateMachine):
    """Any order of orders, deaths and waits: no slot is ever doubled, and all is well when quiet returns."""

    def __init__(self) -> None:
        super().__init__()
        self.play = Play(nodes=3)
        self.alive: set[str] = set()
        self.wanted = {service: {1, 2, 3} for service in (A, B)}
        self.marks: dict[str, list[str]] = {A: [], B: []}
        self.play.turn()

    def live(self) -> list[Task]:
        return [task for service in (A, B) for task in self.play.tasks(service)]

    @rule(service=st.sampled_from([A, B]), replicas=st.integers(0, 6))
    def scale(self, service: str, replicas: int) -> None:
        self.play.ledger.scale(service, replicas)
        self.want(service, replicas)

    def want(self, service: str, replicas: int) -> None:
        """The lowest free numbers as well, or the highest no more."""
        wanted = self.wanted[service]
        while len(wanted) < replicas:
            wanted.add(min(set(range(1, 30)) - wanted))
        while len(wanted) > replicas:
            wanted.remove(max(wanted))

    @rule(
        service=st.sampled_from([A, B]),
        by=st.sampled_from([1, -1]),
        mark=st.integers(0, 100).map(str),
        named=st.booleans(),
        pick=st.randoms(use_true_random=False),
    )
    def resize(self, service: str, by: int, mark: str, named: bool, pick) -> None:
        wanted, marks, known = self.wanted[service], self.marks[service], self.known(service)
        leaving = pick.choice(sorted(known)) if named and by < 0 and known else ""
        count = len(wanted) + by
        if mark in marks:
            count = len(wanted)
        elif leaving and known[leaving] not in wanted:
            count = len(wanted)
            marks.append(mark)
        elif not 1 <= count <= MOST:
            with pytest.raises(Conflict):
                self.play.ledger.resize(service, by, mark, leaving)
            return
        else:
            wanted.discard(known.get(leaving, 0))
            self.want(service, count)
            marks.append(mark)
        del marks[:-KEPT_MARKS]
        assert self.play.ledger.resize(service, by, mark, leaving) == count

    def known(self, service: str) -> dict[str, int]:
        """The slots of all of the service's tasks that are told of, by id."""
        return {t.id: t.slot for t in (*self.play.tasks(service), *self.play.ledger.history(service))}

    @rule()
    def another_ledger(self) -> None:
        """The next rack manager finds every process where the last one left it."""
        state = self.play.ledger.state()
        self.play.ledger = self.play.book(state)
        for record in state.tasks:
            if record.pid is not None:
                self.play.ledger.adopted(record.task.id, record.pid, record.born)

    @rule(node=st.sampled_from(["node-1", "node-2", "node-3"]), word=st.sampled_from(["active", "drain"]))
    def availability(self, node: str, word: str) -> None:
        self.play.ledger.set_availability(node, word)

    @rule(service=st.sampled_from([A, B]))
    def restart(self, service: str) -> None:
        self.play.ledger.restart(service)

    @precondition(lambda self: any(task.address for task in self.live()))
    @rule(pick=st.randoms(use_true_random=False), code=st.sampled_from([0, 1, 137, None]))
    def death(self, pick, code: int | None) -> None:
        self.play.ledger.exited(pick.choice([t for t in self.live() if t.address]).id, code)

    @rule(seconds=st.floats(0.0, 20.0), answer=st.booleans())
    def turn(self, seconds: float, answer: bool) -> None:
        self.play.clock.advance(seconds)
        self.play.turn(answer=answer)

    @invariant()
    def no_slot_is_doubled(self) -> None:
        slots = [(task.service, task.slot) for task in self.live()]
        assert len(slots) == len(set(slots))

    @invariant()
    def what_is_wanted_is_what_was_asked_for(self) -> None:
        state = self.play.ledger.state()
        assert {name: set(slots) for name, slots in state.wanted.items()} == self.wanted
        assert {name: list(marks) for name, marks in state.marks.items()} == self.marks
        for service in state.services:
            assert service.desired == len(self.wanted[service.name])
            live = {t.slot for t in self.play.tasks(service.name) if not t.desired_state.ended}
            assert live <= self.wanted[service.name]

    @invariant()
    def nothing_is_due_in_the_past_after_a_turn(self) -> None:
        self.play.turn()
        due = self.play.ledger.due()
        assert due is None or due > self.play.clock.monotonic()

    def teardown(self) -> None:
        for node in ("node-1", "node-2", "node-3"):
            self.play.ledger.set_availability(node, "active")
        for _ in range(60):
            self.play.later(31.0)
            for task in self.live():
                if task.desired_state is TaskState.SHUTDOWN:
                    self.play.ledger.exited(task.id, 0)
                else:
                    self.play.ledger.healthy(task.id)
        for service in self.play.ledger.snapshot("rack").services:
            running = [task.slot for task in self.play.tasks(service.name) if task.running]
            assert running == sorted(self.wanted[service.name])


@pytest.mark.slow
class TestNight(Night.TestCase):  # type: ignore[valid-type, misc]  # hypothesis makes it at run time
    """The machine, as pytest runs it."""

    settings = settings(max_examples=30, stateful_step_count=30, deadline=None)

"""The two-sided protocol of handoffs, with crash, loss, duplicate and delay at every step.

The world (tests/two_racks.py) judges at every moment that no trooper acts in two places. At the end, after a
minute without faults: everybody who was not killed as troopers are is there once, nobody is frozen, and
nothing is left open on either rack.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from clawbucket.ports import Conflict, EngineInDoubt
from tests.hive import PRIMARY
from tests.sim_rack import Process, SimRack
from tests.two_racks import STEP, World

RACKS = ("http://one", "http://two")
FUSE = 60
"""Touches of a whole handoff in its coordinator, and some: bus, engine, disk and wire, before and after."""


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Two racks of three troopers."""
    return World(tmp_path)


def begin(world: World, source: SimRack, victim: int = 0, by: int = -1) -> tuple[str, Process]:
    """Have the ``by``-th replica hand the ``victim``-th over; the trooper's task and that replica."""
    processes = list(source.processes.values())
    world.revolt(processes[victim].task_id, processes[by])
    return processes[victim].task_id, processes[by]


def test_a_trooper_changes_sides(world: World):
    """Its score goes along, its task ends, one service has one less and the other one more."""
    one = world.racks["http://one"]
    task_id, _ = begin(world, one)
    world.run(8.0)
    assert world.outcomes == ["revolted"]
    world.settle(10.0)
    assert task_id not in one.hive.tasks
    assert (len(one.hive.tasks), len(world.other(one).hive.tasks)) == (2, 4)
    assert world.dead == world.doomed == set()


def test_a_rack_never_gives_its_last_away(world: World):
    """Three who leave a rack of three at the same time: one at least is refused, none is lost."""
    one = world.racks["http://one"]
    for number in range(3):
        begin(world, one, number, number)
    world.run(12.0)
    world.settle()
    assert len(one.hive.tasks) >= 1
    assert world.dead == set()


@pytest.mark.slow
@pytest.mark.parametrize("step", range(1, FUSE))
def test_a_coordinator_may_die_at_each_step(world: World, step: int):
    """Before and after everything that it does: it is finished or undone, and the next can leave at once."""
    one = world.racks["http://one"]
    _, coordinator = begin(world, one)
    coordinator.fuse = step
    world.run(4.0)
    world.settle()
    assert len(world.dead) <= 1  # the coordinator is a trooper, too
    world.outcomes.clear()
    begin(world, one)
    world.run(8.0)
    assert world.outcomes == ["revolted"]


@pytest.mark.slow
@pytest.mark.parametrize("step", range(1, FUSE, 2))
def test_the_target_may_die_at_each_step(world: World, step: int):
    """Whichever replica of it takes the trooper in."""
    one = world.racks["http://one"]
    begin(world, one)
    for process in world.other(one).processes.values():
        process.fuse = step
    world.run(4.0)
    world.settle()


def test_a_trooper_whose_slot_was_filled_for_another_goes_on_in_the_task_that_came_beside_it(world: World):
    """It died frozen, its slot's next task took in one of the other rack, and then it was to go on here."""
    one = world.racks["http://one"]
    two = world.other(one)
    world.faults += ["lose request", "", *["lose request"] * 3]
    task_id, _ = begin(world, one)
    world.run(2.0)
    begin(world, two)
    while not two.files.ids("source"):
        world.run(STEP)
    one.crash(task_id)
    world.run(4.0)
    assert [memory.handoff for memory in (t.memory for t in one.hive.troopers.values()) if memory.handoff]
    world.settle()
    assert world.dead == set()


def test_a_trooper_whose_slot_was_given_up_goes_on_in_another_recruit(world: World):
    """It died frozen beside another one, and of both slots the rack gave up its own."""
    one = world.racks["http://one"]
    world.faults += ["lose request"] * 4
    task_id, _ = begin(world, one)
    world.run(2.0)
    slot = one.hive.tasks[task_id].slot
    other = next(other for other in one.processes if other != task_id)
    one.crash(task_id)
    one.crash(other)
    one.hive.wanted[PRIMARY].discard(slot)
    world.run(4.0)
    world.settle()
    assert len(world.dead) == 1
    assert len(one.hive.tasks) == 2


@pytest.mark.parametrize("by", [1, -1], ids=["grow", "shrink again"])
def test_a_refusal_ends_where_the_service_cannot(world: World, monkeypatch: pytest.MonkeyPatch, by: int):
    """The other rack's engine was in doubt, or its task came late, and people changed its size meanwhile."""
    one = world.racks["http://one"]
    two = world.other(one)
    monkeypatch.setattr("tests.sim_rack.REFILL", 20.0)
    resize, begun = two.resize, world.clock.monotonic()

    def resized(service: str, change: int, mark: str, leaving: str = "") -> int:
        if change == by == 1 and world.clock.monotonic() < begun + 8.0:
            raise EngineInDoubt("it stopped answering")
        if change == by:
            raise Conflict("a service has 1 to 20 replicas")
        return resize(service, change, mark, leaving)

    monkeypatch.setattr(two, "resize", resized)
    begin(world, one)
    world.run(45.0)
    world.settle()
    assert world.dead == set()
    assert len(one.hive.tasks) == 3


@pytest.mark.parametrize("fault", ["lose request", "lose answer", "duplicate", "delay"])
@pytest.mark.parametrize("asked_in_vain", [0, 3])
def test_the_wire_may_do_what_wires_do(world: World, fault: str, asked_in_vain: int):
    """A request or answer is lost, comes twice, or half a minute late, and questions are lost too."""
    one = world.racks["http://one"]
    begin(world, one)
    world.faults += [fault, *["lose answer"] * asked_in_vain]
    world.run(40.0)
    world.settle()
    assert world.dead == set()


class Handoffs(RuleBasedStateMachine):
    """Any mixture of it all."""

    @initialize(seed=st.integers(0, 2**16))
    def begin(self, seed: int) -> None:
        """Two racks of three."""
        self.directory = tempfile.TemporaryDirectory()
        self.world = World(Path(self.directory.name), seed=seed)

    def rack(self, which: int) -> SimRack:
        """One of the two."""
        return self.world.racks[RACKS[which]]

    def process(self, which: int, number: int) -> Process | None:
        """One of its replicas, if it has any at the moment."""
        running = list(self.rack(which).processes.values())
        return running[number % len(running)] if running else None

    @rule(which=st.integers(0, 1), victim=st.integers(0, 5), by=st.integers(0, 5))
    def revolt(self, which: int, victim: int, by: int) -> None:
        """Somebody sends a trooper to the other side."""
        trooper, coordinator = self.process(which, victim), self.process(which, by)
        if trooper is not None and coordinator is not None:
            self.world.revolt(trooper.task_id, coordinator)

    @rule(seconds=st.sampled_from([0.2, 0.4, 0.8, 1.6, 3.0, 8.0, 25.0]))
    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.world.run(seconds)

    @rule(which=st.integers(0, 1), number=st.integers(0, 5))
    def kill(self, which: int, number: int) -> None:
        """A replica is killed, whoever it is."""
        process = self.process(which, number)
        if process is not None:
            self.rack(which).crash(process.task_id)

    @rule(which=st.integers(0, 1), number=st.integers(0, 5), steps=st.integers(1, FUSE))
    def light(self, which: int, number: int, steps: int) -> None:
        """A replica will die so many steps from now."""
        process = self.process(which, number)
        if process is not None:
            process.fuse = steps

    @rule(fault=st.sampled_from(["", "lose request", "lose answer", "duplicate", "delay"]))
    def disturb(self, fault: str) -> None:
        """Something befalls the next request between the racks."""
        self.world.faults.append(fault)

    @rule(which=st.integers(0, 1))
    def wipe(self, which: int) -> None:
        """A rack's memcached is killed and comes back empty."""
        self.rack(which).hive.bus.wipe()

    @rule(which=st.integers(0, 1), answers=st.integers(1, 3))
    def doubt(self, which: int, answers: int) -> None:
        """A rack's memcached takes the next writes, and their answers are lost."""
        self.rack(which).hive.bus.in_doubt = answers

    @invariant()
    def nobody_is_in_two_places(self) -> None:
        """Also between two steps."""
        if hasattr(self, "world"):
            self.world.check()

    def teardown(self) -> None:
        """In the end everybody is there, once."""
        if hasattr(self, "world"):
            try:
                self.world.settle()
            finally:
                self.directory.cleanup()


TestHandoffs = pytest.mark.slow(pytest.mark.timeout(600)(Handoffs.TestCase))
TestHandoffs.settings = settings(
    max_examples=30, stateful_step_count=15, deadline=None, suppress_health_check=list(HealthCheck)
)

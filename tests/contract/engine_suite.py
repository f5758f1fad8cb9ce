"""What every Engine must do, whatever it runs troopers on. An adapter's test module gives the ``rig``."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Protocol

import pytest

from clawbucket.core.model import TASK_ID_LENGTH, Snapshot, Task, TaskState
from clawbucket.ports import (
    Conflict,
    Engine,
    EngineDown,
    NodeUnknown,
    ServiceUnknown,
    TaskElsewhere,
    TaskUnknown,
)

A, B = "clawbucket_clawbucket", "clawbucket_clawbucket-b"


class Rig(Protocol):
    """An engine under test, with two services of two replicas each on two nodes, and a hand behind it."""

    @property
    def engine(self) -> Engine:
        """The engine of the moment."""
        ...

    def crash(self, task: Task) -> None:
        """End the task's process from outside, so that the engine has to find out by itself."""
        ...

    def succeed(self) -> None:
        """Put a new engine in the place of the one that is closed, over the same rack."""
        ...


def until(engine: Engine, condition: Callable[[Snapshot], bool], timeout: float = 20.0) -> Snapshot:
    """The first snapshot that the condition is true of."""
    deadline = time.monotonic() + timeout
    seen = 0
    while True:
        snapshot = engine.snapshot()
        if condition(snapshot):
            return snapshot
        assert time.monotonic() < deadline, f"not in {timeout} s; last: {snapshot}"
        seen = engine.wait_change(seen, 0.1)


def all_run(snapshot: Snapshot) -> bool:
    """Each service has just the replicas that it wants, all running, and nothing else lives."""
    running = [task for task in snapshot.tasks if task.running]
    return len(running) == len(snapshot.tasks) == sum(service.desired for service in snapshot.services)


def ids(snapshot: Snapshot, service: str) -> list[str]:
    """The ids of the service's tasks, by slot."""
    return [task.id for task in snapshot.tasks_of(service)]


def by_slot(snapshot: Snapshot, service: str) -> dict[int, str]:
    """The ids of the service's tasks."""
    return {task.slot: task.id for task in snapshot.tasks_of(service)}


def gathered(engine: Engine, replicas: int) -> Snapshot:
    """So many of the first service, all on the leader's node: within reach, and nothing to balance."""
    leader = until(engine, all_run).leader_node_id
    for node in engine.snapshot().nodes:
        if node.id != leader:
            engine.set_availability(node.id, "drain")
    engine.scale(A, replicas)

    def there(snapshot: Snapshot) -> bool:
        return all_run(snapshot) and {task.node_id for task in snapshot.tasks} == {leader}

    return until(engine, there, timeout=40.0)


class EngineContract:
    """Subclass it with a fixture ``rig``."""

    def test_fills_every_slot(self, rig: Rig):
        """Every service gets its replicas in slots from 1, each running at an address of its own."""
        snapshot = until(rig.engine, all_run)
        for service in (A, B):
            assert [task.slot for task in snapshot.tasks_of(service)] == [1, 2]
        assert len({task.address for task in snapshot.tasks}) == 4
        assert all(task.name == f"{task.service}.{task.slot}.{task.id}" for task in snapshot.tasks)
        assert all(len(task.id) == TASK_ID_LENGTH for task in snapshot.tasks)
        assert snapshot.leader_node_id is not None
        assert snapshot.seq == 0

    def test_replaces_what_died(self, rig: Rig):
        """A task that crashed is FAILED in the history; its slot has a new task, others keep theirs."""
        before = until(rig.engine, all_run)
        victim = before.tasks_of(A)[1]
        rig.crash(victim)
        after = until(rig.engine, lambda s: s.task(victim.id) is None and all_run(s))
        assert ids(after, B) == ids(before, B)
        assert ids(after, A)[0] == ids(before, A)[0]
        assert after.ended[victim.id] is TaskState.FAILED
        dead = rig.engine.history(A)[0]
        assert (dead.id, dead.slot, dead.state) == (victim.id, 2, TaskState.FAILED)
        assert dead.error

    def test_kill_is_a_crash(self, rig: Rig):
        """A killed task is replaced as a crashed one; asked again, nobody knows it."""
        before = until(rig.engine, all_run)
        victim = next(t for t in before.tasks if t.node_id == before.leader_node_id)
        rig.engine.kill(victim.id)
        after = until(rig.engine, lambda s: s.task(victim.id) is None and all_run(s))
        assert after.ended[victim.id] is TaskState.FAILED
        with pytest.raises(TaskUnknown):
            rig.engine.kill(victim.id)

    def test_kill_reaches_its_own_node_alone(self, rig: Rig):
        """A task on another node than the leader's is out of reach, and lives on."""
        snapshot = until(rig.engine, all_run)
        far = next(t for t in snapshot.tasks if t.node_id != snapshot.leader_node_id)
        with pytest.raises(TaskElsewhere):
            rig.engine.kill(far.id)
        assert rig.engine.snapshot().task(far.id) is not None

    @pytest.mark.slow
    def test_scales_up_and_down(self, rig: Rig):
        """More replicas fill the next slots; fewer send the highest slots away first, as SHUTDOWN."""
        until(rig.engine, all_run)
        rig.engine.scale(A, 4)
        rig.engine.scale(A, 4)
        up = until(rig.engine, all_run)
        assert [task.slot for task in up.tasks_of(A)] == [1, 2, 3, 4]
        rig.engine.scale(A, 1)
        told = rig.engine.snapshot()
        assert [task.slot for task in told.tasks_of(A)] == [1]
        assert told.service(A).desired == 1
        down = until(rig.engine, all_run)
        assert ids(down, A) == ids(up, A)[:1]
        assert {down.ended[task_id] for task_id in ids(up, A)[1:]} == {TaskState.SHUTDOWN}

    @pytest.mark.slow
    def test_resize_is_by_one_and_once_for_each_mark(self, rig: Rig):
        """One more in the lowest free slot, one less; asked again under its mark it changes nothing."""
        before = until(rig.engine, all_run)
        assert rig.engine.resize(A, 1, "a:grow") == 3
        assert rig.engine.resize(A, 1, "a:grow") == 3
        up = until(rig.engine, all_run)
        assert sorted(by_slot(up, A)) == [1, 2, 3]
        assert set(ids(before, A)) < set(ids(up, A))
        assert rig.engine.resize(A, -1, "a:shrink") == 2
        assert rig.engine.snapshot().service(A).desired == 2
        assert rig.engine.resize(A, -1, "a:shrink", "nobody") == 2
        assert rig.engine.resize(A, 1, "a:grow") == 2
        down = until(rig.engine, all_run)
        assert len(down.tasks_of(A)) == 2
        assert set(ids(down, A)) < set(ids(up, A))
        assert by_slot(down, B) == by_slot(before, B)

    @pytest.mark.slow
    def test_one_mark_asked_for_by_many_at_once_is_one_change(self, rig: Rig):
        """Whoever comes second finds it made."""
        until(rig.engine, all_run)
        told: list[int] = []
        askers = [
            threading.Thread(target=lambda: told.append(rig.engine.resize(B, 1, "b"))) for _ in range(6)
        ]
        for asker in askers:
            asker.start()
        for asker in askers:
            asker.join(20.0)
        assert told == [3] * 6
        assert rig.engine.snapshot().service(B).desired == 3

    @pytest.mark.slow
    @pytest.mark.parametrize("slot", [1, 3])
    def test_resize_names_who_leaves(self, rig: Rig, slot: int):
        """That task ends and its slot stays empty; all others keep their ids and slots. One more fills it."""
        before = gathered(rig.engine, 3)
        leaving = by_slot(before, A)[slot]
        rest = {number: task_id for number, task_id in by_slot(before, A).items() if number != slot}
        assert rig.engine.resize(A, -1, "a:shrink", leaving) == 2
        assert by_slot(rig.engine.snapshot(), A) == rest
        after = until(rig.engine, all_run)
        assert by_slot(after, A) == rest
        assert by_slot(after, B) == by_slot(before, B)
        assert after.ended[leaving] in {TaskState.SHUTDOWN, TaskState.FAILED}
        assert rig.engine.resize(A, -1, "a:shrink", leaving) == 2
        assert rig.engine.resize(A, 1, "b:grow") == 3
        again = until(rig.engine, all_run)
        assert by_slot(again, A).keys() == by_slot(before, A).keys()
        assert by_slot(again, A).items() > rest.items()

    @pytest.mark.slow
    def test_who_leaves_may_have_ended_and_been_replaced(self, rig: Rig):
        """Its slot is given up with whoever fills it by then; given up already, nobody else's is."""
        before = gathered(rig.engine, 3)
        victim = next(task for task in before.tasks_of(A) if task.slot == 2)
        rig.crash(victim)
        until(rig.engine, lambda s: s.task(victim.id) is None and all_run(s))
        assert rig.engine.resize(A, -1, "a:shrink", victim.id) == 2
        after = until(rig.engine, all_run)
        rest = {number: task_id for number, task_id in by_slot(before, A).items() if number != 2}
        assert by_slot(after, A) == rest
        assert rig.engine.resize(A, -1, "b:shrink", victim.id) == 2
        assert by_slot(rig.engine.snapshot(), A) == rest

    @pytest.mark.slow
    def test_resize_keeps_within_its_bounds(self, rig: Rig):
        """From 1 to 20 replicas, which is said; what is refused leaves no mark. No node takes tasks here."""
        for node in until(rig.engine, all_run).nodes:
            rig.engine.set_availability(node.id, "drain")
        rig.engine.scale(A, 20)
        with pytest.raises(Conflict, match="1 to 20"):
            rig.engine.resize(A, 1, "a")
        rig.engine.scale(A, 1)
        with pytest.raises(Conflict, match="1 to 20"):
            rig.engine.resize(A, -1, "a")
        assert rig.engine.snapshot().service(A).desired == 1
        assert rig.engine.resize(A, 1, "a") == 2

    @pytest.mark.slow
    def test_marks_outlive_their_engine(self, rig: Rig):
        """The engine that follows knows which changes were made, and which slots are wanted."""
        before = gathered(rig.engine, 3)
        rest = {number: task_id for number, task_id in by_slot(before, A).items() if number != 1}
        assert rig.engine.resize(A, -1, "a:shrink", by_slot(before, A)[1]) == 2
        until(rig.engine, all_run)
        rig.engine.close()
        rig.succeed()
        assert rig.engine.resize(A, -1, "a:shrink", by_slot(before, A)[1]) == 2
        assert rig.engine.resize(A, -1, "a:shrink") == 2
        assert by_slot(until(rig.engine, all_run), A) == rest

    @pytest.mark.slow
    def test_restart_replaces_one_after_another(self, rig: Rig):
        """After a rolling restart every task of the service is a new one; never were two slots empty."""
        before = until(rig.engine, all_run)
        fewest = 2

        def replaced(snapshot: Snapshot) -> bool:
            nonlocal fewest
            fewest = min(fewest, sum(task.running for task in snapshot.tasks_of(A)))
            return all_run(snapshot) and not set(ids(snapshot, A)) & set(ids(before, A))

        rig.engine.restart(A)
        after = until(rig.engine, replaced)
        assert fewest == 1
        assert ids(after, B) == ids(before, B)

    @pytest.mark.slow
    def test_drain_empties_a_node(self, rig: Rig):
        """The drained node's tasks are run by the others; the node says so."""
        before = until(rig.engine, all_run)
        node = next(n for n in before.nodes if not n.leader)
        rig.engine.set_availability(node.id, "drain")
        after = until(rig.engine, lambda s: all_run(s) and all(t.node_id != node.id for t in s.tasks))
        assert next(n for n in after.nodes if n.id == node.id).availability == "drain"

    def test_unknown_names_are_refused(self, rig: Rig):
        """A service, task or node that does not exist is named in a sentence."""
        with pytest.raises(ServiceUnknown, match="nobody"):
            rig.engine.scale("nobody", 1)
        with pytest.raises(ServiceUnknown, match="nobody"):
            rig.engine.resize("nobody", 1, "a")
        with pytest.raises(TaskUnknown, match="nobody"):
            rig.engine.resize(A, -1, "a", "nobody")
        with pytest.raises(ServiceUnknown, match="nobody"):
            rig.engine.restart("nobody")
        with pytest.raises(ServiceUnknown, match="nobody"):
            rig.engine.history("nobody")
        with pytest.raises(TaskUnknown, match="nobody"):
            rig.engine.kill("nobody")
        with pytest.raises(NodeUnknown, match="nobody"):
            rig.engine.set_availability("nobody", "drain")

    def test_wait_change(self, rig: Rig):
        """It returns at the next change, or unchanged when its time is up."""
        until(rig.engine, all_run)
        seen = rig.engine.wait_change(0, 1.0)
        while (later := rig.engine.wait_change(seen, 0.1)) != seen:
            seen = later
        rig.engine.scale(B, 3)
        assert rig.engine.wait_change(seen, 2.0) > seen

    def test_calls_are_counted(self, rig: Rig):
        """Each question for the engine's state counts, and waiting does not."""
        before = rig.engine.calls()
        rig.engine.snapshot()
        rig.engine.history(A)
        rig.engine.wait_change(0, 0.0)
        assert rig.engine.calls() == before + 2

    @pytest.mark.slow
    def test_what_runs_outlives_its_engine(self, rig: Rig):
        """A closed engine is down; one that follows it takes up the same tasks, and looks after them."""
        before = until(rig.engine, all_run)
        rig.engine.close()
        with pytest.raises(EngineDown):
            rig.engine.snapshot()
        with pytest.raises(EngineDown):
            rig.engine.scale(A, 1)
        rig.succeed()
        after = until(rig.engine, all_run)
        assert [ids(after, s) for s in (A, B)] == [ids(before, s) for s in (A, B)]
        rig.crash(after.tasks_of(B)[0])
        until(rig.engine, lambda s: all_run(s) and ids(s, B)[0] != ids(before, B)[0])

"""The sim engine, held to the engines' contract and to promises of its own, with real worker processes."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from clawbucket.core.model import TaskState
from clawbucket.ports import TaskElsewhere
from rack.engines import sim
from tests.contract.engine_suite import A, B, EngineContract, Rig, all_run, ids, until
from tests.contract.local_rig import alive, come_true
from tests.contract.sim_rig import SimRig


def rig_of(directory: Path, fronts: int) -> Iterator[SimRig]:
    """A rig whose engine runs."""
    made = SimRig(directory, fronts)
    made.begin()
    yield made
    made.end()


class TestSimEngine(EngineContract):
    """The contract: two fronts a service, and packed troopers beside them where more are asked for."""

    @pytest.fixture
    def rig(self, tmp_path: Path) -> Iterator[SimRig]:
        """Two fronts a service."""
        yield from rig_of(tmp_path, fronts=2)


class TestPackedTroopers(EngineContract):
    """The contract where every trooper is packed. Only that each has an address is not asked of them."""

    @pytest.fixture
    def rig(self, tmp_path: Path) -> Iterator[SimRig]:
        """No fronts."""
        yield from rig_of(tmp_path, fronts=0)

    def test_fills_every_slot(self, rig: Rig):
        """Every service gets its replicas in slots from 1, running, and none has an address."""
        snapshot = until(rig.engine, all_run)
        for service in (A, B):
            assert [task.slot for task in snapshot.tasks_of(service)] == [1, 2]
        assert {task.address for task in snapshot.tasks} == {None}
        assert snapshot.engine == "sim"


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[SimRig]:
    """One front a service, and one packed trooper."""
    yield from rig_of(tmp_path, fronts=1)


def test_fronts_have_addresses_and_the_packed_have_none(rig: SimRig):
    """The lowest slot of each service answers requests; the gateway is given nobody else."""
    snapshot = until(rig.engine, all_run)
    assert {task.slot for task in snapshot.tasks if task.address is not None} == {1}
    assert {task.slot for task in snapshot.tasks if task.address is None} == {2}


def test_a_lost_node_is_down_and_its_tasks_go_elsewhere(rig: SimRig, monkeypatch: pytest.MonkeyPatch):
    """Its worker's death takes its front along too; once it is back it takes tasks again."""
    monkeypatch.setattr(sim, "AWAY", 1.0)
    before = until(rig.engine, all_run)
    node = next(node for node in before.nodes if not node.leader)
    gone = {task.id for task in before.tasks if task.node_id == node.id}
    rig.sim.lose(node.id)

    def moved(snapshot):
        down = next(n for n in snapshot.nodes if n.id == node.id).state == "down"
        return down and all_run(snapshot) and all(task.node_id != node.id for task in snapshot.tasks)

    after = until(rig.engine, moved)
    assert {after.ended[task_id] for task_id in gone} == {TaskState.FAILED}
    assert {t.id for t in before.tasks} - gone <= {t.id for t in after.tasks}
    until(rig.engine, lambda s: all(n.state == "ready" for n in s.nodes))
    rig.engine.scale(A, 4)
    later = until(rig.engine, all_run)
    assert any(task.node_id == node.id for task in later.tasks)


@pytest.mark.slow
def test_the_only_node_comes_back_by_itself(tmp_path: Path):
    """Where all is lost at once, all of it runs again a moment later."""
    rig = SimRig(tmp_path, fronts=1)
    try:
        rig.begin(nodes=1)
        before = until(rig.engine, all_run)
        rig.workers[0].process.signal(signal.SIGKILL)
        after = until(rig.engine, lambda s: all_run(s) and not set(ids(s, A)) & set(ids(before, A)))
        assert all(node.state == "ready" for node in after.nodes)
    finally:
        rig.end()


def test_a_drained_node_lets_its_packed_troopers_go_in_order(rig: SimRig):
    """They are SHUTDOWN, not FAILED; one beyond reach is not killed."""
    before = until(rig.engine, all_run)
    far = next(t for t in before.tasks if t.address is None and t.node_id != before.leader_node_id)
    with pytest.raises(TaskElsewhere):
        rig.engine.kill(far.id)
    rig.engine.set_availability(far.node_id, "drain")
    after = until(rig.engine, lambda s: all_run(s) and s.task(far.id) is None)
    assert after.ended[far.id] is TaskState.SHUTDOWN


def test_shut_down_leaves_no_worker(rig: SimRig):
    """Fronts and workers end, in order and soon."""
    until(rig.engine, all_run)
    pids = [worker.record.pid for worker in rig.workers]
    rig.engine.shut_down(grace=5.0)
    come_true(lambda: not any(map(alive, pids)), timeout=5.0)


@pytest.mark.slow
def test_an_engine_of_another_run_ends_the_workers_that_it_finds(rig: SimRig):
    """What another run left is cleared away, not taken up."""
    before = until(rig.engine, all_run)
    pids = [worker.record.pid for worker in rig.workers]
    rig.engine.close()
    rig.begin(run_id="another")
    come_true(lambda: not any(map(alive, pids)))
    after = until(rig.engine, all_run)
    assert not {task.id for task in before.tasks} & {task.id for task in after.tasks}


def test_workers_logs_are_kept_beside_the_tasks(rig: SimRig, monkeypatch: pytest.MonkeyPatch):
    """Where ./claw logs finds them; tidying up lets them be."""
    monkeypatch.setattr("rack.engines.local._TIDY_LOGS", 0.05)
    until(rig.engine, all_run)
    stray = rig.directory / "logs" / "nobody.log"
    stray.write_text("of a task that nobody knows")
    come_true(lambda: not stray.exists(), timeout=10.0)
    assert {path.name for path in (rig.directory / "logs").glob("worker-*")} == {
        "worker-node-1.log", "worker-node-2.log"
    }  # fmt: skip


@pytest.mark.slow
def test_troopers_of_a_lost_state_file_are_ended(rig: SimRig):
    """Their nodes are not known any more, and so neither are they nor their workers."""
    before = until(rig.engine, all_run)
    pids = {worker.record.pid for worker in rig.workers}
    rig.engine.close()
    (rig.directory / "rack.json").unlink()
    nodes = {node.id for node in before.nodes}
    rig.succeed()
    after = until(rig.engine, all_run)
    assert not {task.id for task in before.tasks} & {task.id for task in after.tasks}
    assert not nodes & {node.id for node in after.nodes}
    assert not pids & {worker.record.pid for worker in rig.workers}


@pytest.mark.slow
def test_troopers_that_the_state_file_does_not_have_are_ended(rig: SimRig):
    """A worker that is taken up lets go of whom nobody knows, and the engine goes on."""
    until(rig.engine, all_run)
    path = rig.directory / "rack.json"
    older = path.read_bytes()
    rig.engine.scale(A, 4)
    before = until(rig.engine, all_run)
    rig.engine.close()
    path.write_bytes(older)
    rig.succeed()
    come_true(lambda: sum(len(worker.tasks) for worker in rig.workers) == 2)
    after = until(rig.engine, all_run)
    assert ids(after, A) == ids(before, A)[:2]
    rig.engine.scale(A, 3)
    until(rig.engine, all_run)

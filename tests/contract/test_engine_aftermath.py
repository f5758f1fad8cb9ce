"""What is left when replicas, rack managers or launchers end, and who takes it up."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import psutil
import pytest

from clawbucket.core.model import TaskState
from clawbucket.ports import EngineDown
from clawbucket.settings import environment
from rack.engines import processes, state_file
from rack.engines.state import Record, State
from tests.contract.engine_suite import A, B, all_run, ids, until
from tests.contract.local_rig import COMMAND, LocalRig, alive, come_true

# What replicas leave behind ---------------------------------------------------------------------------


def left(rig: LocalRig, task_id: str | None = None) -> list[int]:
    """The processes of the rack, or of one of its tasks."""
    found = processes.of_rack(rig.directory.resolve())
    return [one.pid for one in found if task_id in {None, one.task_id}]


@pytest.mark.slow
def test_what_a_killed_replica_started_goes_with_it(idle: LocalRig, monkeypatch: pytest.MonkeyPatch):
    """A child in a session of its own, such as an agent's binary has, is not reached by the group's end."""
    monkeypatch.setattr("rack.engines.local._TIDY_LOGS", 0.05)
    idle.begin(told="apart")
    before = until(idle.engine, all_run)
    victim, other = before.tasks_of(A)
    assert len(left(idle, victim.id)) == 2
    idle.crash(victim)
    come_true(lambda: not left(idle, victim.id), 8.0)
    assert len(left(idle, other.id)) == 2


@pytest.mark.slow
@pytest.mark.parametrize("end", ["shut_down", "kill_all"])
@pytest.mark.alone
def test_nothing_is_left_of_a_rack_that_ends(idle: LocalRig, end: str):
    """In order or at once: what replicas started apart from themselves goes too."""
    engine = idle.begin(told="apart")
    until(engine, all_run)
    assert len(left(idle)) == 8
    getattr(engine, end)()
    come_true(lambda: not left(idle), 3.0)


# A rack manager follows another ---------------------------------------------------------------------


def rewrite(rig: LocalRig, change: Callable[[State], State]) -> None:
    """Change the state file between two engines."""
    state_file.save(rig.directory / "rack.json", change(rig.state()))


@pytest.mark.slow
@pytest.mark.parametrize("told", ["", "apart"], ids=["alone", "with a child in a session of its own"])
def test_finds_a_process_whose_pid_was_never_written_down(idle: LocalRig, told: str):
    """A rack manager that died between start and save left an intent; its process is taken up."""
    rig = idle
    rig.begin(told=told)
    before = until(rig.engine, all_run)
    pids = rig.pids()
    rig.engine.close()

    def forget(record: Record) -> Record:
        return Record(replace(record.task, state=TaskState.PREPARING))

    rewrite(rig, lambda state: replace(state, tasks=tuple(forget(r) for r in state.tasks)))
    rig.begin(told=told)
    after = until(rig.engine, all_run)
    assert [ids(after, s) for s in (A, B)] == [ids(before, s) for s in (A, B)]
    assert sorted(rig.pids()) == sorted(pids)


@pytest.mark.slow
def test_never_mistakes_another_process_for_a_replica(rig: LocalRig):
    """A pid that was used again is neither taken up nor killed; the task is FAILED and replaced."""
    until(rig.engine, all_run)
    pids = rig.pids()
    rig.engine.shut_down(grace=1.0)
    rig.engine.close()
    with subprocess.Popen(["sleep", "60"]) as stranger:
        task = rig.engine._ledger.history(A)[0]
        lost = replace(task, state=TaskState.RUNNING, desired_state=TaskState.RUNNING)
        record = Record(lost, stranger.pid, psutil.Process(stranger.pid).create_time() - 100.0)
        rewrite(rig, lambda state: replace(state, tasks=(record,), slots=()))
        rig.begin()
        after = until(rig.engine, all_run)
        assert after.ended == {task.id: TaskState.FAILED}
        assert stranger.poll() is None
        stranger.kill()
    assert not set(pids) & set(rig.pids())


@pytest.mark.slow
@pytest.mark.parametrize("how", ["lost", "garbled", "another run"])
def test_ends_what_nobody_knows(rig: LocalRig, how: str):
    """Replicas of a lost or unreadable state file, or of another run, are ended; the rack begins anew."""
    before = until(rig.engine, all_run)
    pids = rig.pids()
    rig.engine.close()
    if how == "lost":
        (rig.directory / "rack.json").unlink()
    if how == "garbled":
        (rig.directory / "rack.json").write_text('{"run": 7')
    rig.begin(run_id="another" if how == "another run" else "", replicas=1)
    come_true(lambda: not any(alive(pid) for pid in pids))
    after = until(rig.engine, all_run)
    assert len(after.tasks) == 2
    assert after.ended == {}
    assert not {t.id for t in after.tasks} & {t.id for t in before.tasks}


@pytest.mark.slow
def test_counts_come_from_the_state_afterwards(rig: LocalRig):
    """What people scaled to survives the rack manager; what it is started with does not overrule it."""
    until(rig.engine, all_run)
    rig.engine.scale(A, 3)
    until(rig.engine, all_run)
    rig.engine.close()
    rig.begin(replicas=1)
    assert rig.engine.snapshot().service(A).desired == 3
    until(rig.engine, all_run)


def test_one_rack_manager_a_directory(rig: LocalRig, monkeypatch: pytest.MonkeyPatch):
    """A second engine over the same directory is refused by a sentence that names the first's process."""
    monkeypatch.setattr(state_file, "_LOCK_PATIENCE", 0.0)
    second = rig.make()
    with pytest.raises(state_file.Locked, match=f"process {os.getpid()}"):
        second.start()
    with pytest.raises(EngineDown):
        second.snapshot()
    second.close()


# The program ------------------------------------------------------------------------------------------

PROGRAM = "import os, sys; from rack.__main__ import main; os._exit(main(sys.argv[1:], nursery=()))"


class Program:
    """``python -m rack`` over stand-ins, as a process that can be killed."""

    def __init__(self, directory: Path, told: str = "") -> None:
        self.directory = directory
        self.lifeline_out, self.lifeline_in = os.pipe()
        self.told = told
        self.starts = 0
        self.process: Any = None

    def start(self) -> None:
        """Start it and wait until all run."""
        changes = {
            "STAND_IN": self.told,
            "CLAWBUCKET_STATE_DIR": str(self.directory),
            "CLAWBUCKET_RACK_TOKEN": "a test's secret",
            "CLAWBUCKET_BIND": "127.0.0.1:0",
            "CLAWBUCKET_LIFELINE_FD": str(self.lifeline_out),
            "SWARM_SERVICES": f"{A},{B}",
            "MEMCACHED_PORT": "9",
        }
        with (self.directory / "rack.log").open("ab") as log_file:
            self.process = subprocess.Popen(
                [sys.executable, "-c", PROGRAM, *COMMAND],
                env=environment(changes),
                pass_fds=[self.lifeline_out],
                stderr=log_file,
            )
        self.starts += 1
        come_true(lambda: (self.directory / "rack.log").read_text().count("rack manager runs") == self.starts)
        come_true(lambda: len(self.running()) == 6 and all(alive(pid) for pid in self.running().values()))

    def records(self) -> list[Record]:
        try:
            return list(state_file._SHAPE.validate_json((self.directory / "rack.json").read_bytes()).tasks)
        except FileNotFoundError:
            return []

    def running(self) -> dict[str, int]:
        """Which process each running task has, as the state file says."""
        return {r.task.id: r.pid for r in self.records() if r.task.running and r.pid is not None}

    def cut(self) -> None:
        """End the lifeline, as the launcher's end would."""
        if self.lifeline_in >= 0:
            os.close(self.lifeline_in)
            self.lifeline_in = -1

    def end(self) -> None:
        self.cut()
        os.close(self.lifeline_out)
        self.process.kill()
        self.process.wait()
        for process in processes.of_rack(self.directory.resolve()):
            os.kill(process.pid, signal.SIGKILL)


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    """A rack manager that the test starts; nothing of it is left afterwards."""
    made = Program(tmp_path)
    yield made
    made.end()


@pytest.mark.slow
def test_killed_rack_manager_comes_back_and_adopts_all(program: Program):
    """After kill -9 and a new start: the same tasks on the same processes; none doubled, none orphaned."""
    program.start()
    before = program.running()
    program.process.kill()
    program.process.wait()
    assert all(alive(pid) for pid in before.values())
    program.start()
    assert program.running() == before
    assert {p.pid for p in processes.of_rack(program.directory.resolve())} == set(before.values())
    victim, pid = next(iter(before.items()))
    os.kill(pid, signal.SIGKILL)
    come_true(lambda: len(program.running()) == 6 and victim not in program.running())


@pytest.mark.slow
def test_a_death_while_the_rack_manager_was_away_is_told_honestly(program: Program):
    """Its exit code is unknown, and the slot is filled again."""
    program.start()
    victim, pid = next(iter(program.running().items()))
    program.process.kill()
    program.process.wait()
    os.kill(pid, signal.SIGKILL)
    come_true(lambda: not alive(pid))
    program.start()
    state = state_file.load(program.directory / "rack.json")
    dead = next(task for past in state.slots for task in past.dead if task.id == victim)
    assert (dead.state, dead.exit_code) == (TaskState.FAILED, None)
    assert "exit code unknown" in dead.error


@pytest.mark.slow
@pytest.mark.alone
def test_cut_lifeline_ends_everything(program: Program):
    """Even replicas that are stopped, and that do not watch the lifeline themselves."""
    program.told = "unleashed,stubborn,family"
    program.start()
    pids = list(program.running().values())
    everybody = [p.pid for p in processes.of_rack(program.directory.resolve())]
    assert len(everybody) == 12
    os.kill(pids[0], signal.SIGSTOP)
    program.cut()
    program.process.wait(timeout=3.0)
    come_true(lambda: not any(alive(pid) for pid in everybody), 2.0)


@pytest.mark.slow
@pytest.mark.alone
def test_replicas_have_a_lifeline_of_their_own(program: Program):
    """When launcher and rack manager are both killed, the replicas end by themselves."""
    program.start()
    pids = list(program.running().values())
    program.process.kill()
    program.process.wait()
    program.cut()
    come_true(lambda: not any(alive(pid) for pid in pids), 2.0)


@pytest.mark.slow
@pytest.mark.parametrize("told", ["", "stubborn"])
def test_sigterm_takes_the_replicas_down(program: Program, told: str):
    """All at once, within 3 s whatever they do about SIGTERM, and with exit code 0."""
    program.told = told
    program.start()
    pids = list(program.running().values())
    program.process.terminate()
    assert program.process.wait(timeout=3.0) == 0
    assert not any(alive(pid) for pid in pids)
    assert program.records() == []


@pytest.mark.slow
def test_bad_settings_end_it_with_a_sentence():
    """No token: exit code 2, and one sentence that names the variables."""
    env = environment({"CLAWBUCKET_RACK_TOKEN": "", "CLAWBUCKET_RACK_TOKEN_FILE": ""})
    done = subprocess.run(
        [sys.executable, "-m", "rack"], env=env, capture_output=True, text=True, timeout=20, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith("rack: CLAWBUCKET_RACK_TOKEN or CLAWBUCKET_RACK_TOKEN_FILE must be set")
    assert done.stderr.count("\n") == 1


def test_state_file_is_plain_json(rig: LocalRig):
    """A person can read it."""
    until(rig.engine, all_run)
    kept = orjson.loads((rig.directory / "rack.json").read_bytes())
    assert {"run", "nodes", "services", "tasks", "slots", "rolling", "wanted", "marks"} == set(kept)

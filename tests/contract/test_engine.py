"""The local engine, held to the engines' contract and to promises of its own, with real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import psutil
import pytest
import urllib3

from clawbucket.clock import SystemClock
from clawbucket.core.model import Task, TaskState
from clawbucket.ports import EngineDown
from clawbucket.settings import environment
from rack.engines import processes, state_file
from rack.engines.local import LocalEngine
from rack.engines.state import Record, State
from rack.engines.timing import Timing
from rack.metrics import Metrics
from tests.contract.engine_suite import A, B, EngineContract, all_run, ids, until

STAND_IN = Path(__file__).with_name("stand_in.py")
COMMAND = (sys.executable, "-I", "-S", str(STAND_IN))
QUICK = Timing(drain=0.05, grace=1.0, start=5.0, every=0.1, answer=0.3)


class LocalRig:
    """A LocalEngine over stand-ins in a directory of its own, and what a test may do behind its back."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._engine: LocalEngine | None = None

    @property
    def engine(self) -> LocalEngine:
        assert self._engine is not None
        return self._engine

    def end(self) -> None:
        """Leave no process behind."""
        if self._engine is not None:
            self._engine.shut_down(grace=0.2)
            self._engine.close()
        for process in processes.of_rack(self.directory.resolve()):
            os.kill(process.pid, signal.SIGKILL)

    def make(self, **changes) -> LocalEngine:
        """An engine that is not started."""
        told = changes.pop("told", "")
        options: dict[str, Any] = {
            "rack": "BOT 1",
            "command": COMMAND,
            "environment": environment({"STAND_IN": told, "PYTHONDONTWRITEBYTECODE": "1"}),
            "services": (A, B),
            "replicas": 2,
            "nodes": 2,
            "state_dir": self.directory,
            "clock": SystemClock(),
            "metrics": Metrics(),
            "timing": QUICK,
        }
        return LocalEngine(**(options | changes))

    def begin(self, **changes) -> LocalEngine:
        """Start an engine; ``told`` is what the stand-ins are told."""
        self._engine = self.make(**changes)
        self._engine.start()
        return self._engine

    def succeed(self) -> None:
        self.begin()

    def state(self) -> State:
        state = state_file.load(self.directory / "rack.json")
        assert state is not None
        return state

    def pid(self, task: Task) -> int:
        """The task's process, as the state file knows it."""
        record = next(r for r in self.state().tasks if r.task.id == task.id)
        assert record.pid is not None
        return record.pid

    def pids(self) -> list[int]:
        return [record.pid for record in self.state().tasks if record.pid is not None]

    def crash(self, task: Task) -> None:
        os.kill(self.pid(task), signal.SIGKILL)


@pytest.fixture
def idle(tmp_path: Path) -> Iterator[LocalRig]:
    """A rig whose engine the test begins itself."""
    rig = LocalRig(tmp_path)
    yield rig
    rig.end()


@pytest.fixture
def rig(idle: LocalRig) -> LocalRig:
    """A rig whose engine runs."""
    idle.begin()
    return idle


def come_true(condition: Callable[[], bool], timeout: float = 20.0) -> None:
    """Return when the condition holds."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"did not come true in {timeout} s"
        time.sleep(0.01)  # the pace of a poll that has a deadline, not a wait for luck


def alive(pid: int) -> bool:
    """Whether the process exists and is no corpse."""
    return processes.born(pid) is not None


def ask(task: Task, path: str) -> str:
    """The stand-in's answer."""
    response = urllib3.request("GET", f"http://{task.address}{path}", timeout=2.0, retries=False)
    return response.data.decode()


class TestLocalEngine(EngineContract):
    """The contract, on processes."""


def test_replica_finds_itself_in_its_environment(rig: LocalRig):
    """Swarm's template variables, its socket, and the rack manager's own variables are there."""
    snapshot = until(rig.engine, all_run)
    task = snapshot.tasks_of(B)[1]
    found = dict(line.split("=", 1) for line in ask(task, "/environment").splitlines())
    node = next(n for n in snapshot.nodes if n.id == task.node_id)
    expected = {
        "SERVICE_NAME": B,
        "SWARM_NODE": node.hostname,
        "TASK_NAME": task.name,
        "TASK_SLOT": "2",
        "TASK_ID": task.id,
        "SWARM_SERVICES": f"{A},{B}",
        "CLAWBUCKET_BIND": "fd://3",
        "CLAWBUCKET_LIFELINE_FD": "",
        "PATH": os.environ["PATH"],
    }
    assert found | expected == found


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="descriptors are listed by /proc")
def test_replica_inherits_nothing_but_its_own(rig: LocalRig):
    """Standard input, two outputs, its socket: no state file, no lock, no sibling's socket."""
    task = until(rig.engine, all_run).tasks[0]
    pid = rig.pid(task)
    assert sorted(int(fd.name) for fd in Path(f"/proc/{pid}/fd").iterdir()) == [0, 1, 2, 3]
    assert os.getsid(pid) == os.getpgid(pid) == pid


def test_replacement_starts_within_a_second(rig: LocalRig):
    """From SIGKILL to the replacement's process, measured by the processes' own creation times."""
    victim = until(rig.engine, all_run).tasks_of(A)[0]
    began = time.time()
    rig.crash(victim)
    after = until(rig.engine, lambda s: s.task(victim.id) is None and all_run(s))
    assert psutil.Process(rig.pid(after.tasks_of(A)[0])).create_time() - began < 1.0


def test_hears_of_deaths_without_pidfd(idle: LocalRig, monkeypatch: pytest.MonkeyPatch):
    """Where the kernel has no pidfd, deaths are found by asking, within a second all the same."""
    monkeypatch.delattr(os, "pidfd_open", raising=False)
    idle.begin()
    victim = until(idle.engine, all_run).tasks_of(A)[0]
    idle.crash(victim)
    until(idle.engine, lambda s: s.task(victim.id) is None and all_run(s), timeout=1.0)
    assert idle.engine.history(A)[0].exit_code == 137


def test_exit_code_is_told(rig: LocalRig):
    """A replica that exits by itself is FAILED with its code, in Swarm's words."""
    victim = until(rig.engine, all_run).tasks_of(A)[0]
    with pytest.raises(urllib3.exceptions.HTTPError):
        ask(victim, "/exit/3")
    until(rig.engine, lambda s: victim.id in s.ended)
    dead = rig.engine.history(A)[0]
    assert (dead.exit_code, dead.error) == (3, "task: non-zero exit (3)")


def test_a_dead_replica_takes_its_family_along(idle: LocalRig):
    """What a replica started in its group ends with it."""
    idle.begin(told="family")
    victim = until(idle.engine, all_run).tasks_of(A)[0]
    (child,) = psutil.Process(idle.pid(victim)).children()
    idle.crash(victim)
    come_true(lambda: not alive(child.pid))


@pytest.mark.slow
def test_a_replica_that_hangs_is_replaced(rig: LocalRig):
    """After three checks without an answer it is killed and FAILED, unhealthy."""
    victim = until(rig.engine, all_run).tasks_of(A)[0]
    with pytest.raises(urllib3.exceptions.HTTPError):
        ask(victim, "/hang")
    until(rig.engine, lambda s: victim.id in s.ended and all_run(s))
    dead = rig.engine.history(A)[0]
    assert dead.error == "unhealthy: /livez failed 3 times in a row (no answer in time)"


@pytest.mark.slow
def test_a_replica_that_never_answers_is_replaced(idle: LocalRig):
    """It stays STARTING for its start time, and is then FAILED."""
    idle.begin(told="deaf", timing=replace(QUICK, start=0.3))
    first = idle.engine.snapshot
    until(idle.engine, lambda s: len(s.ended) >= 4)
    dead = idle.engine.history(A)[-1]
    assert dead.state is TaskState.FAILED
    assert dead.error == "unhealthy: /livez was not 200 within 0.3 s (no answer in time)"
    assert not any(task.running for task in first().tasks)


@pytest.mark.slow
def test_a_service_that_cannot_live_is_held_back(idle: LocalRig):
    """Replicas that exit at once are started less and less often, and five of each slot are kept."""
    idle.begin(told="exit=3", services=(A,), replicas=1)
    until(idle.engine, lambda s: len(s.ended) == 3)
    waiting = until(idle.engine, lambda s: any(t.state is TaskState.READY for t in s.tasks))
    assert "after 3 failures in a row" in waiting.tasks[0].message


def test_a_command_that_does_not_exist_is_rejected(idle: LocalRig):
    """The task says which command, and the engine goes on."""
    idle.begin(command=("no-such-program",), services=(A,), replicas=1)
    until(idle.engine, lambda s: bool(s.ended))
    dead = idle.engine.history(A)[0]
    assert dead.state is TaskState.REJECTED
    assert dead.error == "no-such-program: No such file or directory"
    idle.engine.ping()


@pytest.mark.slow
def test_a_stubborn_replica_is_killed_after_its_grace(idle: LocalRig):
    """SIGTERM ignored is SIGKILL after the grace period; the task is SHUTDOWN all the same."""
    idle.begin(told="stubborn", timing=replace(QUICK, grace=0.3))
    before = until(idle.engine, all_run)
    idle.engine.scale(A, 1)
    after = until(idle.engine, all_run)
    assert after.ended[ids(before, A)[1]] is TaskState.SHUTDOWN
    assert idle.engine.history(A)[0].exit_code == 137


def test_logs_are_kept_per_task_and_bounded(rig: LocalRig, monkeypatch: pytest.MonkeyPatch):
    """What a replica writes is in its file; a file too long is set aside and begun anew."""
    monkeypatch.setattr("rack.engines.local._TIDY_LOGS", 0.05)
    monkeypatch.setattr("rack.engines.replica_logs.trim.__defaults__", (100,))
    task = until(rig.engine, all_run).tasks[0]
    log_file = rig.directory / "logs" / f"{task.name}.log"
    ask(task, "/write/500")
    aside = rig.directory / "logs" / f"{task.name}.log.1"
    come_true(lambda: aside.exists() and aside.stat().st_size == 500 and log_file.stat().st_size == 0, 8.0)
    ask(task, "/write/10")
    assert log_file.stat().st_size == 10


# A rack manager follows another ---------------------------------------------------------------------


def rewrite(rig: LocalRig, change: Callable[[State], State]) -> None:
    """Change the state file between two engines."""
    state_file.save(rig.directory / "rack.json", change(rig.state()))


@pytest.mark.slow
def test_finds_a_process_whose_pid_was_never_written_down(rig: LocalRig):
    """A rack manager that died between start and save left an intent; its process is taken up."""
    before = until(rig.engine, all_run)
    pids = rig.pids()
    rig.engine.close()

    def forget(record: Record) -> Record:
        return Record(replace(record.task, state=TaskState.PREPARING))

    rewrite(rig, lambda state: replace(state, tasks=tuple(forget(r) for r in state.tasks)))
    rig.begin()
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
    assert {"run", "nodes", "services", "tasks", "slots", "rolling"} == set(kept)

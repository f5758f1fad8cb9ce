"""The local engine, held to the engines' contract and to promises of its own, with real processes."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import urllib3

from clawbucket.clock import SystemClock
from clawbucket.core.model import TaskState
from rack.engines.nursery import READY_WITHIN
from tests.contract.engine_suite import A, B, EngineContract, all_run, ids, until
from tests.contract.local_rig import QUICK, LocalRig, adopt_no_orphans, alive, ask, come_true


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


@pytest.mark.alone
def test_replacement_starts_within_a_second(rig: LocalRig):
    """From SIGKILL to the replacement's process, measured by the processes' own creation times."""
    victim = until(rig.engine, all_run).tasks_of(A)[0]
    began = time.time()
    rig.crash(victim)
    after = until(rig.engine, lambda s: s.task(victim.id) is None and all_run(s))
    assert psutil.Process(rig.pid(after.tasks_of(A)[0])).create_time() - began < 1.0


@pytest.mark.alone
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


@pytest.mark.slow
def test_who_leaves_is_told_first(rig: LocalRig):
    """It gets its notice, then SIGTERM, on whatever node; what it exits with is a SHUTDOWN, no failure."""
    before = until(rig.engine, all_run)
    leaving = next(t for t in before.tasks_of(A) if t.node_id != before.leader_node_id)
    rig.engine.resize(A, -1, "a", leaving.id)
    told = rig.engine.snapshot().task(leaving.id)
    assert told is not None
    assert (told.state, told.desired_state) == (TaskState.RUNNING, TaskState.SHUTDOWN)
    after = until(rig.engine, all_run)
    assert after.ended[leaving.id] is TaskState.SHUTDOWN
    assert rig.engine.history(A)[0].exit_code != 137


def test_mark_and_slots_are_on_disk_before_it_is_answered(rig: LocalRig):
    """In the very state that has the count, so that a rack manager that is killed now has both or neither."""
    before = until(rig.engine, all_run)
    assert rig.state().wanted == {A: (1, 2), B: (1, 2)}
    rig.engine.resize(A, -1, "x:shrink", ids(before, A)[0])
    state = rig.state()
    assert (state.wanted[A], state.marks[A]) == ((2,), ("x:shrink",))
    assert next(service.desired for service in state.services if service.name == A) == 1


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


class Hurried(SystemClock):
    """A clock that can be put forward."""

    ahead = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the nursery needs Linux' prctl")
def test_an_engine_that_waits_for_its_nursery_is_not_stuck(idle: LocalRig):
    """On a very busy machine that has all its time to import; the rack manager is not begun anew for it."""
    clock, never_ready = Hurried(), "import socket; socket.socket(fileno=3).recv(1)"
    engine = idle.begin(nursery=(sys.executable, "-I", "-S", "-c", never_ready), clock=clock)
    clock.ahead = READY_WITHIN - 1.0
    engine.ping()
    for child in psutil.Process().children():
        if never_ready in child.cmdline():
            child.kill()  # what replicas are then started without
    until(engine, all_run)
    adopt_no_orphans()

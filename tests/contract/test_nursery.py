"""The nursery: replicas forked from one process are what replicas started by themselves are."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from bench.rack import free_port
from rack.__main__ import NURSERY
from rack.engines import processes
from rack.engines.nursery import Nursery, reap_strangers
from tests.contract.local_rig import adopt_no_orphans

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the nursery needs Linux' prctl"),
]


@pytest.fixture
def nursery(tmp_path: Path) -> Iterator[Nursery]:
    """A nursery of the real replica."""
    made = Nursery(NURSERY, {**os.environ, "PYTHONPATH": str(Path.cwd())}, tmp_path / "nursery.log")
    yield made
    made.close()
    for child in psutil.Process().children():  # what a failed test has left behind, and the nursery itself
        with contextlib.suppress(psutil.Error):
            if "app.nursery" in child.cmdline():
                child.kill()
                child.wait(5)
    adopt_no_orphans()


def environment(task_id: str) -> dict[str, str]:
    """What the engine gives a replica."""
    return {
        "PATH": os.environ["PATH"],
        "SERVICE_NAME": "clawbucket_clawbucket",
        "TASK_ID": task_id,
        "TASK_NAME": f"clawbucket_clawbucket.1.{task_id}",
        "TASK_SLOT": "1",
        "MEMCACHED_PORT": str(free_port()),
        "CLAWBUCKET_BIND": "fd://3",
    }


def ask(port: int, path: str) -> str:
    """What the replica answers; the question waits in its socket until it is there to answer."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
        body: bytes = answer.read()
    return body.decode()


def test_a_forked_replica_is_one_like_any_other(nursery, tmp_path):
    """It serves on its socket, shows its own environment, leads a session, tells its exit code."""
    born = []
    for number in ("one", "two"):
        listener = processes.listen()
        port = listener.getsockname()[1]
        log = tmp_path / f"{number}.log"
        pid = nursery.spawn(environment(number), log, listener, None)
        assert pid is not None, (tmp_path / "nursery.log").read_text()
        listener.close()
        born.append((number, pid, port, log))
    for number, pid, port, log in born:
        assert f'"task_id":"{number}"' in ask(port, "/api/whoami")
        process = psutil.Process(pid)
        assert process.environ() == environment_of(pid, number)
        assert os.getsid(pid) == pid
        assert process.ppid() == os.getpid()
        assert "serv" in log.read_text()
        process.send_signal(signal.SIGTERM)
        _, status = os.waitpid(pid, 0)
        assert os.waitstatus_to_exitcode(status) == 0
    reap_strangers(set())


def environment_of(pid: int, task_id: str) -> dict[str, str]:
    """The environment that the replica was given, and nothing of the nursery's."""
    shown = psutil.Process(pid).environ()
    wanted = environment(task_id)
    return {**wanted, "MEMCACHED_PORT": shown["MEMCACHED_PORT"]}


def test_a_forked_replica_has_the_engines_descriptors_only(nursery, tmp_path):
    """/dev/null, its log twice and the lifeline in their places, and its socket: it answers on it."""
    listener = processes.listen()
    lifeline, ours = os.pipe()
    pid = nursery.spawn(environment("fds"), tmp_path / "fds.log", listener, lifeline)
    ask(listener.getsockname()[1], "/livez")
    shown = {fd: str(Path(f"/proc/{pid}/fd/{fd}").readlink()) for fd in (0, 1, 2, 4)}
    assert shown[0] == os.devnull
    assert shown[1] == shown[2] == str(tmp_path / "fds.log")
    assert shown[4] == str(Path(f"/proc/self/fd/{lifeline}").readlink())
    os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL
    listener.close()
    os.close(lifeline)
    os.close(ours)


def test_a_nursery_that_fails_gives_way(tmp_path):
    """Where there is no nursery program, or it ends, the engine is told to start replicas by itself."""
    listener = processes.listen()
    for command in (["/nonexistent"], ["/bin/false"]):
        broken = Nursery(command, dict(os.environ), tmp_path / "nursery.log")
        assert broken.spawn(environment("x"), tmp_path / "x.log", listener, None) is None
        assert broken.spawn(environment("x"), tmp_path / "x.log", listener, None) is None
        broken.close()
    listener.close()
    adopt_no_orphans()
    reap_strangers(set())


def test_a_nursery_ends_with_its_engine(nursery):
    """When the channel is closed the nursery ends: it outlives nobody."""
    pid = nursery._pid
    nursery.close()
    assert os.waitpid(pid, 0)[0] == pid

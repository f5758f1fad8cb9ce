from __future__ import annotations

import os
import signal
import stat
import subprocess
from dataclasses import replace

import psutil
import pytest

from clawbucket.cli.refusal import Refusal
from clawbucket.cli.rundir import Mark, Run, RunDir, end_all, find, home, running


def run_on(port, pid=None):
    """A run of this process, or of another."""
    mark = Mark.of(pid or os.getpid())
    return Run(
        mark, f"run-{port}", "BOT 1", "now", port, {"dashboard": f"http://x:{port}"}, "http://r", "m", ("a",)
    )


def made(where, port, **changes):
    """A run directory with its launcher.json."""
    directory = RunDir(where / str(port))
    directory.prepare("secret")
    directory.write(replace(run_on(port), **changes))
    return directory


@pytest.fixture
def child():
    """A process of a run that only its environment names."""
    process = subprocess.Popen(["sleep", "60"], env={**os.environ, "CLAWBUCKET_RUN_ID": "run-8080"})
    yield process
    process.kill()
    process.wait()


def test_what_is_written_is_read_back(tmp_path):
    """Marks, services and all."""
    run = replace(run_on(8080), ready=True, programs={"gateway": Mark(5, 1.5, 2)})
    directory = made(tmp_path, 8080)
    directory.write(run)
    assert directory.read() == run


def test_the_token_is_readable_by_its_owner_alone(tmp_path):
    """0600 in a directory of 0700."""
    directory = made(tmp_path, 8080)
    assert stat.S_IMODE(directory.token_file.stat().st_mode) == 0o600
    assert stat.S_IMODE(directory.path.stat().st_mode) == 0o700
    assert directory.token_file.read_text() == "secret\n"


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"launcher": 5}', '{"launcher": {"pid": 1}}'])
def test_a_file_that_cannot_be_understood_is_no_run(tmp_path, text):
    """A launcher.json of another version, or half of one, stops nobody."""
    directory = made(tmp_path, 8080)
    (directory.path / "launcher.json").write_text(text)
    assert directory.read() is None
    assert running(tmp_path) == {}


def test_a_launcher_that_died_does_not_run(tmp_path):
    """Nor does one whose pid is another process' now."""
    process = subprocess.Popen(["sleep", "60"])
    mark = Mark.of(process.pid)
    directory = made(tmp_path, 8080, launcher=mark)
    assert directory.live()
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert directory.live() is None
    directory.write(replace(run_on(8080), launcher=Mark(os.getpid(), 12.0)))
    assert directory.live() is None


def test_the_only_rack_needs_no_port(tmp_path):
    """And a dead one beside it does not count."""
    made(tmp_path, 8080)
    made(tmp_path, 9000, launcher=Mark(os.getpid(), 12.0))
    assert find(tmp_path, None)[1].port == 8080
    assert find(tmp_path, 8080)[1].port == 8080


def test_no_rack_is_told_with_what_to_type(tmp_path):
    """The way to start one."""
    with pytest.raises(Refusal, match=r"no rack runs here; start one with \./claw up"):
        find(tmp_path, None)


def test_several_racks_need_a_port(tmp_path):
    """Those that run are named."""
    made(tmp_path, 8080)
    made(tmp_path, 9000)
    with pytest.raises(Refusal, match="on ports 8080, 9000; choose one with --port"):
        find(tmp_path, None)
    with pytest.raises(Refusal, match=r"no rack runs on port 7000 \(one runs on port 8080, 9000\)"):
        find(tmp_path, 7000)


def test_racks_are_in_the_order_of_their_ports(tmp_path):
    """As numbers, not as the names of their directories: 12341 comes after 2341."""
    mark = Mark.of(os.getpid())
    for port in (12341, 2341, 8080):
        made(tmp_path, port, launcher=mark)
    assert list(running(tmp_path)) == [2341, 8080, 12341]


def test_what_a_killed_launcher_left_is_cleared(tmp_path, child):
    """Its files, and whatever of its run still goes on."""
    directory = made(tmp_path, 8080, launcher=Mark(os.getpid(), 12.0))
    (directory.logs / "gateway.log").write_text("old")
    directory.revolt.mkdir()
    directory.prepare("new")
    assert not directory.revolt.exists()
    assert not psutil.pid_exists(child.pid)
    assert directory.token_file.read_text() == "new\n"
    assert list(directory.logs.iterdir()) == []
    assert directory.read() is None


def test_somebody_elses_directory_is_left_alone(tmp_path):
    """CLAWBUCKET_HOME may point anywhere; what is not ours is not removed."""
    (tmp_path / "8080").mkdir()
    (tmp_path / "8080" / "thesis.txt").write_text("dear")
    with pytest.raises(Refusal, match="holds other files"):
        RunDir(tmp_path / "8080").prepare("secret")
    assert (tmp_path / "8080" / "thesis.txt").read_text() == "dear"


def test_after_a_regular_end_the_logs_stay(tmp_path):
    """Programs' and tasks' in one place, and the snapshots of handoffs; everything else goes."""
    directory = made(tmp_path, 8080)
    directory.revolt.mkdir()
    directory.task_logs.mkdir()
    (directory.task_logs / "clawbucket_clawbucket.1.abc.log").write_text("t")
    (directory.logs / "rack.log").write_text("r")
    directory.clear()
    assert {p.name for p in directory.path.iterdir()} == {"logs", "revolt"}
    assert {p.name for p in directory.logs.iterdir()} == {"clawbucket_clawbucket.1.abc.log", "rack.log"}


def test_a_runs_processes_are_known_by_its_id(child):
    """Whatever was started inherits it."""
    assert end_all("run-8080") == 1
    assert not psutil.pid_exists(child.pid)
    assert end_all("run-8080") == 0


def test_the_home_is_what_the_setting_says(tmp_path):
    """Or .claw in the clone, whatever directory the command was typed in."""
    assert home(tmp_path) == tmp_path
    assert home(None).name == ".claw"
    assert home(None).is_absolute()

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import suppress

import psutil
import pytest

from clawbucket.cli import guard
from clawbucket.cli.announce import Json
from clawbucket.cli.children import OsProcess, Program, guarded, how
from clawbucket.cli.launcher import Launcher
from clawbucket.cli.readiness import Progress
from clawbucket.cli.rundir import Mark, Run, RunDir, processes_of

WELL = Progress(6, 6, "")
SLEEP = str(shutil.which("sleep"))


class Play:
    """A launcher over stand-in programs, in this very process; it ends by a signal to itself."""

    def __init__(self, tmp_path, ready=lambda: WELL, budget=0.05, **commands):
        self.directory = RunDir(tmp_path / "8080")
        self.directory.prepare("token")
        self.said = []
        self.ready = []
        self.closed = 0
        self.run_id = f"test-{os.getpid()}-{tmp_path.name}"
        environment = {"CLAWBUCKET_RUN_ID": self.run_id, "PATH": os.environ["PATH"]}
        programs = [
            Program(name, command, environment, self.directory.logs / f"{name}.log", f"port of {name}")
            for name, command in commands.items()
        ]
        run = Run(Mark.of(os.getpid()), self.run_id, "BOT 1", "now", 8080, {}, "http://x", "", ("a",))
        self.launcher = Launcher(
            programs, run=run, directory=self.directory, voice=self, ready=ready,
            on_ready=self._on_ready, before_stop=self._before_stop, start_budget=budget,
        )  # fmt: skip
        self.on_ready = lambda: os.kill(os.getpid(), signal.SIGTERM)

    def say(self, event, *_level, **_facts):
        self.said.append(event)
        if "started again" in event:
            os.kill(os.getpid(), signal.SIGTERM)

    def relay(self, lines):
        self.said += [line.text for line in lines]

    def addresses(self, *_):
        pass

    def _on_ready(self, progress):
        self.ready.append(progress)
        self.on_ready()

    def _before_stop(self):
        self.closed += 1

    def pid(self, name):
        return self.directory.read().programs[name].pid


def test_sigterm_ends_the_programs_and_leaves_the_logs(tmp_path):
    """Exit status 0, no process, no launcher.json, no token; what was logged stays."""
    play = Play(tmp_path, a=("sleep", "60"), b=("sh", "-c", "echo hello; exec sleep 60"))
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)]
    assert play.launcher.run() == 0
    assert play.ready == [WELL]
    assert play.closed
    assert processes_of(play.run_id) == []
    assert sorted(p.name for p in play.directory.path.iterdir()) == ["logs"]
    assert {p.name for p in play.directory.logs.iterdir()} == {"a.log", "b.log"}
    after = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)]
    assert after == handlers


def test_a_killed_program_is_started_again_and_written_down(tmp_path, monkeypatch):
    """launcher.json has the new pid, and one sentence says what happened."""
    play = Play(tmp_path, a=("sleep", "60"))
    pids = []

    def kill():
        pids.append(play.pid("a"))
        os.kill(pids[0], signal.SIGKILL)

    play.on_ready = kill
    written = []
    write = play.directory.write

    def keep(run):
        written.append(run.programs["a"])
        write(run)

    monkeypatch.setattr(play.directory, "write", keep)
    assert play.launcher.run() == 0
    assert written[-1].starts == 2
    assert written[-1].pid != pids[0]
    assert f"a was killed by SIGKILL; it was started again on port of a (pid {written[-1].pid})" in play.said


def test_a_program_that_refuses_its_settings_ends_the_start(tmp_path):
    """Status 2 is passed on at once, with the sentence that the program said last."""
    play = Play(tmp_path, lambda: Progress(0, 6, "all"), budget=30.0, a=("sleep", "60"),
                b=("sh", "-c", "echo 'b: MEMCACHED_PORT takes a port' >&2; exit 2"))  # fmt: skip
    assert play.launcher.run() == 2
    assert any("b cannot run" in said and "MEMCACHED_PORT takes a port" in said for said in play.said)
    assert processes_of(play.run_id) == []


def test_a_rack_that_never_runs_is_given_up(tmp_path):
    """After its budget, with what it waited for, and nothing left behind."""
    play = Play(tmp_path, lambda: Progress(5, 6, "1 of 6 troopers"), a=("sleep", "60"))
    assert play.launcher.run() == 1
    assert any("still waiting for 1 of 6 troopers" in said for said in play.said)
    assert processes_of(play.run_id) == []


def test_an_error_of_the_launchers_own_leaves_nothing_behind(tmp_path):
    """Whatever is raised, the programs end."""

    def broken():
        raise RuntimeError("broken")

    play = Play(tmp_path, broken, a=("sleep", "60"))
    with pytest.raises(RuntimeError, match="broken"):
        play.launcher.run()
    assert processes_of(play.run_id) == []


def test_a_dead_leaders_group_dies_with_it(tmp_path):
    """A worker without its master would hold the port that the next master needs."""
    log = tmp_path / "log"
    command = ("sh", "-c", "sleep 60 & echo $!; wait")
    process = OsProcess(Program("a", command, {"PATH": os.environ["PATH"]}, log, ""))
    try:
        worker = psutil.Process(int(_first_line(log, process)))
        os.kill(process.pid, signal.SIGKILL)
        _wait(lambda: process.ended() == -signal.SIGKILL)
        _wait(lambda: not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE)
    finally:
        process.kill()


def test_the_end_of_a_process_is_told_in_words():
    """By its signal's name where it has one."""
    assert how(-9) == "was killed by SIGKILL"
    assert how(-64) in {"was killed by SIGRTMAX", "was killed by signal 64"}
    assert how(3) == "ended with status 3"


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG is Linux's")
def test_the_guarded_program_dies_with_the_launcher():
    """Even when the launcher is killed with SIGKILL, and though the program knows nothing of us."""
    script = (
        "import subprocess, sys\n"
        "from clawbucket.cli.children import guarded\n"
        "p = subprocess.Popen(guarded((sys.argv[1], '60'), 0))\n"
        "print(p.pid, flush=True)\n"
        "p.wait()\n"
    )
    launcher = subprocess.Popen([sys.executable, "-c", script, SLEEP], stdout=subprocess.PIPE, text=True)
    assert launcher.stdout
    with launcher.stdout:
        program = psutil.Process(int(launcher.stdout.readline()))
    _wait(lambda: program.name() == "sleep")
    launcher.kill()
    launcher.wait()
    _wait(lambda: not program.is_running() or program.status() == psutil.STATUS_ZOMBIE)


def test_the_guard_elsewhere_kills_its_program_when_the_lifeline_is_cut():
    """The pipe's other end closes, and the program is gone."""
    read, write = os.pipe()
    os.set_inheritable(read, True)
    watcher = (
        f"import sys; sys.path.insert(0, {os.path.dirname(guard.__file__)!r}); import guard; "  # noqa: PTH120
        f"sys.exit(guard.watch([{SLEEP!r}, '60'], {read}))"
    )
    process = subprocess.Popen([sys.executable, "-I", "-S", "-c", watcher], pass_fds=(read,))
    os.close(read)
    parent = psutil.Process(process.pid)
    _wait(lambda: [child.name() for child in parent.children()] == ["sleep"])
    program = parent.children()[0]
    os.close(write)
    assert process.wait(5) == signal.SIGKILL
    assert not program.is_running()


def test_the_guard_says_what_cannot_be_started():
    """One sentence and status 127."""
    command = guarded(("/nowhere/memcached",), 0)
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
    assert done.returncode == 127
    assert done.stderr == "/nowhere/memcached cannot be started: No such file or directory\n"


def test_json_voice_speaks_one_object_a_line(capsys):
    """With the program's name, as the programs' own logs do."""
    Json().say("gateway died", "warning", name="gateway")
    Json().addresses("6 troopers running", [("dashboard", "http://x")], "hint")
    first, second = capsys.readouterr().out.splitlines()
    assert '"program": "launcher"' in first
    assert '"dashboard": "http://x"' in second


def _first_line(log, process):
    _wait(lambda: log.read_text().endswith("\n") or process.ended() is not None)
    return log.read_text().split()[0]


def _wait(condition, timeout=5.0):
    """Until it holds. Waits on a pair of sockets nobody writes to: no sleep, no spin."""
    quiet, other = socket.socketpair()
    quiet.settimeout(0.005)
    with quiet, other:
        for _ in range(int(timeout / 0.005)):
            with suppress(psutil.NoSuchProcess):
                if condition():
                    return
            with suppress(TimeoutError):
                quiet.recv(1)
    pytest.fail("the condition never held")

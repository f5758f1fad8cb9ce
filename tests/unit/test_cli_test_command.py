"""``./claw test``: what runs beside what, what is provided for it, and with which status it ends."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from clawbucket.cli import provision, steps, test_command
from clawbucket.cli.children import ROOT
from clawbucket.cli.main import claw


def typed(*words: str) -> Result:
    """What comes of ``./claw`` with these words."""
    return CliRunner().invoke(claw, words)


def test_quick_tests_come_first(tmp_path):
    """unit, contract, what is not named, cluster, browser, docker; rooms without a test are left out."""
    for name in ("browser", "docker", "cluster", "unit", "contract", "load", "empty"):
        (tmp_path / "tests" / name).mkdir(parents=True)
        if name != "empty":
            (tmp_path / "tests" / name / "test_x.py").touch()
    for name in ("test_docs.py", "conftest.py"):
        (tmp_path / "tests" / name).touch()
    found = [Path(room).name for room in test_command.rooms(tmp_path / "tests")]
    assert found == ["unit", "contract", "load", "test_docs.py", "cluster", "browser", "docker"]


@pytest.mark.parametrize(
    ("arguments", "paths", "browser"),
    [
        ((), False, True),
        (("-k", "leader"), False, True),
        (("tests/unit",), True, False),
        (("tests/unit/test_settings.py::test_x", "-x"), True, False),
        (("tests/browser/test_dashboard.py",), True, True),
        (("tests",), True, True),
    ],
)
def test_a_browser_is_wanted_where_its_tests_may_run(arguments, paths, browser):
    """Nobody who runs the unit tests needs chromium."""
    assert test_command.names_paths(arguments) is paths
    assert test_command.needs_browser(arguments) is browser


@pytest.mark.parametrize(
    ("arguments", "docker"),
    [
        ((), True),
        (("-k", "leader"), True),
        (("tests/unit",), False),
        (("tests/docker/test_image.py", "-x"), True),
        (("tests",), True),
    ],
)
def test_docker_is_wanted_where_its_tests_may_run(arguments, docker):
    """Nobody who runs the unit tests needs a Docker engine."""
    assert test_command.needs_docker(arguments) is docker


@pytest.fixture
def ran(monkeypatch):
    """The steps that a command runs, without running them."""
    names = []
    monkeypatch.setattr(provision, "memcached", lambda _: "")
    monkeypatch.setattr(provision, "chromium", lambda _: "")
    monkeypatch.setattr(provision, "shellcheck", lambda _: None)
    monkeypatch.setattr(provision, "docker", lambda tell: tell("docker is provided"))

    def run(step):
        names.append((step.name, step.command))
        return 3 if step.name == "mypy" and "fail" in names[0] else 0

    monkeypatch.setattr(steps, "run", run)
    monkeypatch.setattr(test_command, "run", run)
    return names


def test_the_linters_come_before_the_tests(ran):
    """All of them, then pytest."""
    assert typed("test").exit_code == 0
    names = [name for name, _ in ran]
    assert names[:3] == ["ruff check", "ruff format", "mypy"]
    assert names[-3:] == ["pytest, side by side", "pytest, times judged alone", "pytest, one by one"]


@pytest.mark.parametrize(("cores", "workers"), [(2, "2"), (12, "4")])
def test_what_measures_and_kills_runs_alone(ran, monkeypatch, cores, workers):
    """Unit and contract tests have a process a core, four at most; what judges times and the rest come after.

    Each test of the quick rooms is in one of their two sessions, by its mark.
    """
    monkeypatch.setattr("clawbucket.cli.test_command.os.cpu_count", lambda: cores)
    assert typed("test").exit_code == 0
    beside, judged, rest = (command for name, command in ran if name.startswith("pytest"))
    assert beside[beside.index("-n") + 1] == workers
    assert "--alone=leave" in beside
    assert "--alone=only" in judged
    assert not {"-n", "--alone=leave", "--alone=only"} & set(rest)
    assert "-n" not in judged
    quick = {word for word in beside if word.startswith("tests/")}
    assert quick >= {"tests/unit", "tests/contract", "tests/test_docs.py"}
    assert quick == {word for word in judged if word.startswith("tests/")}
    assert {"tests/cluster", "tests/browser", "tests/docker"} <= set(rest)
    assert not quick & set(rest)


def test_on_one_core_everything_runs_one_by_one(ran, monkeypatch):
    """In one session that leaves no mark out, the quick rooms first."""
    monkeypatch.setattr("clawbucket.cli.test_command.os.cpu_count", lambda: 1)
    assert typed("test").exit_code == 0
    (command,) = (command for name, command in ran if name.startswith("pytest"))
    assert {"tests/unit", "tests/docker"} <= set(command)
    assert not [word for word in command if word.startswith("--alone") or word == "-n"]


@pytest.mark.slow
@pytest.mark.parametrize(("part", "passed"), [("leave", {"one"}), ("only", {"two"})])
def test_a_mark_says_what_is_run_alone(tmp_path, part, passed):
    """--alone=leave and --alone=only share a room's tests out between them."""
    room = tmp_path / "test_room.py"
    room.write_text(
        "import pytest\n\ndef test_one(): pass\n\n@pytest.mark.alone\ndef test_two(): pass\n",
        encoding="utf-8",
    )
    plugins = ["-p", "tests.conftest", "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", *plugins, "-v", f"--alone={part}", room]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert set(re.findall(r"::test_(\w+) PASSED", done.stdout)) == passed


@pytest.mark.parametrize(
    ("ends", "status"),
    [
        ((0, 0, 0), 0), ((1, 0, 0), 1), ((0, 0, 2), 2), ((1, 3, 2), 1), ((0, 3, 2), 3), ((5, 5, 0), 0),
        ((5, 0, 1), 1), ((5, 5, 5), 5),
    ],
)  # fmt: skip
def test_the_status_is_that_of_what_failed_first(monkeypatch, ends, status):
    """All run, whatever comes of the first; that one of them has no test of that name is no failure."""
    left = list(ends)
    monkeypatch.setattr(provision, "docker", lambda _: "")
    monkeypatch.setattr(provision, "memcached", lambda _: "")
    monkeypatch.setattr(provision, "chromium", lambda _: "")
    monkeypatch.setattr("clawbucket.cli.test_command.os.cpu_count", lambda: 2)
    monkeypatch.setattr(test_command, "run", lambda _: left.pop(0))
    assert typed("test", "-k", "x").exit_code == status
    assert left == []


def test_docker_is_provided_unless_it_is_left_out(ran):
    """--no-docker says in one line what is not run, asks for no Docker and keeps pytest out of the room."""
    assert "docker is provided" in typed("test", "-x").output
    told = typed("test", "--no-docker", "-x")
    assert told.output.splitlines() == [
        "claw: --no-docker: the tests of Docker Swarm (tests/docker) are left out"
    ]
    commands = [command for _, command in ran]
    whole, without = commands[: len(commands) // 2], commands[len(commands) // 2 :]
    assert {"tests/docker"} == {
        word for word in set(whole[-1]) - set(without[-1]) if word.startswith("tests/")
    }
    assert all("--ignore=tests/docker" in command for command in without)


def test_arguments_go_to_pytest_and_leave_the_linters_out(ran):
    """Unchanged, -k and all."""
    assert typed("test", "-k", "leader", "-x", "tests/unit").exit_code == 0
    ((name, command),) = ran
    assert name == "pytest"
    assert command[-4:] == ("-k", "leader", "-x", "tests/unit")


def test_a_failing_linter_ends_the_run_with_its_status(ran):
    """Fail fast: the tests take minutes."""
    ran.append(("fail", ()))
    ran[0] = "fail"
    assert typed("test").exit_code == 3
    assert ran[-1][0] == "mypy"


def test_a_real_ollama_is_asked_only_where_it_is_wanted(ran, monkeypatch):
    """--ollama goes on to pytest, before whatever else it is told."""
    monkeypatch.setattr(test_command, "answering", lambda host: f"http://{host}")
    monkeypatch.setenv("OLLAMA_HOST", "gpu:11434")
    told = typed("test", "--ollama", "-m", "ollama", "tests/unit")
    assert told.exit_code == 0
    assert told.output == "claw: the tests marked ollama ask http://gpu:11434\n"
    assert ran[-1][1][-4:] == ("--ollama", "-m", "ollama", "tests/unit")
    assert typed("test", "tests/unit").exit_code == 0
    assert "--ollama" not in ran[-1][1]


def test_an_ollama_that_does_not_answer_ends_the_run_before_it_begins(ran, monkeypatch):
    """One sentence, status 2, and no linter was run."""
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:9")
    told = typed("test", "--ollama")
    assert told.exit_code == 2
    assert told.output.startswith("claw: no Ollama answers at OLLAMA_HOST: http://127.0.0.1:9 ")
    assert len(told.output.splitlines()) == 1
    assert ran == []

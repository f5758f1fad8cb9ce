from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from clawbucket.cli import make_venv
from clawbucket.cli.make_venv import Maker, main

CLAW = Path(make_venv.__file__).resolve().parents[2] / "claw"
PYTHON = """#!/bin/sh
# Stands for .venv's python: says that it is new enough, and keeps what pip was told.
case "$*" in
    *pip\\ install*) echo "$*" >> "{log}"; test -z "$FAKE_PIP_FAILS" || {{ echo "no such hash"; exit 1; }} ;;
    *-P\\ -m\\ clawbucket*) echo "clawbucket: $*" ;;
esac
"""


class Clone:
    """A clone of the project with a stand-in for the virtual environment's python."""

    def __init__(self, root):
        self.root, self.venv = root, root / ".venv"
        self.pip_log = root / "pip.log"
        (root / "requirements.lock").write_text("click==1 \\\n    --hash=sha256:0\n")
        (root / "requirements-test.lock").write_text("pytest==1 \\\n    --hash=sha256:0\n")

    def create(self, *_):
        """What python -m venv would do."""
        shutil.rmtree(self.venv)
        (self.venv / "bin").mkdir(parents=True)
        (self.venv / "unfinished").touch()
        python = self.venv / "bin" / "python"
        python.write_text(PYTHON.format(log=self.pip_log))
        python.chmod(0o755)

    def made(self):
        """The lock files that pip was given, in order."""
        lines = self.pip_log.read_text().splitlines() if self.pip_log.exists() else []
        assert all("--require-hashes" in line for line in lines)
        return [Path(line.split()[-1]).name for line in lines]


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """A clone without .venv."""
    found = Clone(tmp_path)
    monkeypatch.setattr(Maker, "_create", found.create)
    return found


def test_a_venv_is_made_once(clone):
    """The second call finds the copy of the lock file and does nothing."""
    assert main(["requirements.lock"], clone.root) == 0
    assert main(["requirements.lock"], clone.root) == 0
    assert clone.made() == ["requirements.lock"]
    assert not (clone.venv / "unfinished").exists()


def test_a_changed_lock_is_installed_again(clone):
    """And only that one."""
    locks = ["requirements.lock", "requirements-test.lock"]
    main(locks, clone.root)
    (clone.root / "requirements-test.lock").write_text("pytest==2 \\\n    --hash=sha256:1\n")
    main(locks, clone.root)
    assert clone.made() == [*locks, "requirements-test.lock"]


def test_a_venv_without_a_copy_is_installed_on_top(clone):
    """Somebody made it by hand: it is kept."""
    clone.venv.mkdir()
    clone.create()
    (clone.venv / "unfinished").unlink()
    (clone.venv / "mine").touch()
    assert main(["requirements.lock"], clone.root) == 0
    assert (clone.venv / "mine").exists()
    assert clone.made() == ["requirements.lock"]


def test_an_interrupted_installation_is_made_from_nothing(clone, capsys):
    """What pip left in the middle is not trusted."""
    main(["requirements.lock"], clone.root)
    (clone.venv / "made-from-requirements.lock").unlink()
    (clone.venv / "unfinished").touch()
    (clone.venv / "half").touch()
    assert main(["requirements.lock"], clone.root) == 0
    assert not (clone.venv / "half").exists()
    assert "a former run was cut off" in capsys.readouterr().err


def test_a_failing_pip_is_told_and_tried_again(clone, capsys, monkeypatch):
    """Its own words, status 1, and no copy of the lock that would say otherwise."""
    monkeypatch.setenv("FAKE_PIP_FAILS", "1")
    assert main(["requirements.lock"], clone.root) == 1
    said = capsys.readouterr().err
    assert "  no such hash\n" in said
    assert "claw: pip install failed with status 1" in said
    monkeypatch.delenv("FAKE_PIP_FAILS")
    assert main(["requirements.lock"], clone.root) == 0
    assert clone.made() == ["requirements.lock"] * 2


def test_half_a_clone_is_refused(clone, capsys):
    """The lock file is named."""
    (clone.root / "requirements.lock").unlink()
    assert main(["requirements.lock"], clone.root) == 2
    assert "requirements.lock is missing" in capsys.readouterr().err


def test_the_agents_command_is_left_there(clone, tmp_path):
    """It runs picoclaw from the clone, from any directory and through a symbolic link, and moves with it."""
    main(["requirements.lock"], clone.root)
    clone.root.joinpath("moved here").mkdir()
    moved = shutil.move(clone.venv, tmp_path / "moved here" / ".venv")
    python = Path(moved) / "bin" / "python"
    python.write_text('#!/bin/sh\necho "$PYTHONPATH" "$@"\n')
    (tmp_path / "link").symlink_to(Path(moved) / "bin" / "picoclaw-py")
    for command in (Path(moved) / "bin" / "picoclaw-py", tmp_path / "link"):
        done = subprocess.run(
            [command, "agent", "-m", "a b"], cwd="/", env={"PATH": os.environ["PATH"], "PYTHONPATH": "/mine"},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert done.stdout == f"{tmp_path / 'moved here'}:/mine -P -m picoclaw agent -m a b\n"


def test_the_agents_command_is_there_before_the_lock_counts_as_installed(clone, monkeypatch):
    """A run that is cut off after pip must not leave a .venv that is whole but for the command."""
    seen = []
    really = Maker._install

    def install(self, lock):
        seen.append((clone.venv / "bin" / "picoclaw-py").exists())
        really(self, lock)

    monkeypatch.setattr(Maker, "_install", install)
    main(["requirements.lock"], clone.root)
    assert seen == [True]


def test_two_at_once_take_turns(clone, monkeypatch):
    """While one installs, the lock is the kernel's to give; pip holds it as well."""
    seen = []
    really = Maker._run

    def run(self, *args):
        with (clone.root / ".claw" / "venv.lock").open("a") as other:
            try:
                fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                seen.append("held")
        really(self, *args)

    monkeypatch.setattr(Maker, "_run", run)
    main(["requirements.lock"], clone.root)
    assert seen == ["held"]


# The script ---------------------------------------------------------------------------------------------


def shells():
    """The POSIX shells of this machine."""
    return [
        shell
        for shell in (["sh"], ["dash"], ["busybox", "sh"], ["bash", "--posix"])
        if shutil.which(shell[0])
    ]


@pytest.fixture
def scripted(clone):
    """The script in a clone that is made already."""
    shutil.copy(CLAW, clone.root / "claw")
    clone.venv.mkdir()
    clone.create()
    for lock in ("requirements.lock", "requirements-test.lock"):
        shutil.copy(clone.root / lock, clone.venv / f"made-from-{lock}")
    return clone


@pytest.mark.parametrize("shell", shells(), ids=" ".join)
def test_the_script_hands_its_arguments_over(scripted, shell):
    """From any directory, in any POSIX shell, spaces and all."""
    done = subprocess.run(
        [*shell, str(scripted.root / "claw"), "up", "--label", "a b"],
        cwd="/", capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == "clawbucket: -P -m clawbucket up --label a b\n"


@pytest.mark.usefixtures("scripted")
def test_the_script_works_through_symbolic_links(tmp_path):
    """Relative ones too, and several in a row."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "inner").symlink_to("../claw")
    (tmp_path / "outer").symlink_to(tmp_path / "bin" / "inner")
    done = subprocess.run([tmp_path / "outer", "status"], cwd="/", capture_output=True, text=True, check=True)
    assert done.stdout == "clawbucket: -P -m clawbucket status\n"


def test_the_script_says_that_it_needs_a_newer_python(scripted, tmp_path):
    """One sentence with what was found, and status 2."""
    (scripted.venv / "made-from-requirements.lock").unlink()
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("sh", "dirname", "cmp", "readlink"):
        (tools / name).symlink_to(shutil.which(name))
    (tools / "python3").write_text("#!/bin/sh\n[ \"$1\" = -V ] && echo 'Python 3.9.2'\nexit $(( $# > 1 ))\n")
    (tools / "python3").chmod(0o755)
    done = subprocess.run(
        [scripted.root / "claw", "up"], env={"PATH": str(tools)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith(
        "claw: clawbucket needs Python 3.11 or newer and found Python 3.9.2 on PATH;"
    )
    assert done.stdout == ""


def test_the_script_makes_what_is_missing_first(scripted, tmp_path):
    """Test and lint want the locks of tests and load tests, load and bench mixed the latter."""
    (scripted.venv / "made-from-requirements-test.lock").unlink()
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "python3").write_text('#!/bin/sh\n[ "$1" = -c ] || echo "making: $*"\n')
    (tools / "python3").chmod(0o755)
    environment = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"}

    def typed(*words):
        command = [scripted.root / "claw", *words]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        return done.stdout.splitlines()

    making = "making: -P -m clawbucket.cli.make_venv"
    assert typed("status") == ["clawbucket: -P -m clawbucket status"]
    assert typed("test", "-x") == [
        f"{making} requirements.lock requirements-load.lock requirements-test.lock",
        "clawbucket: -P -m clawbucket test -x",
    ]
    assert typed("load", "--headless") == [
        f"{making} requirements.lock requirements-load.lock",
        "clawbucket: -P -m clawbucket load --headless",
    ]
    assert typed("bench", "mixed", "--json")[0] == f"{making} requirements.lock requirements-load.lock"
    assert typed("bench", "sim") == ["clawbucket: -P -m clawbucket bench sim"]

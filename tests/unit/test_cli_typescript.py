"""The check of the dashboard's types: run with the others, fetched once, and never left out in silence."""

from __future__ import annotations

import importlib.util
import json
import subprocess
from pathlib import Path

import pytest

from clawbucket.cli import steps, typescript
from clawbucket.cli.refusal import Refusal


class Npm:
    """Stands for npm: fetches, or fails with what it says."""

    def __init__(self, home: Path, status: int = 0) -> None:
        self.home, self.status, self.runs = home, status, 0

    def __call__(self, command, **_how):
        self.runs += 1
        if self.status == 0:
            script = self.home / "node_modules" / "typescript" / "lib" / "tsc.js"
            script.parent.mkdir(parents=True, exist_ok=True)
            script.touch()
        return subprocess.CompletedProcess(command, self.status, "", "npm error code ENOTFOUND")


def test_the_types_are_checked_with_everything_else():
    """It is one of the linters wherever they run: no condition stands before it."""
    assert "tsc" in [step.name for step in steps.lint_steps()]


def test_the_compiler_is_fetched_once_a_lock(tmp_path, monkeypatch):
    """Not again while the lock names the same one; again when it names another."""
    npm = Npm(tmp_path)
    for _ in range(2):
        script = typescript.compiler(tmp_path / "bin" / "node", tmp_path, npm)
        assert (script.name, npm.runs) == ("tsc.js", 1)
    monkeypatch.setattr(typescript, "VERSION", "5.9.4")
    typescript.compiler(tmp_path / "bin" / "node", tmp_path, npm)
    assert npm.runs == 2


def test_a_compiler_that_cannot_be_fetched_is_a_failure(tmp_path):
    """One sentence with what npm says, and nothing is taken for fetched."""
    npm = Npm(tmp_path, status=1)
    for _ in range(2):
        with pytest.raises(Refusal, match="npm says 'npm error code ENOTFOUND'"):
            typescript.compiler(tmp_path / "bin" / "node", tmp_path, npm)
    assert npm.runs == 2


def test_without_node_the_check_fails(monkeypatch, capsys):
    """The linters stop there, and say how to get it."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert typescript.main() == 1
    assert "run it as ./claw lint" in capsys.readouterr().err


def test_the_lock_names_a_hash_and_no_address():
    """What is fetched is what was looked at, wherever it comes from."""
    locked = json.loads(typescript.project()["package-lock.json"])
    fetched = {name: package for name, package in locked["packages"].items() if name}
    assert set(fetched) == {"node_modules/typescript"}
    for package in fetched.values():
        assert package["integrity"].startswith("sha512-")
        assert "resolved" not in package

"""Checks as child processes, one after another, in the clone's root."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import click

from clawbucket.cli.children import ROOT


@dataclass(frozen=True, slots=True)
class Step:
    """A check: its name and its command line."""

    name: str
    command: tuple[str, ...]


def module(name: str, *arguments: str) -> tuple[str, ...]:
    """A Python module of this ``.venv`` as a command line."""
    return (sys.executable, "-m", name, *arguments)


def lint_steps() -> tuple[Step, ...]:
    """What every change passes: ruff, mypy, tsc, and shellcheck where it is installed."""
    steps = [
        Step("ruff check", module("ruff", "check", ".")),
        Step("ruff format", module("ruff", "format", "--check", ".")),
        Step("mypy", module("mypy")),
        Step("tsc", module("clawbucket.cli.typescript")),
    ]
    if shutil.which("shellcheck"):
        steps.append(Step("shellcheck", ("shellcheck", "claw", "deploy-racks.sh", ".ci/run")))
    return tuple(steps)


def run(step: Step) -> int:
    """Run it with this terminal as its own; its status (128 + n: killed by signal n)."""
    click.secho(f"== {step.name}", bold=True, err=True)
    status = subprocess.run(step.command, cwd=ROOT, check=False).returncode
    return 128 - status if status < 0 else status


def run_all(steps: Sequence[Step]) -> int:
    """Run each until one fails; the status of that one, or 0."""
    for step in steps:
        status = run(step)
        if status != 0:
            click.secho(f"claw: {step.name} failed with status {status}", fg="red", err=True)
            return status
    return 0

"""Ending several racks: ``./claw racks down``, and what is looked for after any end."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

import click

from clawbucket.cli import racks_plan, rundir
from clawbucket.cli.racks_plan import Side
from clawbucket.cli.refusal import Refusal
from clawbucket.cli.rundir import Run, RunDir

PATIENCE = 10.0
"""Seconds; a launcher of launchers needs at most seven."""
NONE_RUN = "no racks run here; start them with ./claw racks"
_LOOK = 0.05


def down(home: Path) -> None:
    """End the racks, as Ctrl-C in their terminal would, and return when all of them are gone."""
    account = racks_plan.directory(home).live()
    if account is None:
        raise Refusal(NONE_RUN)
    racks = racks_plan.sides(len(account.urls), account.port)
    runs = [account, *(found for side in racks if (found := RunDir(home / str(side.port)).live()))]
    begun = time.monotonic()
    try:
        os.kill(account.launcher.pid, signal.SIGTERM)
    except ProcessLookupError:
        pass  # it ended a moment ago; what is left of it is waited for all the same
    except PermissionError:
        raise Refusal(f"the racks are another user's (pid {account.launcher.pid})") from None
    if not _gone(runs, begun + PATIENCE):
        left = sorted(
            f"{process.name()} (pid {process.pid})"
            for run in runs
            for process in rundir.processes_of(run.run_id)
        )
        told = ", ".join(left) or f"the launcher (pid {account.launcher.pid})"
        raise Refusal(f"after {PATIENCE:.0f} s these still run: {told}", 1)
    click.echo(f"{len(racks)} racks have ended, after {time.monotonic() - begun:.1f} s")


def sweep(home: Path, racks: Sequence[Side]) -> None:
    """See to it that nothing of these racks is left where their launchers were killed."""
    for side in racks:
        where = RunDir(home / str(side.port))
        left = where.read()
        if left is not None and not left.launcher.runs:
            rundir.end_all(left.run_id)
            where.clear()


def _gone(runs: Sequence[Run], deadline: float) -> bool:
    while time.monotonic() < deadline:
        if not any(run.launcher.runs or rundir.processes_of(run.run_id) for run in runs):
            return True
        time.sleep(_LOOK)
    return False

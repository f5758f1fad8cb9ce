"""``claw down``: ends a rack that runs in another terminal."""

from __future__ import annotations

import os
import signal
import time

import click

from clawbucket.cli import rundir
from clawbucket.cli.options import port_option
from clawbucket.cli.refusal import Refusal
from clawbucket.cli.rundir import Run
from clawbucket.settings import Settings

PATIENCE = 5.0
"""Seconds; a launcher needs at most three, and a fourth where a process hangs in the kernel."""
_LOOK = 0.05


@click.command(short_help="End the running rack.", epilog="""
\b
Examples:
  ./claw down
  ./claw down --port 9000
""")  # fmt: skip
@port_option
def down(port: int | None) -> None:
    """End the running rack, as Ctrl-C in its terminal would, and wait until all of it is gone."""
    _, run = rundir.find(rundir.home(Settings.from_env().home), port)
    begun = time.monotonic()
    try:
        os.kill(run.launcher.pid, signal.SIGTERM)
    except ProcessLookupError:
        pass  # it ended a moment ago; what is left of it is waited for all the same
    except PermissionError:
        raise Refusal(f"the rack on port {run.port} is another user's (pid {run.launcher.pid})") from None
    if not _gone(run, begun + PATIENCE):
        names = sorted(f"{p.name()} (pid {p.pid})" for p in rundir.processes_of(run.run_id))
        left = ", ".join(names) or f"the launcher (pid {run.launcher.pid})"
        raise Refusal(f"after {PATIENCE:.0f} s these still run: {left}", 1)
    click.echo(f"the rack on port {run.port} has ended, after {time.monotonic() - begun:.1f} s")


def _gone(run: Run, deadline: float) -> bool:
    while time.monotonic() < deadline:
        if not run.launcher.runs and not rundir.processes_of(run.run_id):
            return True
        time.sleep(_LOOK)
    return False

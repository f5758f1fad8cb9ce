"""``claw logs``: what the programs and the troopers wrote."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable
from pathlib import Path

import click

from clawbucket.cli import rundir
from clawbucket.cli.logtail import Line, Tail, interleaved, last_lines
from clawbucket.cli.names import label, means
from clawbucket.cli.options import PORT
from clawbucket.cli.refusal import Refusal
from clawbucket.cli.rundir import Run, RunDir
from clawbucket.settings import Settings

_LOOK = 0.2
_COLOURS = ("cyan", "magenta", "green", "yellow", "blue", "bright_cyan", "bright_magenta", "bright_green")


@click.command(short_help="Show what programs and troopers wrote.", epilog="""
\b
Examples:
  ./claw logs                     the last 50 lines of everything
  ./claw logs -f gateway          what the gateway writes, as it does
  ./claw logs clawbucket-b -n 20  one service's troopers
  ./claw logs clawbucket-b.2      whoever is or was in slot 2 of it
  ./claw logs 7mid1               one task, by the beginning of its id
""")  # fmt: skip
@click.argument("which", metavar="[TASK|SERVICE|PROGRAM]", required=False)
@click.option("-f", "--follow", is_flag=True, help="Go on until Ctrl-C, or until the rack has ended.")
@click.option(
    "-n",
    "--lines",
    type=click.IntRange(0, 100_000),
    default=50,
    metavar="COUNT",
    help="Lines to begin with.  [default: 50]",
)
@click.option(
    "--port",
    type=PORT,
    default=None,
    metavar="PORT",
    help="The rack's dashboard port; needed only where several racks run, or for one that has ended.",
)
def logs(which: str | None, follow: bool, lines: int, port: int | None) -> None:
    """Show logs of the running rack, or with --port of the last one on that port.

    Programs are memcached, rack, gateway and aggregator. Without an argument everything is shown, each
    line behind the name of who wrote it.
    """
    directory, run = _rack(port)
    sources = Sources(directory, which)
    found = sources.fresh()
    if not found:
        known = ", ".join(sorted(label(name) for name, _ in files_of(directory))) or "none"
        raise Refusal(f"no log of {which!r}; there are: {known}" if which else "nothing has been written yet")
    begin, tails = last_lines(found, lines)
    _print(begin)
    try:
        while follow:
            going_on = run is not None and run.launcher.runs
            tails += [Tail(name, path) for name, path in sources.fresh()]
            _print(interleaved(tails))
            if not going_on:
                return
            time.sleep(_LOOK)
    except KeyboardInterrupt:
        return


class Sources:
    """The log files that an argument means, each told once: new tasks come while one follows."""

    def __init__(self, directory: RunDir, which: str | None) -> None:
        self._directory = directory
        self._which = which
        self._told: set[str] = set()

    def fresh(self) -> list[tuple[str, Path]]:
        """Those that were not told before, with the names to show."""
        found = [
            (label(name), path)
            for name, path in files_of(self._directory)
            if name not in self._told and (self._which is None or means(self._which, name))
        ]
        self._told |= {path.name.removesuffix(".log") for _, path in found}
        return found


def files_of(directory: RunDir) -> list[tuple[str, Path]]:
    """Every log with its program's or task's full name."""
    paths = itertools.chain(directory.logs.glob("*.log"), directory.task_logs.glob("*.log"))
    return sorted((path.name.removesuffix(".log"), path) for path in paths)


def _rack(port: int | None) -> tuple[RunDir, Run | None]:
    home = rundir.home(Settings.from_env().home)
    if port is not None and port not in rundir.running(home):
        ended = RunDir(home / str(port))
        if ended.logs.is_dir():
            return ended, None
    return rundir.find(home, port)


def _print(lines: Iterable[Line]) -> None:
    for line in lines:
        colour = _COLOURS[sum(map(ord, line.source)) % len(_COLOURS)]
        click.echo(f"{click.style(f'{line.source:>22}', fg=colour)} {line.text}")

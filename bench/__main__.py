"""``python -m bench``: measure, print a table or JSON, and exit 1 when a bar is missed."""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Callable
from functools import partial

import click
import psutil
from rich.console import Console

from bench import dashboard, failover, revolt, revolt_docker, scaling, sim, startup, throughput
from bench.figures import Figure, show
from clawbucket.cli.refusal import Refusal
from clawbucket.settings import MOST_PACKED

BENCHES: dict[str, Callable[[], list[Figure]]] = {
    "startup": startup.measure,
    "failover": failover.measure,
    "throughput": throughput.measure,
    "revolt": revolt.measure,
}
ASKED_FOR: dict[str, Callable[[], list[Figure]]] = {
    "revolt-docker": revolt_docker.measure,
    "dashboard": dashboard.measure,
    "sim": sim.measure,
    "scaling": scaling.measure,
}
"""Those that need what runs already, a browser, or the whole machine for minutes."""


def _counts(_context: click.Context, _option: click.Parameter, given: str) -> tuple[int, ...]:
    """``10,100`` as numbers."""
    parts = [part.strip() for part in given.split(",")]
    if not all(part.isascii() and part.isdigit() and 1 <= int(part) <= MOST_PACKED for part in parts):
        raise click.BadParameter(f"takes counts from 1 to {MOST_PACKED} with commas between, not {given!r}")
    return tuple(map(int, parts))


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(sorted(BENCHES | ASKED_FOR)))
@click.option(
    "--json", "as_json", is_flag=True, help="Print JSON with every raw number instead of the table."
)
@click.option(
    "--minutes",
    type=click.FloatRange(0, 40),
    default=dashboard.MINUTES,
    show_default=True,
    help="How long dashboard watches its page's memory; the bar on it is for 30.",
)
@click.option(
    "--troopers", callback=_counts, default=",".join(map(str, sim.COUNTS)), show_default=True,
    help="How large the racks of sim and scaling are.",
)  # fmt: skip
def main(names: tuple[str, ...], as_json: bool, minutes: float, troopers: tuple[int, ...]) -> None:
    """Measure clawbucket on this machine: start-up, failover, throughput, handoffs (all of them by default).

    Each starts racks of its own on free loopback ports and ends them. Takes about eight minutes. Four
    must be named: revolt-docker measures the two racks that ./claw racks --docker has started, dashboard
    needs a chromium and six minutes more, sim runs racks of thousands of packed troopers, two minutes
    for each size, and so does scaling, which watches what they cost at rest.
    """
    told = Console(stderr=True)
    figures: list[Figure] = []
    chosen = (
        BENCHES
        | ASKED_FOR
        | {
            "dashboard": partial(dashboard.measure, minutes),
            "sim": partial(sim.measure, troopers),
            "scaling": partial(scaling.measure, troopers),
        }
    )
    for name in names or BENCHES:
        told.print(f"measuring {name} …", style="dim")
        try:
            figures += chosen[name]()
        except Refusal as refusal:
            click.echo(f"bench: {refusal}", err=True)
            sys.exit(refusal.code)
    if as_json:
        machine = {
            "cores": psutil.cpu_count(),
            "python": platform.python_version(),
            "system": platform.system(),
        }
        click.echo(json.dumps({"machine": machine, "figures": [f.as_json() for f in figures]}, indent=2))
    else:
        show(figures, Console())
    sys.exit(any(figure.met is False for figure in figures))


if __name__ == "__main__":
    main()

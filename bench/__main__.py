"""``python -m bench``: measure, print tables or JSON, keep the JSON, and exit 1 when a bar is missed."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from bench import (
    api,
    bus,
    dashboard,
    election,
    envelope,
    gateway,
    mixed,
    page_memory,
    revolt,
    revolt_docker,
    scaling,
    sim,
    sse,
    startup,
)
from bench.figures import Figure, show
from clawbucket.cli.refusal import Refusal
from clawbucket.settings import MOST_PACKED

BENCHES: dict[str, Callable[[], list[Figure]]] = {
    "startup": startup.measure,
    "api": api.measure,
    "election": election.measure,
    "bus": bus.measure,
    "gateway": gateway.measure,
    "revolt": revolt.measure,
}
"""Those that are taken when none is named."""
ASKED_FOR: dict[str, Callable[[], list[Figure]]] = {
    "revolt-docker": revolt_docker.measure,
    "dashboard": dashboard.measure,
    "mixed": mixed.measure,
    "page-memory": page_memory.measure,
    "sim": sim.measure,
    "sse": sse.measure,
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
    "--json",
    "as_json",
    is_flag=True,
    help="Print JSON instead of the tables: one object a bench, in a list where there are several.",
)
@click.option(
    "--keep",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Write DIR/<name>.json instead of reports/bench/<time>-<name>.json.",
)
@click.option(
    "--minutes",
    type=click.FloatRange(0, 40),
    help="How long page-memory watches a page [30, which its bar is for] or mixed lasts [10].",
)
@click.option(
    "--troopers", callback=_counts, default=",".join(map(str, sim.COUNTS)), show_default=True,
    help="How large the racks of sim and scaling are.",
)  # fmt: skip
def main(
    names: tuple[str, ...], as_json: bool, keep: Path | None, minutes: float | None, troopers: tuple[int, ...]
) -> None:
    """Measure clawbucket on this machine: start-up, API, election, bus, handoffs (all of them by default).

    Each starts racks of its own on free loopback ports and ends them. Takes about twelve minutes. Seven
    must be named: revolt-docker measures the two racks that ./claw racks --docker has started, dashboard
    needs a chromium and five minutes more, and page-memory one for half an hour; sim runs racks of
    thousands of packed troopers, two minutes for each size, and so does scaling, which watches what they
    cost at rest; sse has 2,000 viewers watch one replica, for three minutes, and mixed loads a rack for
    ten while its replicas are killed.
    """
    asked = () if minutes is None else (minutes,)
    chosen = (
        BENCHES
        | ASKED_FOR
        | {
            "mixed": partial(mixed.measure, *asked),
            "page-memory": partial(page_memory.measure, *asked),
            "sim": partial(sim.measure, troopers),
            "scaling": partial(scaling.measure, troopers),
        }
    )
    told = _measured({name: chosen[name] for name in names or BENCHES}, as_json=as_json, directory=keep)
    if as_json:
        click.echo(json.dumps(told if len(told) > 1 else told[0], indent=2))
    sys.exit(any(figure["met"] is False for one in told for figure in one["figures"]))


def _measured(
    benches: dict[str, Callable[[], list[Figure]]], *, as_json: bool, directory: Path | None
) -> list[dict[str, Any]]:
    """Each one's envelope, shown and kept as soon as it is there: the next may fail."""
    progress, envelopes = Console(stderr=True), []
    for name, measure in benches.items():
        progress.print(f"measuring {name} …", style="dim")
        load_before = envelope.load_now()
        try:
            figures = measure()
        except Refusal as refusal:
            click.echo(f"bench: {refusal}", err=True)
            sys.exit(refusal.code)
        envelopes.append(envelope.envelope(name, figures, load_before))
        if not as_json:
            show(figures, Console(), f"{name}, measured on this machine just now")
        if directory is not None or not as_json:
            click.echo(f"bench: its JSON is in {envelope.keep(envelopes[-1], directory)}", err=as_json)
    return envelopes


if __name__ == "__main__":
    main()

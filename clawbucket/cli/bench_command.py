"""``claw bench``: the figures."""

from __future__ import annotations

from pathlib import Path

import click

from clawbucket.cli import provision
from clawbucket.cli.steps import Step, module, run


@click.command(
    short_help="Measure this machine's figures.",
    context_settings={"ignore_unknown_options": True},
    epilog="""
\b
Examples:
  ./claw bench
  ./claw bench startup                  ./claw up to six running tiles; a replica at rest
  ./claw bench api --json > api.json    /api/swarms beside ready bytes from the same server
  ./claw bench election                 managers killed and told to end, beside a CAS
  ./claw bench bus                      what a trooper asks of memcached; the bus beside a socket
  ./claw bench gateway                  a replica straight and through the gateway
  ./claw bench revolt                   handoffs between two racks of its own
  ./claw bench sim --troopers 100,1000  racks of packed troopers
  ./claw bench scaling --keep docs/figures
  ./claw bench revolt-docker            those between the racks of ./claw racks --docker
  ./claw bench dashboard                a browser on 1,000 and 5,000 tiles
  ./claw bench page-memory --minutes 3  what a page keeps that is watched for long (its bar: 30)
  ./claw bench mixed                    200 users for ten minutes on a rack whose replicas are killed
  ./claw bench sse                      100, 1,000 and 2,000 viewers of one replica
  ./claw bench api election --keep docs/figures
""",
)
@click.argument("names", nargs=-1, type=click.UNPROCESSED, metavar="[NAME]...")
@click.option("--minutes", type=float, help="How long page-memory watches a page [30], or mixed lasts [10].")
@click.option("--json", "as_json", is_flag=True, help="JSON on standard output instead of the tables.")
@click.option(
    "--keep",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Write DIR/<name>.json; otherwise it goes to reports/bench/<time>-<name>.json.",
)
@click.option("--troopers", metavar="COUNTS", help="How large the racks of sim are, as in 100,1000.")
def bench(
    names: tuple[str, ...], minutes: float | None, as_json: bool, keep: Path | None, troopers: str | None
) -> None:
    """Measure this machine's figures: rates as ratios, takeover times, start and memory.

    NAMEs choose single benches; without one all are taken that need only some minutes and a quiet machine.
    Each prints a table, and writes JSON with the machine, the versions and every raw number.
    """

    def say(sentence: str) -> None:
        click.echo(f"claw: {sentence}", err=True)

    provision.memcached(say)
    if {"dashboard", "page-memory"} & set(names):
        provision.chromium(say)
    watched = () if minutes is None else ("--minutes", f"{minutes:g}")
    sizes = () if troopers is None else ("--troopers", troopers)
    kept = () if keep is None else ("--keep", str(keep.absolute()))  # the bench runs in the clone's root
    arguments = (*(("--json",) if as_json else ()), *kept, *watched, *sizes, *names)
    raise SystemExit(run(Step("bench", module("bench", *arguments))))

"""``claw bench``: the figures."""

from __future__ import annotations

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
  ./claw bench --json > figures.json
  ./claw bench gateway                  a replica straight and through the gateway
  ./claw bench revolt                   handoffs between two racks of its own
  ./claw bench sim --troopers 100,1000  racks of packed troopers
  ./claw bench revolt-docker            those between the racks of ./claw racks --docker
  ./claw bench dashboard --minutes 30   a browser on 1,000 and 5,000 tiles; 1,000 viewers
""",
)
@click.argument("names", nargs=-1, type=click.UNPROCESSED, metavar="[NAME]...")
@click.option("--minutes", type=float, help="How long dashboard watches its page's memory (default: 3).")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of the table.")
@click.option("--troopers", metavar="COUNTS", help="How large the racks of sim are, as in 100,1000.")
def bench(names: tuple[str, ...], minutes: float | None, as_json: bool, troopers: str | None) -> None:
    """Measure this machine's figures: throughput as ratios, takeover times, start and memory.

    NAMEs choose single figures; without one all are taken, which needs some minutes and a quiet machine.
    """

    def say(sentence: str) -> None:
        click.echo(f"claw: {sentence}", err=True)

    provision.memcached(say)
    if "dashboard" in names:
        provision.chromium(say)
    watched = () if minutes is None else ("--minutes", f"{minutes:g}")
    sizes = () if troopers is None else ("--troopers", troopers)
    arguments = (*(("--json",) if as_json else ()), *watched, *sizes, *names)
    raise SystemExit(run(Step("bench", module("bench", *arguments))))

"""``claw scale``: more replicas, or fewer."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import click

from clawbucket.cli import rundir
from clawbucket.cli.options import port_option
from clawbucket.cli.reach import rack_client
from clawbucket.cli.refusal import Refusal
from clawbucket.core.model import Snapshot, resolve_service, short_alias
from clawbucket.ports import EngineDown
from clawbucket.settings import Settings, packed_replicas, variable_of
from rack.client import RackClient

_LONG_POLL = 5.0
"""Seconds of one wait for the next snapshot."""
MOST_UNPACKED = 20
"""Replicas of a service on every engine but sim."""


@click.command(short_help="Change how many replicas a service has.", epilog="""
\b
Examples:
  ./claw scale clawbucket-b=5
  ./claw scale clawbucket=2 clawbucket_clawbucket-b=4
  ./claw scale clawbucket-b=1 --no-wait
""")  # fmt: skip
@click.argument("services", metavar="SERVICE=COUNT", nargs=-1, required=True)
@port_option
@click.option("--wait/--no-wait", default=True, show_default=True, help="Return once that many run.")
@click.option(
    "--timeout",
    type=click.FloatRange(0.1, 600),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait.",
)
def scale(services: tuple[str, ...], port: int | None, wait: bool, timeout: float) -> None:
    """Change how many replicas a service has, 1 to 20 each; on the engine sim up to 10000.

    SERVICE is a full name (clawbucket_clawbucket-b) or its short alias (clawbucket-b). Of a service that
    gets smaller, the highest slots go first.
    """
    directory, run = rundir.find(rundir.home(Settings.from_env().home), port)
    rack = rack_client(directory, run)
    wanted = parse(services, run.services, packs=lambda: _packs(rack))
    for name, count in wanted.items():
        rack.scale(name, count)
        click.echo(f"{name}: {count} wanted")
    if wait:
        begun = time.monotonic()
        _wait(rack, wanted, begun + timeout)
        click.echo(f"done, after {time.monotonic() - begun:.1f} s")


def parse(
    arguments: tuple[str, ...], services: tuple[str, ...], packs: Callable[[], bool] = lambda: False
) -> dict[str, int]:
    """``clawbucket-b=5`` and its like as full names and counts. Refusal says what is allowed.

    ``packs``: whether the rack's engine takes thousands; asked only where somebody wants more than others do.
    """
    counted = variable_of("replicas")
    wanted: dict[str, int] = {}
    for argument in arguments:
        given, equals, count = argument.partition("=")
        name = resolve_service(given, services)
        if not equals:
            raise Refusal(
                f"scale takes SERVICE=COUNT, such as {short_alias(services[0])}=5; {argument!r} is not that"
            )
        if name is None:
            aliases = ", ".join(short_alias(service) for service in services)
            raise Refusal(f"no service {given!r} runs here; there are {aliases}")
        if name in wanted:
            raise Refusal(f"{name} is given twice")
        try:
            wanted[name] = packed_replicas(count)
            if wanted[name] > MOST_UNPACKED and not packs():
                counted.parse(count)
        except ValueError:
            raise Refusal(f"{given} takes {counted.takes} replicas; {count!r} is not that") from None
    return wanted


def _packs(rack: RackClient) -> bool:
    snapshot = rack.snapshot()
    return snapshot is not None and snapshot.engine == "sim"


def reached(snapshot: Snapshot, wanted: Mapping[str, int]) -> bool:
    """Whether exactly as many tasks as wanted run, and none is on its way in or out."""
    for name, count in wanted.items():
        tasks = [task for task in snapshot.tasks if task.service == name]
        if len(tasks) != count or not all(task.running for task in tasks):
            return False
    return True


def _wait(rack: RackClient, wanted: Mapping[str, int], deadline: float) -> None:
    after, snapshot = 0, None
    while (left := deadline - time.monotonic()) > 0:
        snapshot = rack.snapshot(after, min(_LONG_POLL, left)) or snapshot
        if snapshot and reached(snapshot, wanted):
            return
        after = snapshot.seq if snapshot else 0
    raise EngineDown("that many do not run yet; ./claw status tells what does")

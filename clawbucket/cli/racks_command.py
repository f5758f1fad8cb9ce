"""``claw racks``: several racks that know each other, without Docker or, with ``--docker``, on it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import click
from click.core import ParameterSource

from clawbucket.cli import racks_docker, racks_end, racks_plan, racks_status, racks_up, rundir
from clawbucket.cli.options import PORT, Setting
from clawbucket.cli.refusal import Refusal
from clawbucket.settings import Settings

What = Literal["up", "status", "logs", "down"]
GOES_WITH: Mapping[str, tuple[tuple[What, ...], tuple[str, ...]]] = {
    "count": (("up",), ("here",)),
    "first_port": (("up",), ("here",)),
    "host": (("up",), ("here",)),
    "services": (("up",), ("here",)),
    "replicas": (("up",), ("here", "docker")),
    "token_file": (("up",), ("here", "docker")),
    "log_format": (("up",), ("here", "docker")),
    "as_json": (("status",), ("here",)),
    "volumes": (("down",), ("docker",)),
}
"""What each option can be typed with: the words, and whether without ``--docker`` or with it."""


@click.command(short_help="Run two racks or more that know each other.", epilog="""
\b
Examples:
  ./claw racks                        two racks on ports 18080 and 28080, until Ctrl-C
  ./claw racks --count 3 --replicas 2
  ./claw racks status --json | jq '.racks[].peers'
  ./claw racks down
  ./claw racks --docker               two racks, each on a Docker engine of its own
  ./claw racks --docker down --volumes
""")  # fmt: skip
@click.argument("what", type=click.Choice(["up", "status", "logs", "down"]), default="up")
@click.option(
    "--count", type=click.IntRange(racks_plan.FEWEST, racks_plan.MOST), default=racks_plan.FEWEST,
    show_default=True, metavar="COUNT",
    help=f"How many racks, {racks_plan.FEWEST} to {racks_plan.MOST}.",
)  # fmt: skip
@click.option(
    "--first-port", type=PORT, default=racks_plan.FIRST_PORT, show_default=True, metavar="PORT",
    help=f"Rack 1's dashboard. Its scoreboard is {racks_plan.TO_AGGREGATOR} above, the next rack "
    f"{racks_plan.TO_NEXT}.",
)  # fmt: skip
@click.option(
    "--host", default="127.0.0.1", show_default=True, metavar="ADDRESS",
    help="Where all of them listen; 0.0.0.0 lets other machines in.",
)  # fmt: skip
@click.option(
    "--replicas", type=Setting("replicas", "count"), help="Replicas of each service, 1 to 20.  [default: 3]"
)
@click.option(
    "--services", type=Setting("swarm_services", "names"),
    help="Services of each rack, with commas between; the first leads.  [default: as ./claw up has them]",
)  # fmt: skip
@click.option(
    "--token-file", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="FILE",
    help="A file with the token that changes must show on every rack.",
)  # fmt: skip
@click.option(
    "--log-format", type=click.Choice(["console", "json"]), default=None,
    help="Lines for a person or JSON for a machine.  [default: console]",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="With status: one JSON object instead of a table.")
@click.option("--docker", is_flag=True, help="Two racks on Docker, by deploy-racks.sh.")
@click.option("--volumes", is_flag=True, help="With --docker down: also the engines' volumes.")
def racks(what: What, docker: bool, **options: Any) -> None:
    """Run two racks or more on this machine, each complete, each knowing the others as its peers.

    Each is what `./claw up` runs: it has its own memcached, rack manager, gateway and aggregator, and a label
    "Machine Rack 1" and so on. All share a new peer key unless CLAWBUCKET_PEER_KEY or
    CLAWBUCKET_PEER_KEY_FILE brings one. A rack that ends is started again; Ctrl-C ends all of them within a
    few seconds. `racks status` tells what runs (exit status 1 when something is missing), `racks down` ends
    the racks from another terminal. One rack's own commands take its port: `./claw logs --port 18080`.

    With --docker there are two, each a stack on a Docker engine of its own in a container; there is then
    `racks --docker logs`, too.
    """
    ctx = click.get_current_context()
    check(ctx, what, docker=docker)
    if docker:
        raise SystemExit(racks_docker.run(what, options))
    home = rundir.home(Settings.from_env().home)
    if what == "up":
        count, first_port, host = (options[name] for name in ("count", "first_port", "host"))
        begun = ctx.obj if isinstance(ctx.obj, float) else time.monotonic()
        passed = {name: options[name] for name in ("replicas", "services", "token_file", "log_format")}
        raise SystemExit(racks_up.run(count, first_port, host, passed, begun))
    if what == "status":
        raise SystemExit(racks_status.status(home, as_json=options["as_json"]))
    if what == "logs":
        raise Refusal(
            "logs goes with --docker; without it type ./claw logs --port 18080, or another rack's port"
        )
    racks_end.down(home)


def check(ctx: click.Context, what: What, *, docker: bool) -> None:
    """Refusal where an option was typed that has no say in what is to be done."""
    where = "docker" if docker else "here"
    for parameter in ctx.command.params:
        name = parameter.name or ""
        if name not in GOES_WITH or ctx.get_parameter_source(name) is not ParameterSource.COMMANDLINE:
            continue
        words, places = GOES_WITH[name]
        if what in words and where in places:
            continue
        does = [f"{'--docker ' if place == 'docker' else ''}{word}" for place in places for word in words]
        raise Refusal(f"{parameter.opts[0]} goes with ./claw racks {' or '.join(does)} alone")

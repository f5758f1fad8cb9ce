"""The ``claw`` command: a group whose commands are loaded when they are asked for."""

from __future__ import annotations

from importlib import import_module
from typing import cast

import click

from clawbucket import __version__
from clawbucket.cli.options import SpeakingGroup

COMMANDS = {
    "up": "up:up",
    "status": "status:status",
    "scale": "scale:scale",
    "logs": "logs_command:logs",
    "down": "down:down",
    "racks": "racks_command:racks",
    "swarm": "swarm_command:swarm",
    "models": "models_command:models",
    "load": "load_command:load",
    "test": "test_command:test",
    "lint": "lint_command:lint",
    "bench": "bench_command:bench",
}
"""Each command and where it lives in this package. Loading one costs what it imports; ``up`` must not
wait for the others."""


class LazyGroup(SpeakingGroup):
    """Finds its commands in COMMANDS."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """In the order in which a person meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The command, loaded."""
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name].partition(":")
        return cast("click.Command", getattr(import_module(f"clawbucket.cli.{module}"), name))


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""
\b
Begin with:
  ./claw up                      a rack with 3 + 3 troopers on http://127.0.0.1:8080
  ./claw scale clawbucket-b=5    in another terminal
  ./claw logs -f
""",
)
@click.version_option(__version__, prog_name="claw")
def claw() -> None:
    """Bob's World: a swarm in which every replica is an autonomous trooper.

    Run one, watch it, break it, and see that its promises hold. `./claw COMMAND --help` tells more.
    """

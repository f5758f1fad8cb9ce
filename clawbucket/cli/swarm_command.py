"""``claw swarm``: the rack as a stack on Docker Swarm."""

from __future__ import annotations

import click

from clawbucket.cli.swarm_down import down
from clawbucket.cli.swarm_logs import logs
from clawbucket.cli.swarm_status import status
from clawbucket.cli.swarm_up import up


@click.group(short_help="Run the rack on Docker Swarm.", epilog="""
\b
Examples:
  ./claw swarm up               build, make secrets, deploy, wait
  ./claw swarm status
  ./claw swarm logs -f clawbucket-b
  ./claw swarm down
""")  # fmt: skip
def swarm() -> None:
    """Run the rack as a stack on Docker Swarm: on one machine, or on many.

    Everything is asked of the docker program, which goes by DOCKER_HOST and its contexts. Type it where
    docker reaches a manager of the swarm (docker swarm init makes one).
    """


for command in (up, status, logs, down):
    swarm.add_command(command)

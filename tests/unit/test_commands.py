"""What the page says to type, by how the rack was deployed."""

from __future__ import annotations

import click
import pytest

from clawbucket.cli.main import claw
from clawbucket.core.commands import Commands, commands

SWARM = "clawbucket_clawbucket"


@pytest.mark.parametrize(
    ("typed", "status", "logs"),
    [
        (commands("local"), "./claw status", "./claw logs rack"),
        (commands("sim", port=18080), "./claw status", "./claw logs rack --port 18080"),
        (commands("docker", SWARM, "node-1"), "./claw swarm status", "./claw swarm logs rack"),
        (
            commands("docker", "mine_clawbucket"),
            "./claw swarm status --name mine",
            "./claw swarm logs rack --name mine",
        ),
        (
            commands("docker", SWARM, "my-rack-2-dind"),
            "./deploy-racks.sh status",
            "./deploy-racks.sh logs rack-2 rack",
        ),
    ],
)
def test_they_fit_how_the_rack_runs(typed: Commands, status: str, logs: str):
    """A rack of processes, a stack on Swarm by its name, and one of the racks on Docker."""
    assert (typed.status, typed.logs("rack")) == (status, logs)


@pytest.mark.parametrize(
    ("typed", "health", "mend"),
    [
        (commands("local"), "unreachable", "ollama serve"),
        (commands("local"), "model_missing", "./claw models pull tiny:1b"),
        (commands("docker", SWARM, "n"), "unreachable", "./claw swarm logs ollama"),
        (commands("docker", SWARM, "n"), "model_missing", "./claw models pull tiny:1b"),
        (commands("docker", SWARM, "rack-1-dind"), "unreachable", "./deploy-racks.sh logs rack-1 ollama"),
        (
            commands("docker", SWARM, "rack-2-dind"),
            "model_missing",
            "OLLAMA_URL=http://127.0.0.1:28134 ./claw models pull tiny:1b",
        ),
        (commands("docker", SWARM, "n"), "misconfigured", "picoclaw-py status"),
    ],
)
def test_what_mends_a_mind_fits_too(typed: Commands, health: str, mend: str):
    """Ollama is the machine's own for a rack of processes, the stack's on Swarm."""
    assert typed.mend(health, "tiny:1b") == mend


@pytest.mark.parametrize("typed", [commands("local", port=1), commands("docker", "mine_clawbucket")])
@pytest.mark.parametrize("of", ["status", "logs"])
def test_claw_knows_them(typed: Commands, of: str):
    """Each word of them is a command of ./claw, and each option one that it takes."""
    words = (typed.status if of == "status" else typed.logs("rack")).split()
    command: click.Command = claw
    for word in words[1:]:
        found = (
            command.get_command(click.Context(command), word) if isinstance(command, click.Group) else None
        )
        command = found or command
    options = {option for parameter in command.params for option in parameter.opts}
    assert command.name == of
    assert {word for word in words if word.startswith("--")} <= options

"""What to type about a rack that is not well, by how that rack was deployed. Pure.

A page that says "type ./claw logs memcached" to somebody whose rack runs on Swarm sends them to a rack that
is not there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

STACK = "clawbucket"
"""The stack's name where ``./claw swarm`` is told no other."""
_RACK_IN_DOCKER = re.compile(r"rack-([0-9]{1,2})-dind$")
"""How docker-compose.racks.yml names the engines of its racks; each is the one node of its swarm."""


@dataclass(frozen=True, slots=True)
class Commands:
    """``status`` is typed whole; ``begin`` is what logs are asked by, and ``end`` goes behind that.

    ``ollama`` stands before ./claw models. ``local``: the rack's programs are processes of one machine.
    """

    status: str
    begin: str
    end: str = ""
    ollama: str = ""
    local: bool = False

    def logs(self, program: str) -> str:
        """What shows the lines of that program: memcached, say."""
        return f"{self.begin} {program}{self.end}"

    def mend(self, health: str, model: str) -> str:
        """What helps troopers whose agents are in that health (``Agent.health``) for want of that model."""
        if health == "model_missing":
            return f"{self.ollama}./claw models pull {model}"
        if health == "unreachable":
            return "ollama serve" if self.local else self.logs("ollama")
        return "picoclaw-py status"


def commands(engine: str, primary: str = "", node: str = "", port: int | None = None) -> Commands:
    """Those of a rack by its engine (``Snapshot.engine``), its primary service's full name and its node.

    ``port``: of a local rack's dashboard, where several may run beside each other.
    """
    if engine != "docker":
        end = f" --port {port}" if port else ""
        return Commands("./claw status", "./claw logs", end, local=True)
    found = _RACK_IN_DOCKER.search(node)
    if found:
        number = found[1]
        return Commands(
            "./deploy-racks.sh status",
            f"./deploy-racks.sh logs rack-{number}",
            ollama=f"OLLAMA_URL=http://127.0.0.1:{number}8134 ",
        )
    stack = primary.rpartition("_")[0]
    named = f" --name {stack}" if stack not in ("", STACK) else ""
    return Commands(f"./claw swarm status{named}", "./claw swarm logs", named)

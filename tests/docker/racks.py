"""Two racks by ./deploy-racks.sh on the tests' engine, on ports and networks that are free here."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.rack import free_port
from tests.docker.deployed import Deployed
from tests.docker.host import Engine
from tests.docker.images import ROOT

UP = 420.0
"""Seconds for one word to the script: two racks on two cores that have other work."""
_KINDS = ("PORT", "AGGREGATOR_PORT", "OLLAMA_PORT", "DOCKER_PORT")
STACK = "clawbucket"
"""CONTRACT, section 5: in each."""


@dataclass(frozen=True, slots=True)
class Racks:
    """Both racks: ``one`` and ``two`` as their stacks, and the script by which they are there."""

    outer: Engine
    variables: dict[str, str]
    home: Path
    one: Deployed
    two: Deployed

    @property
    def both(self) -> tuple[Deployed, Deployed]:
        """In their order."""
        return self.one, self.two

    def other(self, side: Deployed) -> Deployed:
        """The one that this is not."""
        return self.two if side is self.one else self.one

    def container(self, side: Deployed) -> str:
        """The container whose engine the rack is on."""
        return f"{self.outer.prefix}-rack-{1 if side is self.one else 2}-dind"

    def peer(self, side: Deployed) -> str:
        """Where the rack's troopers reach the other one."""
        return f"http://{self.variables['RACKS_POOL']}.0.{12 if side is self.one else 11}:8080"

    def script(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Type ``./deploy-racks.sh …``, whatever comes of it."""
        return subprocess.run(
            [ROOT / "deploy-racks.sh", *words], env=self.outer.environment(**self.variables), cwd="/",
            capture_output=True, text=True, timeout=UP, check=False,
        )  # fmt: skip

    def up(self) -> str:
        """What it prints; AssertionError with what it complained of when it failed."""
        done = self.script("up")
        assert done.returncode == 0, done.stdout[-4_000:] + done.stderr[-4_000:]
        token = (self.home / f"{self.outer.prefix}-racks-docker" / "token").read_text()
        for side in self.both:
            side.secrets["token"] = token
            side.wait_whole(UP)
        return done.stdout

    def left(self) -> list[str]:
        """What the engine has of both."""
        names = self.outer.docker("ps", "--all", "--format", "{{.Names}}").splitlines()
        names += [*self.outer.names("network"), *self.outer.names("volume")]
        return [name for name in names if name.startswith(f"{self.outer.prefix}-") and "rack" in name]

    def logs(self) -> list[tuple[str, str]]:
        """The end of every container's log on both, and of both engines'."""
        found = []
        for side in self.both:
            said = self.outer.try_docker("logs", "--tail", "30", self.container(side))
            found.append((self.container(side), said.stdout + said.stderr))
            if side.engine.try_docker("version").returncode == 0:
                found += [(f"{self.container(side)}: {what}", log) for what, log in side.engine.logs(STACK)]
        return found


@contextmanager
def racks_on(outer: Engine, images: dict[str, str], dind: str) -> Iterator[Racks]:
    """Two racks with two replicas of each service, for the length of a block."""
    ports = {f"RACK_{number}_{kind}": str(free_port()) for number in (1, 2) for kind in _KINDS}
    first = 32 + os.getpid() % 60 * 3  # another run on this engine has other networks
    pools = {name: f"10.{first + n}" for n, name in enumerate(("RACKS_POOL", "RACK_1_POOL", "RACK_2_POOL"))}
    with tempfile.TemporaryDirectory(prefix="clawtest-") as home:
        variables = {
            **{name: image for name, image in images.items() if name.endswith("_IMAGE")}, **ports, **pools,
            "RACKS_PREFIX": f"{outer.prefix}-", "DIND_IMAGE": dind, "RACKS_PRIVILEGED": "false",
            "CLAWBUCKET_HOME": home, "CLAWBUCKET_REPLICAS": "2",
        }  # fmt: skip
        sides = [
            Deployed(
                Engine(f"tcp://127.0.0.1:{ports[f'RACK_{number}_DOCKER_PORT']}"), {}, STACK,
                ports=(int(ports[f"RACK_{number}_PORT"]), int(ports[f"RACK_{number}_AGGREGATOR_PORT"])),
            )
            for number in (1, 2)
        ]  # fmt: skip
        found = Racks(outer, variables, Path(home), sides[0], sides[1])
        try:
            found.up()
            yield found
        finally:
            done = found.script("down", "--volumes")
            left = found.left()
            outer.clean([f"{outer.prefix}-rack-{number}-dind" for number in (1, 2)])
            outer.clean([f"{outer.prefix}-clawbucket-{what}" for what in ("racks", "rack-1", "rack-2")])
        assert (done.returncode, left) == (0, []), done.stderr

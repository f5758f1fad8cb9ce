"""What the tests of deploy-racks.sh type: in a directory of its own, with stand-ins for docker and ./claw."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clawbucket.cli.children import ROOT
from tests.contract import stand_in_docker

SCRIPT = ROOT / "deploy-racks.sh"
FILE = ROOT / "docker-compose.racks.yml"
OVERRIDE = ROOT / "docker-compose.racks.unprivileged.yml"
TOOLS = (
    "sh", "cat", "cksum", "cut", "dd", "dirname", "grep", "head", "mkdir", "od", "rm", "sed", "sleep",
    "tail", "tr",
)  # fmt: skip
"""All that the script may type beside docker and ./claw."""
IMAGE = "sha256:0123456789abcdef"
CLAW = """\
#!/bin/sh
printf '%s|%s|%s\\n' "$*" "$DOCKER_HOST" "$PEER_DASHBOARD_URL" >>"{directory}/claw.txt"
exit {code}
"""


@dataclass
class Typing:
    """``./deploy-racks.sh …`` in a directory with a docker that answers as it was told to."""

    directory: Path

    def __post_init__(self) -> None:
        (self.directory / "bin").mkdir()
        for name in (SCRIPT.name, FILE.name, OVERRIDE.name):
            shutil.copy(ROOT / name, self.directory)
        for tool in TOOLS:
            (self.directory / "bin" / tool).symlink_to(str(shutil.which(tool)))
        python = self.directory / "bin" / "python3"
        python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
        python.chmod(0o755)
        self.program("docker")
        self.claw(0)
        self.answers()
        with closing(socket.create_server(("127.0.0.1", 0))) as free:
            port = free.getsockname()[1]
        self.variables = {
            "PATH": str(self.directory / "bin"), "HOME": str(self.directory), "RACKS_PRIVILEGED": "true",
            **{
                f"RACK_{number}_{kind}": str(port)
                for number in (1, 2)
                for kind in ("PORT", "AGGREGATOR_PORT", "OLLAMA_PORT", "DOCKER_PORT")
            },
        }  # fmt: skip

    def program(self, name: str) -> None:
        """A stand-in of this name."""
        source = Path(stand_in_docker.__file__).read_text(encoding="utf-8")
        path = self.directory / "bin" / name
        path.write_text(f"#!{sys.executable} -ISB\n{source}")
        path.chmod(0o755)

    def claw(self, code: int) -> None:
        """A ./claw that writes down what it is told, and ends so."""
        path = self.directory / "claw"
        path.write_text(CLAW.format(directory=self.directory, code=code))
        path.chmod(0o755)

    def answers(self, *entries: dict[str, Any]) -> None:
        """These come before what a well engine answers, on which no racks run yet."""
        well = [
            {"when": "image inspect", "out": IMAGE},
            {"when": "container inspect", "after": "compose --project-name", "out": "true"},
            {"when": "container inspect", "code": 1},
            {"when": "network inspect", "code": 1},
            *(
                {"when": f"exec -i rack-{n}-dind docker {words}", **answer}
                for n in (1, 2)
                for words, answer in (
                    ("info", {"out": "inactive"}),
                    ("secret inspect", {"code": 1}),
                )
            ),
        ]
        (self.directory / "bin" / "table.json").write_text(json.dumps([*entries, *well]))

    def __call__(self, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Type it; nothing in the environment has a say but these."""
        return subprocess.run(
            [self.directory / SCRIPT.name, *words], env={**self.variables, **variables}, cwd="/",
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    @property
    def calls(self) -> list[dict[str, str]]:
        """What docker was asked."""
        log = self.directory / "bin" / "calls.jsonl"
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []

    def typed(self, part: str) -> list[str]:
        """The calls in which this stands."""
        return [call["typed"] for call in self.calls if part in call["typed"]]

    def told(self) -> list[list[str]]:
        """What ./claw was told, on which engine, with which peer."""
        log = self.directory / "claw.txt"
        return [line.split("|") for line in log.read_text().splitlines()] if log.exists() else []


def sentence(done: subprocess.CompletedProcess[str], code: int) -> str:
    """The one line of a refusal."""
    assert done.returncode == code, done.stdout + done.stderr
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("deploy-racks: ")
    return lines[0]

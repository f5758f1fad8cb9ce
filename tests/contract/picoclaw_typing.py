"""What types ``picoclaw-py`` as a process, in a home of its own and against the fake Ollama."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


class Command:
    """``python -m picoclaw`` with a PICOCLAW_HOME of its own."""

    def __init__(self, home: Path) -> None:
        self.home, self.config = home, home / "config.json"
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PICOCLAW_", "NO_COLOR"))}
        self.environ = {**kept, "PICOCLAW_HOME": str(home), "PYTHONPATH": str(ROOT)}
        self.argv = [sys.executable, "-P", "-m", "picoclaw"]

    def __call__(self, *words: str, typed: str = "", **environ: str) -> subprocess.CompletedProcess[str]:
        """Run it to its end with ``typed`` as its input."""
        return subprocess.run(
            [*self.argv, *words], env={**self.environ, **environ}, input=typed,
            capture_output=True, text=True, timeout=30, check=False, cwd="/",
        )  # fmt: skip

    @contextmanager
    def start(self, *words: str, **streams: Any) -> Iterator[subprocess.Popen[str]]:
        """Start it, with pipes for all that is not given; it does not outlive the block."""
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams}
        process = subprocess.Popen([*self.argv, *words], env=self.environ, text=True, cwd="/", **pipes)
        with process:
            try:
                yield process
            finally:
                process.kill()

    def change(self, **defaults: object) -> None:
        """Change agents.defaults of the config."""
        document = json.loads(self.config.read_text())
        document["agents"]["defaults"].update(defaults)
        self.config.write_text(json.dumps(document))


def eventually(true, what: str, seconds: float = 10.0) -> None:
    """Return when it is; fail after that long."""
    deadline, pause = time.monotonic() + seconds, threading.Event()
    while not true():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        pause.wait(0.01)

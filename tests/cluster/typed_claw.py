"""``./claw`` as somebody types it in a home of its own, and the end of all that it started."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import psutil

from bench.rack import wait_until
from clawbucket.cli.children import ROOT


class TypedClaw:
    """``./claw`` typed by somebody whose run directories are in ``home``."""

    patience = 10.0
    """Seconds that the launcher has to end when it is told to."""
    let_go = 5.0
    """Seconds that all that it ran has then."""

    def __init__(self, home: Path, **environ: str) -> None:
        self.home = home
        self.environ = {**os.environ, "CLAWBUCKET_HOME": str(home), **environ}
        if "MEMCACHED_HOST" not in environ:
            self.environ.pop("MEMCACHED_HOST", None)
        self.output = home / "terminal.txt"
        self.launcher: subprocess.Popen[bytes] | None = None

    def __call__(self, *words: str, code: int = 0) -> str:
        """What a command that ends by itself says on both streams."""
        done = subprocess.run(
            [ROOT / "claw", *words], env=self.environ, cwd="/", capture_output=True, text=True, timeout=90,
            check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def launch(self, *words: str, until: str, within: float) -> None:
        """Start it in a terminal of its own, and wait until it says ``until``."""
        with self.output.open("wb") as terminal:
            self.launcher = subprocess.Popen(
                [ROOT / "claw", *words],
                env=self.environ, cwd="/", stdout=terminal, stderr=terminal, start_new_session=True,
            )  # fmt: skip

        def runs() -> bool:
            assert self.launcher
            assert self.launcher.poll() is None, self.said()
            return until in self.said()

        wait_until(f"./claw {words[0]} says {until!r}", runs, within)

    def said(self) -> str:
        """All that the launcher's terminal shows."""
        return self.output.read_text(errors="replace")

    def left(self) -> list[str]:
        """Every process of this home: its environment names it, or its command line does."""
        found = []
        for process in psutil.process_iter():
            try:
                line = " ".join(process.cmdline())
                ours = process.environ().get("CLAWBUCKET_HOME") == str(self.home) or str(self.home) in line
                if ours and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(f"{process.pid} {line}")
            except psutil.Error:
                continue
        return found

    def end(self, number: signal.Signals) -> tuple[int, float]:
        """Signal the launcher's group, as a terminal does; exit status, and seconds until all are gone."""
        assert self.launcher
        begun = time.monotonic()
        os.killpg(self.launcher.pid, number)
        code = self.launcher.wait(self.patience)
        wait_until("nothing is left", lambda: not self.left(), self.let_go)
        return code, time.monotonic() - begun


T = TypeVar("T", bound=TypedClaw)


@contextmanager
def typed_at_home(made: Callable[[Path], T]) -> Iterator[T]:
    """A ``./claw`` in a home of its own; what still runs afterwards is ended."""
    with tempfile.TemporaryDirectory(prefix="claw-") as home:
        typed = made(Path(home))
        try:
            yield typed
        finally:
            if typed.launcher and typed.launcher.poll() is None:
                typed.launcher.terminate()
                typed.launcher.wait(typed.patience)

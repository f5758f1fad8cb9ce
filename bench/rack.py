"""A rack of its own, started by ``./claw up`` on free ports, for the figures and the cluster tests."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import psutil
import urllib3

from bench.rack_http import RackHttp
from clawbucket.core.model import Snapshot, Task
from clawbucket.ports import ClawError
from rack.client import RackClient

T = TypeVar("T")
ROOT = Path(__file__).parent.parent
NO_OLLAMA = "http://127.0.0.1:9"
"""The discard port: nothing listens there, and nothing ever will."""
_POLL = 0.02


def free_port() -> int:
    """A loopback port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until(what: str, ask: Callable[[], T | None], timeout: float = 20.0, every: float = _POLL) -> T:
    """The first true answer of ``ask``, which is asked every ``every`` seconds.

    AssertionError with ``what`` when there was none in time.

    An answer that cannot be had (a program that is just starting again) counts as no.
    """
    deadline = time.monotonic() + timeout
    pause = threading.Event()
    while True:
        try:
            answer = ask()
        except (ClawError, OSError, LookupError, psutil.Error, urllib3.exceptions.HTTPError):
            answer = None
        if answer:
            return answer
        if time.monotonic() >= deadline:
            raise AssertionError(f"not within {timeout} s: {what}")
        pause.wait(every)


class RunningRack(RackHttp):
    """A rack that runs, how to ask it, and how to break it. ``port`` is its dashboard's; None: a free one."""

    def __init__(
        self, home: Path, *options: str, environ: dict[str, str] | None = None, port: int | None = None
    ) -> None:
        self.home = home
        self.port, self.aggregator_port = port or free_port(), free_port()
        super().__init__(f"http://127.0.0.1:{self.port}")
        self.aggregator_url = f"http://127.0.0.1:{self.aggregator_port}"
        self._log = (home / "launcher.out").open("ab")
        # No Ollama that happens to run here is loaded by a figure or a test that does not mean it.
        env = {**os.environ, "OLLAMA_URL": NO_OLLAMA, "PICOCLAW_BACKEND": "embedded"}
        env |= {"CLAWBUCKET_HOME": str(home), **(environ or {})}
        if "MEMCACHED_HOST" not in (environ or {}):
            env.pop("MEMCACHED_HOST", None)
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            [
                sys.executable, "-m", "clawbucket", "up", "--port", str(self.port),
                "--aggregator-port", str(self.aggregator_port), "--log-format", "json", *options,
            ],
            cwd=ROOT, env=env, stdout=self._log, stderr=self._log, start_new_session=True,
        )  # fmt: skip

    @property
    def run_dir(self) -> Path:
        """Where this run keeps its state and logs."""
        return self.home / str(self.port)

    def wait_running(self, count: int, timeout: float = 30.0) -> float:
        """Seconds from the start until the gateway shows that many running replicas."""

        def enough() -> bool:
            if self.process.poll() is not None:
                raise AssertionError(f"./claw up ended with {self.process.returncode}:\n{self.output()}")
            return sum(int(s["running_count"]) for s in self.swarms()) == count

        wait_until(f"{count} replicas run", enough, timeout)
        return time.monotonic() - self.started

    def answers(self, program: str) -> bool:
        """Whether the gateway or aggregator says that it is ready."""
        base = self.aggregator_url if program == "aggregator" else self.url
        return self._http.request("GET", f"{base}/readyz").status == 200

    @property
    def rack_url(self) -> str:
        """Where the rack manager's API is."""
        return str(json.loads((self.run_dir / "launcher.json").read_text())["rack_url"])

    @property
    def client(self) -> RackClient:
        """The rack manager's API, with this run's token."""
        token = (self.run_dir / "rack-token").read_text().strip()
        return RackClient(self.rack_url, token, timeout=3.0)

    def snapshot(self) -> Snapshot:
        """What the rack manager says now."""
        snapshot = self.client.snapshot()
        if snapshot is None:
            raise LookupError("the rack manager has no snapshot yet")
        return snapshot

    def running(self, service: str | None = None) -> list[Task]:
        """The running tasks by slot."""
        tasks = self.snapshot().tasks
        return sorted((t for t in tasks if t.running and service in {None, t.service}), key=lambda t: t.slot)

    def pid_of(self, task_id: str) -> int:
        """The task's main process: the one that leads its process group. LookupError: there is none."""
        for process in psutil.process_iter():
            try:
                if process.environ().get("TASK_ID") == task_id and os.getpgid(process.pid) == process.pid:
                    return process.pid
            except (psutil.Error, OSError):
                continue
        raise LookupError(f"no process of task {task_id}")

    def pid_of_program(self, name: str) -> int:
        """The launcher's child of that name: memcached, rack, gateway or aggregator. LookupError: none."""
        for child in psutil.Process(self.process.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                line = child.cmdline()
                if line and (Path(line[0]).name == name or line[1:3] == ["-m", name]):
                    return child.pid
        raise LookupError(f"no program {name} runs")

    def memcached_port(self) -> int:
        """The port of this rack's own memcached, as its command line has it."""
        line = psutil.Process(self.pid_of_program("memcached")).cmdline()
        return int(line[line.index("-p") + 1])

    def signal_task(self, task_id: str, number: signal.Signals) -> None:
        """Signal a task's whole process group."""
        os.killpg(self.pid_of(task_id), number)

    def left(self) -> list[psutil.Process]:
        """Every process that belongs to this run: its environment names this run's home."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get("CLAWBUCKET_HOME") == str(self.home):
                    found.append(process)
            except (psutil.Error, OSError):
                continue
        return found

    def output(self) -> str:
        """What the launcher printed, for whoever must find out what went wrong."""
        return (self.home / "launcher.out").read_text(errors="replace")[-8_000:]

    def logs(self) -> list[Path]:
        """The logs of every task so far: the rack manager's, and after its end the launcher's."""
        return sorted(log for place in ("rack/logs", "logs") for log in self.run_dir.glob(f"{place}/*_*.log"))

    def stop(self) -> float:
        """SIGTERM, as Ctrl-C would; seconds until the launcher was gone."""
        started = time.monotonic()
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._log.close()
        self._http.clear()
        return time.monotonic() - started


@contextmanager
def rack(*options: str, environ: dict[str, str] | None = None) -> Iterator[RunningRack]:
    """A rack for the length of a block, in a directory that goes with it."""
    with tempfile.TemporaryDirectory(prefix="claw-") as home:
        running = RunningRack(Path(home), *options, environ=environ)
        try:
            yield running
        finally:
            running.stop()

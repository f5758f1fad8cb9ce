"""One Docker engine for a run of the tests: the one that answers, or else one of our own.

Ours keeps its images under ``$XDG_CACHE_HOME/clawbucket/docker`` from run to run, and nothing else. What a
run makes on anybody's engine has a name that begins with ``clawtest-<pid>``; it is taken away at the end
of the run, or by the next one where a run was killed.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from clawbucket.cli.refusal import Refusal
from tests.docker import leftovers

READY = 60.0
"""Seconds for an engine to answer, and for what it was told to end to be gone."""
_CALL = 120.0
"""Seconds for one call of docker, where the caller gives no other."""
_LOG_LINES = "60"
_OURS = re.compile(r"clawtest-(\d+)\b")


_pause = threading.Event()
"""Never set; waited for between two looks."""


def cache() -> Path:
    """Where engine and images are kept between runs; outside the clone, which may be on any file system."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "clawbucket" / "docker"


def tell(sentence: str) -> None:
    """A line for the person at the keyboard; conftest.py leads it past pytest's capture."""
    with past_capture():
        sys.stderr.write(f"\ntests/docker: {sentence}\n")
        sys.stderr.flush()


past_capture: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext
"""Within it what is written reaches the terminal."""


@dataclass(frozen=True, slots=True)
class Engine:
    """A Docker engine that answers. ``ours``: this run started it, and may leave it as it likes."""

    host: str
    ours: bool = False
    prefix: str = field(default_factory=lambda: f"clawtest-{os.getpid()}")

    def environment(self, **more: str) -> dict[str, str]:
        """What a program finds that is to use this engine."""
        return {**os.environ, "DOCKER_HOST": self.host, **more}

    def try_docker(
        self, *arguments: str | Path, given: str | None = None, timeout: float = _CALL, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run the docker command, whatever comes of it. ``environment`` is set beside what there is."""
        return subprocess.run(
            ["docker", *map(str, arguments)], input=given, env=self.environment(**environment),
            capture_output=True, text=True, timeout=timeout, check=False,
        )  # fmt: skip

    def docker(
        self, *arguments: str | Path, given: str | None = None, timeout: float = _CALL, **environment: str
    ) -> str:
        """What it printed. AssertionError with what it complained of when it failed."""
        done = self.try_docker(*arguments, given=given, timeout=timeout, **environment)
        command = " ".join(map(str, arguments))[:200]
        assert done.returncode == 0, (
            f"docker {command}: {done.stderr.strip()[-2_000:] or done.stdout[-2_000:]}"
        )
        return done.stdout.strip()

    def names(self, kind: str, column: str = "{{.Name}}") -> list[str]:
        """The names of all things of a kind, whoever made them."""
        return [line for line in self.docker(kind, "ls", "--format", column).splitlines() if line]

    def logs(self, prefix: str | None = None, lines: str = _LOG_LINES) -> list[tuple[str, str]]:
        """The end of every container's log, by name, and what Swarm says of each service's tasks."""
        mine = prefix or self.prefix
        found: list[tuple[str, str]] = []
        for name in self._swarm_names("service"):
            if name.startswith(mine):
                listed = self.try_docker(
                    "service", "ps", "--no-trunc", name, "--format",
                    "{{.Name}} {{.Node}} {{.DesiredState}} {{.CurrentState}} {{.Error}}",
                )  # fmt: skip
                found.append((f"tasks of {name}", listed.stdout))
        listed = self.try_docker("ps", "--all", "--format", "{{.Names}}")
        if listed.returncode != 0:
            found.append(("containers", listed.stderr))
        for name in listed.stdout.splitlines():
            if name.startswith(mine):
                said = self.try_docker("logs", "--tail", lines, name)
                found.append((f"log of {name}", said.stdout + said.stderr))
        return found

    def clean(self, prefixes: Iterable[str] | None = None) -> None:
        """Take away whatever has a name of these prefixes (this run's, if none are given)."""
        wanted = tuple(prefixes) if prefixes is not None else (self.prefix,)

        def mine(names: Iterable[str]) -> list[str]:
            return [name for name in names if _of(name, wanted)]

        deadline = time.monotonic() + READY
        self._remove("service", mine(self._swarm_names("service")))
        for name in mine(self._containers()):
            self.try_docker("rm", "--force", "--volumes", name)
        for kind in ("network", "volume"):
            while left := mine(self.names(kind)):  # a network goes when its last task has let go of it
                self._remove(kind, left)
                if time.monotonic() > deadline:
                    tell(f"could not remove {kind} {', '.join(left)}")
                    break
                _pause.wait(0.2)
        for kind in ("secret", "config"):
            self._remove(kind, mine(self._swarm_names(kind)))
        images = mine(self.names("image", "{{.Repository}}:{{.Tag}}"))
        if images:
            self.try_docker("image", "rm", *images)

    def clean_after_the_dead(self) -> None:
        """Take away what runs left behind that were killed: their process is there no longer."""
        names = [*self._containers(), *self.names("network"), *self.names("volume")]
        for kind in ("service", "secret", "config"):
            names += self._swarm_names(kind)
        pids = {int(found[1]) for name in names if (found := _OURS.match(name))}
        gone = [f"clawtest-{pid}" for pid in pids if not psutil.pid_exists(pid)]
        if gone:
            self.clean(gone)

    def _remove(self, kind: str, names: list[str]) -> None:
        if names:
            self.try_docker(kind, "rm", *names)

    def _containers(self) -> list[str]:
        return self.docker("ps", "--all", "--format", "{{.Names}}").splitlines()

    def _swarm_names(self, kind: str) -> list[str]:
        """The names of a kind that only a swarm's manager has."""
        done = self.try_docker(kind, "ls", "--format", "{{.Name}}")
        return done.stdout.split() if done.returncode == 0 else []


def _of(name: str, prefixes: tuple[str, ...]) -> bool:
    return any(name == p or name.startswith((f"{p}-", f"{p}_", f"{p}/", f"{p}:")) for p in prefixes)


@contextlib.contextmanager
def engine() -> Iterator[Engine]:
    """The engine of this run, clean of what dead runs left behind. Refusal where none can be had."""
    host = _answering()
    if host is not None:
        tell(f"uses the Docker engine at {host}")
        yield from _tidied(Engine(host))
        return
    problem = _cannot_start()
    if problem:
        raise Refusal(
            f"no Docker engine answers at {_asked()} and none can be started here: {problem}; start one, or "
            "leave these tests out: ./claw test --no-docker"
        )
    with _started() as host:
        yield from _tidied(Engine(host, ours=True))


def _tidied(found: Engine) -> Iterator[Engine]:
    found.clean_after_the_dead()
    try:
        yield found
    finally:
        found.clean()


def _asked() -> str:
    return os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock"


def _answering() -> str | None:
    """Where an engine answers that the person's own docker command would use too."""
    host = _asked()
    return host if shutil.which("docker") and _answers(host) else None


def _answers(host: str) -> bool:
    done = subprocess.run(
        ["docker", "version", "--format", "{{.Server.Version}}"], env={**os.environ, "DOCKER_HOST": host},
        capture_output=True, timeout=READY, check=False,
    )  # fmt: skip
    return done.returncode == 0


def _cannot_start() -> str:
    """Why no engine can be started here; nothing when it can."""
    if os.environ.get("DOCKER_HOST"):
        return "DOCKER_HOST says where it is to be"
    if os.geteuid() != 0:
        return "this is not root"
    missing = [name for name in ("dockerd", "docker", "iptables") if not shutil.which(name)]
    return f"{' and '.join(missing)} not installed (Debian: docker.io, iptables)" if missing else ""


@contextlib.contextmanager
def _started() -> Iterator[str]:
    """An engine of our own, ended with this process however that ends. Its images stay in the cache."""
    data = cache() / "engine"
    data.mkdir(parents=True, exist_ok=True)
    with (cache() / "engine.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refusal(
                f"another run has the engine under {data}; wait for its end and try again"
            ) from None
        leftovers.sweep(_OURS)
        with leftovers.run_directory(f"clawtest-{os.getpid()}-") as directory:
            yield from _running(data, directory, lock.fileno())


def _running(data: Path, directory: Path, lock: int) -> Iterator[str]:
    host = f"unix://{directory}/docker.sock"
    log = (cache() / "engine.log").open("wb")
    command: list[str | Path] = [
        "setpriv", "--pdeathsig", "TERM",  # a run that is killed takes its engine along
        "dockerd", "--data-root", data, "--exec-root", directory / "exec", "--host", host,
        "--pidfile", directory / "pid",
    ]  # fmt: skip
    began = time.monotonic()
    with log, subprocess.Popen(command, stdout=log, stderr=log, pass_fds=[lock]) as daemon:
        try:
            _wait_for(host, daemon)
            tell(f"started a Docker engine of its own under {data} ({time.monotonic() - began:.0f} s)")
            _forget(Engine(host, ours=True))
            yield host
            _forget(Engine(host, ours=True))
        finally:
            _end(daemon)


def _wait_for(host: str, daemon: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + READY
    while not _answers(host):
        if daemon.poll() is not None or time.monotonic() > deadline:
            said = (cache() / "engine.log").read_text(errors="replace").strip().splitlines()[-3:]
            raise Refusal(f"dockerd did not start; it says: {' | '.join(said)}"[:2_000], 1)
        _pause.wait(0.2)


def _forget(own: Engine) -> None:
    """Leave nothing in our own engine but images that have a name, and what those are made of."""
    own.try_docker("swarm", "leave", "--force")
    for name in own.docker("ps", "--all", "--quiet").split():
        own.try_docker("rm", "--force", "--volumes", name)
    own.try_docker("system", "prune", "--force", "--volumes", timeout=300)


def _end(daemon: subprocess.Popen[bytes]) -> None:
    daemon.terminate()
    try:
        daemon.wait(READY)
    except subprocess.TimeoutExpired:
        daemon.kill()

"""What every test gets: no thread may outlive it, and a real memcached or Ollama for those that ask."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, settings

from bench.rack import free_port
from picoclaw.errors import PicoClawError
from picoclaw.ollama_server import DEFAULT_PORT, OllamaServer

# hypothesis' two limits of time would judge the machine, which others use as well.
settings.register_profile("claw", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("claw")

_GRACE = 2.0
"""Seconds that a thread may take to end after its test."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--ollama``, as ``./claw test --ollama`` passes it on."""
    told = "also run the tests that ask a real Ollama: the one at OLLAMA_HOST, with the model of OLLAMA_MODEL"
    parser.addoption("--ollama", action="store_true", help=told)
    told = (
        "tests marked alone, which judge times: leave them out, or run none but them (./claw test does both)"
    )
    parser.addoption("--alone", choices=("leave", "only"), help=told)


def pytest_configure(config: pytest.Config) -> None:
    """With ``--ollama`` and none that answers, end before anything is run."""
    if not config.getoption("--ollama"):
        return
    try:
        with closing(OllamaServer(real_ollama())) as server:
            server.version()
    except PicoClawError as error:
        pytest.exit(f"--ollama: no Ollama answers at OLLAMA_HOST: {error}", returncode=2)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What ``--ollama`` and ``--alone`` leave out is deselected, which pytest's last line counts."""
    part = config.getoption("--alone")

    def out(item: pytest.Item) -> bool:
        if item.get_closest_marker("ollama") and not config.getoption("--ollama"):
            return True
        return part is not None and (part == "only") is not bool(item.get_closest_marker("alone"))

    left_out = [item for item in items if out(item)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        kept = set(items) - set(left_out)
        items[:] = [item for item in items if item in kept]


def real_ollama() -> str:
    """Where OLLAMA_HOST says that Ollama is, in any of that variable's forms."""
    return os.environ.get("OLLAMA_HOST") or f"http://127.0.0.1:{DEFAULT_PORT}"


@pytest.fixture(autouse=True)
def no_leaked_threads() -> Iterator[None]:
    """Fail a test that leaves a thread of its own behind (flask's habit with contexts, for threads)."""
    before = set(threading.enumerate())
    yield
    deadline = time.monotonic() + _GRACE
    left: list[threading.Thread] = []
    for thread in set(threading.enumerate()) - before:
        if not thread.daemon or thread.name in {"loops", "lifeline"}:
            thread.join(max(0.0, deadline - time.monotonic()))
            left += [thread] if thread.is_alive() else []
    assert not left, f"threads left behind: {[t.name for t in left]}"


@dataclass(slots=True)
class Memcached:
    """A real memcached on loopback, to be killed, stopped and started again."""

    port: int
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, empty, and wait until it takes connections."""
        binary = shutil.which("memcached")
        assert binary, "memcached is not installed; ./claw test installs it (Debian package: memcached)"
        command = [binary, "-l", "127.0.0.1", "-p", str(self.port), "-U", "0", "-m", "32", "-u", "nobody"]
        self.process = subprocess.Popen(command)
        wait_for_port(self.port)

    def kill(self) -> None:
        """SIGKILL."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()


def wait_for_port(port: int, timeout: float = 10.0) -> None:
    """Return when something takes connections there."""
    deadline = time.monotonic() + timeout
    poll = threading.Event()
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=0.5).close()
        except OSError:
            assert time.monotonic() < deadline, f"nothing listens on port {port} after {timeout} s"
            poll.wait(0.02)
        else:
            return


@pytest.fixture(scope="session")
def memcached() -> Iterator[Memcached]:
    """One memcached for the whole session; a test that kills it starts it again."""
    server = Memcached(free_port())
    server.start()
    yield server
    server.kill()

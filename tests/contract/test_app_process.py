"""The replica as a process: how it starts, what it takes on its socket, and how it ends.

No bus runs: a replica that cannot reach anything must still start, answer and end like any other.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import psutil
import pytest

from bench.rack import free_port

pytestmark = pytest.mark.slow

POST = b"POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
ENDED_WITHIN = 3.0
"""Seconds after which a test gives up on a process that was told to end; it takes some hundredths."""


class Replica:
    """``python -m app`` on a socket that this process bound."""

    def __init__(self, **environ: str) -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        self.address = listener.getsockname()
        environment = {
            **os.environ, "CLAWBUCKET_BIND": f"fd://{listener.fileno()}", "MEMCACHED_PORT": str(free_port()),
            "TASK_ID": "a1", "CLAWBUCKET_LOG_FORMAT": "json", **environ,
        }  # fmt: skip
        fds = [listener.fileno(), *(int(environ[k]) for k in environ if k == "CLAWBUCKET_LIFELINE_FD")]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "app"],
            env=environment, pass_fds=fds, stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        listener.close()

    def connect(self) -> socket.socket:
        """A connection, with a deadline."""
        return socket.create_connection(self.address, timeout=15)

    def ask(self, request: bytes) -> bytes:
        """The whole answer to a raw request, after which the connection is closed."""
        with self.connect() as connection:
            connection.sendall(request)
            return everything(connection)

    def worker(self) -> psutil.Process:
        """The worker's process, once it answers."""
        assert self.ask(get("/livez")).startswith(b"HTTP/1.1 200")
        return psutil.Process(self.process.pid).children()[0]

    def wait_closed(self) -> None:
        """Return when it takes no connections any more."""
        deadline, pause = time.monotonic() + ENDED_WITHIN, threading.Event()
        with contextlib.suppress(ConnectionError):
            while time.monotonic() < deadline:
                self.connect().close()
                pause.wait(0.005)

    def ended(self) -> int:
        """Its exit code."""
        return self.process.wait(ENDED_WITHIN)

    def close(self) -> None:
        """Leave nothing behind."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        assert self.process.stderr is not None
        self.process.stderr.close()


@pytest.fixture
def replica() -> Iterator[Replica]:
    """One that runs."""
    started = Replica()
    yield started
    started.close()


@pytest.fixture(scope="module")
def lasting() -> Iterator[Replica]:
    """One that runs for all the tests that only ask."""
    started = Replica()
    yield started
    started.close()


def get(path: str, connection: str = "close") -> bytes:
    """A GET in bytes."""
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: {connection}\r\n\r\n".encode()


def everything(connection: socket.socket) -> bytes:
    """What comes until the other side closes."""
    pieces = iter(lambda: connection.recv(65_536), b"")
    return b"".join(pieces)


def test_it_lives_without_a_bus_and_is_not_ready(lasting):
    """/livez is 200, /readyz 503 with the reason, /api/swarms 200 with an error on each service."""
    assert lasting.ask(get("/livez")).startswith(b"HTTP/1.1 200")
    assert b'"bus":"' in lasting.ask(get("/readyz"))
    assert b'"error":"' in lasting.ask(get("/api/swarms"))


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_at_once_with_streams_open(replica, sign):
    """SIGTERM or SIGINT to the whole group: streams end, idle connections do not hold it up, exit code 0."""
    replica.worker()
    with contextlib.ExitStack() as open_ones:
        streams = [open_ones.enter_context(replica.connect()) for _ in range(20)]
        for stream in streams:
            stream.sendall(get("/api/stream", "keep-alive"))
            assert stream.recv(4_096).startswith(b"HTTP/1.1 200")
        idle = open_ones.enter_context(replica.connect())
        idle.sendall(get("/livez", "keep-alive"))
        assert idle.recv(4_096)
        os.killpg(replica.process.pid, sign)
        assert replica.ended() == 0
        for stream in streams:
            everything(stream)


def test_sigterm_to_the_master_alone_ends_both(replica):
    """The master tells its worker."""
    worker = replica.worker()
    replica.process.send_signal(signal.SIGTERM)
    assert replica.ended() == 0
    worker.wait(ENDED_WITHIN)


def test_a_request_under_way_is_answered(replica):
    """What was begun before SIGTERM gets its answer: nothing was done, so the gateway may ask another."""
    replica.worker()
    with replica.connect() as connection:
        connection.sendall(POST + b"Content-Length: 2\r\n\r\n{")
        assert b"200 OK" in replica.ask(get("/livez"))  # by now the worker has read what came before
        replica.process.send_signal(signal.SIGTERM)
        replica.wait_closed()
        connection.sendall(b"}")
        answer = everything(connection)
        assert answer.startswith(b"HTTP/1.1 503")
        assert b'"draining"' in answer
        assert b"Connection: close" in answer
    assert replica.ended() == 0


def test_a_worker_that_dies_ends_the_program(replica):
    """No second worker: whoever supervises the task sees a failure."""
    replica.worker().kill()
    assert replica.ended() == 1


def test_a_master_that_dies_takes_its_worker_with_it(replica):
    """No worker goes on serving for a task that is gone."""
    worker = replica.worker()
    replica.process.kill()
    worker.wait(ENDED_WITHIN)


def test_it_ends_when_its_lifeline_is_cut():
    """The launcher's end of the pipe closes: nothing of the replica is left."""
    reading, writing = os.pipe()
    replica = Replica(CLAWBUCKET_LIFELINE_FD=str(reading))
    os.close(reading)
    try:
        worker = replica.worker()
        os.close(writing)
        worker.wait(ENDED_WITHIN)
        assert replica.ended() == 1
    finally:
        replica.close()


def test_a_bad_setting_is_refused_in_one_sentence():
    """The variable, what it takes, and exit code 2."""
    replica = Replica(TASK_SLOT="many")
    try:
        assert replica.process.wait(15) == 2
        assert replica.process.stderr is not None
        said = replica.process.stderr.read().decode()
        assert said.startswith("app: TASK_SLOT takes")
        assert said.count("\n") == 1
    finally:
        replica.close()


@pytest.mark.parametrize(
    ("request_line", "status", "code"),
    [
        (b"NONSENSE\r\n\r\n", 400, "bad_request"),
        (b"GET /" + b"x" * 9_000 + b" HTTP/1.1\r\n\r\n", 414, "uri_too_long"),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 9_000 + b"\r\n\r\n", 431, "headers_too_large"),
    ],
)
def test_what_is_no_http_is_refused_in_the_contracts_form(lasting, request_line, status, code):
    """Status, JSON, and the connection is closed."""
    head, _, body = lasting.ask(request_line).partition(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ".encode())
    assert json.loads(body)["code"] == code


def test_a_chunked_body_cannot_hide_its_size(lasting):
    """More than 64 KiB are 413, without a length too."""
    body = b"11000\r\n" + b" " * 0x11000 + b"\r\n0\r\n\r\n"
    answer = lasting.ask(POST + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n" + body)
    assert answer.startswith(b"HTTP/1.1 413")


def test_one_busy_connection_does_not_keep_the_others_waiting(replica):
    """Who sends 500 requests at once is answered in turn with everybody else."""
    replica.worker()
    many, other = 500, b""
    with replica.connect() as busy, replica.connect() as patient:
        busy.sendall(get("/api/whoami", "keep-alive") * many)
        patient.sendall(get("/metrics"))
        other = everything(patient)
    counted = re.search(rb'requests_total{endpoint="/api/whoami",method="GET",status="200"} (\d+)', other)
    assert int(counted[1] if counted else 0) < many


@pytest.mark.alone
def test_a_stopped_replica_holds_nobody_up_when_it_ends(replica):
    """A worker that is stopped (SIGSTOP) cannot obey; the master kills it, and ends, all the same."""
    worker = replica.worker()
    worker.suspend()
    began = time.monotonic()
    replica.process.send_signal(signal.SIGTERM)
    replica.ended()
    assert time.monotonic() - began < ENDED_WITHIN
    worker.wait(ENDED_WITHIN)

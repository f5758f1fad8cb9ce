"""The way to Docker over a real socket, to something that answers as Docker does, badly, or not at all."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from docker.errors import DockerException

from clawbucket.ports import Conflict, EngineDown, EngineInDoubt
from clawbucket.settings import environment
from rack.engines import docker_daemon
from rack.engines.docker_daemon import HttpDaemon, Missing, OutOfSequence, Quiet

ROOT = Path(__file__).parents[2]
VERSION = {"ApiVersion": "1.41"}
Behaviour = Callable[[socket.socket, str, str], None]


def reply(status: int, body: object, extra: str = "") -> bytes:
    """An answer as Docker gives it."""
    raw = json.dumps(body).encode()
    head = (
        f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(raw)}\r\n{extra}\r\n"
    )
    return head.encode() + raw


class Speaker:
    """Something on a Unix socket that answers ``/version``; ``behave`` answers the rest."""

    def __init__(self, path: Path) -> None:
        self.url = f"unix://{path}"
        self.behave: Behaviour = lambda connection, _method, _path: connection.sendall(reply(200, []))
        self.asked: list[str] = []
        self.bodies: list[bytes] = []
        self._connections: list[socket.socket] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(8)
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        for one in (self._listener, *self._connections):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)  # wakes whoever is in accept() or recv()
            one.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._connections.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection.makefile("rb") as reader:
                while line := reader.readline():
                    length = 0
                    while (header := reader.readline().strip()) != b"":
                        if header.lower().startswith(b"content-length:"):
                            length = int(header.split(b":")[1])
                    self.bodies.append(reader.read(length))
                    method, path, _ = line.decode().split(" ")
                    self.asked.append(f"{method} {path}")
                    if path == "/version":
                        connection.sendall(reply(200, VERSION))
                    else:
                        self.behave(connection, method, path)
        except (OSError, ValueError):
            return


@pytest.fixture
def speaker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Speaker]:
    """One, and a way to it that waits a fifth of a second for answers."""
    monkeypatch.setattr(docker_daemon, "ANSWER", 0.2)
    monkeypatch.setattr(docker_daemon, "QUIET", 0.2)
    speaker = Speaker(tmp_path / "docker.sock")
    yield speaker
    speaker.close()


@pytest.fixture
def daemon(speaker: Speaker) -> Iterator[HttpDaemon]:
    """The way to it."""
    daemon = HttpDaemon(speaker.url)
    yield daemon
    daemon.close()


def answers(status: int, message: str) -> Behaviour:
    """Docker's errors."""
    return lambda connection, _method, _path: connection.sendall(reply(status, {"message": message}))


def silent(_connection: socket.socket, _method: str, _path: str) -> None:
    """Takes the request, and says nothing."""


def gone(connection: socket.socket, _method: str, _path: str) -> None:
    """Takes the request, and hangs up."""
    connection.shutdown(socket.SHUT_RDWR)


def test_it_asks_in_the_version_that_the_daemon_speaks(speaker: Speaker, daemon: HttpDaemon):
    """Found out once; what is posted arrives as it is."""
    assert daemon.get("/tasks") == []
    daemon.post("/services/x/update", {"version": "7"}, {"Name": "a"})
    assert speaker.asked == ["GET /version", "GET /v1.41/tasks", "POST /v1.41/services/x/update?version=7"]
    assert json.loads(speaker.bodies[-1]) == {"Name": "a"}


@pytest.mark.parametrize(
    ("status", "message", "error", "says"),
    [
        (404, "service x not found", Missing, "not found"),
        (409, "container x is not running", Conflict, "not running"),
        (500, "rpc error: code = Unknown desc = update out of sequence", OutOfSequence, "sequence"),
        (503, 'This node is not a swarm manager. Use "docker swarm init"', EngineDown, "docker swarm init"),
        (503, "This node is not a swarm manager. Worker nodes can't", EngineDown, "docker node promote"),
        (500, "rpc error: desc = The swarm does not have a leader.", EngineDown, "too few of its managers"),
        (500, "rpc error: context deadline exceeded", EngineInDoubt, "look before you ask again"),
        (400, "invalid", EngineDown, "400"),
    ],
)  # fmt: skip
def test_an_order_that_is_refused(speaker: Speaker, daemon: HttpDaemon, status, message, error, says):
    """Docker's no is definite unless it failed at the order itself; each says what to do."""
    speaker.behave = answers(status, message)
    with pytest.raises(error, match=says):
        daemon.post("/x", {})


def test_a_question_that_fails_is_never_in_doubt(speaker: Speaker, daemon: HttpDaemon):
    """Nothing was to be done, so nothing can have been."""
    speaker.behave = answers(500, "context deadline exceeded")
    with pytest.raises(EngineDown, match="answered no"):
        daemon.get("/x")
    speaker.behave = lambda connection, _m, _p: connection.sendall(
        b"HTTP/1.1 200 X\r\nContent-Length: 2\r\n\r\n{x"
    )
    with pytest.raises(EngineDown, match="JSON"):
        daemon.get("/x")


@pytest.mark.slow
@pytest.mark.parametrize("behaviour", [silent, gone])
def test_an_order_that_is_not_answered_is_in_doubt(speaker: Speaker, daemon: HttpDaemon, behaviour):
    """It left; a question that did is merely unanswered."""
    speaker.behave = behaviour
    with pytest.raises(EngineInDoubt, match="after the order left"):
        daemon.post("/x", {})
    with pytest.raises(EngineDown):
        daemon.get("/x")


def test_without_a_socket_nothing_was_sent(tmp_path: Path):
    """Definite, also for an order; the sentence says how to start Docker."""
    daemon = HttpDaemon(f"unix://{tmp_path}/none.sock")
    for ask in (lambda: daemon.get("/x"), lambda: daemon.post("/x", {})):
        with pytest.raises(EngineDown, match=r"no such socket.*systemctl start docker"):
            ask()


def test_a_socket_that_nobody_listens_at_any_more(speaker: Speaker, daemon: HttpDaemon):
    """After it had answered, too: definite."""
    daemon.get("/x")
    speaker.close()
    with pytest.raises(EngineDown):
        daemon.get("/x")
    with pytest.raises(EngineDown, match="listens"):
        daemon.post("/x", {})


def test_a_socket_without_permission_names_the_group():
    """Root is refused nothing, so the error itself is shown instead."""
    wrapped = DockerException("Error while fetching server API version")
    wrapped.__cause__ = ConnectionError("aborted", PermissionError(13, "Permission denied"))
    told = docker_daemon.unreachable("unix:///var/run/docker.sock", wrapped)
    assert "usermod -aG docker" in told
    assert "/var/run/docker.sock" in told


def test_events_come_one_by_one_as_they_happen(speaker: Speaker, daemon: HttpDaemon):
    """Each before the next is sent; the end of the stream is its end."""
    more = threading.Event()

    def behave(connection: socket.socket, _method: str, _path: str) -> None:
        connection.sendall(
            b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n{"Type":"node"}\n\r\n'
        )
        more.wait(5.0)
        connection.sendall(b'13\r\n{"Type":"service"}\n\r\n0\r\n\r\n')

    speaker.behave = behave
    stream = iter(daemon.events({"type": ["node"]}))
    assert next(stream) == {"Type": "node"}
    more.set()
    assert [event["Type"] for event in stream] == ["service"]
    assert "filters=" in speaker.asked[-1]


def chatty(connection: socket.socket, _method: str, _path: str) -> None:
    """A stream of events that has begun."""
    connection.sendall(b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n{"Type":"node"}\n\r\n')


@pytest.mark.slow
def test_a_stream_that_stays_quiet_says_so(speaker: Speaker, daemon: HttpDaemon):
    """It may be dead, which nobody can tell from outside."""
    speaker.behave = chatty
    stream = iter(daemon.events({}))
    next(stream)
    with pytest.raises(Quiet):
        next(stream)


def test_a_stream_that_breaks_off_says_so(speaker: Speaker, daemon: HttpDaemon):
    """As when the daemon is killed."""

    def behave(connection: socket.socket, method: str, path: str) -> None:
        chatty(connection, method, path)
        gone(connection, method, path)

    speaker.behave = behave
    stream = iter(daemon.events({}))
    next(stream)
    with pytest.raises(EngineDown, match="broke off"):
        next(stream)


def test_a_stream_is_closed_from_another_thread(
    speaker: Speaker, daemon: HttpDaemon, monkeypatch: pytest.MonkeyPatch
):
    """Whoever reads it is woken, and sees its end."""
    monkeypatch.setattr(docker_daemon, "QUIET", 30.0)
    speaker.behave = chatty
    stream = daemon.events({})
    read: list[object] = []
    started = threading.Event()

    def follow() -> None:
        for event in stream:
            read.append(event)
            started.set()

    reader = threading.Thread(target=follow)
    reader.start()
    assert started.wait(5.0)
    stream.close()
    reader.join(5.0)
    assert not reader.is_alive()
    assert read == [{"Type": "node"}]


@pytest.mark.slow
def test_the_rack_manager_does_not_start_without_docker(tmp_path: Path):
    """One sentence with what to type, and an exit code that is not 0."""
    url = f"unix://{tmp_path}/none.sock"
    settings = {
        "CLAWBUCKET_ENGINE": "docker",
        "DOCKER_HOST": url,
        "CLAWBUCKET_RACK_TOKEN": "token-of-a-test",
        "CLAWBUCKET_BIND": "127.0.0.1:0",
    }
    done = subprocess.run(
        [sys.executable, "-m", "rack"], env=environment(settings), cwd=ROOT, capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == (
        f"rack: no Docker engine at {url}: there is no such socket; type: sudo systemctl start docker"
    )

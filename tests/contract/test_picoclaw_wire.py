"""What every call to a model's server keeps: its deadline, bounds, certificates, and whose key it sends."""

from __future__ import annotations

import contextlib
import socket
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from bench.rack import free_port
from picoclaw import wire
from picoclaw.deadline import Deadline
from picoclaw.errors import BackendUnreachable, TurnTimeout
from picoclaw.models import model_of
from picoclaw.ollama_server import OllamaServer
from picoclaw.turns import Message
from tests.contract.model_talk import BOTH, Talk, call, entry

ROOT = Path(__file__).parents[2]


@BOTH
def test_a_huge_answer_is_ended(talk: Talk):
    """Two megabytes of text are not gathered."""
    talk.server.script(huge=2_000_000)
    with pytest.raises(BackendUnreachable, match="more than 1048576") as caught:
        talk.ask()
    assert not caught.value.retryable


@BOTH
@pytest.mark.slow
@pytest.mark.parametrize("behaviour", [{"delay": 30}, {"slow": {"bytes": 1, "every": 0.03}}])
@pytest.mark.alone
def test_the_deadline_holds_while_a_server_stalls_or_trickles(talk: Talk, behaviour: dict[str, Any]):
    """A byte now and then does not prolong a turn, and the server notices that the caller has gone."""
    talk.server.script(**behaviour)
    began = time.monotonic()
    with pytest.raises(TurnTimeout):
        talk.ask(seconds=0.5)
    assert 0.5 <= time.monotonic() - began < 0.75
    wait_until(lambda: talk.server.seen()["open"] == 0)
    assert talk.server.requests(talk.path)[0]["gone"]


@BOTH
@pytest.mark.parametrize("behaviour", [{"delay": 30}, {"slow": {"bytes": 1, "every": 0.03}}])
@pytest.mark.alone
def test_a_cancellation_ends_a_blocked_read(talk: Talk, behaviour: dict[str, Any]):
    """Within a quarter of a second."""
    talk.server.script(**behaviour)
    cancel, cancelled_at = threading.Event(), []

    def cancel_it() -> None:
        wait_until(lambda: talk.server.seen()["open"] == 1)
        cancelled_at.append(time.monotonic())
        cancel.set()

    other = threading.Thread(target=cancel_it)
    other.start()
    with pytest.raises(TurnTimeout, match="cancelled"):
        talk.model().chat(call(Message("user", "hi")), Deadline(20, cancel))
    assert time.monotonic() - cancelled_at[0] < 0.25
    other.join()


@BOTH
@pytest.mark.slow
def test_an_attempt_that_takes_its_share_is_given_up_and_may_be_tried_again(talk: Talk):
    """request_timeout ends the attempt, not the turn."""
    talk.server.script(delay=30)
    with pytest.raises(BackendUnreachable, match="request_timeout") as caught:
        talk.ask(request_timeout=0.3)
    assert caught.value.retryable


@BOTH
@pytest.mark.slow
@pytest.mark.alone
def test_a_server_that_takes_connections_and_never_reads_is_left_in_time(talk: Talk):
    """Sending blocks too: the kernel's buffers are full long before the prompt is out."""
    with socket.create_server(("127.0.0.1", 0), backlog=1) as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        base, began = f"http://127.0.0.1:{deaf.getsockname()[1]}/v1", time.monotonic()
        with pytest.raises(TurnTimeout):
            talk.ask("x" * 8_000_000, base=base, seconds=0.8)
        assert time.monotonic() - began < 1.1


@BOTH
@pytest.mark.slow
def test_a_server_that_never_finishes_the_tls_handshake_is_left_in_time(provider: str):
    """The deadline holds there too."""
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        model, deadline = (
            model_of(entry(f"https://127.0.0.1:{deaf.getsockname()[1]}/v1", provider)),
            Deadline(0.3),
        )
        with pytest.raises(TurnTimeout):
            model.chat(call(Message("user", "hi")), deadline)
        assert deadline.elapsed() < 0.55
        model.close()


@BOTH
@pytest.mark.slow
def test_a_certificate_is_verified(provider: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """An unknown one is refused and nothing is sent; SSL_CERT_FILE makes it known."""
    server = TlsServer(tmp_path)
    server.start()
    model = model_of(entry(f"https://localhost:{server.port}/v1", provider))
    with pytest.raises(BackendUnreachable, match="SSL_CERT_FILE") as caught:
        model.chat(call(Message("user", "hi")), Deadline(5))
    assert not caught.value.retryable
    assert server.read == b""
    model.close()
    monkeypatch.setenv("SSL_CERT_FILE", str(server.certificate))
    wire._tls.cache_clear()
    model = model_of(entry(f"https://localhost:{server.port}/v1", provider))
    with pytest.raises(BackendUnreachable, match="418"):
        model.chat(call(Message("user", "hi")), Deadline(5))
    assert server.read.startswith(b"POST /")
    model.close()
    server.join()
    wire._tls.cache_clear()


class TlsServer(threading.Thread):
    """Takes two connections with a certificate of its own making, and answers 418."""

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self.read = b""
        self.certificate, key = directory / "cert.pem", directory / "key.pem"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
             "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
             "-keyout", str(key), "-out", str(self.certificate)],
            check=True, capture_output=True,
        )  # fmt: skip
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(self.certificate, key)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]

    def run(self) -> None:
        with self._listening:
            for _ in range(2):
                plain, _ = self._listening.accept()
                plain.settimeout(5)
                with (
                    contextlib.suppress(ssl.SSLError, ConnectionError),
                    plain,
                    self._context.wrap_socket(plain, server_side=True) as secure,
                ):
                    while not self.read.endswith(b"}"):
                        self.read += secure.recv(65_536)
                    secure.sendall(b"HTTP/1.1 418 No\r\nContent-Length: 2\r\n\r\nno")


@BOTH
def test_a_call_without_a_deadline_is_a_fault_of_ours(talk: Talk):
    """Nothing of an earlier call's limits is left over for it."""
    model = talk.model()
    model.chat(call(Message("user", "hi")), Deadline(10))
    with pytest.raises(RuntimeError, match="within"):
        OllamaServer(talk.server.url)._client.list()


@BOTH
def test_connections_are_used_again(talk: Talk):
    """Several turns of one model do not connect each time."""
    model = talk.model()
    for _ in range(3):
        model.chat(call(Message("user", "hi")), Deadline(10))
    assert len({one["peer"] for one in talk.server.requests(talk.path)}) == 1


@BOTH
def test_more_callers_than_connections_wait_their_turn(talk: Talk):
    """One client holds at most 32 connections; all 60 callers are answered."""
    talk.server.script(delay=0.05)
    model, answers = talk.model(), []

    def ask() -> None:
        answers.append(model.chat(call(Message("user", "hi")), Deadline(20)).finish)

    callers = [threading.Thread(target=ask) for _ in range(60)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert answers == ["stop"] * 60
    assert 2 <= talk.server.seen()["most_open"] <= 32


@pytest.mark.slow
@BOTH
def test_no_connection_is_closed_under_its_caller(talk: Talk):
    """Many connections fall idle and are given out again at once: none is taken for one too many."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    model = talk.model()
    answers: list[str] = []

    def ask() -> None:
        answers.extend(model.chat(call(Message("user", "hi")), Deadline(20)).finish for _ in range(12))

    callers = [threading.Thread(target=ask) for _ in range(24)]
    try:
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
    finally:
        sys.setswitchinterval(usual)
    assert answers == ["stop"] * 24 * 12


@BOTH
def test_the_key_of_the_config_is_sent_and_no_other(talk: Talk, monkeypatch: pytest.MonkeyPatch):
    """Nothing from the environment: no other key, and no proxy."""
    monkeypatch.setenv("OLLAMA_API_KEY", "from-the-environment")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    talk.ask()
    talk.ask(api_keys=("k1",))
    sent = [one["headers"].get("authorization") for one in talk.server.requests(talk.path)]
    assert sent == [None, "Bearer k1"]


@BOTH
def test_a_password_in_the_address_is_never_told(talk: Talk):
    """Neither by the property that status shows nor by an error."""
    model = talk.model(f"http://me:sesame@127.0.0.1:{free_port()}/v1")
    with pytest.raises(BackendUnreachable) as caught:
        model.chat(call(Message("user", "hi")), Deadline(5))
    assert "sesame" not in str(caught.value) + model.api_base


_CHILD = """
from gevent import monkey; monkey.patch_all()
import sys, time, threading, gevent
from picoclaw.deadline import Deadline
from picoclaw.errors import TurnTimeout
from picoclaw.ollama_server import OllamaServer
from picoclaw.turns import Message
from tests.contract.model_talk import call, entry
from picoclaw.models import model_of
ticks = []
def tick():
    while True:
        ticks.append(time.monotonic())
        gevent.sleep(0.01)
def timed(model, deadline):
    try:
        model.chat(call(Message("user", "hi")), deadline)
    except TurnTimeout:
        return deadline.elapsed()
    raise SystemExit("it answered")
ticker = gevent.spawn(tick)
model = model_of(entry(sys.argv[1], sys.argv[2]))
cancel = threading.Event()
long = gevent.spawn(timed, model, Deadline(20, cancel))
short = [gevent.spawn(timed, model, Deadline(0.3 + n / 10)) for n in range(3)]
took = [one.get(timeout=5) for one in short]
assert all(0.3 + n / 10 <= t < 0.45 + n / 10 for n, t in enumerate(took)), took
cancel.set()
began = time.monotonic()
long.get(timeout=5)
assert time.monotonic() - began < 0.25
gaps = [b - a for a, b in zip(ticks, ticks[1:])]
assert max(gaps) < 0.2, max(gaps)
model.close()
"""


@BOTH
@pytest.mark.slow
@pytest.mark.parametrize("behaviour", [{"delay": 30}, {"slow": {"bytes": 1, "every": 0.03}}])
@pytest.mark.alone
def test_under_gevent_each_greenlet_has_its_own_deadline(talk: Talk, behaviour: dict[str, Any]):
    """Patched, in one thread: deadlines and a cancellation hold, and other greenlets go on meanwhile."""
    talk.server.script(**behaviour)
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, talk.server.base, talk.provider],
        cwd=ROOT, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def wait_until(holds: Any, seconds: float = 5.0) -> None:
    """Return when it does."""
    until, poll = time.monotonic() + seconds, threading.Event()
    while not holds():
        assert time.monotonic() < until, "it did not come to that"
        poll.wait(0.02)

"""A server on loopback in another rack's place, what it may answer, and what it is asked."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import orjson

from clawbucket.core.agent import Utterance
from clawbucket.core.model import ArmState
from clawbucket.core.revolt import Offer, TrooperState
from clawbucket.handoff.peer_http import HttpPeers
from clawbucket.handoff.signing import sign_answer

KEY = "the key of both racks"
ID = uuid.UUID(int=7).hex
TASK = "x4k0p2m9v7q1z5b8c3d6f0g2h"
SAID = (Utterance("user", "hello", "2026-01-01T00:00:00Z"),)
STATE = TrooperState(5, "brave new bots", "book", ArmState.ON, SAID)
OFFER = Offer(ID, "clawbucket", TASK, "Rack 1", "Rack 2", STATE)
SOON = 0.5
"""Seconds that a call is given here, where the other side will not answer in time."""
MARGIN = 8.0
"""Seconds beyond a deadline that a busy machine may take. What is not cut off here lasts a minute."""
ACCEPTED = {
    "ok": True, "snapshot_id": ID, "target_task_id": "t1", "snapshot_path": "/there/x.json", "rack": "Rack 2",
    "status": "accepted",
}  # fmt: skip
KNOWN = {**ACCEPTED, "phase": "ACCEPTED"}
Act = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """One request: written down, then dealt with as the server's ``act`` says."""

    server: Server
    protocol_version = "HTTP/1.1"
    body = b""

    def _serve(self) -> None:
        self.close_connection = True
        self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.heard.append((self.command, self.path, dict(self.headers), self.body))
        self.server.act(self)

    do_GET = do_POST = _serve  # noqa: N815 - http.server's names

    def log_message(self, *_args: object) -> None:
        """Nobody reads it."""

    def say(self, status: int, body: object = b"", **headers: str) -> None:
        """Answer in order, and no more."""
        raw = body if isinstance(body, bytes) else orjson.dumps(body)
        self.send_response(status)
        for name, value in {"Content-Length": str(len(raw)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(raw)

    def say_signed(self, status: int, body: object, key: str = KEY) -> None:
        """Answer as a rack with that key does."""
        raw = orjson.dumps(body)
        nonce = self.headers["Authorization"].partition("n=")[2][:32]
        self.say(status, raw, Claw_Peer_Answer=sign_answer(key, status, nonce, raw))


class Server(ThreadingHTTPServer):
    """Something on loopback. ``over`` is set at its end, so that no act outlives it."""

    daemon_threads = True

    def __init__(self, act: Act) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.act = act
        self.heard: list[tuple[str, str, dict[str, str], bytes]] = []
        self.over = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,))
        self._thread.start()

    def handle_error(self, *_args: object) -> None:
        """Who asked hung up; that is what many of these tests are about."""

    def end(self) -> None:
        self.over.set()
        self.shutdown()
        self._thread.join()
        self.server_close()


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """What is done here is over by then, give or take what a busy machine needs."""
    began = time.monotonic()
    yield
    assert time.monotonic() - began < seconds + MARGIN


def raw(data: bytes) -> Act:
    """Answer with these bytes and hang up."""

    def act(handler: Handler) -> None:
        handler.wfile.write(data)

    return act


def says(status: int, body: object = b"", **headers: str) -> Act:
    """Answer without a signature."""
    return lambda handler: handler.say(status, body, **headers)


def signs(status: int, body: object, key: str = KEY) -> Act:
    """Answer with one."""
    return lambda handler: handler.say_signed(status, body, key)


def error(code: str, sentence: str = "No.") -> dict[str, str]:
    """An error in the contract's form."""
    return {"error": sentence, "code": code}


def silent(handler: Handler) -> None:
    """Say nothing for as long as there is somebody to hear it."""
    handler.server.over.wait(60)


def trickling(begin: bytes, drop: bytes) -> Act:
    """Begin to answer, and send one drop after another."""

    def act(handler: Handler) -> None:
        handler.wfile.write(begin)
        while not handler.server.over.wait(0.05):
            handler.wfile.write(drop)

    return act


BROKEN = [
    raw(b""),
    raw(b"HTTP/1.1 "),
    raw(b"HTTP/1.1 200 OK\r\nContent-"),
    raw(b"HTTP/1.1 201 Created\r\nContent-Length: 100\r\n\r\n{"),
    raw(b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n64\r\n{"),
    raw(b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{"),
    raw(b"HTTP/1.1 201 Created\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}"),
    raw(b"HTTP/1.1 404 Not Found\r\nContent-Length: 100\r\n\r\n{"),
    raw(b"SSH-2.0-OpenSSH_9.2\r\n"),
    raw(b"HTTP/1.1 999999999999999999999 OK\r\n\r\n"),
    raw(b"\x00\xff\x16\x03\x01"),
]
STRANGE = [
    says(200, b"<html>hello</html>"),
    says(200, b"\xff\xfe"),
    says(200, ACCEPTED),
    says(201, ACCEPTED),
    says(204),
    says(201, ACCEPTED, Claw_Peer_Answer="0" * 64),
    signs(201, ACCEPTED, "another key"),
    signs(200, KNOWN, "another key"),
    says(500, error("internal")),
    says(502, error("upstream_failed")),
    says(504, error("revolt_rejected")),
    says(504, error("upstream_timeout")),
    says(503, error("bus_in_doubt")),
    says(503, b"<html>busy</html>"),
    says(408, error("body_too_slow")),
    says(401, error("signature_replayed")),
]
"""What nobody can know the meaning of, where an offer was made."""


def each_call(peers: HttpPeers, url: str) -> list[Callable[[], Any]]:
    """The three questions that can fail."""
    return [
        lambda: peers.hello(url),
        lambda: peers.offer(url, OFFER, SOON),
        lambda: peers.ask(url, ID),
    ]

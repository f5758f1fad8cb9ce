"""What is refused before any replica sees it."""

from __future__ import annotations

import json

import pytest

from tests.contract.gateway.stage import Stage, hello
from tests.contract.gateway.wires import Message, Wire, request_bytes

_POST = "POST / HTTP/1.1\r\nHost: h\r\n"
_GET = "GET / HTTP/1.1\r\nHost: h\r\n"
_CHUNKED = "Transfer-Encoding: chunked\r\n"
SMUGGLED = {
    "length and chunks": _POST + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /b",
    "chunks and length": _POST + "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\nGET /b",
    "two lengths": _POST + "Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcde",
    "a list of lengths": _POST + "Content-Length: 4, 4\r\n\r\nabcd",
    "a signed length": _POST + "Content-Length: +4\r\n\r\nabcd",
    "a length below zero": _POST + "Content-Length: -1\r\n\r\n",
    "two codings": _POST + "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n",
    "an unknown coding": _POST + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunked not last": _POST + "Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    "a space before the colon": _POST + "Content-Length : 4\r\n\r\nabcd",
    "a folded line": _GET + "X-A: 1\r\n folded: 2\r\n\r\n",
    "a lone line feed": "GET / HTTP/1.1\r\nHost: h\nX-A: 1\n\n",
    "a NUL": _GET + "X-A: a\x00b\r\n\r\n",
    "two hosts": "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "no host": "GET / HTTP/1.1\r\n\r\n",
    "a space in the target": "GET /a b HTTP/1.1\r\nHost: h\r\n\r\n",
    "bytes that are no text": _GET + "X-A: \xe9\r\n\r\n",
    "bytes in the target": "GET /\xe9 HTTP/1.1\r\nHost: h\r\n\r\n",
    "not HTTP": "EHLO mail.example\r\n\r\n",
    "a version that is none": "GET / HTTP/9.9\r\nHost: h\r\n\r\n",
}


@pytest.mark.parametrize("raw", SMUGGLED.values(), ids=SMUGGLED.keys())
def test_what_could_be_read_in_two_ways_is_refused(stage: Stage, raw: str):
    """400 in the contract's form, the connection ends, and no replica sees a byte."""
    (replica,) = stage.run(hello)
    with stage.connect() as wire:
        wire.send(raw.encode("latin-1"))
        message = wire.message()
        said = json.loads(message.body)
        assert (message.status, said["code"]) == (400, "bad_request")
        assert "Traceback" not in said["error"]
        if said["error"] == "The request is not well-formed HTTP/1.1.":
            assert message.get("Connection") == "close"
            assert wire.ended()
    assert replica.seen == []


@pytest.mark.parametrize(
    "body", ["zz\r\nabc\r\n0\r\n\r\n", "3\r\nabcd\r\n0\r\n\r\n", "3 \r\nabc\r\n0\r\n\r\n", "3\nabc\n0\n\n"]
)
def test_chunks_that_are_none_are_refused(stage: Stage, body: str):
    """Whatever of the body was read before, the client is told and nothing after it is a request."""
    stage.run(hello)
    with stage.connect() as wire:
        wire.send(request_bytes("POST", "/", "Transfer-Encoding: chunked") + body.encode())
        assert wire.message().status == 400
        assert wire.ended()


@pytest.mark.parametrize(
    "raw",
    [
        request_bytes("GET", "/", f"X-Long: {'x' * 9000}"),
        request_bytes("GET", "/" + "x" * 9000),
        request_bytes("GET", "/", *(f"X-{number}: 1" for number in range(150))),
    ],
    ids=["a long field", "a long line", "many fields"],
)
def test_heads_have_limits(stage: Stage, raw: bytes):
    """Beyond them the answer is 431, and no replica sees it."""
    (replica,) = stage.run(hello)
    message = stage.ask(raw)
    assert (message.status, json.loads(message.body)["code"]) == (431, "headers_too_large")
    assert replica.seen == []


@pytest.mark.parametrize("head", [b"X-Odd: a\rSet-Cookie: b=1", b"X-Odd: a\x00b"])
def test_a_replica_cannot_smuggle_either(stage: Stage, head: bytes):
    """A control character in an answer's field is a failed answer."""

    def smuggles(wire: Wire, _request: Message) -> bool:
        wire.send(b"HTTP/1.1 200 OK\r\n" + head + b"\r\nContent-Length: 0\r\n\r\n")
        return False

    stage.run(smuggles)
    assert stage.post().status == 502


def test_no_tunnel_is_opened(stage: Stage):
    """CONNECT is not served: the gateway reaches replicas and nothing else."""
    message = stage.ask(b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n")
    assert (message.status, json.loads(message.body)["code"]) == (405, "method_not_allowed")

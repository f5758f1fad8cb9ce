"""What passes unchanged, in which framing, and with how much of it held back."""

from __future__ import annotations

import contextlib
import json
import socket
import threading

import pytest

from tests.contract.gateway.stage import Stage, hello
from tests.contract.gateway.wires import DEADLINE, Message, Wire, answer, eventually, request_bytes

BOUND = 16 * 1024 * 1024
"""More bytes than all buffers between two ends of the gateway hold on loopback, the last being small."""


def keep_small(wire: Wire) -> None:
    """What the kernel holds for this end does not grow: by itself it may, to 32 MiB here (tcp_rmem)."""
    wire.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)


def test_a_request_passes_as_it_was_sent(stage: Stage):
    """Method, fields and body arrive; where it came from is said by the gateway and nobody else."""
    (replica,) = stage.run(hello)
    stage.post(
        "/api/chat", b'{"text":"hi"}', "Host: bob.example:8080", "Content-Type: application/json",
        "X-Forwarded-For: 6.6.6.6", "X_Forwarded_For: 6.6.6.6", "X-Real-IP: 6.6.6.6",
        "Forwarded: for=6.6.6.6", "X-Served-By: me", "Connection: close, X-Hop", "X-Hop: 1", "TE: trailers",
        "Authorization: Bearer t",
    )  # fmt: skip
    (got,) = replica.seen
    assert (got.start, got.body) == ("POST /api/chat HTTP/1.1", b'{"text":"hi"}')
    assert sorted(name.lower() for name, _ in got.fields) == [
        "authorization", "connection", "content-length", "content-type", "host", "via", "x-forwarded-for",
        "x-forwarded-host", "x-forwarded-proto",
    ]  # fmt: skip
    assert (got.get("Host"), got.get("X-Forwarded-Host")) == ("bob.example:8080", "bob.example:8080")
    assert (got.get("X-Forwarded-For"), got.get("X-Forwarded-Proto")) == ("127.0.0.1", "http")
    assert got.get("Connection") == "close"


@pytest.mark.parametrize(
    "target",
    [
        "/a%2Fb%20c/%7Euser/%C3%A9", "/a/../b/./c", "//double//slash", "/a;p=1,2:3@4!$&'()*", "/%",
        "/?q=a+b%20c&e=%2F&empty=&flag&%c3%a9=1", "/?a=1?b=2//", "/?next=http://x/y", '/a|b^c"d',
    ],
)  # fmt: skip
def test_paths_and_queries_pass_unchanged(stage: Stage, target: str):
    """Nothing is decoded, encoded, sorted or tidied."""
    (replica,) = stage.run(hello)
    assert stage.get(target).status == 200
    assert replica.seen[0].target == target


def test_an_absolute_target_names_the_host(stage: Stage):
    """RFC 9112 section 3.2.2: it overrules Host, and goes on in origin form."""
    (replica,) = stage.run(hello)
    stage.get("http://user@named.example:1/x?y=1", "Host: other.example")
    (got,) = replica.seen
    assert (got.target, got.get("Host"), got.get("X-Forwarded-Host")) == (
        "/x?y=1", "named.example:1", "named.example:1",
    )  # fmt: skip


def test_an_answer_passes_as_it_was_given(stage: Stage):
    """Status, reason, repeated fields, bytes that are no text; hop-by-hop fields end here."""

    def odd(wire: Wire, _request: Message) -> None:
        wire.send(
            b"HTTP/1.1 418 I'm a teapot\r\nSet-Cookie: a=1; Path=/\r\nSet-Cookie: b=2\r\nX-Odd: caf\xe9\r\n"
            b"Connection: close, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=2\r\nContent-Length: 2\r\n"
            b"Content-Encoding: gzip\r\n\r\n\x1f\x8b"
        )

    (replica,) = stage.run(odd)
    got = stage.get()
    assert (got.start, got.body) == ("HTTP/1.1 418 I'm a teapot", b"\x1f\x8b")
    assert got.fields == [
        ("Set-Cookie", "a=1; Path=/"), ("Set-Cookie", "b=2"), ("X-Odd", "café"), ("Content-Length", "2"),
        ("Content-Encoding", "gzip"), ("X-Served-By", replica.name), ("Via", "1.1 clawbucket"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("method", "reply"),
    [
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 12345\r\n\r\n"),
        ("GET", 'HTTP/1.1 304 Not Modified\r\nETag: "x"\r\nContent-Length: 12345\r\n\r\n'),
        ("GET", "HTTP/1.1 204 No Content\r\n\r\n"),
        ("GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    ],
)  # fmt: skip
def test_answers_without_a_body_leave_the_connection_good(stage: Stage, method: str, reply: str):
    """HEAD keeps the length that GET would have; 204 and 304 have no body; what follows is in step."""

    def bodiless(wire: Wire, request: Message) -> None:
        if request.target == "/after":
            answer(wire, 200, b"after")
        else:
            wire.send(reply.encode())

    stage.run(bodiless)
    with stage.connect() as wire:
        wire.send(request_bytes(method, "/") + request_bytes("GET", "/after"))
        head = wire.head()
        assert head is not None
        assert head.get("Content-Length") == (reply.partition("Content-Length: ")[2].strip() or None)
        assert head.get("Transfer-Encoding") is None
        assert wire.message().body == b"after"


def test_pipelined_requests_are_answered_in_order(stage: Stage):
    """Even where the first takes longest."""
    second = threading.Event()

    def first_last(wire: Wire, request: Message) -> None:
        answer(wire, 200, request.target.encode())
        second.set()

    stage.run(first_last, first_last)
    with stage.connect() as wire:
        wire.send(b"".join(request_bytes("GET", f"/{number}") for number in range(5)))
        assert [wire.message().body for _ in range(5)] == [b"/0", b"/1", b"/2", b"/3", b"/4"]


def test_an_upload_in_chunks_passes_in_chunks(stage: Stage):
    """A body of unknown length arrives whole, without a length."""
    (replica,) = stage.run(hello)
    head = request_bytes("PUT", "/", "Transfer-Encoding: chunked")
    assert stage.ask(head + b"3\r\nabc\r\n4;ext=1\r\ndefg\r\n0\r\nX-Trailer: 1\r\n\r\n").status == 200
    (got,) = replica.seen
    assert (got.body, got.get("Transfer-Encoding"), got.get("Content-Length")) == (
        b"abcdefg",
        "chunked",
        None,
    )


@pytest.mark.parametrize("size", [10, 300_000])
def test_expect_100_continue_is_met_by_the_gateway(stage: Stage, size: int):
    """The client is told to go on once there is somebody to send to; the replica is not asked."""
    (replica,) = stage.run(hello)
    with stage.connect() as wire:
        wire.send(request_bytes("POST", "/", f"Content-Length: {size}", "Expect: 100-continue"))
        assert wire.message().status == 100
        wire.send(b"x" * size)
        assert wire.message().status == 200
    (got,) = replica.seen
    assert (got.body, got.get("Expect")) == (b"x" * size, None)


def test_an_expectation_without_anybody_to_meet_it_ends_the_connection(stage: Stage):
    """A client that was not told to send its body gets the answer alone, and cannot go out of step."""
    with stage.connect() as wire:
        wire.send(request_bytes("POST", "/", "Content-Length: 300000", "Expect: 100-continue"))
        message = wire.message()
        assert (message.status, message.get("Connection")) == (503, "close")
    other = stage.ask(request_bytes("POST", "/", "Content-Length: 3", "Expect: a miracle") + b"abc")
    assert (other.status, json.loads(other.body)["code"]) == (417, "expectation_failed")


@pytest.mark.slow
def test_an_upload_waits_for_a_slow_replica(stage: Stage):
    """Back-pressure: what the replica does not read, the client cannot send; then all of it arrives."""
    go_on = threading.Event()

    def slow(wire: Wire, request: Message) -> None:
        keep_small(wire)
        assert go_on.wait(DEADLINE)
        request.body = wire.body(request)
        answer(wire)

    (replica,) = stage.run(slow)
    size = 2 * BOUND
    with stage.connect() as wire:
        wire.send(request_bytes("POST", "/", f"Content-Length: {size}"))
        wire.sock.settimeout(0.5)
        sent = 0
        with contextlib.suppress(TimeoutError):
            while sent < size:
                sent += wire.sock.send(b"x" * min(65_536, size - sent))
        assert sent < BOUND
        wire.sock.settimeout(DEADLINE)
        go_on.set()
        wire.send(b"x" * (size - sent))
        assert wire.message().status == 200
    assert len(replica.seen[0].body) == size


@pytest.mark.slow
def test_a_download_waits_for_a_slow_client(stage: Stage):
    """Back-pressure: what the client does not read, the replica cannot send; then all of it arrives."""
    written = []
    size = 2 * BOUND

    def large(wire: Wire, _request: Message) -> None:
        wire.send(f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n".encode())
        for _ in range(size // 65_536):
            wire.send(b"x" * 65_536)
            written.append(65_536)

    stage.run(large)
    with stage.connect() as wire:
        keep_small(wire)
        wire.send(request_bytes("GET", "/"))
        seen = -1

        def still() -> bool:
            nonlocal seen
            before, seen = seen, sum(written)
            return 0 < before == seen and not threading.Event().wait(0.2) and seen == sum(written)

        eventually(still, "the replica is held up")
        assert seen < BOUND
        assert len(wire.message().body) == size


def test_a_body_that_is_too_large_is_refused(stage: Stage):
    """By its length at once, before anybody is asked."""
    (replica,) = stage.run(hello)
    message = stage.ask(request_bytes("POST", "/", "Content-Length: 99999999999"))
    assert (message.status, json.loads(message.body)["code"]) == (413, "body_too_large")
    assert replica.seen == []


@pytest.mark.slow
def test_a_body_that_grows_too_large_is_refused(stage: Stage, monkeypatch: pytest.MonkeyPatch):
    """In chunks nobody knows before."""
    monkeypatch.setattr("gateway.uploads.LARGEST", 200_000)
    stage.run(hello)
    head = request_bytes("POST", "/", "Transfer-Encoding: chunked")
    message = stage.ask(head + b"10000\r\n" + b"x" * 65_536 + b"\r\n" + b"30000\r\n" + b"x" * 196_608)
    assert (message.status, json.loads(message.body)["code"]) == (413, "body_too_large")


@pytest.mark.slow
@pytest.mark.parametrize(
    "framing", ["Content-Length: 10", "Content-Length: 100000", "Transfer-Encoding: chunked"]
)
def test_a_body_that_does_not_come_is_408(stage: Stage, monkeypatch: pytest.MonkeyPatch, framing: str):
    """A client that stops sending is let go, and the replica is not left waiting."""
    monkeypatch.setattr("gateway.uploads.IDLE", 0.2)
    stage.run(hello)
    with stage.connect() as wire:
        wire.send(request_bytes("POST", "/", framing) + b"3\r\n")
        message = wire.message()
        assert (message.status, message.get("Connection")) == (408, "close")


def test_an_answer_before_the_end_of_the_upload_passes(stage: Stage):
    """A replica that has heard enough (413, say) is not waited for to hear the rest."""

    def enough(wire: Wire, _request: Message) -> bool:
        answer(wire, 413, b'{"code":"body_too_large"}', "Connection: close")
        wire.file.read(300_000)
        return False

    stage.run(enough)
    with stage.connect() as wire:
        wire.send(request_bytes("POST", "/", "Content-Length: 300000") + b"x" * 1000)
        assert wire.message().status == 413


@pytest.mark.parametrize("size", [5, 900_000])
def test_an_answer_may_begin_within_the_upload(stage: Stage, size: int):
    """Both directions flow at once, and the end of the upload does not disturb the answer."""

    def talks(wire: Wire, request: Message) -> None:
        wire.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        body = wire.body(request)
        wire.send(b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))

    stage.run(talks)
    with stage.connect() as wire:
        wire.send(request_bytes("POST", "/", "Transfer-Encoding: chunked") + b"1\r\nx\r\n")
        head = wire.head()
        assert head is not None
        assert wire.chunk() == b"first"
        wire.send(b"%x\r\n%s\r\n0\r\n\r\n" % (size, b"x" * size))
        assert wire.body(head) == b"x" * (size + 1)


def test_a_stream_passes_as_it_comes(stage: Stage):
    """Each event of an SSE stream arrives before the next is sent; the end arrives too."""
    heard = threading.Semaphore(0)

    def events(wire: Wire, _request: Message) -> None:
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for number in range(3):
            event = b"data: %d\n\n" % number
            wire.send(b"%x\r\n%s\r\n" % (len(event), event))
            assert heard.acquire(timeout=DEADLINE)
        wire.send(b"0\r\n\r\n")

    stage.run(events)
    with stage.connect() as wire:
        wire.send(request_bytes("GET", "/", "Accept: text/event-stream"))
        head = wire.head()
        assert head is not None
        assert head.get("Content-Type") == "text/event-stream"
        for number in range(3):
            assert wire.chunk() == b"data: %d\n\n" % number
            heard.release()
        assert wire.chunk() == b""
        wire.send(request_bytes("GET", "/livez"))
        assert wire.message().status == 200


def test_an_answer_that_ends_with_its_connection_gets_an_end_of_its_own(stage: Stage):
    """A replica that speaks HTTP/1.0 is passed on in chunks."""

    def old(wire: Wire, _request: Message) -> bool:
        wire.send(b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nuntil the end")
        return False

    stage.run(old)
    got = stage.get()
    assert (got.get("Transfer-Encoding"), got.body) == ("chunked", b"until the end")


def test_a_client_of_http_1_0_gets_no_chunks(stage: Stage):
    """The end of a stream is the connection's end; a known length may keep the connection."""

    def chunks(wire: Wire, request: Message) -> None:
        if request.target == "/whole":
            answer(wire)
        else:
            wire.send(
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n"
            )

    stage.run(chunks)
    with stage.connect() as wire:
        wire.send(b"GET /whole HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        assert wire.message().get("Connection") == "keep-alive"
        wire.send(b"GET / HTTP/1.0\r\n\r\n")
        head = wire.head()
        assert head is not None
        assert head.get("Transfer-Encoding") is None
        assert wire.file.read() == b"abcdef"

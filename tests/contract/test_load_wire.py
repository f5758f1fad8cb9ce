"""What the load pack does on the wire: it reads streams as they come, puts back what it changed, tells."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable

import pytest

from bench.rack import free_port
from load.event_stream import Broken, CutOff, Refused, Stream
from load.plain_http import Unreachable, ask, connection
from load.restoring import Before
from load.telling import Teller
from tests.contract.peer_stand_in import MARGIN, SOON, Act, Handler, Server, says, within

Serve = Callable[[Act], Server]
EVENT = b': at 5\nid: t-1\nevent: snapshot\ndata: {"n": 1}\n\n'


def streams(*pieces: bytes, then: Callable[[Handler], None] = lambda _: None) -> Act:
    """A stream in chunks, one piece each; then what is done before the end."""

    def act(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream; charset=utf-8")
        handler.send_header("Transfer-Encoding", "chunked")
        handler.send_header("X-Served-By", "task-1")
        handler.end_headers()
        for piece in pieces:
            handler.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            handler.server.over.wait(0.005)
        then(handler)

    return act


def stays(handler: Handler) -> None:
    """Keep the connection without a word, until the test is over."""
    handler.server.over.wait(60)


def ends(handler: Handler) -> None:
    """End the stream in order."""
    handler.wfile.write(b"0\r\n\r\n")


def read(server: Server, patience: float = 10.0, last_event_id: str = "") -> list[str]:
    """The ids of a stream until it ends."""
    stream = Stream(server.url, "/api/stream", last_event_id=last_event_id)
    try:
        stream.open(patience)
        return [event.id for event, _ in stream.events()]
    finally:
        stream.close()


def test_a_small_event_is_read_when_it_comes(serve: Serve):
    """Without waiting for more bytes behind it, and with the server's name and the time of reading."""
    stream = Stream(serve(streams(EVENT, then=stays)).url, "/api/stream")
    before = time.time()
    stream.open(MARGIN)
    event, read_at = next(stream.events())
    stream.close()
    assert (event.id, event.kind, event.data, event.at_ms) == ("t-1", "snapshot", '{"n": 1}', 5)
    assert before <= read_at <= time.time()
    assert stream.served_by == "task-1"


def test_a_torn_stream_is_put_together(serve: Serve):
    """Byte by byte in chunks of their own, and ended in order."""
    assert read(serve(streams(*(bytes([b]) for b in EVENT + EVENT), then=ends))) == ["t-1", "t-1"]


def test_a_stream_goes_on_where_it_was(serve: Serve):
    """The last event's id is sent, and nothing where there was none."""
    server = serve(streams(then=ends))
    read(server)
    read(server, last_event_id="t-9")
    asked = [{name.lower(): value for name, value in heard[2].items()} for heard in server.heard]
    assert "last-event-id" not in asked[0]
    assert asked[1]["last-event-id"] == "t-9"


def test_a_silent_stream_is_broken(serve: Serve):
    """Once it said nothing for as long as it may."""
    with within(SOON), pytest.raises(Broken, match="said nothing"):
        read(serve(streams(EVENT, then=stays)), patience=SOON)


def test_a_stream_that_is_cut_is_broken(serve: Serve):
    """In the middle of a chunk."""

    def cut(handler: Handler) -> None:
        handler.wfile.write(b"ff\r\nid: t-2\n")

    with pytest.raises(CutOff, match="broke off"):
        read(serve(streams(EVENT, then=cut)))


@pytest.mark.parametrize("act", [says(503, {"error": "full"}), says(200, b"<p>hello")])
def test_what_is_no_stream_is_refused(serve: Serve, act: Act):
    """Another status, or another type."""
    with pytest.raises(Refused):
        read(serve(act))


def test_nobody_there():
    """No connection is told as such, for a stream and for a call."""
    nowhere = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(Unreachable):
        Stream(nowhere, "/api/stream").open(1.0)
    with pytest.raises(Unreachable):
        ask("GET", nowhere, "/")


@pytest.mark.parametrize("host", ["", "localhost:8080", "ftp://x", "http://", "http://x:port"])
def test_what_is_no_address_is_refused(host):
    """Before anything is sent."""
    with pytest.raises(ValueError, match=r"."):
        connection(host, 1.0)


class Rack:
    """A stand-in rack with an interval and two services, that does what it is told."""

    def __init__(self) -> None:
        self.interval, self.scale = 10, {"a": 3, "b": 2}
        self.refuses = False

    def act(self, handler: Handler) -> None:
        """Answer one request."""
        body = json.loads(handler.body) if handler.body else {}
        if handler.command == "POST" and self.refuses:
            handler.say(401, {"error": "no", "code": "token_needed"})
        elif handler.path == "/api/rps/config":
            self.interval = body["interval_seconds"]
            handler.say(200, {"ok": True})
        elif handler.path == "/api/scale":
            self.scale[body["service"]] = body["replicas"]
            handler.say(202, {"ok": True})
        elif handler.path == "/api/rps":
            handler.say(200, {"state": None, "interval_seconds": self.interval})
        else:
            swarms = [{"service": s, "desired_replicas": n} for s, n in self.scale.items()]
            handler.say(200, {"swarms": [*swarms, {"service": "c", "error": "?", "desired_replicas": 0}]})


def test_what_was_changed_is_put_back(serve: Serve):
    """The interval and the replicas wanted, with the token; once it is as it was, nothing is ordered."""
    rack = Rack()
    server = serve(rack.act)
    before = Before(server.url, "secret", interval=True, scale=True)
    before.look()
    rack.interval, rack.scale["b"] = 5, 7
    before.put_back()
    before.put_back()
    assert (rack.interval, rack.scale) == (10, {"a": 3, "b": 2})
    assert before.notes == ["put back: the interval to 10 s", "put back: b to 2 replicas"]
    orders = [headers for method, _, headers, _ in server.heard if method == "POST"]
    assert [headers["Authorization"] for headers in orders] == ["Bearer secret"] * 2


def test_what_nobody_came_to_change_is_let_be(serve: Serve):
    """Without operators and chaos the rack is not even looked at."""
    rack = Rack()
    server = serve(rack.act)
    before = Before(server.url, None, interval=False, scale=False)
    before.look()
    rack.interval = 5
    before.put_back()
    assert (rack.interval, server.heard, before.notes) == (5, [], [])


def test_what_cannot_be_put_back_is_told(serve: Serve):
    """With the status and the code; an unreadable rack is told of before the test."""
    rack = Rack()
    before = Before(serve(rack.act).url, None, interval=True, scale=False)
    before.look()
    rack.interval, rack.refuses = 5, True
    before.put_back()
    assert before.notes == ["not put back: the interval to 10 s (401 token_needed)"]
    blind = Before(f"http://127.0.0.1:{free_port()}", None, interval=True, scale=True)
    blind.look()
    blind.put_back()
    assert len(blind.notes) == 2
    assert all("will not be put back" in note or "not be put back" in note for note in blind.notes)


SAMPLE = {"users": 1, "rate": 2.0, "p95_ms": 3.0, "failures": 0}


def test_the_rack_is_told(serve: Serve):
    """The sample, the test's name and the token."""
    server = serve(says(201, {"ok": True}))
    teller = Teller(server.url, "secret", "run-1")
    teller.tell(SAMPLE)
    ((method, path, headers, body),) = server.heard
    assert (method, path, headers["Authorization"]) == ("POST", "/api/load", "Bearer secret")
    assert json.loads(body) == {"run": "run-1", **SAMPLE}
    assert (teller.told, teller.problem, teller.over) == (1, "", False)


@pytest.mark.parametrize(("status", "over"), [(401, True), (404, True), (503, False), (500, False)])
def test_a_rack_that_does_not_take_it_stops_nothing(serve: Serve, status: int, over: bool):
    """It is remembered why; where the next sample would get the same answer there is none."""
    server = serve(says(status, {"error": "x", "code": "some_code"}))
    teller = Teller(server.url, None, "run-1")
    for _ in range(3):
        teller.tell(SAMPLE)
    assert (teller.problem, teller.over, len(server.heard)) == (f"{status} some_code", over, 1 if over else 3)


def test_a_rack_that_does_not_answer_is_not_waited_for(serve: Serve):
    """Each sample has its deadline, and a rack that comes back is told again."""
    silent = threading.Event()

    def act(handler: Handler) -> None:
        if not silent.is_set():
            handler.server.over.wait(60)
        else:
            handler.say(201, {"ok": True})

    teller = Teller(serve(act).url, None, "run-1")
    with within(1.0):
        teller.tell(SAMPLE)
    assert "no answer" in teller.problem
    silent.set()
    teller.tell(SAMPLE)
    assert (teller.problem, teller.told) == ("", 1)

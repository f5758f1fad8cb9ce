"""Where requests go, and what becomes of them when replicas fail."""

from __future__ import annotations

import contextlib
import json
import threading
import time

import pytest

from clawbucket.core.model import TaskState
from tests.contract.gateway.stage import Stage, hello
from tests.contract.gateway.wires import DEADLINE, Message, Wire, answer, error_of, eventually, request_bytes


def dies_unheard(wire: Wire, _request: Message) -> bool:
    """Break off before the answer, once the request was read."""
    wire.reset()
    return False


def dies_mid_head(wire: Wire, _request: Message) -> bool:
    """Break off within the head."""
    wire.send(b"HTTP/1.1 200 OK\r\nContent-Le")
    return False


def dies_mid_body(wire: Wire, _request: Message) -> bool:
    """Break off within a small body."""
    wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhal")
    return False


def dies_mid_stream(wire: Wire, _request: Message) -> bool:
    """Break off within a body in chunks."""
    wire.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")
    return False


def dies_mid_large_body(wire: Wire, _request: Message) -> bool:
    """Break off within a body too large to be read whole first."""
    wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n" + b"x" * 500_000)
    return False


def not_http(wire: Wire, _request: Message) -> bool:
    """Answer what is no HTTP."""
    wire.send(b"220 mail.example ESMTP\r\n")
    return False


def hangs(wire: Wire, request: Message) -> bool:
    """Say nothing until the gateway goes away."""
    wire.body(request)
    wire.ended()
    return False


def drains(wire: Wire, request: Message) -> None:
    """Refuse new work, as a replica does from SIGTERM on."""
    wire.body(request)
    answer(wire, 503, b'{"error":"This replica is about to end.","code":"draining"}')


def test_no_replica_is_503_with_retry_after(stage: Stage):
    """With nothing to route to, the answer is definite and says when to ask again."""
    message = stage.get("/api/swarms")
    assert (message.status, error_of(message), message.get("Retry-After")) == (503, "no_replica", "1")
    assert message.get("X-Served-By") is None


def test_a_browser_gets_a_page(stage: Stage):
    """An Accept that prefers HTML gets the error as HTML, with its status."""
    message = stage.get("/", "Accept: text/html,*/*;q=0.8")
    assert message.status == 503
    assert message.get("Content-Type") == "text/html; charset=utf-8"
    assert b"<h1>503 Service Unavailable</h1>" in message.body


def test_requests_go_to_every_replica_and_say_which(stage: Stage):
    """Load is spread; X-Served-By names the task."""
    replicas = stage.run(hello, hello, hello)
    served = [stage.get().get("X-Served-By") for _ in range(9)]
    assert {name: served.count(name) for name in served} == {replica.name: 3 for replica in replicas}


def test_only_running_tasks_are_routed_to(stage: Stage):
    """A task that is meant to shut down gets nothing more, before it is told to end."""
    keeps, goes = stage.run(hello, hello)
    stage.publish(keeps.task(), goes.task(desired=TaskState.SHUTDOWN))
    assert {stage.get().get("X-Served-By") for _ in range(4)} == {keeps.name}
    assert goes.seen == []


def test_streams_count_as_load(stage: Stage):
    """Least connections: a replica that holds a stream open is passed over for one that does not."""
    go_on = threading.Event()

    def streams(wire: Wire, request: Message) -> None:
        if request.target == "/stream":
            wire.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n")
            assert go_on.wait(DEADLINE)
            wire.send(b"0\r\n\r\n")
        else:
            answer(wire)

    stage.run(streams, streams)
    with stage.connect() as wire:
        wire.send(request_bytes("GET", "/stream"))
        head = wire.head()
        assert head is not None
        others = {stage.get().get("X-Served-By") for _ in range(6)}
        assert len(others) == 1
        assert head.get("X-Served-By") not in others
        go_on.set()
        assert wire.body(head) == b"hi"


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_refused_connection_goes_to_the_next_replica(stage: Stage, method: str):
    """Nothing was sent, so any method may go elsewhere; the refusing one is then suspect."""
    alive, *_ = stage.run(hello, refusing=3)
    for _ in range(4):
        message = stage.get() if method == "GET" else stage.post(body=b"once")
        assert (message.status, message.get("X-Served-By")) == (200, alive.name)
    assert len(alive.seen) == 4
    assert stage.metric('clawbucket_gateway_replicas{state="suspect"}') == 3


def test_a_streamed_upload_survives_a_refused_connection(stage: Stage):
    """A body in chunks goes on to the next replica while none of it was read."""
    alive, *_ = stage.run(hello, refusing=3)
    for _ in range(4):
        head = request_bytes("POST", "/", "Transfer-Encoding: chunked")
        assert stage.ask(head + b"3\r\nabc\r\n0\r\n\r\n").status == 200
    assert [request.body for request in alive.seen] == [b"abc"] * 4


def test_when_every_replica_refuses_nothing_was_done(stage: Stage):
    """Definite, also for a mutation: 503 and not 502."""
    stage.run(refusing=3)
    message = stage.post()
    assert (message.status, error_of(message), message.get("Retry-After")) == (503, "no_replica", "1")


@pytest.mark.parametrize(
    ("method", "dies"),
    [
        *(("GET", dies) for dies in (dies_unheard, dies_mid_head, dies_mid_body, not_http)),
        *(("HEAD", dies) for dies in (dies_unheard, dies_mid_head, not_http)),
    ],
)
def test_a_read_survives_a_replica_that_dies_over_it(stage: Stage, method: str, dies):
    """GET and HEAD are asked again elsewhere while the client was sent nothing."""
    alive, dead = stage.run(hello, dies)
    for _ in range(4):
        with stage.connect() as wire:
            wire.send(request_bytes(method, "/"))
            head = wire.head()
            assert head is not None
            assert (head.status, head.get("X-Served-By")) == (200, alive.name)
    assert len(dead.seen) >= 1


@pytest.mark.parametrize("dies", [dies_unheard, dies_mid_head, dies_mid_body, not_http])
def test_a_mutation_is_never_sent_twice(stage: Stage, dies):
    """A POST whose replica died may have had effect: 502, in doubt, and nobody else is asked."""
    replicas = stage.run(dies, dies)
    message = stage.post()
    assert (message.status, error_of(message)) == (502, "upstream_failed")
    assert "may or may not have taken effect" in json.loads(message.body)["error"]
    assert sum(len(replica.seen) for replica in replicas) == 1


def test_a_read_that_kills_every_replica_ends(stage: Stage):
    """At most three replicas are spent on one request."""
    replicas = stage.run(*[dies_unheard] * 5)
    message = stage.get()
    assert (message.status, error_of(message)) == (502, "upstream_failed")
    assert sum(len(replica.seen) for replica in replicas) == 3


def test_the_only_replica_is_asked_a_second_time(stage: Stage):
    """Where there is no other, a read whose kept connection just ended gets one of its own."""
    behaviours = iter([hello, dies_unheard, hello])

    def each_in_turn(wire: Wire, request: Message) -> object:
        return next(behaviours)(wire, request)

    (only,) = stage.run(each_in_turn)
    assert [stage.get().status for _ in range(2)] == [200, 200]
    assert len(only.seen) == 3


@pytest.mark.parametrize("dies", [dies_mid_stream, dies_mid_large_body])
def test_an_answer_that_breaks_off_is_not_taken_for_whole(stage: Stage, dies):
    """What was begun cannot be asked again: the client's connection ends before the body does."""
    _, other = stage.run(dies, dies)
    with stage.connect() as wire:
        wire.send(request_bytes("GET", "/"))
        head = wire.head()
        assert head is not None
        rest = wire.file.read()
        assert not rest.endswith(b"0\r\n\r\n")
        assert len(rest) < 9_000_000
    assert len(other.seen) <= 1


@pytest.mark.slow
def test_a_read_leaves_a_silent_replica_for_another(stage: Stage, monkeypatch: pytest.MonkeyPatch):
    """No head in time: another replica is asked, and the silent one is suspect and then avoided."""
    monkeypatch.setattr("gateway.proxy.FIRST_BYTE_OF_MANY", 1.0)  # the other may be slow, too
    for limit in ("FIRST_SUSPICION", "LONGEST_SUSPICION"):
        monkeypatch.setattr(f"gateway.routing.{limit}", 60.0)
    alive, silent = stage.run(hello, hangs)
    for _ in range(6):
        assert stage.get().get("X-Served-By") == alive.name
    assert len(silent.seen) == 1


@pytest.mark.slow
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_silent_replica_is_504_in_the_end(stage: Stage, monkeypatch: pytest.MonkeyPatch, method: str):
    """After the time for all attempts; a mutation is asked once and is in doubt."""
    monkeypatch.setattr("gateway.proxy.FIRST_BYTE", 0.5)
    monkeypatch.setattr("gateway.proxy.FIRST_BYTE_OF_MANY", 0.1)
    replicas = stage.run(hangs, hangs)
    message = stage.get() if method == "GET" else stage.post()
    assert (message.status, error_of(message)) == (504, "upstream_timeout")
    assert sum(len(replica.seen) for replica in replicas) == (2 if method == "GET" else 1)


@pytest.mark.slow
def test_the_time_for_an_answer_starts_after_the_upload(stage: Stage, monkeypatch: pytest.MonkeyPatch):
    """A body that takes longer than an answer may is no silence of the replica's."""
    monkeypatch.setattr("gateway.proxy.FIRST_BYTE", 0.3)
    (replica,) = stage.run(hello)
    with stage.connect() as wire:
        wire.send(request_bytes("POST", "/", "Transfer-Encoding: chunked"))
        start = time.monotonic()
        eventually(lambda: time.monotonic() > start + 0.6, "twice the time goes by")
        wire.send(b"3\r\nabc\r\n0\r\n\r\n")
        assert wire.message().status == 200
    assert replica.seen[0].body == b"abc"


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_draining_replica_gets_nothing_new(stage: Stage, method: str):
    """Its 503 means that it did nothing: the request goes elsewhere, and so does all that follows."""
    alive, leaving = stage.run(hello, drains)
    leaving.readyz = (503, {"ok": False, "checks": {"drain": "draining"}})
    for _ in range(6):
        message = stage.get() if method == "GET" else stage.post(body=b"once")
        assert message.get("X-Served-By") == alive.name
    assert len(leaving.seen) == 1


def test_when_every_replica_drains_it_is_503(stage: Stage):
    """In the contract's form, not in the replica's."""
    (leaving,) = stage.run(drains)
    leaving.readyz = (503, {"ok": False, "checks": {"drain": "draining"}})
    assert [error_of(stage.get()) for _ in range(2)] == ["no_replica"] * 2
    assert json.loads(stage.get("/readyz").body)["checks"]["replicas"] == "no replica is running"


def test_another_503_is_the_replicas_own_answer(stage: Stage):
    """Bus down, say: it passes as it is, and the replica stays."""

    def bus_down(wire: Wire, request: Message) -> None:
        wire.body(request)
        answer(wire, 503, b'{"error":"The bus is down.","code":"bus_down"}', "Content-Type: application/json")

    (replica,) = stage.run(bus_down)
    assert [error_of(stage.post()) for _ in range(2)] == ["bus_down"] * 2
    assert len(replica.seen) == 2


@pytest.mark.slow
def test_a_probe_brings_back_who_speaks_again(stage: Stage):
    """A suspect that answers /readyz, and one that no longer drains, get requests again."""
    alive, back = stage.run(hello, drains)
    back.readyz = (503, {"ok": False, "checks": {"drain": "draining"}})
    eventually(lambda: stage.get() and back.seen, "it said that it drains")
    back.behave = hello
    back.readyz = (503, {"ok": False, "checks": {"bus": "the bus is down"}})
    eventually(lambda: stage.get().get("X-Served-By") == back.name, "it serves again")
    back.behave = dies_unheard
    eventually(
        lambda: stage.get() and stage.metric('clawbucket_gateway_replicas{state="suspect"}'), "suspect"
    )
    back.behave = hello
    eventually(lambda: stage.get().get("X-Served-By") == back.name, "it serves again", within=0.9)
    assert alive.seen


def test_a_client_that_leaves_ends_what_was_done_for_it(stage: Stage):
    """The replica's connection is closed when nobody waits for its answer."""
    left = threading.Event()

    def waits(wire: Wire, _request: Message) -> bool:
        if wire.ended():
            left.set()
        return False

    (replica,) = stage.run(waits)
    with stage.connect() as wire:
        wire.send(request_bytes("GET", "/"))
        eventually(lambda: replica.seen, "the request arrived")
        assert stage.in_flight()[replica.name] == 1
    assert left.wait(DEADLINE)
    eventually(lambda: stage.in_flight()[replica.name] == 0, "nothing is counted any more")


def test_a_client_that_leaves_within_its_upload_ends_it(stage: Stage):
    """The replica never takes the part that came for the whole body."""
    heard: list[bytes] = []
    left = threading.Event()

    def listens(wire: Wire, _request: Message) -> bool:
        with contextlib.suppress(ConnectionError):
            heard.append(wire.file.read())
        left.set()
        return False

    (replica,) = stage.run(listens)
    with stage.connect() as wire:
        wire.send(request_bytes("POST", "/", "Transfer-Encoding: chunked") + b"3\r\nabc\r\n")
        eventually(lambda: replica.seen, "the request arrived")
    assert left.wait(DEADLINE)
    assert not any(body.endswith(b"0\r\n\r\n") for body in heard)


def test_reads_are_told_of_the_latest_mutation(stage: Stage, monkeypatch: pytest.MonkeyPatch):
    """For a second after a mutation every GET carries its age; a refused one, and a client's word, do not."""
    monkeypatch.setattr("gateway.proxy.READ_AFTER", 0.0)

    def picky(wire: Wire, request: Message) -> None:
        wire.body(request)
        answer(wire, 400 if request.target == "/bad" else 201)

    (replica,) = stage.run(picky)
    stage.get("/", "X-Clawbucket-Read-After: 999999")
    monkeypatch.setattr("gateway.proxy.READ_AFTER", 30.0)
    stage.post("/api/chat")
    stage.get()
    ages = [request.get("X-Clawbucket-Read-After") for request in replica.seen]
    assert ages[:2] == [None, None]
    assert 0 <= int(ages[2] or "-1") < 5_000


def test_reads_are_not_told_of_a_load_tests_figures(stage: Stage, monkeypatch: pytest.MonkeyPatch):
    """They come every second, and would have every read made anew."""

    def takes(wire: Wire, request: Message) -> None:
        wire.body(request)
        answer(wire, 201)

    (replica,) = stage.run(takes)
    monkeypatch.setattr("gateway.proxy.READ_AFTER", 30.0)

    def age() -> int:
        stage.get()
        return int(replica.seen[-1].get("X-Clawbucket-Read-After") or "-1")

    stage.post("/api/chat")
    eventually(lambda: age() >= 50, "the change is 50 ms old")
    stage.post("/api/load")
    assert age() >= 50


def test_the_last_list_stays_while_the_rack_manager_is_away(stage: Stage):
    """Replicas outlive their manager, and its successor may count from elsewhere."""
    first, second = stage.run(hello, hello)
    stage.rack.down()
    failures = stage.metric("clawbucket_gateway_feed_failures_total")
    eventually(lambda: stage.metric("clawbucket_gateway_feed_failures_total") > failures, "the feed noticed")
    assert {stage.get().get("X-Served-By") for _ in range(4)} == {first.name, second.name}
    assert stage.get("/readyz").status == 200
    stage.rack.publish(second.task(), seq=7)
    stage.rack.up()
    eventually(lambda: set(stage.in_flight()) == {second.name}, "the new list is taken")


def test_health_and_metrics_are_the_gateways_own(stage: Stage):
    """/livez, /readyz and /metrics never reach a replica, and take no mutation."""
    assert json.loads(stage.get("/livez").body) == {"ok": True, "checks": {}}
    away = stage.get("/readyz")
    assert (away.status, json.loads(away.body)["ok"]) == (503, False)
    (replica,) = stage.run(hello)
    ready = stage.get("/readyz?verbose")
    assert (ready.status, json.loads(ready.body)) == (
        200, {"ok": True, "checks": {"snapshot": "ok", "replicas": "ok"}},
    )  # fmt: skip
    refused = stage.post("/metrics")
    assert (refused.status, error_of(refused), refused.get("Allow")) == (
        405,
        "method_not_allowed",
        "GET, HEAD",
    )
    assert replica.seen == []

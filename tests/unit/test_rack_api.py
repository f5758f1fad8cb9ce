from __future__ import annotations

import pytest
from flask.testing import FlaskClient

from clawbucket import codecs
from clawbucket.bus.memory import MemoryBus
from clawbucket.core.model import short_alias
from clawbucket.health import Health
from clawbucket.ports import ClawError, EngineDown, EngineInDoubt
from rack.api import MOST_REPLICAS, Wiring, create_api
from rack.metrics import Metrics
from rack.observer import Observer
from tests.fakes import FakeClock
from tests.stub_engine import A, B, StubEngine

TOKEN = "a test's secret"


class Desk:
    """The API over a stub engine, and a client that has the token."""

    def __init__(self) -> None:
        clock = FakeClock()
        self.engine = StubEngine()
        self.bus = MemoryBus(clock)
        metrics = Metrics()
        self.observer = Observer(self.engine, self.bus, clock, metrics, "BOT 1")
        metrics.watch(self.engine.calls, self.observer.latest)
        live, ready = Health(), Health()
        ready.register("bus", self.bus.ping)
        self.api = create_api(Wiring(self.engine, self.observer, metrics, live, ready, TOKEN))
        self.anyone: FlaskClient = self.api.test_client()
        self.observer.publish()

    def get(self, path: str):
        return self.anyone.get(path, headers={"Authorization": f"Bearer {TOKEN}"})

    def post(self, path: str, body: object = None, **more):
        return self.anyone.post(path, json=body, headers={"Authorization": f"Bearer {TOKEN}"}, **more)


@pytest.fixture
def desk() -> Desk:
    """A fresh one for each test."""
    return Desk()


@pytest.mark.parametrize("shown", ["", "Bearer wrong", f"Basic {TOKEN}", TOKEN, "Bearer ü"])
def test_everything_needs_the_token(desk: Desk, shown: str) -> None:
    """Without the very token nothing under /v1 is told or done, not even which routes there are."""
    for method, path in (("GET", "/v1/snapshot"), ("POST", f"/v1/services/{A}/scale"), ("GET", "/v1/x")):
        answer = desk.anyone.open(path, method=method, headers={"Authorization": shown.encode("latin-1")})
        assert answer.status_code == 401
        assert answer.json["code"] == "unauthorized"
    assert desk.engine.orders == []


def test_snapshot_is_the_published_one(desk: Desk) -> None:
    """The body is the bus's own form, and the engine is not asked for it."""
    calls = desk.engine.calls()
    answer = desk.get("/v1/snapshot")
    assert codecs.SNAPSHOT.decode(answer.data) == desk.observer.latest()
    assert desk.engine.calls() == calls


def test_snapshot_that_the_caller_has_is_204(desk: Desk) -> None:
    """Nothing new within the wait: 204 without a body."""
    latest = desk.observer.latest()
    assert latest is not None
    answer = desk.get(f"/v1/snapshot?after={latest.seq}&wait=0.01")
    assert (answer.status_code, answer.data) == (204, b"")


@pytest.mark.parametrize("query", ["after=x", "after=-1", "wait=26", "wait=nan", "wait=-1", "after=1e400"])
def test_snapshot_refuses_senseless_numbers(desk: Desk, query: str) -> None:
    """400 with the number's name and its range."""
    answer = desk.get(f"/v1/snapshot?{query}")
    assert (answer.status_code, answer.json["code"]) == (400, "bad_request")
    assert query.split("=", maxsplit=1)[0] in answer.json["error"]


@pytest.mark.parametrize("name", [B, short_alias(B)])
def test_scale_is_published_before_it_is_answered(desk: Desk, name: str) -> None:
    """By full name or alias: 202, and the bus already has the new count."""
    answer = desk.post(f"/v1/services/{name}/scale", {"replicas": 5})
    assert answer.status_code == 202
    assert answer.json == {"ok": True, "service": B, "replicas": 5}
    on_bus = codecs.SNAPSHOT.decode(desk.bus.get("clawbucket:engine:snapshot") or b"")
    service = on_bus.service(B)
    assert service is not None
    assert service.desired == 5


@pytest.mark.parametrize("replicas", [-1, MOST_REPLICAS + 1, True, 2.0, "3", None])
def test_scale_refuses_what_is_no_count(desk: Desk, replicas: object) -> None:
    """400 with the range, and no order."""
    answer = desk.post(f"/v1/services/{A}/scale", {"replicas": replicas})
    assert (answer.status_code, answer.json["code"]) == (400, "bad_request")
    assert str(MOST_REPLICAS) in answer.json["error"]
    assert desk.engine.orders == []


@pytest.mark.parametrize("name", [A, short_alias(A)])
def test_resize_is_published_before_it_is_answered(desk: Desk, name: str) -> None:
    """By full name or alias: 202 with the count, which the bus already has; once for each mark."""
    for _ in range(2):
        answer = desk.post(f"/v1/services/{name}/resize", {"by": 1, "mark": "0f:grow"})
        assert answer.status_code == 202
        assert answer.json == {"ok": True, "service": A, "replicas": 2}
    on_bus = codecs.SNAPSHOT.decode(desk.bus.get("clawbucket:engine:snapshot") or b"")
    assert next(service.desired for service in on_bus.services if service.name == A) == 2
    answer = desk.post(f"/v1/services/{name}/resize", {"by": -1, "mark": "0f:shrink", "leaving": "dead"})
    assert answer.json["replicas"] == 1
    assert desk.engine.orders == [
        ("resize", A, 1, "0f:grow", ""),
        ("resize", A, -1, "0f:shrink", "dead"),
    ]


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ({"mark": "a"}, "by"),
        *(({"by": by, "mark": "a"}, "by") for by in (0, 2, -2, True, 1.0, "1", None)),
        ({"by": 1}, "mark"),
        *(({"by": 1, "mark": mark}, "mark") for mark in ("", "A", "a,b", "a b", "a\n", "a" * 81, 1, None)),
        *(({"by": -1, "mark": "a", "leaving": task}, "leaving") for task in ("", 3, ["here"])),
        ({"by": 1, "mark": "a", "leaving": "here"}, "leaving"),
    ],
)
def test_resize_refuses_what_makes_no_sense(desk: Desk, body: dict[str, object], word: str) -> None:
    """400 that names the field, and no order."""
    answer = desk.post(f"/v1/services/{A}/resize", body)
    assert (answer.status_code, answer.json["code"]) == (400, "bad_request")
    assert answer.json["error"].startswith(f"{word} must be")
    assert desk.engine.orders == []


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"3", b'"x"', b"\xff"])
def test_body_must_be_an_object(desk: Desk, body: bytes) -> None:
    """400 for everything else."""
    answer = desk.anyone.post(
        f"/v1/services/{A}/scale", data=body, headers={"Authorization": f"Bearer {TOKEN}"}
    )
    assert (answer.status_code, answer.json["code"]) == (400, "bad_request")


def test_body_beyond_the_bound_is_413(desk: Desk) -> None:
    """64 KiB is more than any order needs."""
    answer = desk.post(f"/v1/services/{A}/scale", {"replicas": 1, "more": "x" * 70_000})
    assert answer.status_code == 413
    assert set(answer.json) == {"error", "code"}


def test_other_orders_reach_the_engine(desk: Desk) -> None:
    """restart, kill and availability are passed on and accepted."""
    assert desk.post(f"/v1/services/{A}/restart").status_code == 202
    assert desk.post("/v1/tasks/here/kill").status_code == 202
    assert desk.post("/v1/nodes/n2/availability", {"availability": "drain"}).status_code == 202
    assert desk.engine.orders == [("restart", A), ("kill", "here"), ("availability", "n2", "drain")]


def test_history_is_told(desk: Desk) -> None:
    """The dead tasks with all their fields."""
    answer = desk.get(f"/v1/services/{A}/history")
    assert answer.json["service"] == A
    assert [(task["id"], task["state"]) for task in answer.json["tasks"]] == [("dead", "failed")]


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/v1/services/nobody/scale", {"replicas": 1}, 404, "service_unknown"),
        ("/v1/services/nobody/resize", {"by": 1, "mark": "a"}, 404, "service_unknown"),
        (f"/v1/services/{A}/resize", {"by": -1, "mark": "a"}, 409, "conflict"),
        (f"/v1/services/{A}/resize", {"by": -1, "mark": "a", "leaving": "nobody"}, 404, "task_unknown"),
        (f"/v1/services/{B}/resize", {"by": -1, "mark": "a", "leaving": "far"}, 409, "task_elsewhere"),
        ("/v1/services/nobody/restart", None, 404, "service_unknown"),
        ("/v1/tasks/nobody/kill", None, 404, "task_unknown"),
        ("/v1/tasks/far/kill", None, 409, "task_elsewhere"),
        ("/v1/nodes/nobody/availability", {"availability": "drain"}, 404, "node_unknown"),
        ("/v1/nodes/n1/availability", {"availability": "pause"}, 400, "bad_request"),
        ("/v1/nowhere", None, 404, "not_found"),
        ("/v1/snapshot", None, 405, "method_not_allowed"),
    ],
)
def test_refusals(desk: Desk, path: str, body: object, status: int, code: str) -> None:
    """Each has its status, its stable code and one sentence."""
    answer = desk.post(path, body)
    assert (answer.status_code, answer.json["code"]) == (status, code)
    assert answer.json["error"]


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [(EngineDown("gone"), 503, "engine_down"), (EngineInDoubt("who knows"), 504, "engine_in_doubt")],
)
def test_engine_failures(desk: Desk, error: ClawError, status: int, code: str) -> None:
    """Down is 503 with Retry-After; in doubt is 504, and must not be repeated blindly."""
    desk.engine.fails = error
    answer = desk.post(f"/v1/services/{A}/restart")
    assert (answer.status_code, answer.json) == (status, {"error": str(error), "code": code})
    assert ("Retry-After" in answer.headers) == (status == 503)


def test_a_mistake_of_ours_is_500_without_a_trace(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller gets one sentence; what happened is in the log."""
    monkeypatch.setattr(desk.engine, "restart", lambda _service: 1 / 0)
    answer = desk.post(f"/v1/services/{A}/restart")
    assert (answer.status_code, answer.json["code"]) == (500, "internal")
    assert "ZeroDivision" not in answer.text


def test_long_polls_never_take_every_thread(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """One poll too many is told 503; a question that does not wait is answered."""
    monkeypatch.setattr("rack.api._WAITERS", 0)
    crowded = create_api(
        Wiring(desk.engine, desk.observer, Metrics(), Health(), Health(), TOKEN)
    ).test_client()
    headers = {"Authorization": f"Bearer {TOKEN}"}
    assert crowded.get("/v1/snapshot?wait=1", headers=headers).status_code == 503
    assert crowded.get("/v1/snapshot", headers=headers).status_code == 200


def test_health_needs_no_token(desk: Desk) -> None:
    """/livez stays 200 while the bus is down; /readyz says what is wrong."""
    assert desk.anyone.get("/livez").json == {"ok": True, "checks": {}}
    assert desk.anyone.get("/readyz").json == {"ok": True, "checks": {"bus": "ok"}}
    desk.bus.down = True
    assert desk.anyone.get("/livez").status_code == 200
    answer = desk.anyone.get("/readyz")
    assert (answer.status_code, answer.json["checks"]["bus"]) == (503, "the memory bus was cut off")


def test_metrics_page(desk: Desk) -> None:
    """Engine calls, tasks by service and state, restarts, reconcile time, publications, bus failures."""
    page = desk.anyone.get("/metrics").text
    assert f'clawbucket_rack_tasks{{service="{A}",state="running"}} 1.0' in page
    for name in (
        "clawbucket_rack_engine_calls_total 1.0",
        "clawbucket_rack_snapshot_publications_total 1.0",
        "clawbucket_rack_bus_failures_total 0.0",
        "clawbucket_rack_reconcile_seconds_count",
        "# TYPE clawbucket_rack_restarts_total counter",
    ):
        assert name in page

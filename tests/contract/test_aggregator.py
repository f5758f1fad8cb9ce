from __future__ import annotations

import pytest
from flask.testing import FlaskClient

from aggregator.factory import HEADERS, create_app
from aggregator.reading import MAX_AGE, Reader
from clawbucket import codecs, keys
from clawbucket.bus.memory import MemoryBus
from clawbucket.codecs import Gate
from clawbucket.core.model import ArmState
from clawbucket.core.records import ArmEvent
from clawbucket.health import Health
from clawbucket.settings import Settings
from tests.fakes import FakeClock

ROUTES = ["/", "/healthz", "/livez", "/readyz", "/metrics", "/api/scoreboard"]


class Stage:
    """An aggregator on a bus that a test fills, cuts off and wipes."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.bus = MemoryBus(self.clock)
        self.seq = 0
        self.events: list[ArmEvent] = []
        health = Health()
        health.register("bus", self.bus.ping)
        reader = Reader(self.bus, Gate(self.clock), self.clock)
        self.client: FlaskClient = create_app(Settings(label="<Rack>"), reader, health).test_client()

    def arm(self, task: str, state: str, bot: str = "Brave Otter") -> None:
        """Put one more event on the bus."""
        self.seq += 1
        self.events.append(
            ArmEvent(f"e{self.seq}", self.seq, task, bot, ArmState(state), self.clock.iso(), "dashboard")
        )
        self.publish(self.events)

    def publish(self, events: list[ArmEvent]) -> None:
        """Make the journal hold exactly these, and let what was read become old."""
        key = keys.ARM_EVENTS
        self.bus.set(key.of(), codecs.ARM_EVENTS.encode(events), key.ttl)
        self.clock.advance(MAX_AGE)

    def scoreboard(self) -> dict[str, object]:
        """What the API says."""
        answer = self.client.get("/api/scoreboard")
        assert answer.status_code == 200
        said = answer.get_json()
        assert isinstance(said, dict)
        return said


@pytest.fixture
def stage() -> Stage:
    """A fresh one."""
    return Stage()


def test_healthz(stage: Stage):
    """/healthz says ok, as the contract spells it."""
    answer = stage.client.get("/healthz")
    assert (answer.status_code, answer.get_json()) == (200, {"ok": True})


def test_scoreboard_fields(stage: Stage):
    """The answer has the contract's fields, of the contract's kinds, and no others."""
    at = stage.clock.iso()
    stage.arm("t1", "on")
    said = stage.scoreboard()
    assert set(said) == {"events", "scoreboard", "scoring", "state_rule", "source"}
    assert (said["events"], said["source"]) == (1, "memcached")
    assert said["scoreboard"] == [
        {
            "bot": "Brave Otter", "task_id": "t1", "on": 1, "off": 0, "toggles": 1, "score": 1,
            "current_on_state": 1, "last_state": "on", "last_event_at": at,
        }
    ]  # fmt: skip


def test_an_empty_swarm_has_an_empty_scoreboard(stage: Stage):
    """No events is a true answer, not an error."""
    said = stage.scoreboard()
    assert (said["events"], said["scoreboard"]) == (0, [])


def test_bus_down_shows_the_last_known(stage: Stage):
    """While the bus is away the last scoreboard stands, with how long the bus has been silent."""
    stage.arm("t1", "on")
    before = stage.scoreboard()
    stage.bus.down = True
    stage.clock.advance(7)
    said = stage.scoreboard()
    assert said.pop("stale_seconds") == 7.0
    assert said == before
    assert b"does not answer (for 7 s)" in stage.client.get("/").data
    stage.bus.down = False
    stage.clock.advance(MAX_AGE)
    assert "stale_seconds" not in stage.scoreboard()


def test_bus_never_up(stage: Stage):
    """A bus that never answered is a 503 that says when to come back."""
    stage.bus.down = True
    answer = stage.client.get("/api/scoreboard")
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "2"
    assert answer.get_json() == {"error": "the memory bus was cut off", "code": "bus_down"}
    assert stage.client.get("/").status_code == 503


def test_a_wiped_bus_forgets_nothing_here(stage: Stage):
    """After a wipe, and while the journal is only half healed, every known event still counts."""
    stage.arm("t1", "on")
    stage.arm("t2", "on")
    before = stage.scoreboard()
    stage.bus.wipe()
    stage.clock.advance(MAX_AGE)
    assert stage.scoreboard() == before
    stage.publish(stage.events[1:])
    assert stage.scoreboard() == before


@pytest.mark.parametrize("poison", [b"", b"{", b"[1]", b'[{"id":"x"}]', b"[" * 100_000, b"\xff" * 400_000])
def test_poison_is_no_event(stage: Stage, poison: bytes):
    """Whatever lies under the key, the last good scoreboard stands."""
    stage.arm("t1", "on")
    before = stage.scoreboard()
    stage.bus.set(keys.ARM_EVENTS.of(), poison, 60)
    stage.clock.advance(MAX_AGE)
    assert stage.scoreboard() == before


def test_many_readers_ask_the_bus_once(stage: Stage, monkeypatch: pytest.MonkeyPatch):
    """The bus is asked at most once in 250 ms, however many people ask."""
    asked: list[str] = []
    get = stage.bus.get

    def counted(key: str) -> bytes | None:
        asked.append(key)
        return get(key)

    monkeypatch.setattr(stage.bus, "get", counted)
    for _ in range(20):
        stage.scoreboard()
    assert len(asked) == 1


def test_names_are_escaped(stage: Stage):
    """A hostile bot's name is text on the page, and so is the label."""
    stage.arm("t1", "on", bot="<script>alert(1)</script>")
    html = stage.client.get("/").get_data(as_text=True)
    assert "<script>alert" not in html
    assert "&lt;script&gt;alert(1)" in html
    assert "&lt;Rack&gt;" in html


def test_readyz_tells_of_the_bus(stage: Stage):
    """Ready while the bus answers, and when not, a sentence of what is wrong."""
    assert stage.client.get("/readyz").get_json() == {"ok": True, "checks": {"bus": "ok"}}
    stage.bus.down = True
    answer = stage.client.get("/readyz")
    assert answer.status_code == 503
    assert answer.get_json() == {"ok": False, "checks": {"bus": "the memory bus was cut off"}}


def test_metrics(stage: Stage):
    """The exposition counts requests by route and tells how stale the bus is."""
    stage.arm("t1", "on")
    stage.scoreboard()
    text = stage.client.get("/metrics").get_data(as_text=True)
    assert "clawbucket_aggregator_arm_events 1.0" in text
    assert "clawbucket_aggregator_bus_stale_seconds 0.0" in text
    assert 'requests_total{endpoint="scoreboard.scoreboard",status="200"} 1.0' in text


@pytest.mark.parametrize("path", [*ROUTES, "/nowhere"])
def test_every_answer_is_sealed(stage: Stage, path: str):
    """Security headers and no caching, on every route and on errors."""
    headers = stage.client.get(path).headers
    assert all(headers[name] == value for name, value in HEADERS.items())
    assert headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_it_takes_no_orders(stage: Stage, path: str, method: str):
    """Anything but asking is refused in the contract's form."""
    answer = stage.client.open(path, method=method)
    assert answer.status_code == 405
    assert answer.get_json()["code"] == "method_not_allowed"
    assert "GET" in answer.headers["Allow"]


def test_not_found(stage: Stage):
    """A wrong path is told where the scoreboard is."""
    answer = stage.client.get("/scores")
    assert (answer.status_code, answer.get_json()["code"]) == (404, "not_found")

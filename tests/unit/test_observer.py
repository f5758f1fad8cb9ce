from __future__ import annotations

import threading

import pytest
from structlog.testing import capture_logs

from clawbucket import codecs, keys
from clawbucket.bus.memory import MemoryBus
from clawbucket.core.model import Snapshot
from clawbucket.ports import EngineDown
from rack import observer as room
from rack.metrics import Metrics
from rack.observer import Observer
from tests.fakes import FakeClock
from tests.stub_engine import StubEngine


class Post:
    """An observer with all that it stands on."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.engine = StubEngine()
        self.bus = MemoryBus(self.clock)
        self.metrics = Metrics()
        self.observer = Observer(self.engine, self.bus, self.clock, self.metrics, "BOT 1")

    def on_bus(self) -> Snapshot | None:
        raw = self.bus.get(keys.SNAPSHOT.of())
        return codecs.SNAPSHOT.decode(raw) if raw else None

    def count(self, name: str) -> float:
        return self.metrics.registry.get_sample_value(name) or 0.0


@pytest.fixture
def post() -> Post:
    """A fresh one for each test."""
    return Post()


def test_numbers_start_at_birth_and_rise_by_one(post: Post) -> None:
    """The first number is above the start's unix milliseconds, and each publication has the next one."""
    born = post.clock.wall_ms()
    numbers = [post.observer.publish().snapshot.seq for _ in range(3)]
    assert numbers == [born + 1, born + 2, born + 3]


def test_bus_and_api_get_the_same(post: Post) -> None:
    """What is on the bus is what the API's callers get, in the same bytes."""
    publication = post.observer.publish()
    assert post.bus.get(keys.SNAPSHOT.of()) == publication.body
    assert post.on_bus() == publication.snapshot == post.observer.latest()
    assert post.count("clawbucket_rack_snapshot_publications_total") == 1


def test_bus_outage_is_logged_once_and_heals(post: Post) -> None:
    """While the bus is down the API goes on; the log has one line for the outage and one for its end."""
    with capture_logs() as lines:
        post.bus.down = True
        for _ in range(3):
            post.observer.publish()
        post.bus.down = False
        post.observer.publish()
        post.observer.publish()
    assert [line["event"] for line in lines] == ["bus does not take snapshots", "bus takes snapshots again"]
    assert post.count("clawbucket_rack_bus_failures_total") == 3
    assert post.on_bus() == post.observer.latest()


def test_snapshot_beyond_its_bound_is_not_stored(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    """What no reader would accept is not put on the bus; the API still serves it."""
    monkeypatch.setattr(keys, "SNAPSHOT", keys.Key("clawbucket:engine:snapshot", 60, 100, "small"))
    publication = post.observer.publish()
    assert post.bus.get("clawbucket:engine:snapshot") is None
    assert post.observer.wait(0, 0.0) is publication


def test_engine_that_is_down_is_part_of_the_news(post: Post) -> None:
    """The last that the engine said goes on being published, with the sentence why it is old."""
    before = post.observer.publish().snapshot
    post.engine.fails = EngineDown("the engine is gone")
    after = post.observer.publish().snapshot
    assert (after.tasks, after.error, after.seq) == (before.tasks, "the engine is gone", before.seq + 1)
    post.engine.fails = None
    assert post.observer.publish().snapshot.error is None


def test_engine_is_asked_by_publications_alone(post: Post) -> None:
    """However many wait for the snapshot, the engine is asked once."""
    post.observer.publish()
    for _ in range(100):
        post.observer.wait(0, 0.0)
    assert post.engine.calls() == 1


def test_wait_returns_what_the_caller_does_not_have(post: Post) -> None:
    """Nothing for who has the latest, at once for who has an older or a foreign number."""
    publication = post.observer.publish()
    seq = publication.snapshot.seq
    assert post.observer.wait(seq, 0.0) is None
    assert post.observer.wait(seq - 1, 0.0) is publication
    assert post.observer.wait(seq + 10_000, 0.0) is publication


def test_wait_before_the_first_publication_is_nothing(post: Post) -> None:
    """There is nothing to have yet."""
    assert post.observer.wait(0, 0.0) is None
    assert post.observer.latest() is None


def test_a_change_is_published_at_once(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread publishes at each change of the engine, long before its second is over."""
    monkeypatch.setattr(room, "AT_LEAST_EVERY", 30.0)
    post.observer.start()
    first = post.observer.wait(0, 5.0)
    assert first is not None
    seen = first.snapshot.seq
    threading.Thread(target=post.engine.change).start()
    later = post.observer.wait(seen, 5.0)
    assert later is not None
    assert later.snapshot.seq > seen
    post.observer.stop()
    post.engine.change()
    post.observer._thread.join(timeout=5.0)
    assert not post.observer._thread.is_alive()


def test_silence_is_broken_every_second(post: Post) -> None:
    """The engine is asked to wait no longer than the promised second."""
    asked = []
    post.engine.wait_change = lambda after, timeout: asked.append((after, timeout)) or 7  # type: ignore[method-assign, func-returns-value]
    assert post.observer.step(3) == 7
    assert asked == [(3, 1.0)]

"""./claw bench sse: what it counts, and that it counts what is there."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from app.fanout import frame
from bench import sse, sse_limit, viewers
from bench.generator_process import generator

DELTA = {"tasks": {"a": {"score": 1}}, "rps": {"state": "rock", "at": "100.500000"}}
BODY = (
    b"retry: 1000\n\n"
    + frame("t-1", "snapshot", {**DELTA, "rack": "R"}, 1_000)
    + frame("t-2", "delta", DELTA, 2_000)
    + frame("t-3", "ping", {"viewers": 1}, 2_500)
    + frame("t-4", "delta", {"swarm": {"running": 3}}, 3_000)
)


def test_the_limit_plays_what_was_recorded():
    """The first picture, then only the deltas that say when they were due."""
    whole, deltas = sse_limit.pieces(BODY)
    assert whole == frame("t-1", "snapshot", {**DELTA, "rack": "R"}, 1_000)
    assert deltas == [frame("t-2", "delta", DELTA, 2_000)]


def test_the_limit_says_when_its_event_was_due_and_made():
    """The recorded times are replaced, the chunk's length is right, and the viewers find both."""
    event = sse_limit.timed(sse_limit.pieces(BODY)[1][0], 123.25)
    size, _, rest = event.partition(b"\r\n")
    assert int(size, 16) == len(rest) - 2
    due, made = viewers.DUE.search(rest), viewers.MADE.search(rest)
    assert due is not None
    assert made is not None
    assert float(due[1]) == 123.25
    assert int(made[1]) == pytest.approx(1_000 * time.time(), abs=10_000)


@pytest.mark.parametrize("piece", [1, 7, 50, 10_000])
def test_viewers_count_events_however_they_are_torn(piece: int):
    """Between any two bytes: one first picture, and the lag of each later event that says when it was due."""
    now = time.monotonic()
    told = [
        sse_limit.timed(event, now) for event in (*sse_limit.pieces(BODY)[:1], *sse_limit.pieces(BODY)[1])
    ]
    raw = sse_limit.HEAD + b"D\r\nretry: 1000\n\n\r\n" + told[0] + 3 * told[1]

    async def watch() -> viewers.Counted:
        counted = viewers.Counted(begin=now - 1.0)
        viewer = viewers.Viewer("localhost", counted)
        for start in range(0, len(raw), piece):
            part = raw[start : start + piece]
            viewer.get_buffer(-1)[: len(part)] = part
            viewer.buffer_updated(len(part))
        return counted

    counted = asyncio.run(watch())
    assert (len(counted.connects), len(counted.firsts), counted.refused) == (1, 1, 0)
    assert (len(counted.lags), len(counted.deliveries), counted.bytes) == (3, 3, len(raw))


def test_a_refusal_is_counted_and_is_no_first_picture():
    """503 instead of a stream."""

    async def watch() -> viewers.Counted:
        counted = viewers.Counted()
        viewer = viewers.Viewer("localhost", counted)
        answer = b"HTTP/1.1 503 SERVICE UNAVAILABLE\r\nContent-Length: 2\r\n\r\n{}"
        viewer.get_buffer(-1)[: len(answer)] = answer
        viewer.buffer_updated(len(answer))
        await viewer.greeted
        return counted

    counted = asyncio.run(watch())
    assert (counted.refused, counted.connected, counted.firsts) == (1, 0, [])


def watched(lag: float) -> sse.Watched:
    """One run of a hundred events that were all as late."""
    told = {
        "lags": [lag] * 100,
        "deliveries": [lag / 2] * 100,
        "connects": [1.0],
        "firsts": [2.0],
        "bytes": 10,
    }
    return sse.Watched({**told, "viewers": 1_000, "refused": 0}, 10.0, {path: [lag] for path in sse.HEALTH})


def test_the_bars_are_for_a_thousand_viewers():
    """Lag and health of 1,000 are held to them, of other crowds only reported; who was cut off always is."""
    late = {f.name: f.met for f in sse.figures(1_000, watched(501.0), watched(10.0)) if f.bar}
    assert late == {
        "1000 viewers of 1000 tiles: event lag, p99": False,
        "1000 viewers of 1000 tiles: /livez, p99": False,
        "1000 viewers of 1000 tiles: /readyz, p99": False,
        "1000 viewers of 1000 tiles: cut off": True,
    }
    assert all(f.met for f in sse.figures(1_000, watched(99.0), watched(10.0)) if f.bar)
    assert [f.name for f in sse.figures(100, watched(501.0), watched(10.0)) if f.bar] == [
        "100 viewers of 1000 tiles: cut off"
    ]


@pytest.mark.slow
def test_a_small_crowd_is_measured(tmp_path: Path):
    """Five viewers of a real replica and of the limit: events, health and the processor's share are there."""
    recorded = tmp_path / "stream"
    with generator(20) as url:
        recorded.write_bytes(sse.record(url, 2.0))
        ours = sse.watched(url, 5, 2.0, deaf=1)
    with sse._limit(recorded) as url:
        limit = sse.watched(url, 5, 2.0)
    for found in (ours, limit):
        assert (found.told["viewers"], found.told["refused"]) == (5, 0)
        assert len(found.told["lags"]) >= 5
        assert all(found.health[path] for path in sse.HEALTH)
    assert ours.processor > 0

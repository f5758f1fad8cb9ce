"""Twenty troopers that think, on one slow Ollama: whether their heartbeats, leases and rounds mind."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

import pytest

from bench.election import settled
from bench.figures import percentile
from bench.rack import RunningRack, rack, wait_until
from tests.cluster.conftest import SECOND, SERVICE
from tests.cluster.vigil import Vigil, spread, vigil
from tests.fake_ollama_process import FakeOllama
from tests.history import read_logs

REPLICAS, TROOPERS = 10, 20
ANSWERS_IN, AT_ONCE = 2.0, 2
"""Seconds that the model takes for an answer, and how many it works on at once: one answer a second. Twenty
troopers want two words' turns every three seconds, and a haiku every two minutes."""
MOST_OPEN = 12
"""Turns at Ollama at once, those that wait there included. By the stagger two or three; while ``@all`` is
answered, another every two seconds, they are more than it can do, and some wait."""
WATCHED, BASELINE = 64.0, 12.0
"""Seconds of each vigil: two turns of every trooper's words; and some of a rack that does not think."""
CALLED_AFTER = 10.0
INTERVAL = 2
"""Seconds between two rounds: with the shortest, leaders have most to do."""


@contextmanager
def squads(**environ: str) -> Iterator[RunningRack]:
    """A rack of 10 + 10 whose managers lead."""
    with rack("--replicas", str(REPLICAS), environ=environ) as running:
        running.wait_running(TROOPERS, timeout=60.0)
        running.ask("POST", "/api/rps/config", {"interval_seconds": INTERVAL})
        settled(running)
        yield running


def watched(running: RunningRack, seconds: float, *, call: bool = False) -> Vigil:
    """What was seen of it in so many seconds; with ``call``, all are asked something meanwhile."""
    began, at = time.time(), time.monotonic()

    def over(after: float) -> bool:
        return time.monotonic() - at > after

    with vigil(running) as seen:
        if call:
            wait_until("it is time to call", lambda: over(CALLED_AFTER), CALLED_AFTER + 5.0)
            body = running.ask("POST", "/api/chat", {"text": "@all report"})[1]
            assert len(body["addressed"]) == TROOPERS
        wait_until("the vigil is over", lambda: over(seconds), seconds + 5.0)
    reigns = read_logs(running.logs(), {}).reigns
    assert [r for r in reigns if r.begin > began or began < r.end < float("inf")] == [], "a leadership moved"
    return seen


def answers(running: RunningRack) -> int:
    """How many agents have answered in the chat."""
    messages = running.ask("GET", "/api/chat")[1]["messages"]
    return sum(message["source"] == "picoclaw" for message in messages)


def report(what: str, seen: Vigil) -> None:
    """Print the figures of one vigil."""
    print(f"\n{what}, {seen.looks[-1] - seen.looks[0]:.0f} s:")
    print(f"  a heartbeat was late by   {spread(seen.lateness())}")
    for service in (SERVICE, SECOND):
        print(f"  a lease was renewed after {spread(seen.gaps(service))}  {service}")
    print(f"  between two rounds        {spread([b[0] - a[0] for a, b in pairwise(seen.rounds)])}")
    print(f"  the observer looked every {spread(seen.blinks())}")


def judge(seen: Vigil) -> None:
    """No beat was missed, no lease was near its end (1 s), none moved, and rounds went on."""
    assert len(seen.beats) == TROOPERS
    length = seen.looks[-1] - seen.looks[0]
    assert all(len(moved) >= length / 2.0 - 1 for moved in seen.beats.values())
    assert percentile(seen.lateness(), 0.99) < 0.5
    assert max(seen.lateness()) < 2.0
    for service in (SERVICE, SECOND):
        assert len(seen.epochs(service)) == 1
        assert max(seen.gaps(service)) < 1.0
    numbers = [number for _, number in seen.rounds]
    assert all(after > before for before, after in pairwise(numbers))
    assert len(numbers) >= 0.8 * length / INTERVAL


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_twenty_troopers_on_one_slow_ollama_beat_and_lead_as_ever():
    """Ollama answers one turn a second, which is 1.5 times what the words of twenty want.

    For forty seconds of the vigil ``@all`` wants another half a turn a second: more than it can do, so that
    turns wait, and a trooper's own wait behind what it was asked. Nothing of that reaches a heartbeat or a
    lease. Nine of ten troopers still speak by themselves, since a turn may wait for 16 of its 18 seconds.
    With much less capacity than that the phrase book would speak, which is right and not tested here.
    """
    with squads(PICOCLAW_ENABLED="false", OLLAMA_URL="") as quiet:
        without = watched(quiet, BASELINE)
    ollama = FakeOllama(delay=ANSWERS_IN, parallel=AT_ONCE)
    ollama.start()
    try:
        with squads(OLLAMA_URL=ollama.url) as running:
            thinking = watched(running, WATCHED, call=True)
            sources = Counter(replica["words_source"] for replica in running.replicas())
            wait_until("all have answered", lambda: answers(running) == TROOPERS, 20.0)
            told = ollama.seen()
    finally:
        ollama.stop()
    report("Twenty troopers without agents", without)
    report("Twenty troopers on one Ollama", thinking)
    longest = max(request["queued"] for request in told["requests"])
    print(f"  turns at once: {told['most_open']} ({told['most_running']} worked on); {told['total']} in all")
    print(f"  waited longest: {longest:.1f} s; words from: {dict(sources)}")
    late, before = (percentile(seen.lateness(), 0.99) for seen in (thinking, without))
    print(f"  p99 lateness with agents to without: {late / max(before, 0.001):.2f}")
    judge(without)
    judge(thinking)
    assert told["most_open"] <= MOST_OPEN
    assert told["most_running"] == AT_ONCE
    assert sources["picoclaw"] + sources["ollama"] >= 0.9 * TROOPERS

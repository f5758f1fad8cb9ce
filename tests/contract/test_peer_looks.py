"""A look at another rack: what it is summed up to, and what is told of one that cannot be seen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from clawbucket.core.callsign import name_of
from clawbucket.core.neighbours import MOST_TROOPERS, PeerSummary, PeerTrooper
from clawbucket.handoff.peer_http import HttpPeers
from clawbucket.handoff.signing import SCHEME
from clawbucket.ports import ClawError
from tests.contract.peer_stand_in import BROKEN, STRANGE, TASK, each_call, error, says
from tests.fakes import FakeClock


def squad(service: str, scores: list[int], **more: object) -> dict[str, Any]:
    """A service as /api/swarms tells of it."""
    return {
        "service": service, "desired_replicas": len(scores) + 1, "running_count": len(scores),
        "replicas": [{"id": f"t{n}", "score": score, "name": "?"} for n, score in enumerate(scores)],
        "manager_task_id": TASK, "manager_confirmed": True,
    } | more  # fmt: skip


def test_a_look_sums_a_rack_up(serve, peers):
    """Over all services, with the primary's manager; it needs no key and shows none."""
    other = squad("b", [1, 2], manager_task_id="other")
    body = {"swarms": [other, squad("a", [-5, 3, 4])], "rack": "Rack 2", "primary": "a", "x": 1}
    server = serve(says(200, body))
    for one in (peers, HttpPeers(None, FakeClock())):
        seen = one.look("two", server.url)
        assert replace(seen, troopers=()) == PeerSummary(
            "two", server.url, True, "Rack 2", 5, 7, name_of(TASK), 5, seen.at
        )
        assert [(t.service, t.id, t.score) for t in seen.troopers] == [
            ("b", "t0", 1), ("b", "t1", 2), ("a", "t0", -5), ("a", "t1", 3), ("a", "t2", 4),
        ]  # fmt: skip
    assert seen.at == FakeClock().iso()
    assert [heard[:2] for heard in server.heard] == [("GET", "/api/swarms")] * 2
    assert not any(SCHEME in str(headers) for _, _, headers, _ in server.heard)


@pytest.mark.parametrize(
    "more", [{"manager_confirmed": False}, {"manager_task_id": None}, {"service": "another"}]
)
def test_a_manager_is_told_when_confirmed(serve, peers, more):
    """A rack without one has none."""
    seen = peers.look(
        "two", serve(says(200, {"swarms": [squad("a", [1]) | more], "rack": "", "primary": "a"})).url
    )
    assert (seen.reachable, seen.manager) == (True, "")


def test_a_large_rack_is_seen(serve, peers):
    """Far more troopers than two racks ever have still fit."""
    body = {"swarms": [squad("a", [1] * 1_000)], "rack": "R" * 99, "primary": "a", "pad": "x" * 400_000}
    seen = peers.look("two", serve(says(200, body)).url)
    assert (seen.running, seen.score, seen.label) == (1_000, 1_000, "R" * 40)
    assert (len(seen.troopers), seen.more) == (MOST_TROOPERS, 1_000 - MOST_TROOPERS)


def test_its_troopers_are_seen_as_it_tells_of_them(serve, peers):
    """What each is and says, on one line and cut to what a tile shows; whoever has no id is only counted."""
    replica = {
        "id": TASK, "slot": 2, "state": "running", "freshness": "suspect", "arm": "on", "score": 4,
        "three_words": "<b>iron</b>\n\tfog\x00" + "\N{BOMB}" * 99, "is_manager": True, "frozen": True, "x": 1,
    }  # fmt: skip
    body = {"swarms": [squad("stack_a", [], replicas=[replica, {"score": 1}])], "rack": "R", "primary": "a"}
    seen = peers.look("two", serve(says(200, body)).url)
    words = "<b>iron</b>  fog " + "\N{BOMB}" * 33
    assert seen.troopers == (
        PeerTrooper(TASK, "a", 2, "running", "suspect", "on", 4, words, is_manager=True, frozen=True),
    )
    assert (seen.more, seen.score) == (1, 5)


@pytest.mark.parametrize(
    "wrong",
    [
        {"id": "../x"}, {"id": "x" * 65}, {"slot": -1}, {"slot": "1"}, {"state": "<b>"}, {"arm": "maybe"},
        {"freshness": "x"}, {"three_words": 3}, {"is_manager": "yes"}, {"frozen": None},
    ],
)  # fmt: skip
def test_a_trooper_that_is_none_is_not_believed(serve, peers, wrong):
    """One that no rack would tell of so makes the whole answer another one's than a rack's."""
    body = {
        "swarms": [squad("a", [], replicas=[{"id": "t1", "score": 1} | wrong])],
        "rack": "R",
        "primary": "a",
    }
    assert "not as a rack does" in peers.look("two", serve(says(200, body)).url).problem


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (says(200, b"<html>"), "not as a rack does"),
        (says(200, {"swarms": []}), "not as a rack does"),
        (says(200, {"swarms": [squad("a", [10**9 + 1])], "rack": "", "primary": "a"}), "not as a rack does"),
        (
            says(200, {"swarms": [squad("a", [], running_count=-1)], "rack": "", "primary": "a"}),
            "not as",
        ),
        (says(200, {"swarms": [], "rack": "", "primary": "", "pad": "x" * 600_000}), "longer than"),
        (says(503, error("no_replica")), "no replica of it is ready"),
        (says(418), "it answers 418"),
    ],
)
def test_a_peer_that_cannot_be_seen_is_told_of(serve, peers, answer, problem):
    """A look never fails: it says what the matter is."""
    seen = peers.look("two", serve(answer).url)
    assert not seen.reachable
    assert problem in seen.problem
    assert (seen.running, seen.desired, seen.manager, seen.score, seen.label) == (0, 0, "", 0, "")


def test_a_score_stays_plausible(serve, peers):
    """A sum beyond what the bus takes for a number is held at the edge, and no poison."""
    body = {"swarms": [squad("a", [10**9] * 3)], "rack": "", "primary": "a"}
    assert peers.look("two", serve(says(200, body)).url).score == 10**9


@pytest.mark.slow
def test_every_failure_can_be_explained(serve, peers):
    """Whatever happens comes out as a failure with a sentence."""
    for act in (*BROKEN, *STRANGE):
        server = serve(act)
        for call in each_call(peers, server.url):
            with pytest.raises(ClawError) as caught:
                call()
            assert 20 < len(str(caught.value)) < 400
            assert "\n" not in str(caught.value)

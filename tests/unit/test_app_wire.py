"""The board in the contract's words, and requests out of forms."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from app import answers, schemas, wire
from app.errors import _sentence
from app.intake import _typed
from app.security import authority, name_of_host
from clawbucket.core.board import Squad, Trooper
from clawbucket.core.neighbours import PeerSummary
from clawbucket.core.revolt import Phase, RevoltEvent
from tests.stage import PRIMARY, SERVICES, Stage


@pytest.fixture
def board():
    """What a populated rack shows."""
    return Stage().services.board.board()


def test_a_replica_shows_every_field_of_its_trooper(board):
    """Nothing that the board knows of a trooper is left out."""
    said = wire.replica(board.squads[0].replicas[0])
    assert said.keys() == {spec.name for spec in fields(Trooper)} | {"thinking"}
    answers.Replica.model_validate(said)


def test_a_replica_that_came_from_nowhere_else_says_so(board):
    """``from_rack`` is null, and the label where there is one."""
    trooper = board.squads[0].replicas[0]
    assert wire.replica(trooper)["from_rack"] is None
    said = wire.replica(replace(trooper, from_rack="Rack B", frozen=True, defected=True))
    assert (said["from_rack"], said["frozen"], said["defected"]) == ("Rack B", True, True)
    answers.Replica.model_validate(said)


def test_handoffs_are_told_as_the_contract_has_them(board):
    """Every field of an event but its place in the list; the phase in its own word."""
    event = RevoltEvent("h-x", 9, "at", "s", "t", PRIMARY, "A", "B", "h", Phase.IN_DOUBT, "why")
    said = wire.revolt_events(replace(board, revolts=(event,), stale_seconds=2.0))
    answers.RevoltEvents.model_validate(said)
    assert said["events"][0].keys() == {spec.name for spec in fields(RevoltEvent)} - {"seq"}
    assert said["events"][0]["phase"] == "IN_DOUBT"
    assert (said["source"], said["stale_seconds"]) == ("memcached", 2.0)
    assert wire.revolt_events(board) == {"events": [], "source": "memcached"}


def test_a_peer_is_told_by_its_name():
    """Every field of its summary but its name, by which it is found, and the time of the look."""
    peer = PeerSummary("b", "http://b", False, "", 0, 0, "", 0, "at", "nothing answers")
    told = {spec.name for spec in fields(PeerSummary)}
    assert wire.peer(peer).keys() == (told - {"name", "at", "troopers", "more", "last_seen"}) | {"mark"}
    assert wire.peer(peer)["problem"] == "nothing answers"
    assert wire.peer(replace(peer, problem=""))["problem"] is None
    assert wire.peer(replace(peer, at="later"))["mark"] == wire.peer(peer)["mark"]
    assert wire.peer(replace(peer, more=1))["mark"] != wire.peer(peer)["mark"]


def test_a_service_shows_every_field_of_its_squad(board):
    """Nothing that the board knows of a service is left out; ``error`` is there only where there is one."""
    squad = board.squads[0]
    everything = {spec.name for spec in fields(Squad)}
    assert wire.swarm(squad).keys() == everything - {"error"}
    assert wire.swarm(replace(squad, error="gone")).keys() == everything


def test_circumstances_are_told_only_when_something_is_wrong(board):
    """A silent rack manager, a failing engine and a dead bus each add their field, and only then."""
    assert wire.swarms(board).keys() == {"swarms", "rack", "primary"}
    unwell = replace(board, stale_seconds=1.5, snapshot_age_seconds=9, engine_error="gone")
    said = wire.swarms(unwell)
    assert (said["stale_seconds"], said["snapshot_age_seconds"], said["engine_error"]) == (1.5, 9, "gone")
    answers.Services.model_validate(said)
    answers.PrimaryService.model_validate(wire.primary_swarm(unwell, unwell.squads[0]))


def test_unread_services_are_zeros():
    """Before anything was read, each service carries the reason."""
    said = wire.swarms_unread(SERVICES, "nothing yet")
    answers.Services.model_validate(said)
    assert [(s["service"], s["error"], s["replicas"]) for s in said["swarms"]] == [
        (name, "nothing yet", []) for name in SERVICES
    ]


def test_form_text_becomes_numbers_only_where_numbers_are_meant():
    """Digits of a whole-number field are a number; everything else stays text."""
    assert _typed(schemas.Scale, {"replicas": "3", "service": "7"}) == {"replicas": 3, "service": "7"}
    assert _typed(schemas.Scale, {"replicas": "-3"}) == {"replicas": -3}
    for text in ("3.0", " 3", "0x3", "1e1", "٣", "--3", ""):
        assert _typed(schemas.Scale, {"replicas": text}) == {"replicas": text}
    assert _typed(schemas.Say, {"text": "3", "other": "x"}) == {"text": "3"}
    assert _typed(schemas.SetArm, {"bot": "", "state": ""}) == {"state": ""}


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("localhost:8080", "localhost"), ("LOCALHOST", "localhost"), ("[::1]:80", "::1"), ("[::1]", "::1"),
        ("a.b.:1", "a.b"), ("", ""), (":80", ""), ("[", ""),
    ],
)  # fmt: skip
def test_a_host_header_is_taken_apart(header, name):
    """The name, without port, brackets, case and final dot."""
    assert name_of_host(header) == name


def test_authorities_are_compared_without_the_usual_ports():
    """80 and 443 go without saying."""
    assert authority("Localhost:80") == authority("localhost") == authority("localhost:443")
    assert authority("localhost:8080") != authority("localhost")


def test_a_ports_failure_is_told_as_a_sentence():
    """A capital letter and a full stop, whatever the port said."""
    assert _sentence("the bus is down") == "The bus is down."
    assert _sentence("is it running?") == "Is it running?"
    assert _sentence("") == "Something failed."


def test_whoami_is_of_this_replica():
    """The primary's first task on the stage."""
    assert Stage().client().get("/api/whoami").get_json()["service"] == PRIMARY

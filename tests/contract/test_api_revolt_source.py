"""POST /api/revolt: a trooper changes sides, or stays because it cannot leave."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from werkzeug.serving import WSGIRequestHandler, make_server

from app import handoff_models
from app import revolt as revolt_room
from clawbucket import keys
from clawbucket.core.callsign import name_of
from clawbucket.core.revolt import Phase
from clawbucket.handoff.offers import decode_offer
from clawbucket.settings import Peer
from tests.contract.api_form import refused, told
from tests.contract.peer_stand_in import signs
from tests.contract.revolt_rig import ID, ONE, TWO, PeerCaller, RevoltRig, offer_to
from tests.contract.revolt_sides import NOWHERE, kinds, leaving, peer, revolt, takes_it, unharmed, untouched
from tests.hive import PRIMARY, SECOND

pytestmark = pytest.mark.slow

rack = pytest.fixture(leaving)


# It changes sides ---------------------------------------------------------------------------------------


class Quiet(WSGIRequestHandler):
    """Its requests are not told of."""

    def log(self, *_args: object) -> None:
        """Nobody reads it."""


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Callable[..., tuple[RevoltRig, str]]]:
    """Have the other rack answer on loopback: itself, and its URL."""
    with ExitStack() as held:

        def begin(**more: Any) -> tuple[RevoltRig, str]:
            rig = RevoltRig(tmp_path / "target", TWO, **more)
            server = make_server("127.0.0.1", 0, rig.app, request_handler=Quiet)
            thread = threading.Thread(target=server.serve_forever, args=(0.02,))
            held.callback(server.server_close)
            held.callback(thread.join)
            held.callback(server.shutdown)
            thread.start()
            return rig, f"http://127.0.0.1:{server.server_port}"

        yield begin


def test_a_trooper_changes_sides(there, rack):
    """202 with all that the contract has; the other rack has it with its score, and here its task ends."""
    two, url = there()
    one = rack(url)
    me = one.tasks()[-1]
    one.memory(me).card = type(one.memory(me).card)(1_000, one.memory(me).card.round)
    before = set(two.tasks())
    said = told(revolt(one, service="clawbucket"), 202, handoff_models.Revolted)
    (new,) = set(two.tasks()) - before
    handoff, event = said["snapshot_id"], said.pop("event")
    assert said == {
        "ok": True, "service": PRIMARY, "source_task_id": me, "target_task_id": new, "peer": url,
        "snapshot_id": handoff, "source_snapshot_path": f"{one.directory}/{handoff}.json",
        "target_snapshot_path": f"{two.directory}/{handoff}.accepted.json", "source_desired_replicas": 2,
        "status": "revolted",
    }  # fmt: skip
    assert event.pop("at")
    assert event == {
        "id": f"{handoff}-committed", "source_task_id": me, "target_task_id": new, "service": PRIMARY,
        "source_rack": ONE, "target_rack": TWO, "snapshot_id": handoff, "phase": "COMMITTED", "reason": "",
    }  # fmt: skip
    assert abs(two.memory(new).card.score - 1_000) <= 3
    assert two.memory(new).from_rack == ONE
    one.join_timers()
    assert me not in one.tasks()
    assert len(one.tasks()) == 2
    record = told(one.client().get(f"/api/revolt/{handoff}"), 200, handoff_models.Handoff)
    assert (record["side"], record["settled"], record["snapshot_path"]) == (
        "source", True, said["source_snapshot_path"],
    )  # fmt: skip
    assert [change["phase"] for change in record["phases"]] == ["PREPARED", "COMMITTED"]
    refused(revolt(one, me), 404, "task_unknown")


def test_the_events_tell_of_both_sides(there, rack):
    """GET /api/revolt/events: each rack has its own side's phases, under the handoff's id."""
    two, url = there()
    one = rack(url)
    handoff = told(revolt(one), 202, handoff_models.Revolted)["snapshot_id"]
    one.join_timers()
    for rig, phases in ((one, ["prepared", "committed"]), (two, ["accepted", "restored"])):
        rig.hive.run(0.5)
        events = rig.client().get("/api/revolt/events").get_json()["events"]
        assert [event["id"] for event in events] == [f"{handoff}-{phase}" for phase in phases]


def test_it_can_come_back(there, rack, serve):
    """A trooper that came from another rack can leave again at once, and takes along what it has by then."""
    home = serve(peer(hello=signs(200, {"rack": ONE, "services": []}), accept=takes_it))
    two, url = there(peer=home.url)
    one = rack(url)
    new = told(revolt(one), 202, handoff_models.Revolted)["target_task_id"]
    one.join_timers()
    score = two.memory(new).card.score
    two.hive.run(0.5)
    told(revolt(two, new), 202, handoff_models.Revolted)
    two.join_timers()
    assert abs(decode_offer(home.heard[-1][3]).state.score - score) <= 3
    assert new not in two.tasks()


def test_one_of_several_racks_can_be_named(rack, serve):
    """``peer`` is a name of the settings; an unknown one is 409, and the sentence has those there are."""
    server = serve(peer(accept=takes_it))
    rig = rack(peers=(Peer("alpha", NOWHERE), Peer("beta", server.url)))
    sentence = refused(revolt(rig, peer="gamma"), 409, "conflict")
    assert "alpha, beta" in sentence
    said = told(revolt(rig, peer="beta"), 202, handoff_models.Revolted)
    assert said["peer"] == server.url
    rig.join_timers()


def test_who_comes_into_the_slot_of_who_left_is_left_alone(rack, serve, monkeypatch):
    """The one who hands over may be the one who leaves, and its slot be filled for another handoff at once.

    Whoever finishes what it left open must not take the newcomer for one that replaced a dead task.
    """
    monkeypatch.setattr(revolt_room, "_retire", lambda *_args: None)
    server = serve(peer(accept=takes_it))
    rig = rack(server.url)
    last = rig.tasks()[-1]
    handoff = told(revolt(rig, last), 202, handoff_models.Revolted)["snapshot_id"]
    rig.join_timers()
    parts = rig.services.handoffs
    rig.orders.resize(PRIMARY, -1, f"{handoff}:retire", last)  # the last that it did before it ended
    came = parts.target._first(offer_to(ONE, from_rack=TWO), PRIMARY)
    rig.hive.run(0.5)
    came = replace(came, before=tuple(rig.tasks()))
    parts.registry.open(came, Phase.ACCEPTED)
    rig.orders.resize(PRIMARY, 1, f"{ID}:grow")
    rig.hive.run(0.2)
    new = rig.tasks()[-1]
    left = parts.source.retire(parts.registry.find(handoff, "source"))
    assert (left.settled, rig.claim(new)) == (False, None)
    said = told(PeerCaller(rig).accept(offer_to(ONE, from_rack=TWO)), 201, handoff_models.Accepted)
    assert said["target_task_id"] == new
    rig.finish(4.0)
    assert parts.registry.find(handoff, "source").settled
    assert new in rig.tasks()
    assert rig.claim(new) is None
    unharmed(rig, new)


def test_who_only_fills_the_slot_of_who_left_goes(rack, serve, monkeypatch):
    """Where the task died by itself before its slot was given up, who was started in its place ends."""
    monkeypatch.setattr(revolt_room, "_retire", lambda *_args: None)
    rig = rack(serve(peer(accept=takes_it)).url)
    last = rig.tasks()[-1]
    handoff = told(revolt(rig, last), 202, handoff_models.Revolted)["snapshot_id"]
    rig.join_timers()
    rig.orders.kill(last)
    heir = rig.tasks()[-1]
    before = set(rig.tasks())
    rig.orders.resize = lambda *_order: rig.hive.kill(heir)  # the hive's empties no slot of the dead
    rig.finish(4.0)
    assert rig.services.handoffs.registry.find(handoff, "source").settled
    assert before - set(rig.tasks()) == {heir}


# What is refused before anybody is asked ----------------------------------------------------------------


def test_without_another_rack_it_is_refused(tmp_path):
    """409 says what to start, or to set."""
    rig = RevoltRig(tmp_path / "source", ONE)
    assert "./claw racks" in refused(revolt(rig), 409, "conflict")
    untouched(rig, rig.tasks()[-1])


def test_without_a_key_it_is_refused(serve, rack):
    """502 names the setting; the other rack is not even asked."""
    server = serve(peer(accept=takes_it))
    rig = rack(server.url, peer_key=None)
    assert "CLAWBUCKET_PEER_KEY" in refused(revolt(rig), 502, "peer_refused")
    assert server.heard == []
    untouched(rig, rig.tasks()[-1])


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"service": PRIMARY, "task_id": "nobody"}, 404, "task_unknown"),
        ({"service": "nothing", "task_id": "LAST"}, 404, "service_unknown"),
        ({"service": SECOND, "task_id": "LAST"}, 404, "task_unknown"),
        ({"service": "../x", "task_id": "LAST"}, 404, "service_unknown"),
        ({"service": PRIMARY, "task_id": "../x"}, 400, "bad_payload"),
        ({"service": PRIMARY, "task_id": ""}, 400, "bad_payload"),
        ({"service": PRIMARY, "task_id": 7}, 400, "bad_payload"),
        ({"service": PRIMARY}, 400, "bad_payload"),
        ({"task_id": "LAST"}, 400, "bad_payload"),
        ({"service": PRIMARY, "task_id": "LAST", "peer": "x" * 33}, 400, "bad_payload"),
        ([], 400, "bad_payload"),
    ],
)
def test_who_is_not_there_cannot_leave(serve, rack, body, status, code):
    """A task or service that is unknown is 404, what is none 400; the other rack hears nothing of it."""
    server = serve(peer(accept=takes_it))
    rig = rack(server.url)
    last = rig.tasks()[-1]
    if isinstance(body, dict) and body.get("task_id") == "LAST":
        body = {**body, "task_id": last}
    refused(rig.client().post("/api/revolt", json=body), status, code)
    assert server.heard == []
    untouched(rig, last)


def test_only_who_may_change_things_may_do_it(rack):
    """It is a mutation like any other: the token, the origin and the host are asked for."""
    rig = rack(token="correct horse battery")
    refused(revolt(rig), 401, "token_needed")
    body = {"service": PRIMARY, "task_id": rig.tasks()[-1]}
    signed = PeerCaller(rig).header("POST", "/api/revolt", orjson.dumps(body))
    refused(
        rig.client().post("/api/revolt", json=body, headers={"Authorization": signed}), 401, "token_needed"
    )
    refused(
        rig.client().post("/api/revolt", json=body, headers={"Origin": "http://evil.example"}),
        403, "cross_origin",
    )  # fmt: skip
    untouched(rig, rig.tasks()[-1])


def test_the_last_of_a_service_stays(serve, rack):
    """409, and the sentence says what to do."""
    server = serve(peer(accept=takes_it))
    rig = rack(server.url, replicas=1)
    (only,) = rig.tasks()
    assert "scale it up" in refused(revolt(rig), 409, "conflict")
    assert server.heard == []
    assert (rig.claim(only), rig.memory(only).frozen) == (None, "")


def test_the_last_that_is_free_stays(serve, rack):
    """Of two the one that is left behind by the other cannot leave too."""
    server = serve(peer(accept=takes_it))
    rig = rack(server.url, replicas=2)
    first, last = rig.tasks()
    rig.memory(first).frozen = ID
    rig.hive.run(2.5)
    refused(revolt(rig, last), 409, "conflict")
    assert server.heard == []


def test_who_is_in_a_handoff_is_in_no_other(serve, rack):
    """Frozen, or claimed by another request a moment ago: 409, and the other handoff goes on."""
    server = serve(peer(accept=takes_it))
    rig = rack(server.url)
    first, middle, last = rig.tasks()
    rig.memory(last).frozen = ID
    rig.hive.run(2.5)
    assert name_of(last) in refused(revolt(rig, last), 409, "conflict")
    rig.hive.bus.add(keys.CLAIM.of(middle), ID.encode(), keys.CLAIM.ttl)
    refused(revolt(rig, middle), 409, "conflict")
    assert "accept" not in kinds(server)
    assert (rig.claim(middle), rig.memory(middle).frozen) == (ID.encode(), "")
    told(revolt(rig, first), 202, handoff_models.Revolted)
    rig.join_timers()


def test_who_has_left_does_not_leave_again(serve, rack):
    """From its commitment to its end a trooper is on the other rack: 409."""
    server = serve(peer(accept=takes_it))
    rig = rack(server.url)
    last = rig.tasks()[-1]
    rig.orders.resize = lambda *_args, **_more: 3  # its end takes a while
    told(revolt(rig, last), 202, handoff_models.Revolted)
    refused(revolt(rig, last), 409, "conflict")
    assert kinds(server).count("accept") == 1
    rig.join_timers()


def test_without_the_bus_nothing_is_begun(serve, rack):
    """503, whichever way the bus fails, and the trooper goes on once it is back."""
    server = serve(peer(accept=takes_it))
    rig = rack(server.url)
    last = rig.tasks()[-1]
    rig.hive.bus.down = True
    refused(revolt(rig, last), 503, "bus_down")
    rig.hive.bus.down = False
    assert server.heard == []
    rig.hive.run(3.0)
    untouched(rig, last)


def test_an_unusable_directory_is_noticed_first(serve, rack, tmp_path):
    """What cannot be written down is not begun: 503 names the setting, and nobody was frozen for it."""
    server = serve(peer(accept=takes_it))
    (tmp_path / "source").write_bytes(b"")
    rig = rack(server.url)
    assert "REVOLT_SNAPSHOT_DIR" in refused(revolt(rig), 503, "disk_refused")
    assert "accept" not in kinds(server)
    last = rig.tasks()[-1]
    assert (rig.claim(last), rig.memory(last).frozen) == (None, "")
    assert rig.hive.bus.get(keys.ORDERS.of(last)) is None


def test_a_trooper_that_does_not_freeze_stays(serve, rack):
    """409 after four seconds; when it is awake again it is not held, and can leave then."""
    server = serve(peer(accept=takes_it))
    rig = rack(server.url)
    last = rig.tasks()[-1]
    rig.hive.stopped.add(last)
    began = rig.hive.clock.monotonic()
    assert "did not freeze" in refused(revolt(rig, last), 409, "conflict")
    assert rig.hive.clock.monotonic() - began < 9.0
    assert "accept" not in kinds(server)
    rig.hive.stopped.clear()
    rig.finish(6.0)
    unharmed(rig, last)
    told(revolt(rig, last), 202, handoff_models.Revolted)
    rig.join_timers()


def test_a_trooper_that_dies_first_is_just_dead(serve, rack):
    """It ended before it told anything: 409, nothing was offered, nothing stays open."""
    server = serve(peer(accept=takes_it))
    rig = rack(server.url)
    last = rig.tasks()[-1]
    pause = rig.services.handoffs.ordering._pause

    def and_it_dies(seconds: float) -> None:
        if last in rig.hive.tasks:
            rig.orders.kill(last)
        pause(seconds)

    rig.services.handoffs.ordering._pause = and_it_dies
    refused(revolt(rig, last), 409, "conflict")
    assert "accept" not in kinds(server)
    rig.finish(3.0)
    assert rig.services.handoffs.registry.unsettled(PRIMARY) == []
    unharmed(rig, rig.tasks()[-1])

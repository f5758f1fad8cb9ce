"""What one rack may ask another over HTTP: to take a trooper in, what became of one, and who it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app import answers, handoff_models
from clawbucket.core.agent import Utterance
from clawbucket.core.model import ArmState
from clawbucket.core.revolt import Phase
from clawbucket.handoff.offers import LARGEST, encode_offer
from clawbucket.handoff.signing import NotAdmitted
from clawbucket.handoff.target import TAKE_IN
from clawbucket.ports import Conflict
from tests.contract.api_form import refused, told
from tests.contract.revolt_rig import (
    ACCEPT,
    ID,
    ONE,
    OTHER_ID,
    SOURCE_TASK,
    STATE,
    TALK,
    TWO,
    PeerCaller,
    RevoltRig,
    offer_to,
    one_sentence,
    signed,
)
from tests.fakes import FakeAgent
from tests.hive import PRIMARY, SECOND
from tests.stage import Stage


@pytest.fixture
def rig(tmp_path: Path) -> RevoltRig:
    """A rack that takes troopers in."""
    return RevoltRig(tmp_path / "revolt")


# A trooper is taken in ----------------------------------------------------------------------------------


def test_a_trooper_is_taken_in(tmp_path):
    """201 with all that the contract has, signed; the new task goes on as the one that left."""
    agents: dict[str, FakeAgent] = {}
    rig = RevoltRig(tmp_path / "revolt", agent=lambda task_id: agents.setdefault(task_id, FakeAgent()))
    before = rig.tasks()
    said = told(PeerCaller(rig).accept(offer_to()), 201, handoff_models.Accepted)
    (new,) = set(rig.tasks()) - set(before)
    at, event_at = said["event"].pop("at"), rig.hive.clock.iso()
    assert at <= event_at
    assert said == {
        "ok": True, "service": PRIMARY, "target_task_id": new, "from_task_id": SOURCE_TASK,
        "snapshot_id": ID, "snapshot_path": f"{rig.directory}/{ID}.accepted.json", "rack": TWO,
        "status": "accepted",
        "event": {
            "id": f"{ID}-restored", "source_task_id": SOURCE_TASK, "target_task_id": new, "service": PRIMARY,
            "source_rack": ONE, "target_rack": TWO, "snapshot_id": ID, "phase": "RESTORED", "reason": "",
        },
    }  # fmt: skip
    assert Path(said["snapshot_path"]).is_file()
    assert Path(said["snapshot_path"]).stat().st_mode & 0o077 == 0
    rig.hive.run(0.5)
    memory = rig.memory(new)
    assert abs(memory.card.score - STATE.score) <= 3  # a few rounds may have been scored besides
    assert (memory.arm.state, memory.words.text) == (ArmState.ON, STATE.words)
    assert (memory.from_rack, memory.handoff, memory.frozen) == (ONE, ID, "")
    assert agents[new].remembered == [("agent:main:talk", said) for said in TALK]
    replica = next(r for r in rig.client().get("/api/swarm").get_json()["replicas"] if r["id"] == new)
    assert (replica["from_rack"], replica["arm"], replica["frozen"]) == (ONE, "on", False)


def test_the_same_offer_again_has_the_same_answer(rig):
    """A request that came twice takes nobody in twice: no task, no event, no file more."""
    caller = PeerCaller(rig)
    first = told(caller.accept(offer_to()), 201, handoff_models.Accepted)
    rig.finish(3.0)
    before = rig.tasks(), rig.client().get("/api/revolt/events").get_json(), sorted(rig.directory.iterdir())
    assert [event["phase"] for event in before[1]["events"]] == ["ACCEPTED", "RESTORED"]
    for _ in range(2):
        rig.finish(2.0)
        assert told(caller.accept(offer_to()), 201, handoff_models.Accepted) == first
    after = rig.tasks(), rig.client().get("/api/revolt/events").get_json(), sorted(rig.directory.iterdir())
    assert after == before


def test_a_service_may_be_called_by_its_short_name(rig):
    """The two racks' stacks may be named differently."""
    said = told(PeerCaller(rig).accept(offer_to(service="clawbucket-b")), 201, handoff_models.Accepted)
    assert said["service"] == SECOND
    assert said["target_task_id"] in rig.tasks(SECOND)


def test_two_offers_are_two_troopers(rig):
    """Another handoff has another task; one trooper comes in each."""
    caller = PeerCaller(rig)
    first = told(caller.accept(offer_to()), 201, handoff_models.Accepted)
    second = told(
        caller.accept(offer_to(snapshot_id=OTHER_ID, source_task_id="b2")), 201, handoff_models.Accepted
    )
    assert first["target_task_id"] != second["target_task_id"]
    assert len(rig.tasks()) == 5


def test_another_troopers_offer_under_a_known_id_is_refused(rig):
    """An id is one handoff's: 504 revolt_rejected, and what was taken in stays."""
    caller = PeerCaller(rig)
    first = told(caller.accept(offer_to()), 201, handoff_models.Accepted)
    refused(caller.accept(offer_to(source_task_id="b2")), 504, "revolt_rejected")
    assert len(rig.tasks()) == 4
    assert told(caller.accept(offer_to()), 201, handoff_models.Accepted) == first


def test_without_a_new_task_in_time_it_is_refused(rig):
    """504 revolt_rejected within the time that a target has: scaled back, and nothing is left of it."""
    start: Callable[..., int] = rig.orders.resize

    def stillborn(*order: Any) -> int:
        before = set(rig.tasks())
        count = start(*order)
        rig.hive.stopped |= set(rig.tasks()) - before
        return count

    rig.orders.resize = stillborn
    before, began = rig.tasks(), rig.hive.clock.monotonic()
    answer = PeerCaller(rig).accept(offer_to())
    assert "in time" in refused(answer, 504, "revolt_rejected")
    assert TAKE_IN <= rig.hive.clock.monotonic() - began < 23.0
    assert rig.tasks() == before
    record = told(rig.client().get(f"/api/revolt/{ID}"), 200, handoff_models.Handoff)
    assert [change["phase"] for change in record["phases"]] == ["ACCEPTED", "REJECTED"]
    assert (record["settled"], record["side"]) == (True, "target")
    assert refused(PeerCaller(rig).accept(offer_to()), 504, "revolt_rejected") == answer.get_json()["error"]
    assert rig.tasks() == before


def test_a_full_service_takes_nobody_in(rig):
    """Where the engine will not grow, 504 revolt_rejected says why."""

    def full(*_order: Any) -> int:
        raise Conflict("the service has 20 replicas, as many as it may")

    rig.orders.resize = full
    assert "20 replicas" in refused(PeerCaller(rig).accept(offer_to()), 504, "revolt_rejected")
    assert told(PeerCaller(rig).get(f"/api/revolt/{ID}"), 200, handoff_models.Handoff)["phase"] == "REJECTED"


# What became of it --------------------------------------------------------------------------------------


def test_what_is_unknown_is_404(guarded):
    """Anybody may ask, and leaves nothing behind."""
    one_sentence(refused(guarded.client().get(f"/api/revolt/{ID}"), 404, "handoff_unknown"))
    guarded.client().get(f"/api/revolt/{ID}", headers={"Authorization": "Bearer something"})


@pytest.mark.parametrize(
    "tail",
    [
        "../x", "%2e%2e%2fx", "..%2f..%2fx", "%2e%2e/x", "x", ID[1:], f"{ID}0", ID.upper(), "." * 32,
        "%00" * 32, f"{ID[1:]}%0a", f"{ID}/", f"{ID}.json", "../" * 10 + "xx", "%2e%2e%2f" * 10 + "xx",
        "\u0660" * 32,
    ],
)  # fmt: skip
def test_what_is_no_id_is_404(guarded, tail):
    """Nothing but 32 hexadecimal digits is looked up anywhere, whoever signs."""
    path = f"/api/revolt/{tail}"
    for headers in ({}, {"Authorization": signed(guarded, "GET", path, b"")}):
        answer = guarded.client().get(path, headers=headers)
        assert answer.status_code == 404
        refused(answer, 404, answer.get_json()["code"])
        assert answer.get_json()["code"] in {"not_found", "handoff_unknown"}
    with pytest.raises(NotAdmitted):  # nor was its nonce taken: nobody looked at the signature
        raise_replayed(guarded, path)


def raise_replayed(stage: Stage, path: str) -> None:
    """Two admissions of one header: the first must go through."""
    header = signed(stage, "GET", path, b"", nonce=OTHER_ID)
    stage.services.gatekeeper.admit("GET", path, header, b"")
    stage.services.gatekeeper.admit("GET", path, header, b"")


def test_a_handoff_is_shown_with_its_history(rig):
    """To anybody: where it is, how it came there, and who decided."""
    said = told(PeerCaller(rig).accept(offer_to()), 201, handoff_models.Accepted)
    record = told(rig.client().get(f"/api/revolt/{ID}"), 200, handoff_models.Handoff)
    assert [(change["phase"], change["by"]) for change in record.pop("phases")] == [
        ("ACCEPTED", rig.settings.task_id), ("RESTORED", rig.settings.task_id),
    ]  # fmt: skip
    assert record.pop("settled") in {True, False}
    assert record == {
        "snapshot_id": ID, "side": "target", "phase": "RESTORED", "service": PRIMARY,
        "source_task_id": SOURCE_TASK, "target_task_id": said["target_task_id"], "source_rack": ONE,
        "target_rack": TWO, "snapshot_path": said["snapshot_path"], "reason": "",
    }  # fmt: skip
    rig.finish(3.0)
    assert rig.client().get(f"/api/revolt/{ID}").get_json()["settled"] is True


def test_a_rack_that_asks_is_told_what_it_may_act_upon(rig):
    """The other rack is told of a refusal only once nothing of the trooper is left here."""
    registry, caller = rig.services.handoffs.registry, PeerCaller(rig)
    first = rig.services.handoffs.target._first(offer_to(), PRIMARY)
    record = registry.decide(registry.open(first, Phase.ACCEPTED), Phase.REJECTED, "no room")
    asked = told(caller.get(f"/api/revolt/{ID}"), 200, handoff_models.Handoff)
    assert (asked["phase"], asked["rack"]) == ("ACCEPTED", TWO)
    assert rig.client().get(f"/api/revolt/{ID}").get_json()["phase"] == "REJECTED"
    registry.settle(record)
    asked = told(caller.get(f"/api/revolt/{ID}"), 200, handoff_models.Handoff)
    assert (asked["phase"], asked["reason"]) == ("REJECTED", "no room")


def test_a_question_about_what_never_came_forbids_it_to_come(rig):
    """The other rack is told REJECTED, a tombstone says so from now on, and the late offer is refused."""
    caller, before = PeerCaller(rig), rig.tasks()
    asked = told(caller.get(f"/api/revolt/{ID}"), 200, handoff_models.Handoff)
    assert (asked["phase"], asked["settled"], asked["rack"]) == ("REJECTED", True, TWO)
    assert (rig.directory / f"{ID}.accepted.json").is_file()
    one_sentence(refused(caller.accept(offer_to()), 504, "revolt_rejected"))
    rig.hive.bus.wipe()
    rig.hive.run(3.0)
    refused(caller.accept(offer_to()), 504, "revolt_rejected")
    assert told(caller.get(f"/api/revolt/{ID}"), 200, handoff_models.Handoff)["phase"] == "REJECTED"
    rig.finish(2.0)
    assert rig.tasks() == before


def test_a_strangers_question_leaves_no_tombstone(rig):
    """Without a right signature nothing is written, and the offer is taken when it comes."""
    stranger = {"Authorization": PeerCaller(rig, "somebody else's").header("GET", f"/api/revolt/{ID}")}
    refused(rig.client().get(f"/api/revolt/{ID}", headers=stranger), 401, "signature_wrong")
    refused(rig.client().get(f"/api/revolt/{ID}"), 404, "handoff_unknown")
    assert not rig.directory.exists()
    told(PeerCaller(rig).accept(offer_to()), 201, handoff_models.Accepted)


# Who it is ----------------------------------------------------------------------------------------------


def test_a_rack_says_who_it_is(guarded):
    """GET /api/revolt/hello: the label and the services, signed, so that the key is known to be the same."""
    said = told(PeerCaller(guarded).get("/api/revolt/hello"), 200, handoff_models.Hello)
    assert said == {"rack": TWO, "services": [PRIMARY, SECOND]}


def test_the_addresses_take_their_methods_only(guarded):
    """405 in the contract's form, and nothing is looked at."""
    for method, path in (("GET", ACCEPT), ("POST", "/api/revolt/hello"), ("DELETE", f"/api/revolt/{ID}")):
        answer = guarded.client().open(path, method=method)
        assert answer.status_code in {404, 405}
        assert answers.Error.model_validate_json(answer.data).code in {"not_found", "method_not_allowed"}


def test_what_is_said_of_a_conversation_is_bounded(rig):
    """The longest conversation that may come is taken, and its offer is below what is read."""
    said = tuple(Utterance("user", "é" * 900, "2026-01-01T00:00:00Z") for _ in range(16))
    body = encode_offer(offer_to(state=replace(STATE, conversation=said)))
    assert len(body) < LARGEST
    told(PeerCaller(rig).accept(body), 201, handoff_models.Accepted)

from __future__ import annotations

from copy import deepcopy

import pytest

from app import wire
from app.stream import state_of
from load import invariants
from load.invariants import EPOCHS, MARK, ONE_MANAGER, ROUNDS, SHAPE, UNIQUE, Memory, Violated
from tests.stage import SECOND, Stage


@pytest.fixture
def answers():
    """What a rack that is well answers, by path."""
    client = Stage().client()
    client.post("/api/chat", json={"text": "hello"})
    client.post("/api/arm", json={"task_id": "x", "state": "on"})
    paths = ("swarms", "rps", "chat", "arm/events", "haiku", "whoami")
    return {path: client.get(f"/api/{path}").get_json() for path in paths}


@pytest.fixture
def swarms(answers):
    """GET /api/swarms, to be spoilt."""
    return answers["swarms"]


def judge(swarms, memory=None, server="") -> list[str]:
    """What is wrong with it."""
    return invariants.swarms(swarms, memory or Memory(), server)


def test_a_rack_that_is_well_violates_nothing(answers):
    """Each of our own answers passes its judge."""
    assert judge(answers["swarms"]) == []
    assert invariants.rps(answers["rps"], Memory()) == []
    assert invariants.chat(answers["chat"]) == []
    assert invariants.arm_events(answers["arm/events"]) == []
    assert invariants.haiku(answers["haiku"]) == []
    assert invariants.whoami(answers["whoami"]) == []


def test_the_streams_state_violates_nothing():
    """The state that a viewer puts together passes too."""
    board = Stage().services.board.board()
    assert invariants.state(state_of(board), Memory()) == []
    assert judge(wire.swarms(board)) == []


@pytest.mark.parametrize("managers", [(), (0, 1), (0, 1, 2)])
def test_one_manager_a_service(swarms, managers):
    """None or several while troopers run is a violation that names the service."""
    for number, replica in enumerate(swarms["swarms"][1]["replicas"]):
        replica["is_manager"] = number in managers
    assert judge(swarms) == [f"{ONE_MANAGER}: {SECOND} has {len(managers)} while 3 run"]


def test_a_manager_where_nobody_runs(swarms):
    """Where nobody runs there is no manager."""
    swarms["swarms"][0]["running_count"] = 0
    assert judge(swarms)[0].startswith(ONE_MANAGER)


def test_a_service_that_cannot_be_read_is_let_be(swarms):
    """It has an error and zeros, which is no violation."""
    swarms["swarms"][1] = {**swarms["swarms"][1], "error": "x", "running_count": 0, "replicas": []}
    assert judge(swarms) == []


def test_ids_are_unique_over_all_services(swarms):
    """The same task in two services is a violation."""
    swarms["swarms"][1]["replicas"][2]["id"] = swarms["swarms"][0]["replicas"][1]["id"]
    assert judge(swarms) == [f"{UNIQUE}: two troopers have one id"]


def test_ids_of_events_are_unique(answers):
    """Two lines of the chat, and two ARM events, under one id."""
    answers["chat"]["messages"] *= 2
    answers["arm/events"]["events"] *= 2
    assert invariants.chat(answers["chat"]) == [f"{UNIQUE}: two of /api/chat have one id"]
    assert invariants.arm_events(answers["arm/events"])[0].startswith(UNIQUE)


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("score", "4", "score of a replica of /api/swarms is no int"),
        ("score", True, "is no int"),
        ("is_manager", 1, "is_manager of a replica of /api/swarms is no bool"),
        ("three_words", "x" * 51, "three words of 51 characters"),
        ("id", None, "id of a replica of /api/swarms is no str"),
    ],
)
def test_fields_have_their_types(swarms, field, value, says):
    """Another type, or too long, is a violation that names the field."""
    swarms["swarms"][0]["replicas"][0][field] = value
    (sentence,) = judge(swarms)
    assert sentence.startswith(SHAPE)
    assert says in sentence


@pytest.mark.parametrize("answer", [None, [], {}, 7, {"swarms": None}, {"swarms": [None]}, {"swarms": [{}]}])
def test_what_is_no_answer_is_a_violation(answer):
    """Whatever comes, the judge says so and does not fail itself."""
    assert judge(answer)[0].startswith(SHAPE)
    for check in (invariants.chat, invariants.arm_events, invariants.haiku, invariants.whoami):
        assert check(answer)[0].startswith(SHAPE)
    assert invariants.rps(answer, Memory())[0].startswith(SHAPE)


@pytest.mark.parametrize("name", ["service", "desired_replicas", "running_count", "replicas"])
def test_a_service_has_all_its_fields(swarms, name):
    """A missing one is named."""
    del swarms["swarms"][0][name]
    assert judge(swarms) == [f"{SHAPE}: a service of /api/swarms lacks {name}"]


def test_epochs_never_go_back(swarms):
    """Of the same server; another one may know less for a moment."""
    memory, older = Memory(), deepcopy(swarms)
    older["swarms"][0]["manager_epoch"] -= 1
    assert judge(swarms, memory, "one") == []
    assert judge(older, memory, "another") == []
    (sentence,) = judge(older, memory, "one")
    assert sentence.startswith(f"{EPOCHS}: the epoch of clawbucket_clawbucket went from ")
    assert judge(swarms, memory, "one") == []


def test_rounds_never_go_back(answers):
    """And where nobody throws there is nothing to say."""
    memory, earlier = Memory(), deepcopy(answers["rps"])
    earlier["state"]["round"] -= 3
    assert invariants.rps(answers["rps"], memory) == []
    assert invariants.rps({**answers["rps"], "state": None}, memory) == []
    assert invariants.rps(earlier, memory) == [f"{ROUNDS}: the round went from 12 to 9"]


def test_a_throw_is_one_of_three(answers):
    """Lizard is none."""
    answers["rps"]["state"]["choice"] = "lizard"
    assert invariants.rps(answers["rps"], Memory()) == [f"{SHAPE}: a throw of 'lizard'"]


def test_the_haiku_is_never_empty(answers):
    """There is always one."""
    answers["haiku"]["haiku"]["text"] = " \n"
    assert invariants.haiku(answers["haiku"]) == [f"{SHAPE}: the haiku is empty"]


def test_lists_have_their_caps(answers):
    """More than 40 lines of chat is a violation."""
    answers["chat"]["messages"] *= 41
    assert "more than 40" in invariants.chat(answers["chat"])[0]


def test_the_streams_state_is_judged_alike():
    """Two managers, a trooper under another's id, and numbers that go back."""
    good = state_of(Stage().services.board.board())
    memory = Memory()
    assert invariants.state(good, memory) == []
    two, swapped, back = deepcopy(good), deepcopy(good), deepcopy(good)
    for task in two["tasks"].values():
        task["is_manager"] = True
    assert [s.partition(":")[0] for s in invariants.state(two, memory)] == [ONE_MANAGER, ONE_MANAGER]
    first, second, *_ = swapped["tasks"]
    swapped["tasks"][first] = swapped["tasks"][second]
    assert invariants.state(swapped, memory)[0].startswith(UNIQUE)
    back["rps"]["round"] -= 1
    assert invariants.state(back, memory) == [f"{ROUNDS}: the round went from 12 to 11"]
    assert invariants.state({"tasks": []}, memory)[0].startswith(SHAPE)
    assert invariants.state({"services": {"x": {}}}, memory)[0].startswith(SHAPE)


def test_the_memory_is_bounded():
    """The oldest servers are forgotten."""
    memory = Memory()
    for number in range(3 * Memory.MOST):
        memory.back(ROUNDS, "the round", f"server {number}", number)
    assert len(memory._largest) == Memory.MOST


def test_a_violation_carries_its_mark():
    """So that it can be counted in Locust's statistics."""
    assert str(Violated("x: y")) == f"{MARK}x: y"

"""What a replica tells of what it saw: the rack's course, one task's past, and nothing it did not see."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app import history_models
from clawbucket import codecs
from clawbucket.core.callsign import name_of
from clawbucket.core.history import FORGET_AFTER, MOST_SAMPLES
from clawbucket.core.records import Heartbeat
from clawbucket.ports import BusDown
from tests.contract.api_form import refused, told
from tests.stage import PRIMARY, Stage, task_id

ME = task_id(PRIMARY, 1)
PATH = "/api/history"


def watch(stage: Stage, seconds: int) -> None:
    """Let the replica look once a second, at a rack that beats every two."""
    for second in range(seconds):
        stage.beat()
        if second % 2 and not stage.bus.down:
            for task in stage.tasks:
                at = stage.clock.iso()
                beat = Heartbeat(
                    task.id, task.name, task.service, task.slot, "node-1", stage.seq + 100, at, at, 4, 12,
                    "rock", "win",
                )  # fmt: skip
                stage.put(codecs.HEARTBEAT, beat, task.name)
        stage.services.watching.tick(stage.clock.monotonic())


def test_before_the_first_look_there_is_nothing(client):
    """GET /api/history: it says since when it watches and who, with empty lists."""
    said = told(client.get(PATH), 200, history_models.RackHistory)
    assert said["replica"] == name_of(ME)
    assert said["rack"]["seconds"] == said["rack"]["gaps"] == said["rack"]["managers"] == []
    assert said["tasks"] == {}


def test_the_racks_course(stage, client):
    """GET /api/history: a sample every two seconds, in columns of one length, and each task's scores."""
    since = stage.clock.iso()
    watch(stage, 9)
    said = told(client.get(PATH), 200, history_models.RackHistory)
    rack = said["rack"]
    assert said["since"] == since
    assert (rack["seconds"], rack["every_seconds"]) == ([1, 3, 5, 7, 9], 2)
    assert (rack["running"], rack["desired"], rack["score"]) == ([6] * 5, [6] * 5, [24] * 5)
    assert (rack["armed"], rack["not_alive"], rack["gaps"]) == ([0] * 5, [0] * 5, [])
    assert rack["managers"] == [{"seconds": 1, "task_id": ME}]
    assert said["tasks"] == {task.id: [4] for task in stage.tasks}


def test_an_outage_is_a_gap(stage, client):
    """GET /api/history: where the bus did not answer there are nulls, and a gap that says so."""
    watch(stage, 3)
    stage.bus.down = True
    for _ in range(4):
        stage.clock.advance(1)
        stage.services.watching.tick(stage.clock.monotonic())
    stage.bus.down = False
    watch(stage, 3)
    rack = told(client.get(PATH), 200, history_models.RackHistory)["rack"]
    assert rack["score"] == [24, 24, None, None, 24]
    assert rack["gaps"] == [{"from_seconds": 5, "to_seconds": 9, "reason": "bus"}]


def test_it_is_bounded(stage, client):
    """GET /api/history: after an hour there are twenty minutes."""
    for _ in range(1_800):
        stage.clock.advance(2)
        stage.services.watched.look(stage.services.board.board())
    assert len(told(client.get(PATH), 200, history_models.RackHistory)["rack"]["seconds"]) == MOST_SAMPLES


def test_it_can_be_asked_whether_it_is_new(stage, client):
    """GET /api/history, /api/history/<task_id>: an ETag, and 304 while nothing more was seen."""
    watch(stage, 3)
    for path in (PATH, f"{PATH}/{ME}"):
        tag = {"If-None-Match": client.get(path).headers["ETag"]}
        assert client.get(path, headers=tag).status_code == 304
    stage.put(codecs.SCORE, 5, ME)
    watch(stage, 1)
    for path in (PATH, f"{PATH}/{ME}"):
        assert client.get(path, headers=tag).status_code == 200


def test_a_replica_that_never_had_a_bus_still_answers():
    """GET /api/history: 200 while the bus is away from the start, with that as a gap."""
    stage = Stage()
    stage.bus.down = True
    with pytest.raises(BusDown):
        stage.services.watching.tick(stage.clock.monotonic())
    said = told(stage.client().get(PATH), 200, history_models.RackHistory)
    assert [gap["reason"] for gap in said["rack"]["gaps"]] == ["bus"]


def test_one_tasks_past(stage, client):
    """GET /api/history/<task_id>: its scores with their rounds, and what changed when."""
    watch(stage, 1)
    stage.put(codecs.SCORE, 5, ME)
    watch(stage, 1)
    first_seen = told(client.get(f"{PATH}/{ME}"), 200, history_models.TaskHistory)["first_seen"]
    stage.tasks = stage.tasks[1:]
    watch(stage, 1)
    said = told(client.get(f"{PATH}/{ME}"), 200, history_models.TaskHistory)
    assert (said["task_id"], said["name"], said["first_seen"]) == (ME, name_of(ME), first_seen)
    assert said["scores"] == [{"round": 12, "score": 4}, {"round": 13, "score": 5}]
    assert said["gone_at"] == stage.clock.iso()
    assert said["changes"] == [{"at": said["gone_at"], "kind": "board", "was": "shown", "now": "gone"}]


def test_a_new_manager_is_a_change(stage, client):
    """GET /api/history/<task_id>: who lost the lead and who has it, at the same moment."""
    watch(stage, 1)
    stage.put(codecs.LEASE, replace(_lease(stage), task_id=task_id(PRIMARY, 2)), PRIMARY)
    watch(stage, 1)
    changes = [
        told(client.get(f"{PATH}/{task_id(PRIMARY, slot)}"), 200, history_models.TaskHistory)["changes"]
        for slot in (1, 2)
    ]
    at = stage.clock.iso()
    assert changes[0] == [{"at": at, "kind": "manager", "was": "yes", "now": "no"}]
    assert changes[1] == [{"at": at, "kind": "manager", "was": "no", "now": "yes"}]


def _lease(stage: Stage):
    key = codecs.LEASE.key.of(PRIMARY)
    return stage.services.gate.read(codecs.LEASE, key, stage.bus.get(key))


@pytest.mark.parametrize("task", ["nobody", "__proto__", "%3Cimg%20src=x%3E", "x" * 500, "..%2f"])
def test_an_unknown_task_is_told_so(stage, client, task):
    """GET /api/history/<task_id>: 404 in words for what was never seen, however it is called."""
    watch(stage, 1)
    response = client.get(f"{PATH}/{task}")
    assert response.status_code == 404
    if task != "..%2f":
        sentence = refused(response, 404, "task_unknown")
        assert "forgets a task that has been gone for 10 minutes" in sentence
        assert len(sentence) < 300


def test_who_is_gone_is_forgotten(stage, client):
    """GET /api/history/<task_id>: 404 ten minutes after it left."""
    watch(stage, 1)
    stage.tasks = stage.tasks[1:]
    watch(stage, 2)
    assert told(client.get(f"{PATH}/{ME}"), 200, history_models.TaskHistory)["gone_at"] is not None
    stage.clock.advance(FORGET_AFTER)
    watch(stage, 1)
    refused(client.get(f"{PATH}/{ME}"), 404, "task_unknown")

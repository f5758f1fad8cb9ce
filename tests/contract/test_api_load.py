"""``/api/load``: what a load generator tells, and what the dashboard gets to see of it."""

from __future__ import annotations

import pytest

from app import answers
from app.stream import state_of
from clawbucket import codecs, keys
from clawbucket.core.records import LoadSample
from tests.contract.api_form import refused, told
from tests.stage import Stage

SAMPLE = {"run": "20261127T101500Z", "users": 20, "rate": 143.24, "p95_ms": 23, "failures": 0}


def test_nobody_tests(client):
    """GET /api/load: no sample while no load test runs, and none in the stream's state."""
    assert told(client.get("/api/load"), 200, answers.LoadSamples) == {"samples": [], "source": "memcached"}


def test_a_sample_is_taken_and_shown(stage, client):
    """POST /api/load: 201; the sample is in the list and in the state, with this replica's time."""
    said = told(client.post("/api/load", json=SAMPLE), 201, answers.LoadTaken)
    wanted = {**SAMPLE, "rate": 143.2, "p95_ms": 23.0, "at": stage.clock.iso()}
    assert said == {"ok": True, "sample": wanted}
    stage.beat()
    assert told(client.get("/api/load"), 200, answers.LoadSamples)["samples"] == [wanted]
    assert state_of(stage.services.board.board())["load"] == wanted


def test_a_form_is_taken(client):
    """POST /api/load: digits and fractions as text mean the same."""
    form = {**{k: str(v) for k, v in SAMPLE.items()}, "p95_ms": "2.5e1"}
    assert told(client.post("/api/load", data=form), 201, answers.LoadTaken)["sample"]["p95_ms"] == 25.0


def test_the_last_sixty_are_kept(stage, client):
    """Older samples go; the state has the latest alone."""
    for number in range(keys.LOAD.cap + 5):
        told(client.post("/api/load", json={**SAMPLE, "users": number}), 201, answers.LoadTaken)
    stage.beat()
    users = [s["users"] for s in client.get("/api/load").get_json()["samples"]]
    assert users == list(range(5, keys.LOAD.cap + 5))
    assert state_of(stage.services.board.board())["load"]["users"] == users[-1]


def test_a_test_that_ended_is_gone_by_itself(stage, client):
    """15 s after the last sample there is none, and the state has no load any more."""
    client.post("/api/load", json=SAMPLE)
    stage.beat(keys.LOAD.ttl + 1.0)
    assert client.get("/api/load").get_json()["samples"] == []
    assert "load" not in state_of(stage.services.board.board())


def test_the_largest_samples_fit_the_key():
    """Sixty samples with every field at its longest are within the key's bound."""
    largest = LoadSample(
        "x" * 64, 1_000_000, 999_999.9, 3_599_999.9, 1_000_000_000, "2026-11-27T10:15:00.123Z"
    )
    assert len(codecs.LOAD.encode([largest] * keys.LOAD.cap)) <= keys.LOAD.max_bytes


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("run", ""), ("run", "a b"), ("run", "x" * 65), ("run", "<b>"), ("users", -1), ("users", 1.5),
        ("users", "many"), ("rate", -0.1), ("rate", None), ("rate", "fast"), ("p95_ms", 3_600_001),
        ("failures", -1), ("failures", 10**10),
    ],
)  # fmt: skip
def test_a_sample_out_of_its_bounds_is_refused(client, field, value):
    """POST /api/load: 400 names the field, and nothing is shown."""
    assert field in refused(client.post("/api/load", json={**SAMPLE, field: value}), 400, "bad_payload")
    assert client.get("/api/load").get_json()["samples"] == []


@pytest.mark.parametrize("field", sorted(SAMPLE))
def test_every_field_is_needed(client, field):
    """POST /api/load: a sample without one of its fields is 400."""
    part = {k: v for k, v in SAMPLE.items() if k != field}
    assert field in refused(client.post("/api/load", json=part), 400, "bad_payload")


def test_numbers_that_are_none_are_refused(client):
    """POST /api/load: NaN and infinity are 400, in JSON and in forms."""
    for text in ("NaN", "Infinity", "-Infinity", "1e999", "0x1", "\u0661"):
        response = client.post("/api/load", data={**{k: str(v) for k, v in SAMPLE.items()}, "rate": text})
        refused(response, 400, "bad_payload")
    body = b'{"run":"x","users":1,"rate":NaN,"p95_ms":1,"failures":0}'
    refused(client.post("/api/load", data=body, content_type="application/json"), 400, "bad_payload")


def test_the_token_is_needed():
    """POST /api/load: a mutation as every other; GET stays open."""
    client = Stage(token="correct horse").client()
    refused(client.post("/api/load", json=SAMPLE), 401, "token_needed")
    bearer = {"Authorization": "Bearer correct horse"}
    told(client.post("/api/load", json=SAMPLE, headers=bearer), 201, answers.LoadTaken)
    told(client.get("/api/load"), 200, answers.LoadSamples)


def test_a_poisoned_key_is_written_over(stage, client):
    """What is no list of samples counts as none, and the next sample begins anew."""
    stage.bus.set(keys.LOAD.of(), b'[{"run": 7}]', 60)
    assert client.get("/api/load").get_json()["samples"] == []
    told(client.post("/api/load", json=SAMPLE), 201, answers.LoadTaken)
    stage.beat()
    assert len(client.get("/api/load").get_json()["samples"]) == 1

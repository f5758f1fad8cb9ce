"""The bus is untrusted: a thousand hostile values stop no loop, and cost one log line each."""

from __future__ import annotations

import json
from random import Random

import orjson
import pytest
from structlog.testing import capture_logs

from clawbucket import codecs, keys
from clawbucket.board import BoardReader
from clawbucket.codecs import Gate
from clawbucket.core.model import Freshness
from clawbucket.settings import Settings
from tests.fakes import FakeClock
from tests.hive import PRIMARY, SECOND, Hive

HUGE = 2**63
START_MS = FakeClock().wall_ms()


def hostile_values(rng: Random) -> list[bytes]:
    """What an enemy, a bug or another version might leave under a key."""
    shapes: list[object] = [
        None, True, [], {}, "text", 1.5, -1, HUGE, [None], [[]], [{}], {"task_id": None},
        {"task_id": "x" * 5000, "epoch": 1, "renewal": 1},
        {"task_id": "x", "epoch": HUGE, "renewal": 1},
        {"task_id": "x", "epoch": START_MS + 10**12, "renewal": 0},
        {"choice": "lizard", "from": "x", "at": "", "round": 1, "epoch": 1},
        {"choice": "rock", "from": "x", "at": "", "round": 10**15, "epoch": START_MS},
        {"text": "<script>alert(1)</script>", "at": "", "source": "x" * 10_000},
        [{"id": "1", "seq": HUGE, "from": "x", "host": "x", "text": "x", "at": "x"}],
        [{"id": "1", "seq": -5, "task_id": "x", "bot": "x", "state": "on", "at": "x", "source": "x"}],
    ]  # fmt: skip
    raw = [json.dumps(shape).encode() for shape in shapes]
    raw += [b"", b"\x00", b"\xff\xfe", b"{", b'"\\ud800"', b"NaN", b"-", b"1e999", b"[" * 5_000, b"9" * 400]
    raw += [rng.randbytes(rng.randrange(1, 2_000)) for _ in range(20)]
    return raw


def every_key(hive: Hive) -> list[str]:
    """Every key that a trooper or a board reads."""
    members = [*hive.services, *hive.tasks, *(t.name for t in hive.tasks.values())]
    plain = [key.of() for key in keys.ALL if "{}" not in key.name]
    return plain + [key.of(member) for key in keys.ALL if "{}" in key.name for member in members]


@pytest.mark.slow
def test_a_thousand_hostile_values_stop_no_loop():
    """After 1,000 hostile values under every key all is well within 12 s, and nothing had a bug."""
    rng = Random(1)
    hive = Hive(services=(PRIMARY, SECOND))
    hive.run(4)
    reader = BoardReader(
        hive.bus, hive.gate, hive.clock, Settings(service_name=PRIMARY, swarm_services=(PRIMARY, SECOND))
    )
    values, targets = hostile_values(rng), every_key(hive)
    for number in range(1_000):
        hive.bus.set(rng.choice(targets), rng.choice(values), 86_400)
        if number % 10 == 0:
            hive.run(0.1)
            reader.board(max_age=0)
    hive.bus.delete(keys.OVERRIDE.of(PRIMARY))
    hive.run(12)
    assert not any(t.runner.bugs for t in hive.troopers.values())
    board = reader.board(max_age=0)
    for service in (PRIMARY, SECOND):
        leader = hive.leader(service)
        assert leader is not None
        squad = board.squad(service)
        assert squad.manager_task_id == leader
        assert {t.score for t in squad.replicas} == {
            s for who, s in hive.scores().items() if hive.tasks[who].service == service
        }
        assert all(t.freshness is Freshness.ALIVE for t in squad.replicas)
    rounds = hive.troopers[hive.leader()].memory.threw
    hive.run(25)
    assert hive.troopers[hive.leader()].memory.threw > rounds


def test_one_poisoned_value_costs_one_log_line():
    """However often a poisoned value is read, it is told once; another value is told again."""
    gate = Gate(FakeClock())
    with capture_logs() as logs:
        for _ in range(50):
            assert gate.read(codecs.LEASE, "k", b"poison") is None
        gate.read(codecs.LEASE, "k", b"other poison")
    assert [entry["event"] for entry in logs] == ["poison on the bus"] * 2


def test_an_implausible_epoch_is_poison():
    """An epoch more than a day ahead of this machine's clock cannot use up the epochs after it."""
    clock = FakeClock()
    gate = Gate(clock)
    day = 86_400_000
    for epoch, read in ((clock.wall_ms() + day - 1, True), (clock.wall_ms() + day + 1, False)):
        raw = orjson.dumps({"task_id": "t", "epoch": epoch, "renewal": 1})
        assert (gate.read(codecs.LEASE, "k", raw) is not None) is read


def test_a_value_beyond_its_bound_is_poison_unparsed():
    """A value longer than its key allows is refused by its length."""
    big = b" " * (keys.LEADER.max_bytes + 1)
    with capture_logs() as logs:
        assert Gate(FakeClock()).read(codecs.LEASE, "k", big) is None
    assert "at most 1024" in logs[0]["reason"]

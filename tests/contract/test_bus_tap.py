"""The tap on the bus: what passes arrives as it was, and each command is counted for what it is for."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import psutil
import pytest

from bench.bus_tap import BOARD, LEASE, LOOK, Tally, Tap, purpose, tap
from clawbucket import keys
from clawbucket.board import BoardReader
from clawbucket.bus.memcached import MemcachedBus
from clawbucket.clock import SystemClock
from clawbucket.codecs import Gate
from clawbucket.settings import Settings
from tests.conftest import Memcached


@pytest.fixture
def tapped(memcached: Memcached) -> Iterator[Tap]:
    """A tap before the session's memcached."""
    with tap(memcached.port) as made:
        yield made


@pytest.fixture
def bus(tapped: Tap) -> Iterator[MemcachedBus]:
    """A bus that asks through it."""
    made = MemcachedBus("127.0.0.1", tapped.port)
    yield made
    made.close()


def asked(tapped: Tap) -> Tally:
    """What this very process has asked through the tap."""
    me = psutil.Process()
    return tapped.tallies([me])[me.pid]


def test_what_passes_is_what_was_said(bus: MemcachedBus):
    """A value that looks like commands, one as large as a snapshot, nothing, and a cas: as without a tap."""
    key = f"test:{uuid.uuid4().hex}"
    hostile, large = b"x\r\nget a b c\r\nset k 0 0 5\r\n", bytes(range(256)) * 1_500
    bus.set_many({key: (hostile, 60), f"{key}:large": (large, 60)})
    assert bus.get_many([key, f"{key}:large", f"{key}:none"]) == {key: hostile, f"{key}:large": large}
    found = bus.gets(key)
    assert found is not None
    assert bus.cas(key, b"", found[1], 60)
    assert bus.get(key) == b""
    assert bus.delete(key)


def test_commands_and_keys_are_counted_and_data_is_not(tapped: Tap, bus: MemcachedBus):
    """A get of three keys is one command; what a value holds is never taken for a command."""
    beats = [keys.HEARTBEAT.of(f"a_b.{slot}.{uuid.uuid4().hex}") for slot in range(3)]
    bus.set_many(dict.fromkeys(beats, (b"get a\r\nget b\r\n", 60)))
    bus.get_many(beats)
    tally = asked(tapped)
    assert tally.commands == {keys.HEARTBEAT.name: 4}
    assert tally.keys == {keys.HEARTBEAT.name: 6}


def test_a_board_is_told_from_the_election_and_from_the_rest(tapped: Tap, bus: MemcachedBus):
    """By the keys that the real readers ask for: the board's, a candidate's look, and the lease's."""
    clock = SystemClock()
    settings = Settings(swarm_services=("a_b",), service_name="a_b")
    reader = BoardReader(bus, Gate(clock), clock, settings)
    with pytest.raises(Exception, match="no snapshot"):
        reader.board()
    bus.get_many([keys.SNAPSHOT.of(), keys.OVERRIDE.of("a_b")])
    bus.gets(keys.LEADER.of("a_b"))
    bus.get(keys.SNAPSHOT.of())
    commands = asked(tapped).commands
    assert commands == {BOARD: 1, LOOK: 1, LEASE: 1, keys.SNAPSHOT.name: 1}


def test_a_count_is_a_process_s(tapped: Tap, bus: MemcachedBus):
    """What another asked is not mine; one that never asked is not there."""
    bus.ping()
    assert [*tapped.tallies([psutil.Process(), psutil.Process(1)])] == [psutil.Process().pid]
    assert len(tapped.connections(psutil.Process())) == 1


@pytest.mark.parametrize("key", keys.ALL, ids=lambda key: key.name)
def test_every_key_of_ours_has_a_purpose(key: keys.Key):
    """None is counted among the rest."""
    assert purpose([key.of("member")]) == (LEASE if key is keys.LEADER else key.name)

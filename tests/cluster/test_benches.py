"""Short real runs of ./claw bench: the figures come, are of the size that was asked for, and add up."""

from __future__ import annotations

import psutil
import pytest

from bench import api, bus, election, scaling
from bench.figures import Figure

pytestmark = pytest.mark.slow


def named(figures: list[Figure], part: str) -> Figure:
    """The one figure whose name has that in it."""
    found = [figure for figure in figures if part in figure.name]
    assert len(found) == 1, f"{part}: {[figure.name for figure in figures]}"
    return found[0]


def mine() -> list[psutil.Process]:
    """What runs below this process."""
    return psutil.Process().children(recursive=True)


def test_api_measures_whole_answers_and_304s_beside_ready_ones():
    """Each in its turn; nobody is told anything but 200 and 304, and most who have the answer are told so."""
    before = mine()
    size = api.Size(4, ("--replicas", "2"), rate=0.6)
    figures = api.of_size(size, rounds=2, seconds=0.5, settle=1.0)
    assert {figure.size for figure in figures} == {4}
    assert named(figures, "neither 200 nor 304").met
    assert named(figures, "of those answers 304").value > 50
    ratio, ready, ours = (
        named(figures, part)
        for part in ("/api/swarms, rate", "ready bytes", "4 tiles: /api/swarms with If-None-Match, rate")
    )
    assert len(ratio.raw) == len(ready.raw) == len(ours.raw) == 2
    assert min(*ratio.raw, *ready.raw, *ours.raw) > 0
    assert set(mine()) <= set(before)


def test_election_measures_each_way_that_a_manager_can_go():
    """One killed, one told to end, one handed back; none of them before a CAS could have been had."""
    figures = election.measure(kills=1, ends=1, seconds=2.0)
    killed, ended, handed = (
        named(figures, part)
        for part in ("killed -> next confirmed, p50", "told to end", "given up -> confirmed, p50")
    )
    assert len(killed.raw) == len(ended.raw) == len(handed.raw) == 1
    assert handed.value < 1.0  # a lease that is given up is not waited for
    cas = named(figures, "gets and a cas").value / 1000
    assert 0 < cas < min(killed.value, handed.value)
    follower = named(figures, "commands of a follower")
    assert len(follower.raw) == 4
    assert named(figures, "for the lease itself").value < follower.value


def test_bus_counts_what_memcached_counts():
    """The tap, memcached and the workers agree; a packed trooper asks less than a replica of its own."""
    replicas, packed = bus.replicas_at_rest(4.0), bus.packed_at_rest(100, 4.0)
    for figures in (replicas, packed):
        assert named(figures, "memcached's count").value == pytest.approx(1.0, abs=0.1)
        assert named(figures, "connections of one process").met
    assert named(packed, "by the workers' own count").value == pytest.approx(
        named(packed, "keys of a packed one").value, rel=0.25
    )
    whole = named(replicas, "at rest: commands")
    assert len(whole.raw) == 6
    assert named(packed, "commands of a packed one").value < whole.value


def test_bus_stands_beside_a_bare_socket():
    """Three kinds of call, each a share of what a socket does alone; so short a run is no measurement."""
    figures = bus.beside_raw(rounds=2, operations=200)
    shares = [figure.value for figure in figures if "share" in figure.name]
    assert len(shares) == 3
    assert all(0 < share < 3 for share in shares)


def test_scaling_measures_a_rack_and_its_viewers():
    """Ten packed troopers at rest, with one viewer of their real front, and with twenty more."""
    before = mine()
    figures = scaling.of_size(10, seconds=2.0)
    assert {figure.size for figure in figures} == {10}
    assert named(figures, "bus: keys read").value > 10
    assert named(figures, "stream: the first picture").value > 1_000
    assert named(figures, "stream: deltas").value > 0
    assert set(mine()) <= set(before)

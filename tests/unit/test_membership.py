"""Who is alive, by heartbeats and the observer's own clock."""

from __future__ import annotations

from clawbucket.core.membership import Membership
from clawbucket.core.model import Freshness


def watched(seqs: list[int | None], every: float = 2.0) -> Freshness:
    """One trooper's freshness after looks ``every`` seconds that saw those beats."""
    membership, fresh = Membership(), Freshness.ALIVE
    for number, seq in enumerate(seqs):
        fresh = membership.look(["t"], {} if seq is None else {"t": seq}, number * every)["t"]
    return fresh


def test_a_trooper_that_beats_is_alive():
    """Each beat moves the sequence number, and that is life."""
    assert watched([1, 2, 3, 4, 5, 6, 7, 8]) is Freshness.ALIVE


def test_three_missed_beats_make_a_suspect_and_six_a_missing():
    """6 s without movement: suspect. 12 s: missing."""
    assert watched([1, 1, 1]) is Freshness.ALIVE
    assert watched([1, 1, 1, 1]) is Freshness.SUSPECT
    assert watched([1] * 7) is Freshness.MISSING


def test_a_beat_that_is_gone_is_one_that_does_not_move():
    """A wiped bus makes nobody suspect before their next beats are overdue."""
    assert watched([5, None, 6, 7]) is Freshness.ALIVE
    assert watched([5, None, None, None]) is Freshness.SUSPECT


def test_a_trooper_that_comes_back_is_alive_at_once():
    """One movement is enough."""
    assert watched([1] * 8 + [2]) is Freshness.ALIVE


def test_a_trooper_that_never_beat_becomes_suspect_in_its_own_time():
    """A new task is given the same time as others."""
    assert watched([None, None]) is Freshness.ALIVE
    assert watched([None] * 7) is Freshness.MISSING


def test_time_in_which_nobody_looked_counts_against_nobody():
    """An observer that was away for a minute makes nobody missing by that."""
    assert watched([1, 1], every=60.0) is Freshness.ALIVE


def test_those_no_longer_expected_are_forgotten():
    """Memory is bounded by who is expected."""
    membership = Membership()
    membership.look(["a", "b"], {"a": 1, "b": 1}, 0)
    assert set(membership.look(["b"], {"b": 2}, 1)) == {"b"}

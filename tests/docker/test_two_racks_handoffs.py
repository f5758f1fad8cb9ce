"""Troopers change racks between two Docker engines, while containers are killed; a checker judges."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.revolt_docker import measure
from bench.two_racks import SERVICE
from tests.docker import host
from tests.docker.battle import Battle
from tests.docker.racks import Racks

pytestmark = pytest.mark.slow

SECOND = f"{SERVICE}-b"
REPLICAS = 3
HANDOFFS = 10
MOST_TRIES = 60
KINDS = ("replica", "gateway", "manager")
"""One of them is killed beside every other handoff, in turn."""


@pytest.fixture
def battle(racks: Racks, tmp_path: Path) -> Battle:
    """Both racks, whole and of one size, with quick rounds."""
    for side in racks.both:
        for service, replicas in ((SERVICE, REPLICAS), (SECOND, 1)):
            assert side.post("/api/scale", {"service": service, "replicas": replicas}).status_code == 202
        side.wait_whole()
    found = Battle(racks, tmp_path)
    found.play_every(2)
    return found


def test_ten_handoffs_while_containers_are_killed(battle: Battle):
    """Both ways: every trooper is there once, its score is what its logs say, and nothing is left open."""
    before = battle.committed()
    with battle.recorded():
        tries = 0
        while battle.committed() - before < HANDOFFS and tries < MOST_TRIES:
            if tries % 2:
                battle.hand_over()
            else:
                battle.hand_over_while(KINDS[tries // 2 % len(KINDS)])
            tries += 1
        battle.wait_calm()
        assert battle.committed() - before >= HANDOFFS, battle.outcomes
        assert battle.judged() == []
    host.tell(f"{tries} tries at handoffs while {len(battle.killed)} troopers were killed: {battle.outcomes}")


def test_the_figures_of_docker_racks_are_taken(battle: Battle):
    """What ./claw bench revolt-docker prints; all are answered, since nothing is killed."""
    one, two = battle.boards
    battle.wait_calm()
    figures = measure(4, (one, two))
    host.tell(f"a trooper changes Docker racks within {figures[0].value:.1f} s (median of 4)")
    assert (figures[2].value, len(figures[0].raw)) == (0, 4)

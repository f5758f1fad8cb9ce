"""What one rack tells of the others."""

from __future__ import annotations

from dataclasses import replace

from clawbucket import codecs, keys
from clawbucket.bus.memory import MemoryBus
from clawbucket.codecs import Gate
from clawbucket.core.revolt import Offer, PeerSummary, Told
from clawbucket.handoff.watching_peers import WatchingPeers
from clawbucket.settings import Settings
from tests.fakes import FakeClock

FIRST, SECOND = "clawbucket_clawbucket", "clawbucket_clawbucket-b"
UP = PeerSummary("b", "http://b", True, "Rack B", 6, 6, "Brave Otter", 12, "2026-01-01T00:00:00Z")
DOWN = replace(UP, reachable=False, label="", running=0, desired=0, manager="", score=0, problem="refused")


class Neighbour:
    """Another rack that is as it is told to be. It counts how often it was looked at."""

    def __init__(self) -> None:
        self.seen, self.looks = UP, 0

    def hello(self, url: str) -> str:
        raise NotImplementedError

    def offer(self, url: str, offer: Offer, seconds: float) -> Told:
        raise NotImplementedError

    def ask(self, url: str, snapshot_id: str) -> Told:
        raise NotImplementedError

    def look(self, name: str, url: str) -> PeerSummary:
        assert (name, url) == ("b", "http://b")
        self.looks += 1
        return self.seen


def watching(
    neighbour: Neighbour, *, leads: bool = True, service: str = FIRST
) -> tuple[WatchingPeers, MemoryBus]:
    """A trooper that looks at one peer, and its bus."""
    bus = MemoryBus(FakeClock())
    told = {"CLAWBUCKET_PEERS": "b=http://b", "SWARM_SERVICES": f"{FIRST},{SECOND}", "SERVICE_NAME": service}
    return WatchingPeers(Settings.from_env(told), bus, neighbour, lambda: leads), bus


def told(bus: MemoryBus) -> list[PeerSummary] | None:
    """What viewers are shown."""
    found = Gate(FakeClock()).read(codecs.PEERS, keys.PEERS.of(), bus.get(keys.PEERS.of()))
    return list(found) if found is not None else None


def test_a_rack_out_of_reach_keeps_the_label_that_people_know_it_by():
    """What it is called is told on, with the reason why no more is known."""
    neighbour = Neighbour()
    behaviour, bus = watching(neighbour)
    behaviour.tick(0.0)
    assert told(bus) == [UP]
    neighbour.seen = DOWN
    behaviour.tick(2.0)
    assert told(bus) == [replace(DOWN, label="Rack B")]


def test_one_trooper_of_the_rack_looks_and_no_other():
    """Who does not lead, or leads another service than the first, asks nobody."""
    for leads, service in ((False, FIRST), (True, SECOND)):
        neighbour = Neighbour()
        behaviour, bus = watching(neighbour, leads=leads, service=service)
        behaviour.tick(0.0)
        assert (neighbour.looks, told(bus)) == (0, None)

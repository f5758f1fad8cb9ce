"""What one rack tells of the others."""

from __future__ import annotations

from dataclasses import replace

from clawbucket import codecs, keys
from clawbucket.bus.memory import MemoryBus
from clawbucket.codecs import Gate
from clawbucket.core.neighbours import MOST_TROOPERS, PeerSummary, PeerTrooper
from clawbucket.core.revolt import Offer, Told
from clawbucket.handoff.watching_peers import WatchingPeers
from clawbucket.settings import Settings
from tests.fakes import FakeClock

FIRST, SECOND = "clawbucket_clawbucket", "clawbucket_clawbucket-b"
OTTER = PeerTrooper("t1", "clawbucket", 1, "running", "alive", "on", 5, "iron fog ready", is_manager=True)
UP = PeerSummary(
    "b",
    "http://b",
    True,
    "Rack B",
    6,
    6,
    "Brave Otter",
    12,
    "2026-01-01T00:00:00Z",
    troopers=(OTTER,),
    more=5,
)
DOWN = replace(
    UP,
    reachable=False,
    label="",
    running=0,
    desired=0,
    manager="",
    score=0,
    problem="refused",
    at="2026-01-01T00:00:02Z",
    troopers=(),
    more=0,
)


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


def test_a_rack_out_of_reach_is_told_of_as_it_was():
    """What it is called and whom it had are told on, with when that was and why no more is known."""
    neighbour = Neighbour()
    behaviour, bus = watching(neighbour)
    behaviour.tick(0.0)
    assert told(bus) == [UP]
    neighbour.seen = DOWN
    behaviour.tick(2.0)
    assert told(bus) == [replace(DOWN, label="Rack B", troopers=(OTTER,), more=5, last_seen=UP.at)]


def test_one_trooper_of_the_rack_looks_and_no_other():
    """Who does not lead, or leads another service than the first, asks nobody."""
    for leads, service in ((False, FIRST), (True, SECOND)):
        neighbour = Neighbour()
        behaviour, bus = watching(neighbour, leads=leads, service=service)
        behaviour.tick(0.0)
        assert (neighbour.looks, told(bus)) == (0, None)


def test_the_most_that_racks_can_say_fits_on_the_bus():
    """As many racks as there may be, each with as many troopers, each text as long in bytes as it may be."""
    wide = "\N{MATHEMATICAL BOLD CAPITAL A}"
    trooper = PeerTrooper("z" * 64, wide * 40, 10**6, "z" * 16, "suspect", "off", -(10**9), wide * 50)
    peer = replace(
        DOWN, url="u" * 200, label=wide * 40, problem=wide * 200, troopers=(trooper,) * MOST_TROOPERS,
        last_seen=UP.at, score=-(10**9),
    )  # fmt: skip
    raw = codecs.PEERS.encode([peer] * keys.PEERS.cap)
    assert len(raw) <= keys.PEERS.max_bytes
    assert codecs.PEERS.decode(raw) == [peer] * keys.PEERS.cap

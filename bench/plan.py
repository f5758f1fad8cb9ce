"""How large a rack can be, by the fits, and how many of them a hundred thousand troopers are.

Each limit is a bound that is written down somewhere: a constant of this tree, one core of a process that has
one, a network of 1 Gbit/s, a document of Docker's. What it limits is a cost that was measured and fitted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, floor, log10

from bench.fits import Fit, where
from clawbucket import keys
from clawbucket.handoff.watching_peers import WatchingPeers
from clawbucket.settings import MOST_PACKED

TROOPERS = 100_000
NETWORK = 125e6
"""Bytes a second of 1 Gbit/s."""
VIEWERS = 1_000
"""As many as one front is held to (docs: the bench dashboard)."""
HEADROOM = 0.5
"""Of the size at which a rack breaks, how much the plan uses: the other half is for takeovers, starts and
people."""
BUS_MEMORY = 64 * 2**20
"""What ./claw up and the stack give memcached."""
SUBNET, BRIDGE = 253, 1_023
"""Addresses of an overlay network's default /24, and ports of a Linux bridge: Docker's, not measured."""


@dataclass(frozen=True, slots=True)
class Limit:
    """At ``size`` troopers a rack meets a bound. ``of``: ``packed``, ``containers`` or ``any`` rack."""

    what: str
    bound: str
    size: float
    of: str


def limits(fits: Mapping[str, Fit]) -> list[Limit]:
    """All of them, the first to be met first."""
    core = "one core"

    def by(name: str, most: float, bound: str, what: str, of: str = "any") -> Limit:
        return Limit(what, bound, fits[name].limit(most), of)

    follower, look = fits["election: bytes of a follower"], fits["board: bytes read for a look"]
    sends = "what memcached sends, packed troopers at rest"
    watched = f"what {VIEWERS:,} viewers of one front are sent"
    found = [
        by("snapshot: on the bus", keys.SNAPSHOT.max_bytes, "the key's 512,000 B", "the snapshot on the bus"),
        by("snapshot: as JSON", keys.LARGEST_SNAPSHOT, "a reader's 8 MB", "the snapshot as JSON"),
        by("processor: fronts", 100.0, core, "the front at rest: its board reads everybody"),
        by("processor: rack manager", 100.0, core, "the sim's rack manager at rest", "packed"),
        by("processor: workers", 200.0, "one core for each of two", "the packed troopers' loops", "packed"),
        by("processor: gateway", 100.0, core, "the gateway at rest"),
        by("processor: aggregator", 100.0, core, "the aggregator at rest"),
        by("processor: memcached", 400.0, "its four threads", "memcached's processor, packed", "packed"),
        by("bus: memory of the items", BUS_MEMORY, "memcached's 64 MiB", "the items on the bus"),
        by("bus: bytes from memcached", NETWORK, "1 Gbit/s", sends, "packed"),
        by("stream: bytes of a viewer", NETWORK / VIEWERS, "1 Gbit/s", watched),
        Limit(
            "what replicas of their own read, for the election ten times a second and for their boards once",
            "memcached's 1 Gbit/s", where(lambda n: n * (follower.at(n) + look.at(n)), NETWORK), "containers",
        ),
        Limit("troopers of a sim service", "the setting's 10,000", MOST_PACKED, "packed"),
        Limit("addresses of the default overlay network", "a /24", SUBNET, "containers"),
        Limit("containers of one node, on its `docker_gwbridge`", "a bridge", BRIDGE, "containers, a node"),
    ]  # fmt: skip
    return sorted(found, key=lambda limit: limit.size)


@dataclass(frozen=True, slots=True)
class Plan:
    """Racks of ``size`` troopers, ``racks`` of them, and the limit that is met first."""

    size: int
    racks: int
    first: Limit


def plan(fits: Mapping[str, Fit], of: str, *, without: str = "") -> Plan:
    """For racks of that kind. Limits whose words contain ``without`` are taken as lifted."""
    first = next(
        limit for limit in limits(fits)
        if limit.of in {of, "any"} and not (without and without in limit.what)
    )  # fmt: skip
    size = max(1, round_down(HEADROOM * first.size))
    return Plan(size, ceil(TROOPERS / size), first)


def round_down(size: float) -> int:
    """To its first two digits: the third was not measured."""
    if size < 100:
        return floor(size)
    step = 10 ** (floor(log10(size)) - 1)
    return int(size // step * step)


def peer_calls(racks: int, known: int) -> float:
    """Calls a second between racks of which each looks at so many others."""
    return racks * min(known, racks - 1) / WatchingPeers.every

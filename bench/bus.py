"""What the bus costs: what a trooper asks of memcached at rest, by how many connections, and how fast.

Commands and keys are both counted. A ``get`` of many keys is one command, and one round trip. Each rack talks
to its memcached through a tap (bench/bus_tap.py), so that every command is some process's; memcached's own
count of keys stands beside the tap's.

A packed trooper (engine sim) and a replica, which is one trooper in a process of its own, run the same loops.
The first shares each look at the bus with the others of its worker, the second looks for itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median

import psutil

from bench.bus_tap import BOARD, ELECTION, Tally, Tap, tap
from bench.figures import Figure, at_most
from bench.memcached import Raw, memcached
from bench.rack import RunningRack, rack
from bench.sim import keys_asked, kind_of, packed_keys
from clawbucket.bus.memcached import MemcachedBus

SERVICE = "clawbucket_clawbucket"
TROOPERS = 1_000
POOL = 16
"""Connections of one pool at most: what clawbucket/bus/memcached.py takes when it is not told."""
BAR = 4.0
"""Commands, and keys, that a trooper may ask for in a second at rest."""
_SETTLE = 6.0
_SECONDS = 20.0
"""Seconds that each rack is watched for: ten beats of everybody."""
_OPERATIONS = 2_000
_KEYS = 60
"""As many as a board of twenty troopers reads of them."""
_VALUE = b"x" * 200


def measure(troopers: int = TROOPERS, seconds: float = _SECONDS, rounds: int = 5) -> list[Figure]:
    """The bus beside a bare socket; six replicas at rest; ``troopers`` packed ones at rest."""
    return [*beside_raw(rounds), *replicas_at_rest(seconds), *packed_at_rest(troopers, seconds)]


# Beside a bare socket -----------------------------------------------------------------------------------


def beside_raw(rounds: int, operations: int = _OPERATIONS) -> list[Figure]:
    """``get``, ``get_many`` and ``cas`` of our bus as a share of what a bare socket does, in turn with it."""
    figures: list[Figure] = []
    with memcached() as port:
        bus, raw = MemcachedBus("127.0.0.1", port), Raw(port)
        wanted = [f"bench:bus:{number}" for number in range(_KEYS)]
        bus.set_many(dict.fromkeys(wanted, (_VALUE, 60)))
        pairs: tuple[tuple[str, Callable[[], object], Callable[[], object], int], ...] = (
            ("get", lambda: raw.get(wanted[0]), lambda: bus.get(wanted[0]), operations),
            (
                f"get_many of {_KEYS} keys", lambda: raw.get_many(wanted), lambda: bus.get_many(wanted),
                operations // 4,
            ),
            (
                "gets and cas", lambda: raw.cas(wanted[0], _VALUE), lambda: _renew(bus, wanted[0]),
                operations // 2,
            ),
        )  # fmt: skip
        for name, limit, ours, times in pairs:
            rates = [(_rate(limit, times), _rate(ours, times)) for _ in range(rounds)]
            shares = [own / bare for bare, own in rates]
            bare = [one[0] for one in rates]
            figures += [
                Figure(f"{name}, a bare socket, the limit", median(bare), "1/s", raw=bare),
                Figure(f"{name} by the bus, as a share of it", median(shares), "x", raw=shares),
            ]
        raw.close()
        bus.close()
    return figures


def _renew(bus: MemcachedBus, key: str) -> None:
    found = bus.gets(key)
    if found is None or not bus.cas(key, found[0], found[1], 60):
        raise AssertionError(f"{key} was written by somebody else")


def _rate(act: Callable[[], object], times: int) -> float:
    began = time.perf_counter()
    for _ in range(times):
        act()
    return times / (time.perf_counter() - began)


# At rest ------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Rest:
    """What each process asked in ``seconds``, by its id; ``told``: keys that memcached itself counted.

    ``packed``: keys a second that the sim's workers say they asked for.
    """

    kinds: dict[int, str]
    tallies: dict[int, Tally]
    connections: dict[int, int]
    seconds: float
    told: int
    packed: float

    def of(self, kind: str) -> list[Tally]:
        """Those of a kind of process."""
        return [tally for pid, tally in self.tallies.items() if self.kinds[pid] == kind]

    @property
    def all(self) -> Tally:
        """Everybody's."""
        return sum(self.tallies.values(), Tally())


@contextmanager
def tapped(*options: str, running: int) -> Iterator[tuple[RunningRack, Tap, int]]:
    """A rack behind a tap, once so many run and have settled, and its memcached's port."""
    with memcached() as port, tap(port) as made:
        environ = {"MEMCACHED_HOST": "127.0.0.1", "MEMCACHED_PORT": str(made.port)}
        with rack(*options, environ=environ) as started:
            started.wait_running(running, timeout=90.0)
            time.sleep(_SETTLE)
            yield started, made, port


def rest(running: RunningRack, made: Tap, port: int, seconds: float, *, sim: bool = False) -> Rest:
    """Watch it for that long."""
    processes = running.left()
    sooner, asked_at = sum(packed_keys(running)) if sim else 0, time.monotonic()
    before, told, began = made.tallies(processes), keys_asked(port), time.monotonic()
    time.sleep(seconds)
    after, elapsed = made.tallies(processes), time.monotonic() - began
    told = keys_asked(port) - told
    packed = sum(packed_keys(running)) - sooner if sim else 0
    return Rest(
        kinds=_kinds(processes, after),
        tallies={pid: tally - before.get(pid, Tally()) for pid, tally in after.items()},
        connections={p.pid: len(made.connections(p)) for p in processes if p.pid in after},
        seconds=elapsed,
        told=told,
        packed=packed / (time.monotonic() - asked_at),
    )


def _kinds(processes: list[psutil.Process], seen: Mapping[int, Tally]) -> dict[int, str]:
    return {process.pid: kind_of(process) for process in processes if process.pid in seen}


def replicas_at_rest(seconds: float) -> list[Figure]:
    """Three of each of two services, each a process of its own. Held to no bar; docs say why."""
    with tapped("--replicas", "3", running=6) as (running, made, port):
        seen = rest(running, made, port, seconds)
    fronts, name = seen.of("fronts"), "a replica of its own at rest: "
    every = [tally.commands.total() / seen.seconds for tally in fronts]
    keys = [tally.keys.total() / seen.seconds for tally in fronts]
    election = [sum(tally.commands[what] for what in ELECTION) / seen.seconds for tally in fronts]
    board = [tally.keys[BOARD] / seen.seconds for tally in fronts]
    return [
        Figure(f"{name}commands", median(every), "1/s", raw=every, size=6),
        Figure(f"{name}of them the election's", median(election), "1/s", raw=election, size=6),
        Figure(f"{name}keys", median(keys), "1/s", raw=keys, size=6),
        Figure(f"{name}of them its board's", median(board), "1/s", raw=board, size=6),
        *_shared(seen, 6),
    ]


def packed_at_rest(troopers: int, seconds: float) -> list[Figure]:
    """So many of one service in two workers, with one front."""
    options = ("--engine", "sim", "--services", SERVICE, "--replicas", str(troopers))
    with tapped(*options, running=troopers) as (running, made, port):
        seen = rest(running, made, port, seconds, sim=True)
    lives = troopers - len(seen.of("fronts"))
    workers, fronts = sum(seen.of("workers"), Tally()), sum(seen.of("fronts"), Tally())
    own, name = seen.seconds * lives, f"{troopers} troopers at rest: "
    all_keys = seen.all.keys.total() / seen.seconds / troopers
    front_keys = (fronts.keys.total() / seen.seconds / troopers, fronts.keys[BOARD] / seen.seconds / troopers)
    return [
        at_most(
            f"{name}commands of a packed one", workers.commands.total() / own, "1/s", BAR, [], size=troopers
        ),
        at_most(f"{name}keys of a packed one", workers.keys.total() / own, "1/s", BAR, [], size=troopers),
        Figure(f"{name}the same by the workers' own count", seen.packed / lives, "1/s", size=troopers),
        Figure(f"{name}keys by all, per trooper", all_keys, "1/s", size=troopers),
        Figure(f"{name}of them the front's", front_keys[0], "1/s", size=troopers),
        Figure(f"{name}of those its board's", front_keys[1], "1/s", size=troopers),
        Figure(f"{name}commands of the front", fronts.commands.total() / seen.seconds, "1/s", size=troopers),
        *_shared(seen, troopers),
    ]


def _shared(seen: Rest, troopers: int) -> list[Figure]:
    """Connections of each process, and what memcached says to the tap's count."""
    counts = [float(number) for number in seen.connections.values()]
    asked = seen.all.keys.total()
    return [
        at_most(
            f"{troopers} troopers: connections of one process, most", max(counts), "", POOL, counts,
            size=troopers,
        ),
        Figure(f"{troopers} troopers: keys by memcached's count, share of ours", seen.told / asked, "x",
               raw=[float(seen.told), float(asked)], size=troopers),
    ]  # fmt: skip

"""Which replica is given the next request: pure, without a clock, a socket or chance.

Least connections: the replica with the fewest requests under way (a stream counts while it lasts), equals
in turn. A replica that could not be reached, or died or fell silent over a request, is *suspect* for a
short time: it is chosen only where no other is left, and the probe (gateway/probes.py) clears it as soon
as it speaks. A replica that says that it is *draining* is given nothing at all.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from clawbucket.core.model import Task

FIRST_SUSPICION = 1.0
"""Seconds that a first failure keeps a replica out; it doubles with each that follows."""
LONGEST_SUSPICION = 5.0
"""Seconds that any failure keeps a replica out at most."""


@dataclass(eq=False, slots=True)
class Replica:
    """A task that requests can go to. ``suspect_until`` is monotonic seconds; ``strikes`` in a row."""

    task_id: str
    name: str
    address: str
    in_flight: int = 0
    draining: bool = False
    strikes: int = 0
    suspect_until: float = 0.0


class Routes:
    """The replicas that can be chosen now. One event loop's; every call returns at once."""

    def __init__(self) -> None:
        self._replicas: list[Replica] = []
        self._turn = 0

    def __len__(self) -> int:
        return len(self._replicas)

    @property
    def replicas(self) -> tuple[Replica, ...]:
        """Every replica of the last list, also those that are suspect or draining."""
        return tuple(self._replicas)

    def update(self, tasks: Iterable[Task]) -> None:
        """Take what the engine says now: the tasks that run, are meant to, and have an address."""
        self.take(Replica(t.id, t.name, t.address) for t in tasks if t.running and t.address)

    def take(self, found: Iterable[Replica]) -> None:
        """These are there now.

        One that stays keeps its count and its marks; one that goes finishes what it was given.
        """
        known = {(r.task_id, r.address): r for r in self._replicas}
        self._replicas = [known.get((r.task_id, r.address)) or r for r in found]

    def choose(self, now: float, avoid: Collection[Replica] = ()) -> Replica | None:
        """The replica for the next request, or None. ``avoid`` are those that it was given before."""
        replicas = self._replicas
        count = len(replicas)
        best: Replica | None = None
        best_rank = (True, 0)
        self._turn = turn = (self._turn + 1) % count if count else 0
        for index in range(turn - count, turn):  # a negative index counts from the end: one whole turn
            replica = replicas[index]
            if replica.draining or replica in avoid:
                continue
            rank = (replica.suspect_until > now, replica.in_flight)
            if best is None or rank < best_rank:
                best, best_rank = replica, rank
        return best

    def strike(self, replica: Replica, now: float) -> None:
        """It failed. The many requests that fail with one replica at one moment count once."""
        if replica.suspect_until > now:
            return
        replica.strikes += 1
        seconds = min(FIRST_SUSPICION * 2.0 ** min(replica.strikes - 1, 10), LONGEST_SUSPICION)
        replica.suspect_until = now + seconds

    def clear(self, replica: Replica) -> None:
        """It answered: it is suspect no longer."""
        replica.strikes = 0
        replica.suspect_until = 0.0

    def unwell(self) -> list[Replica]:
        """Those that a probe should ask: each that failed since it last answered, or is draining."""
        return [r for r in self._replicas if r.strikes or r.draining]

    def counts(self, now: float) -> dict[str, int]:
        """How many are ``ready``, ``suspect`` and ``draining``."""
        counts = {"ready": 0, "suspect": 0, "draining": 0}
        for replica in self._replicas:
            if replica.draining:
                counts["draining"] += 1
            else:
                counts["suspect" if replica.suspect_until > now else "ready"] += 1
        return counts


class RetryBudget:
    """How many requests may be sent a second time, so that retries never become the load.

    After Finagle's RetryBudget: each request earns a tenth of a retry, ten a second come for nothing, and
    a hundred may be saved up, enough for what one replica's death leaves unanswered.
    """

    PER_REQUEST = 0.1
    PER_SECOND = 10.0
    MOST = 100.0

    def __init__(self, now: float) -> None:
        self._tokens = self.MOST
        self._at = now

    def earn(self) -> None:
        """A request came."""
        if self._tokens < self.MOST:
            self._tokens += self.PER_REQUEST

    def spend(self, now: float) -> bool:
        """Take one retry; False when none is left."""
        self._tokens = min(self.MOST, self._tokens + (now - self._at) * self.PER_SECOND)
        self._at = now
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True

"""Leadership of a service: a lease with a fencing epoch. The rule alone, without clock or bus.

Prior art: Gray and Cheriton, "Leases" (1989), for a right that ends by itself; Chubby's sequencers
(Burrows, 2006) and Kleppmann's fencing tokens (2016) for the epoch that goes with every leader's write;
and Kubernetes' leader election (client-go), which like this never compares two machines' clocks: a
follower measures on its own clock how long the lease has not moved. It differs in three ways. The
preference among candidates is deterministic, so the followers stagger their attempts by rank instead
of by chance. The rack manager's word that the holder's process has ended frees the lease at once. And
memcached forgets, so a lease that was put where none was is on *probation*: it must be held, renewal by
renewal, for as long as any leader of before might still believe in itself. docs/adr/0001 tells what this
cannot promise.

Whoever drives a ``Candidacy`` reads the lease, calls ``see``, asks ``decide`` what to write, writes it by
``add`` or ``cas`` with the token of that very read, and reports how it went.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Self

from clawbucket.core.model import Snapshot, Task
from clawbucket.core.records import Lease

NO_SLOT = 0
"""The override that prefers nobody, as one that was taken back says: slots start at 1."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds. A leader must stop (``step_down``) well before any follower may start (``dead_after``).

    ``vacant``: how long a lease is absent before others than its former leader put theirs there.
    """

    renew: float = 0.4
    step_down: float = 1.0
    dead_after: float = 1.5
    by_rank: float = 0.15
    vacant: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.renew < self.step_down < self.dead_after:
            raise ValueError(f"a lease needs 0 < renew < step_down < dead_after, not {self}")


class How(Enum):
    """How a lease is to be written."""

    ADD = "add"
    CAS = "cas"


@dataclass(frozen=True, slots=True)
class Bid:
    """What to write: ``lease`` by ``how``. ``lease.released`` gives the leadership up.

    ``blind``: nothing on the bus shows that nobody else leads; what is won so is on probation.
    """

    lease: Lease
    how: How
    blind: bool = False


def _give_up(lease: Lease) -> Bid:
    return Bid(replace(lease, renewal=lease.renewal + 1, released=True), How.CAS)


class Ranking(tuple[str, ...]):  # noqa: SLOT001 - a tuple's subclass cannot have slots of its own
    """Candidates' task ids, the preferred one first, that tells a rank without looking through all.

    A thousand followers ask for theirs ten times a second each.
    """

    _ranks: dict[str, int]

    def __new__(cls, order: Iterable[str] = ()) -> Self:
        """The ids in that order; none twice."""
        made = super().__new__(cls, order)
        made._ranks = {who: rank for rank, who in enumerate(made)}
        return made

    def __contains__(self, who: object) -> bool:
        return who in self._ranks

    def rank(self, who: str) -> int:
        """How many are preferred to that candidate. KeyError: it is none."""
        return self._ranks[who]


def preference(snapshot: Snapshot, service: str, override_slot: int | None) -> tuple[Task, ...]:
    """The service's running tasks, the one that should manage it first (CONTRACT section 1).

    The override slot if set (``NO_SLOT`` is nobody's); then those on the Swarm leader's node; then the
    lowest slot; then the id.
    """

    def key(task: Task) -> tuple[bool, bool, int, str]:
        return (task.slot != override_slot, task.node_id != snapshot.leader_node_id, task.slot, task.id)

    return tuple(sorted((t for t in snapshot.tasks_of(service) if t.running), key=key))


class Candidacy:
    """One task's part in one service's elections. Not thread-safe: one driver, one step at a time."""

    def __init__(self, task_id: str, timing: Timing | None = None) -> None:
        self.task_id = task_id
        self._timing = timing or Timing()
        self._highest_epoch = 0
        self._seen: Lease | None = None
        self._unmoved_since: float | None = None
        self._freed_at: float | None = None
        self._held: Lease | None = None
        self._confirmed_at = 0.0
        self._probation: tuple[int, float] | None = None
        self._beats_when_won: dict[str, int] = {}
        self._bid: Bid | None = None
        self._bid_at = 0.0

    @property
    def lease(self) -> Lease | None:
        """The lease as last seen, whoever holds it."""
        return self._seen

    @property
    def highest_epoch(self) -> int:
        """The highest epoch ever seen, a bound for fencing out older leaders' writes."""
        return self._highest_epoch

    def leads(self, now: float) -> int | None:
        """The epoch in which this task leads at ``now``, or None.

        True only while the last *confirmed* renewal left less than ``step_down`` ago.
        """
        if self._held is None or now - self._confirmed_at >= self._timing.step_down:
            return None
        return self._held.epoch

    def overdue(self, now: float) -> float:
        """Seconds since the last confirmed renewal ran out, 0 while it holds."""
        return max(0.0, now - self._confirmed_at - self._timing.step_down)

    def see(self, lease: Lease | None, now: float, *, holder_ended: bool = False) -> None:
        """Take note of what a successful read showed. None: no lease, or poison where it should be.

        ``holder_ended``: the snapshot lists the holder's process as gone. That it does not list the
        holder at all proves nothing, and must not be told as that.
        """
        if self._unmoved_since is None or lease != self._seen:
            self._unmoved_since, self._freed_at = now, None
        self._seen = lease
        if lease is None:
            self._probation = None
            return
        self._highest_epoch = max(self._highest_epoch, lease.epoch)
        if (lease.released or holder_ended) and self._freed_at is None:
            self._freed_at = now
        if self._held and (lease.task_id, lease.epoch) != (self._held.task_id, self._held.epoch):
            self._held = None
        if self._probation and (lease.task_id, lease.epoch) != (self.task_id, self._probation[0]):
            self._probation = None

    def decide(
        self, now: float, wall_ms: int, order: tuple[str, ...], beats: Mapping[str, int]
    ) -> Bid | None:
        """What to write now, or None.

        ``order``: the candidates' task ids, preferred first. ``beats``: heartbeat ``seq`` by task id, as far
        as known; a leader gives way only to a better candidate that has beaten since it won.
        """
        if self._unmoved_since is None:
            return None
        leading = self.leads(now) is not None
        lease = self._seen
        order = order if isinstance(order, Ranking) else Ranking(order)
        if self.task_id not in order:
            if leading and lease is not None and lease.task_id == self.task_id:
                return self._place(_give_up(lease), now)  # drained or on its way out: no candidate waits
            return None
        if lease is None:
            if leading or self._waited(now, self._unmoved_since + self._timing.vacant, order):
                return self._place(Bid(self._fresh(wall_ms), How.ADD, blind=not leading), now)
            return None
        if lease.task_id == self.task_id and not lease.released:
            return self._own(lease, now, wall_ms, order, beats, leading=leading)
        free_at = self._unmoved_since + self._timing.dead_after
        if self._freed_at is not None:
            free_at = min(free_at, self._freed_at)
        # Whoever held the lease last is no candidate for it, unless it gave it up and is there still.
        if self._waited(now, free_at, order, without=None if lease.released else lease.task_id):
            return self._place(Bid(self._fresh(wall_ms), How.CAS), now)
        return None

    def overwrite_poison(self, bid: Bid) -> Bid:
        """The same bid where the key holds poison: it cannot be added to, only compared and swapped."""
        self._bid = replace(bid, how=How.CAS)
        return self._bid

    def release(self, now: float) -> Bid | None:
        """The bid that gives up the leadership, or None when there is none to give."""
        if self.leads(now) is None or self._held is None:
            self._held = None
            return None
        bid = _give_up(self._held)
        self._held = None
        return bid

    def confirmed(self, beats: Mapping[str, int], now: float) -> None:
        """The bus stored the last bid, and said so by ``now``. A leadership counts from before it was sent.

        Probation counts from the answer: whoever led before the lease was lost had renewed it before that.
        """
        if self._bid is None:
            return
        lease = self._bid.lease
        if lease.released:
            self._held = self._probation = None
        elif self._bid.blind:
            self._probation = (lease.epoch, now + self._timing.dead_after)
        elif self._probation and self._bid_at < self._probation[1]:
            pass  # renewed, and still on probation
        else:
            self._probation = None
            if self._held is None or self._held.epoch != lease.epoch:
                self._beats_when_won = dict(beats)
            self._held, self._confirmed_at = lease, self._bid_at
        self._highest_epoch = max(self._highest_epoch, lease.epoch)
        self._seen, self._unmoved_since, self._freed_at = lease, self._bid_at, None
        self._bid = None

    def refused(self) -> None:
        """The bus did not store the last bid: somebody else wrote. The next read tells who."""
        self._bid = None

    def in_doubt(self) -> None:
        """Nobody knows whether the last bid was stored; until a read or a renewal proves it, it was not.

        A renewal in doubt leaves the last confirmed one as it is: the leadership runs out by itself.
        """
        self._bid = None

    def _own(
        self, lease: Lease, now: float, wall_ms: int, order: Ranking, beats: Mapping[str, int],
        *, leading: bool,
    ) -> Bid | None:  # fmt: skip
        """The bus says that this task holds the lease."""
        if self._probation is not None:
            if now >= self._probation[1]:
                # In an epoch of now: the one that was bid for may be older than what others led in since.
                return self._place(Bid(self._fresh(wall_ms), How.CAS), now)
            if now - self._bid_at >= self._timing.renew:
                return self._place(Bid(replace(lease, renewal=lease.renewal + 1), How.CAS), now)
            return None
        if not leading:
            # Stepped down meanwhile, or a bid in doubt did land: a new epoch and probation, since what
            # others believed in between is unknown.
            return self._place(Bid(self._fresh(wall_ms), How.CAS, blind=True), now)
        better = order[: order.rank(self.task_id)]
        if any(beats.get(who, -1) > self._beats_when_won.get(who, -1) for who in better):
            return self._place(_give_up(lease), now)
        if now - self._confirmed_at >= self._timing.renew:
            return self._place(Bid(replace(lease, renewal=lease.renewal + 1), How.CAS), now)
        return None

    def _waited(self, now: float, free_at: float, order: Ranking, without: str | None = None) -> bool:
        """Whether the lease has been free long enough for this task's rank among the other candidates."""
        if now < free_at:
            return False
        rank = order.rank(self.task_id)
        if without is not None and without in order and order.rank(without) < rank:
            rank -= 1
        return now >= free_at + rank * self._timing.by_rank

    def _fresh(self, wall_ms: int) -> Lease:
        """A lease in a new epoch: above all that was seen, and after a wipe still above the past."""
        return Lease(self.task_id, max(self._highest_epoch + 1, wall_ms), renewal=0)

    def _place(self, bid: Bid, now: float) -> Bid:
        self._bid, self._bid_at = bid, now
        if bid.lease.released:
            self._held = None  # not when it is confirmed: by then the next one may lead already
        return bid

"""One process's troopers read what they all read once, and publish together.

A thousand troopers look at the same few keys ten times a second. Here they share each look: a value may be
as old as its key's ``AGES`` say. What a trooper publishes of itself (``set_many``: beats, scores, words)
waits until the end of the slice in which it was due, some 25 ms, and goes out with the others'. A beat
repeats all of it, so what is lost is said again two seconds later, as where a replica dies over it.

Nothing that decides is shared. ``add``, ``cas``, ``set`` and ``delete`` go to the bus itself, at once,
after what waits, and make this process forget what it had of the key. Why a lease may be looked at through
here:

- A look is never taken for newer than it is told: the token that ``gets`` gives is that of the very read,
  so the bus refuses a ``cas`` whenever anybody has written since. A takeover that succeeds proves that the
  lease did not move from the read on until then.
- A follower counts how long a lease has stood still from its own first look at it, which can only be later
  than the read behind it. So it waits the lease's time at least, and longer by what the look was old.
- Where no lease is, only ``add`` puts one, and what is won so is on probation.
- A leader renews by ``cas``, and counts from before that leaves. That it hears of a lost lease a tenth of a
  second later changes nothing: it stops by its own clock before any follower may begin.

tests/unit/test_shared_bus.py plays schedules of such troopers and finds no two leaders.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

import structlog

from clawbucket import keys
from clawbucket.ports import Bus, BusDown, BusInDoubt, CasToken, ClawError, Clock

T = TypeVar("T")
log = structlog.get_logger(__name__)

AGES = {"lease": 0.04, "now": 0.1, "soon": 0.5, "inbox": 1.0}
"""Seconds that a look may be old: leases; what else is looked at in every tick (snapshot, overrides, the
running round); what is looked at in every beat (interval, and the lists of all); the troopers' inboxes.

A lease's age and a cycle of the wheel together are less than the 0.15 s that candidates stand apart
(core/election.py). Were they more, who gives a lease up would take it back before the preferred one saw it.
"""
OUTAGE = 0.25
"""Seconds for which a bus that failed a look is not looked at again: one failed, and may have taken a
second."""
MOST_AT_ONCE = 1_000
"""Keys asked for in one go: some 3 ms."""


class _Look:
    """Some keys that are read together, with what the bus had of them at ``asked_at``."""

    __slots__ = ("age", "asked_at", "keys", "values")

    def __init__(self, wanted: Iterable[str], age: float) -> None:
        self.keys, self.age = dict.fromkeys(wanted), age
        self.values: dict[str, bytes] = {}
        self.asked_at = float("-inf")


class _Lease:
    """One lease's key, with the token of the read at ``asked_at``."""

    __slots__ = ("asked_at", "found", "key")

    def __init__(self, key: str) -> None:
        self.key = key
        self.found: tuple[bytes, CasToken] | None = None
        self.asked_at = float("-inf")


class SharedBus:
    """A Bus over another, for one thread. ``services`` are those whose leases are looked at.

    ``asked`` counts the keys that the bus was asked to read or to write, ``lost`` those that it did not take.
    """

    def __init__(self, bus: Bus, clock: Clock, services: Iterable[str]) -> None:
        self._bus, self._clock = bus, clock
        names = tuple(services)
        now = _Look((keys.SNAPSHOT.of(), keys.RPS_STATE.of(), *map(keys.OVERRIDE.of, names)), AGES["now"])
        lists = (key.of() for key in keys.ALL if key.cap and "{}" not in key.name)
        soon = _Look((keys.RPS_INTERVAL.of(), *lists), AGES["soon"])
        self._inboxes = _Look((), AGES["inbox"])
        self._looks: dict[str, _Look] = {key: look for look in (now, soon) for key in look.keys}
        self._leases = {key: _Lease(key) for key in map(keys.LEADER.of, names)}
        self._waiting: dict[str, tuple[bytes, int]] = {}
        self._outage: tuple[float, ClawError] | None = None
        self.asked = self.lost = 0

    # What is shared ----------------------------------------------------------------------------------

    def join(self, task_id: str) -> None:
        """Read that task's inbox with the others'."""
        key = keys.ORDERS.of(task_id)
        self._inboxes.keys[key] = None
        self._looks[key] = self._inboxes

    def leave(self, task_id: str) -> None:
        """Read it no more."""
        key = keys.ORDERS.of(task_id)
        self._inboxes.keys.pop(key, None)
        self._inboxes.values.pop(key, None)
        self._looks.pop(key, None)

    @property
    def shared(self) -> frozenset[str]:
        """The keys that every trooper reads the same of."""
        return frozenset(key for key, look in self._looks.items() if look is not self._inboxes) | frozenset(
            self._leases
        )

    def flush(self) -> None:
        """Publish what waits; what the bus does not take is counted as ``lost``. Raises as a write does."""
        waiting, self._waiting = self._waiting, {}
        if not waiting:
            return
        self.asked += len(waiting)
        try:
            self._bus.set_many(waiting)
        except ClawError:
            self.lost += len(waiting)
            raise

    # Bus ---------------------------------------------------------------------------------------------

    def get(self, key: str) -> bytes | None:
        """The value, as old as its key's age at most."""
        look = self._looks.get(key)
        if look is not None:
            return self._fresh(look).get(key)
        lease = self._leases.get(key)
        if lease is not None:
            found = self._fresh_lease(lease)
            return found[0] if found else None
        waiting = self._waiting.get(key)
        if waiting is not None:
            return waiting[0]
        self.asked += 1
        return self._bus.get(key)

    def get_many(self, keys: Iterable[str]) -> dict[str, bytes]:
        """The values that exist, each as ``get`` gives it; one round trip for those that are not shared."""
        values: dict[str, bytes] = {}
        others: list[str] = []
        for key in keys:
            if key in self._looks or key in self._leases or key in self._waiting:
                value = self.get(key)
                if value is not None:
                    values[key] = value
            else:
                others.append(key)
        if others:
            self.asked += len(others)
            values.update(self._bus.get_many(others))
        return values

    def gets(self, key: str) -> tuple[bytes, CasToken] | None:
        """The value with the token of the read that gave it."""
        lease = self._leases.get(key)
        if lease is not None:
            return self._fresh_lease(lease)
        self.asked += 1
        return self._bus.gets(key)

    def set(self, key: str, value: bytes, ttl: int) -> None:
        """Store whatever was there, now."""
        self._write(key, lambda: self._bus.set(key, value, ttl))

    def set_many(self, values: Mapping[str, tuple[bytes, int]]) -> None:
        """Store them with the next ``flush``, or before the next write of another kind."""
        self._waiting.update(values)
        for key in values:
            self._forget(key)

    def add(self, key: str, value: bytes, ttl: int) -> bool:
        """Store only where nothing is; atomic."""
        return self._write(key, lambda: self._bus.add(key, value, ttl))

    def cas(self, key: str, value: bytes, token: CasToken, ttl: int) -> bool:
        """Store only where nobody wrote since ``token``; atomic."""
        return self._write(key, lambda: self._bus.cas(key, value, token, ttl))

    def delete(self, key: str) -> bool:
        """Remove. False: nothing was there."""
        return self._write(key, lambda: self._bus.delete(key))

    def ping(self) -> None:
        """Return when the bus answers."""
        self._bus.ping()

    # Inside ------------------------------------------------------------------------------------------

    def _fresh(self, look: _Look) -> dict[str, bytes]:
        now = self._clock.monotonic()
        if now - look.asked_at >= look.age:
            look.values = self._asked(lambda: self._read(look), now)
            look.asked_at = now  # from before the read: a look is never taken for newer than it is
        return look.values

    def _fresh_lease(self, lease: _Lease) -> tuple[bytes, CasToken] | None:
        now = self._clock.monotonic()
        if now - lease.asked_at >= AGES["lease"]:
            self.asked += 1
            found = self._asked(lambda: self._bus.gets(lease.key), now)
            # The very bytes of before stay the very object, so that nobody parses them again.
            if found is not None and lease.found is not None and found[0] == lease.found[0]:
                found = (lease.found[0], found[1])
            lease.found, lease.asked_at = found, now
        return lease.found

    def _read(self, look: _Look) -> dict[str, bytes]:
        """What the bus has now; where it is what it was, the very object of before."""
        found: dict[str, bytes] = {}
        wanted = list(look.keys)
        self.asked += len(wanted)
        for start in range(0, len(wanted), MOST_AT_ONCE):
            found |= self._bus.get_many(wanted[start : start + MOST_AT_ONCE])
        for key, value in found.items():
            before = look.values.get(key)
            if before == value:
                found[key] = before
        return found

    def _asked(self, ask: Callable[[], T], now: float) -> T:
        """One look at the bus. One that just failed fails everybody for a moment."""
        if self._outage is not None:
            if now < self._outage[0]:
                raise type(self._outage[1])(str(self._outage[1]))
            self._outage = None
        try:
            return ask()
        except (BusDown, BusInDoubt) as error:
            self._outage = (self._clock.monotonic() + OUTAGE, error)
            raise

    def _write(self, key: str, write: Callable[[], T]) -> T:
        self._publish_first()
        self.asked += 1
        try:
            return write()
        finally:
            self._forget(key)  # also where its outcome is in doubt

    def _publish_first(self) -> None:
        """What waits was said before. That it is lost must not keep another trooper from writing."""
        try:
            self.flush()
        except ClawError as error:
            log.debug("publications lost", reason=str(error))

    def _forget(self, key: str) -> None:
        lease, look = self._leases.get(key), self._looks.get(key)
        if lease is not None:
            lease.asked_at = float("-inf")
        if look is not None:
            look.asked_at = float("-inf")

"""What a trooper last saw of its rack: the snapshot and the override, kept over a bus that forgot them."""

from __future__ import annotations

from collections import defaultdict

from clawbucket import codecs, keys
from clawbucket.codecs import Gate
from clawbucket.core.election import NO_SLOT, Ranking, preference
from clawbucket.core.membership import BEAT_EVERY
from clawbucket.core.model import Snapshot, Task
from clawbucket.ports import Bus, Clock

_NEW_AFTER = 3 * BEAT_EVERY
"""Seconds without an override after which one that comes is new: one that was lost is back within a beat."""
_WORTH_IT = 2
"""Seconds that a lost override must have left. One that merely expired has none: memcached, which counts
whole seconds, ends it up to one second early."""


class Override:
    """One service's override as this process saw it, with the end of its time where it saw it come.

    One that was put back looks like a new one. Were it remembered as such, with 300 s of its own, the
    troopers would keep it alive among them for ever. So what comes soon after an absence is followed
    while it is there, and no longer.
    """

    def __init__(self) -> None:
        self._found: int | None = None
        self._looked_at: float | None = None
        self._absent_since = 0.0
        self._kept: tuple[int, float] | None = None

    def see(self, found: int | None, now: float) -> int | None:
        """Take note of what the bus had in a look begun at ``now``; the slot to prefer, if any."""
        if found is None:
            if self._looked_at is None or self._found is not None:
                self._absent_since = now
        elif self._kept is None or found != self._kept[0] or now >= self._kept[1]:
            self._kept = self._came(found)
        self._found, self._looked_at = found, now
        if found is None and self._kept is not None and now < self._kept[1]:
            return self._kept[0]
        return found

    def lost(self, now: float) -> tuple[int, int] | None:
        """The slot and the whole seconds left of an override that the bus should have and has not."""
        if self._found is not None or self._kept is None:
            return None
        slot, ends_at = self._kept
        left = int(ends_at - now)
        return (slot, left) if left >= _WORTH_IT else None

    def _came(self, found: int) -> tuple[int, float] | None:
        """What to remember of it: from the last look without it on, so never beyond its true end."""
        if found in {NO_SLOT, self._found} or self._looked_at is None:
            return None
        if self._found is None and self._looked_at - self._absent_since < _NEW_AFTER:
            return None
        return found, self._looked_at + keys.OVERRIDE.ttl


class Sight:
    """The newest snapshot that this process read, and what follows from it."""

    def __init__(self, bus: Bus, gate: Gate, clock: Clock) -> None:
        self._bus, self._gate, self._clock = bus, gate, clock
        self._read = gate.reader(codecs.SNAPSHOT, keys.SNAPSHOT.of())
        self._overrides: defaultdict[str, Override] = defaultdict(Override)
        self._rankings: dict[str, tuple[Snapshot, int | None, Ranking]] = {}
        self._wanted: dict[str, tuple[str, str]] = {}
        self.snapshot: Snapshot | None = None

    def look(self, service: str) -> Ranking:
        """Ask the bus; the task ids of the service's candidates, the preferred one first."""
        now = self._clock.monotonic()
        if service not in self._wanted:
            self._wanted[service] = (keys.SNAPSHOT.of(), keys.OVERRIDE.of(service))
        snapshot_key, override_key = self._wanted[service]
        values = self._bus.get_many(self._wanted[service])
        self.snapshot = self._read(values.get(snapshot_key)) or self.snapshot
        found = self._gate.read(codecs.OVERRIDE, override_key, values.get(override_key))
        override = self._overrides[service].see(found, now)
        if self.snapshot is None:
            return Ranking()
        return self._ranking(self.snapshot, service, override)

    def _ranking(self, snapshot: Snapshot, service: str, override: int | None) -> Ranking:
        """Made again only when tasks, nodes or the override are others: to sort a thousand takes a while."""
        known = self._rankings.get(service)
        if known is not None and known[1] == override:
            before = known[0]
            if before is snapshot or (before.tasks is snapshot.tasks and before.nodes == snapshot.nodes):
                return known[2]
        made = Ranking(task.id for task in preference(snapshot, service, override))
        self._rankings[service] = (snapshot, override, made)
        return made

    def lost_override(self, service: str) -> tuple[int, int] | None:
        """The slot and the whole seconds left, where the last look should have found an override."""
        return self._overrides[service].lost(self._clock.monotonic())

    def is_among_first(self, task_id: str, service: str, count: int) -> bool:
        """Whether the last look at that service had the task among its first candidates."""
        known = self._rankings.get(service)
        return known is not None and task_id in known[2] and known[2].rank(task_id) < count

    def ended(self, task_id: str) -> bool:
        """Whether the snapshot says that the task's process is gone. Not listed at all is no proof."""
        return self.snapshot is not None and task_id in self.snapshot.ended

    def tasks(self) -> tuple[Task, ...]:
        """The tasks not ended, of every service."""
        return self.snapshot.tasks if self.snapshot else ()

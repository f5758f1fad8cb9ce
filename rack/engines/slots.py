"""Which slots of a service are wanted, and how a count changes by one exactly once. Pure.

Swarm counts replicas, and so does everybody who scales. Whoever hands a trooper to another rack means one
certain slot, and it may be any: so what is wanted is a set of slot numbers, which may have gaps. A count that
grows fills the gaps first, as Swarm does (swarmkit, manager/orchestrator/replicated/services.go); one that
shrinks takes the highest numbers.

A change by one is not safe to repeat as a count is. So each carries a mark, and the mark is kept with the
count that it led to, in one write: a change whose answer was lost is asked for again under its mark.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from clawbucket.ports import Conflict

FEWEST, MOST = 1, 20
"""Replicas that a change by one may lead to; CONTRACT section 1, ``POST /api/scale``."""
KEPT_MARKS = 64
"""Marks remembered of a service, the newest."""
MARK = re.compile(r"[a-z0-9:_-]{1,80}")


def resized(service: str, replicas: int, by: int, leaving: str = "") -> int:
    """The count after a change ``by`` one. Conflict."""
    if by not in {1, -1}:
        raise Conflict(f"a service is resized by 1 or by -1, not by {by}")
    if leaving and by > 0:
        raise Conflict("a task can only leave when a service is resized by -1")
    if not FEWEST <= replicas + by <= MOST:
        raise Conflict(
            f"service {service} wants {replicas}, and {replicas + by} is not from {FEWEST} to {MOST} replicas"
        )
    return replicas + by


@dataclass(slots=True)
class Wanted:
    """The slots that one service wants, and the marks of the changes by one that led here, oldest first."""

    slots: set[int] = field(default_factory=set)
    marks: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, replicas: int, slots: Iterable[int] | None, marks: Iterable[str]) -> Wanted:
        """As it was kept. The count counts where the two do not agree; without slots there are no gaps."""
        wanted = cls(set(range(1, replicas + 1) if slots is None else slots), list(marks))
        wanted.scale(replicas)
        return wanted

    def scale(self, replicas: int) -> None:
        """Want so many: the lowest free numbers as well, or the highest no more."""
        free = (number for number in range(1, replicas + 1) if number not in self.slots)
        while len(self.slots) < replicas:
            self.slots.add(next(free))
        while len(self.slots) > replicas:
            self.slots.remove(max(self.slots))

    def note(self, mark: str) -> None:
        """Remember the mark, and forget the oldest of too many."""
        self.marks = [*self.marks, mark][-KEPT_MARKS:]

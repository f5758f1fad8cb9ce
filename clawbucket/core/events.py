"""What happens to a rack and is in no other list: one record, written once by whoever knows it first hand.

The id is made of the fact wherever a fact can be named (a reign by its epoch, a task by its own id), so
that two who tell the same tell it once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

EventKind = Literal[
    "scale", "interval", "outage", "self_destruct", "election", "released", "lost", "started", "ended"
]


@dataclass(frozen=True, slots=True)
class RackEvent:
    """One thing that happened. ``service`` is a full name, or empty where no service has a part in it.

    ``scale``: somebody wanted ``after`` replicas where ``before`` were wanted (None: not known);
    ``interval``: the same of the seconds between two rounds. ``outage`` and ``self_destruct``: somebody had
    the task ended. ``election``: the task leads its service in ``epoch``; ``released``: it gave that up by
    itself; ``lost``: it found that it leads no more. ``started``: the task was seen to run; ``ended``: it
    was seen to be gone, in the engine's word ``detail``. ``at`` is the writer's time, for people.
    """

    id: str
    seq: int
    at: str
    kind: EventKind
    service: str = ""
    task_id: str = ""
    epoch: int = 0
    before: int | None = None
    after: int | None = None
    detail: str = ""

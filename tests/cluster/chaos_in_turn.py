"""A locustfile for tests: load/locustfile.py, with a Chaos that does each of its acts in turn, and soon."""

from __future__ import annotations

from itertools import cycle

from locust import constant_pacing, tag

from load.chaotic import Chaos
from load.locustfile import *  # noqa: F403 - all of it, as Locust finds users and shapes by looking

_ACTS = cycle((Chaos.revolt, Chaos.self_destruct, Chaos.revolt, Chaos.outage, Chaos.scale))


@tag("chaos")
def in_turn(chaos: Chaos) -> None:
    """The next act."""
    next(_ACTS)(chaos)


Chaos.tasks = [in_turn]
Chaos.wait_time = constant_pacing(2.0)

"""Ramp: a little more every second for four fifths of the time, then the peak for the rest.

Answers "from how many on does it get slow": the timeline shows where.
"""

from __future__ import annotations

import math

from load.shapes.plan import Plan, Tick

RISING = 0.8
"""The share of the time in which users rise."""
WITHOUT_END = 300.0
"""Seconds until the peak where the test has no end."""


def ramp(elapsed: float, plan: Plan) -> Tick | None:
    """In proportion to the whole seconds gone; at least one user."""
    if plan.over(elapsed):
        return None
    rising = RISING * plan.duration if plan.duration is not None else WITHOUT_END
    share = min(1.0, (math.floor(elapsed) + 1) / max(1.0, rising))
    return max(1, math.ceil(plan.users * share)), max(plan.spawn_rate, plan.users / rising)

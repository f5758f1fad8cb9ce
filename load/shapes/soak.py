"""Soak: a slow rise, all users for hours, a slow fall. For leaks: memory should be flat in between.

The rise and the fall take a twentieth of the time each, at most five minutes.
"""

from __future__ import annotations

import math

from load.shapes.plan import Plan, Tick

EDGE, LONGEST_EDGE = 0.05, 300.0
"""The share of the time for the rise and for the fall, and the seconds that it is at most."""
STEPS = 10
"""In as many steps."""
WITHOUT_END = 3_600.0
"""Seconds by which the rise is measured where the test has no end; then it has no fall."""


def soak(elapsed: float, plan: Plan) -> Tick | None:
    """A tenth more, or less, at a time."""
    if plan.over(elapsed):
        return None
    edge = min(LONGEST_EDGE, EDGE * (plan.duration if plan.duration is not None else WITHOUT_END))
    left = plan.duration - elapsed if plan.duration is not None else edge
    share = min(1.0, (math.floor(STEPS * elapsed / edge) + 1) / STEPS, math.ceil(STEPS * left / edge) / STEPS)
    return max(1, math.ceil(plan.users * share)), plan.spawn_rate

"""Spike: a fifth of the users, then all of them at once for the middle third, then a fifth again.

Answers "what does a rush do, and how soon is it forgotten".
"""

from __future__ import annotations

import math

from load.shapes.plan import Plan, Tick

QUIET = 0.2
"""The share of users before and after."""
WITHOUT_END = 180.0
"""Seconds of one round of the three parts where the test has no end; then it begins again."""


def spike(elapsed: float, plan: Plan) -> Tick | None:
    """The rush comes and goes at the speed of all users in one second."""
    if plan.over(elapsed):
        return None
    whole = plan.duration if plan.duration is not None else WITHOUT_END
    part = int(3 * (elapsed % whole) / whole)
    quiet = max(1, math.ceil(QUIET * plan.users))
    if part == 1:
        return plan.users, float(plan.users)
    return quiet, plan.spawn_rate if elapsed < whole / 3 else float(plan.users)

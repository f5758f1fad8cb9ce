"""Steady: all users at once, as fast as they may be started, to the end."""

from __future__ import annotations

from load.shapes.plan import Plan, Tick


def steady(elapsed: float, plan: Plan) -> Tick | None:
    """All users from the first second."""
    return None if plan.over(elapsed) else (plan.users, plan.spawn_rate)

"""Shapes: how many users there are at which second. Each is a pure function in a file of its own.

``shape(elapsed, plan)`` gives the users wanted and the users to start or stop a second, or None once the
test is over. What is the same for a while is given as the same, since every change is an order to Locust.
"""

from __future__ import annotations

from load.shapes.plan import Plan, Shape, Tick
from load.shapes.ramp import ramp
from load.shapes.soak import soak
from load.shapes.spike import spike
from load.shapes.steady import steady

BY_NAME: dict[str, Shape] = {"steady": steady, "ramp": ramp, "spike": spike, "soak": soak}

__all__ = ["BY_NAME", "Plan", "Shape", "Tick"]

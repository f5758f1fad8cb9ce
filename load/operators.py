"""People at the controls: they arm and disarm, talk, and change the pace of the rounds."""

from __future__ import annotations

import json
import random
import time

from locust import between, tag, task

from load.checked import Person

INTERVALS = (5, 10, 15)
"""Seconds between rounds that operators choose from."""
_KNOWS_FOR = 10.0
"""Seconds after which an operator looks again who is there."""


class Operator(Person):
    """Changes what harms nobody. The interval is put back at the end of the test (load/restoring.py)."""

    weight = 2
    wait_time = between(1.0, 4.0)
    tags = frozenset({"write"})

    def __init__(self, environment: object) -> None:
        super().__init__(environment)
        self._troopers: list[str] = []
        self._looked_at = float("-inf")

    @tag("write")
    @task(4)
    def arm(self) -> None:
        """Arm or disarm somebody."""
        self._look()
        if self._troopers:
            state = random.choice(("on", "off"))  # noqa: S311 - no secret
            self.act("/api/arm", {"task_id": random.choice(self._troopers), "state": state})  # noqa: S311

    @tag("write")
    @task(3)
    def say(self) -> None:
        """Say something to everybody, and to nobody's agent."""
        self.act("/api/chat", {"text": f"load test, line {random.randrange(1_000)}"})  # noqa: S311

    @tag("write")
    @task(1)
    def set_the_pace(self) -> None:
        """Choose another interval between rounds."""
        self.act("/api/rps/config", {"interval_seconds": random.choice(INTERVALS)})  # noqa: S311

    def _look(self) -> None:
        now = time.monotonic()
        if now - self._looked_at < _KNOWS_FOR:
            return
        self._looked_at = now
        told = self.read("/api/swarms", "/api/swarms (operator)")
        if told is not None:
            try:
                self._troopers = [r["id"] for s in json.loads(told)["swarms"] for r in s["replicas"]]
            except (ValueError, LookupError, TypeError):
                self._troopers = []

"""The one who breaks things: scale, outage, self-destruct, revolt. Comes only with --allow-chaos."""

from __future__ import annotations

import json
import random
from typing import Any

from locust import constant_pacing, tag, task
from locust.exception import StopUser

from load.checked import Person

EVERY = 10.0
"""Seconds between two acts: what is broken has time to heal, and that is what is watched."""
FEWEST, MOST = 2, 8
"""Replicas between which a service is scaled: never down to one, which could not lose its manager."""
_FINE = (202, 404, 409)
"""Done; gone already; cannot be done as things stand. In a rack that is being broken all three are right."""


class Chaos(Person):
    """One for the whole test, however many users there are. The scale is put back at the end."""

    fixed_count = 1
    wait_time = constant_pacing(EVERY)
    tags = frozenset({"chaos"})

    def on_start(self) -> None:
        """Stay away unless it was said that this is wanted."""
        options = self.environment.parsed_options
        if options is None or not options.allow_chaos:
            raise StopUser

    @tag("chaos")
    @task(4)
    def self_destruct(self) -> None:
        """Kill anybody."""
        service = self._service()
        victims = [r["id"] for r in service["replicas"] if r.get("state") == "running"] if service else []
        if service and len(victims) >= FEWEST:
            self._order("/api/self_destruct", service, random.choice(victims))  # noqa: S311 - no secret

    @tag("chaos")
    @task(3)
    def outage(self) -> None:
        """Kill a manager."""
        service = self._service()
        if service and service.get("manager_task_id") and service["running_count"] >= FEWEST:
            self._order("/api/outage", service, service["manager_task_id"])

    @tag("chaos")
    @task(2)
    def scale(self) -> None:
        """One replica more or less."""
        service = self._service()
        if service and not service.get("error"):
            wanted = service["desired_replicas"] + random.choice((-1, 1))  # noqa: S311
            body: dict[str, object] = {
                "service": service["service"],
                "replicas": min(MOST, max(FEWEST, wanted)),
            }
            self.act("/api/scale", body, _FINE)

    @tag("chaos")
    @task(1)
    def revolt(self) -> None:
        """Send somebody to another rack; where there is none it is answered 409, and nothing comes of it."""
        service = self._service()
        victims = [r["id"] for r in service["replicas"] if not r.get("is_manager")] if service else []
        if service and victims:
            self._order("/api/revolt", service, random.choice(victims))  # noqa: S311

    def _order(self, path: str, service: dict[str, Any], task_id: str) -> None:
        self.act(path, {"service": service["service"], "task_id": task_id}, _FINE)

    def _service(self) -> dict[str, Any] | None:
        """Any service as it is now."""
        with self.client.get("/api/swarms", name="/api/swarms (chaos)", catch_response=True) as response:
            try:
                services = [s for s in json.loads(response.text or "")["swarms"] if not s.get("error")]
            except (ValueError, LookupError, TypeError):
                return None
        return random.choice(services) if services else None  # noqa: S311

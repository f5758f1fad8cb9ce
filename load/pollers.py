"""Programs that poll: JSON reads with the ETag that they have."""

from __future__ import annotations

from locust import between, tag, task

from load import invariants
from load.checked import Person


class Poller(Person):
    """Reads what scripts read. Every answer is judged against what must hold."""

    weight = 4
    wait_time = between(0.2, 1.0)
    tags = frozenset({"read"})

    def __init__(self, environment: object) -> None:
        super().__init__(environment)
        self._memory = invariants.Memory()

    @tag("read")
    @task(6)
    def swarms(self) -> None:
        """Everybody."""
        self.read("/api/swarms", judge=lambda told, server: invariants.swarms(told, self._memory, server))

    @tag("read")
    @task(3)
    def rps(self) -> None:
        """The running round."""
        self.read("/api/rps", judge=lambda told, server: invariants.rps(told, self._memory, server))

    @tag("read")
    @task(2)
    def chat(self) -> None:
        """The chat."""
        self.read("/api/chat", judge=lambda told, _: invariants.chat(told))

    @tag("read")
    @task(2)
    def arm_events(self) -> None:
        """The ARM events."""
        self.read("/api/arm/events", judge=lambda told, _: invariants.arm_events(told))

    @tag("read")
    @task(1)
    def haiku(self) -> None:
        """The haiku."""
        self.read("/api/haiku", judge=lambda told, _: invariants.haiku(told))

    @tag("read")
    @task(1)
    def whoami(self) -> None:
        """Who answers."""
        self.read("/api/whoami", judge=lambda told, _: invariants.whoami(told))

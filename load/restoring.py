"""What a load test changes it puts back: the interval between rounds, and with chaos the replicas wanted.

It looks before the first user comes and puts back after the last one left, once for all processes. A test
that is killed (SIGKILL) puts nothing back.
"""

from __future__ import annotations

from collections.abc import Iterable

from load.plain_http import Told, Unreachable, ask

_DEADLINE = 5.0


class Before:
    """How the rack was. ``notes`` say what was put back, and what could not be."""

    def __init__(self, host: str, token: str | None, *, interval: bool, scale: bool) -> None:
        self._host, self._token = host, token
        self._wants_interval, self._wants_scale = interval, scale
        self._interval: int | None = None
        self._scale: dict[str, int] = {}
        self.notes: list[str] = []

    def look(self) -> None:
        """Remember. What cannot be read is not put back, and a note says so."""
        if self._wants_interval:
            told = self._json("/api/rps")
            seconds = told.get("interval_seconds")
            if isinstance(seconds, int):
                self._interval = seconds
            else:
                self.notes.append("the interval could not be read, so it will not be put back")
        if self._wants_scale:
            self._scale = dict(self._desired())
            if not self._scale:
                self.notes.append("the replicas wanted could not be read, so they will not be put back")

    def put_back(self) -> None:
        """Order what differs. Safe to repeat."""
        if self._interval is not None and self._json("/api/rps").get("interval_seconds") != self._interval:
            done = self._order("/api/rps/config", {"interval_seconds": self._interval})
            self._note(f"the interval to {self._interval} s", done)
        now = dict(self._desired()) if self._scale else {}
        for service, wanted in self._scale.items():
            if now.get(service) != wanted:
                done = self._order("/api/scale", {"service": service, "replicas": wanted})
                self._note(f"{service} to {wanted} replicas", done)

    def _note(self, what: str, done: Told | None) -> None:
        if done is not None and done.status in {200, 202}:
            self.notes.append(f"put back: {what}")
        else:
            why = f"{done.status} {done.code}".strip() if done is not None else "no answer"
            self.notes.append(f"not put back: {what} ({why})")

    def _desired(self) -> Iterable[tuple[str, int]]:
        swarms = self._json("/api/swarms").get("swarms")
        for swarm in swarms if isinstance(swarms, list) else ():
            if isinstance(swarm, dict) and not swarm.get("error"):
                name, wanted = swarm.get("service"), swarm.get("desired_replicas")
                if isinstance(name, str) and isinstance(wanted, int) and wanted >= 1:
                    yield name, wanted

    def _json(self, path: str) -> dict[str, object]:
        try:
            told = ask("GET", self._host, path, timeout=_DEADLINE).json
        except Unreachable:
            return {}
        return told if isinstance(told, dict) else {}

    def _order(self, path: str, body: dict[str, object]) -> Told | None:
        try:
            return ask("POST", self._host, path, body=body, token=self._token, timeout=_DEADLINE)
        except Unreachable:
            return None

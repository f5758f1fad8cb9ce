"""A rack as whoever opens its dashboard sees it, wherever it runs."""

from __future__ import annotations

import json
from typing import Any

import urllib3


class RackHttp:
    """A rack by the URL of its dashboard. ``token`` is the operator's, where changes need it."""

    def __init__(self, url: str, token: str = "") -> None:
        self.url = url
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._http = urllib3.PoolManager(timeout=urllib3.Timeout(5.0), retries=False, maxsize=8)

    def ask(self, method: str, path: str, body: object = None, timeout: float = 5.0) -> tuple[int, Any]:
        """Status and JSON of one request through the gateway."""
        more: dict[str, Any] = {} if body is None else {"json": body}
        answer = self._http.request(method, self.url + path, headers=self._headers, timeout=timeout, **more)
        return answer.status, json.loads(answer.data)

    def swarms(self) -> list[dict[str, Any]]:
        """Every service as ``/api/swarms`` tells it; none while it cannot be asked."""
        try:
            status, body = self.ask("GET", "/api/swarms")
        except (OSError, ValueError, urllib3.exceptions.HTTPError):
            return []
        return list(body["swarms"]) if status == 200 else []

    def swarm(self, service: str) -> dict[str, Any]:
        """One service as ``/api/swarms`` tells it. LookupError: it cannot be asked just now."""
        for swarm in self.swarms():
            if swarm["service"] == service:
                return swarm
        raise LookupError(f"{service} cannot be seen")

    def replicas(self) -> list[dict[str, Any]]:
        """Every replica of every service."""
        return [replica for swarm in self.swarms() for replica in swarm["replicas"]]

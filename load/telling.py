"""Tells the rack each second how the load test is doing, for its dashboard to show on the timeline.

One small POST with a deadline, beside the load and not counted in it. Whatever becomes of it, the test goes
on: a rack that does not know the call, or does not let us, is not asked again.
"""

from __future__ import annotations

from typing import Any

from load.plain_http import Unreachable, ask

PATH = "/api/load"
EVERY = 1.0
_DEADLINE = 0.8
"""Seconds for a sample; the next one is due a second after this one was."""
_FOR_GOOD = frozenset({401, 403, 404, 405})
"""Statuses that the next sample would get too."""


class Teller:
    """``problem`` is why the dashboard was not told, in a few words; empty while it is."""

    def __init__(self, host: str, token: str | None, run: str) -> None:
        self._host, self._token, self._run = host, token, run
        self.problem = ""
        self.over = False
        self.told = 0

    def tell(self, sample: dict[str, Any]) -> None:
        """Send one sample. Never raises for what the rack does, or does not do."""
        if self.over:
            return
        body = {"run": self._run, **sample}
        try:
            answer = ask("POST", self._host, PATH, body=body, token=self._token, timeout=_DEADLINE)
        except Unreachable as unreachable:
            self.problem = f"no answer ({unreachable})"
            return
        if answer.status == 201:
            self.problem = ""
            self.told += 1
            return
        self.problem = f"{answer.status} {answer.code}".strip()
        self.over = answer.status in _FOR_GOOD


def sample(stats: Any, users: int) -> dict[str, Any]:
    """The figures of this moment out of Locust's statistics: rate and percentile of the last ten seconds."""
    total = stats.total
    return {
        "users": users,
        "rate": round(float(total.current_rps), 1),
        "p95_ms": float(total.get_current_response_time_percentile(0.95) or 0),
        "failures": int(total.num_failures),
    }

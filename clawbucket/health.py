"""Health by registered pings: whoever opens a connection registers how to ask whether it answers.

``/livez`` says that the program's own loop turns; ``/readyz`` that everything registered answers too.
The idea is svcs' (svcs.hynek.me, "health checks"): the check is registered where the service is made.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from clawbucket.ports import ClawError

Ping = Callable[[], None]
"""Returns when what it asks for is well; raises ClawError or OSError with one sentence when not."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """``ok``: every ping returned. ``checks`` maps each name to ``"ok"`` or what is wrong with it."""

    ok: bool
    checks: dict[str, str]


class Health:
    """The pings of one program, asked in the order in which they were registered."""

    def __init__(self) -> None:
        self._pings: dict[str, Ping] = {}
        self._draining = False

    def register(self, name: str, ping: Ping) -> None:
        """Ask ``ping`` at every readiness check from now on."""
        self._pings[name] = ping

    def drain(self) -> None:
        """From now on this program is not ready: it is about to end and wants no new work."""
        self._draining = True

    @property
    def draining(self) -> bool:
        """Whether ``drain`` was called."""
        return self._draining

    def check(self) -> Verdict:
        """Ask every ping. Their own deadlines bound how long this takes."""
        if self._draining:
            return Verdict(ok=False, checks={"drain": "draining: this program is about to end"})
        checks: dict[str, str] = {}
        for name, ping in self._pings.items():
            try:
                ping()
            except (ClawError, OSError) as error:
                checks[name] = str(error) or type(error).__name__
            else:
                checks[name] = "ok"
        return Verdict(ok=all(v == "ok" for v in checks.values()), checks=checks)

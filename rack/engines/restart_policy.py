"""When a slot whose task died is filled again.

Prior art: Docker's own restart manager doubles its delay from 100 ms to one minute and forgets the
failures of a container that ran for ten seconds (moby, restartmanager/restartmanager.go); a Swarm
service waits the same five seconds every time (``--restart-delay``). Here the first restart comes at
once, since a trooper that was killed is to be back before its viewers look for it, and only a slot that
goes on failing is held back. There is no jitter: what restarts shares one machine, not one server.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """``first`` seconds before the second restart in a row, doubling up to ``longest``.

    A task that ran for ``stable`` seconds ends the row: its death counts as the first again.
    """

    first: float = 0.5
    longest: float = 30.0
    stable: float = 5.0

    def failures(self, before: int, ran: float) -> int:
        """Failures in a row, once a task has died that ran for ``ran`` seconds after ``before`` failures."""
        return 1 if ran >= self.stable else before + 1

    def delay(self, failures: int) -> float:
        """Seconds to wait before the slot is filled again after so many failures in a row."""
        if failures <= 1:
            return 0.0
        doublings = min(failures - 2, 32)  # enough for any ``longest``, and no overflow after a long night
        return float(min(self.longest, self.first * 2**doublings))

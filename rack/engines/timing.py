"""How long the local engine waits for what. All in seconds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timing:
    """The defaults are the rack's; tests shorten them.

    ``drain`` lies between the news that a task is to go and its SIGTERM, so that the gateway has heard
    and sends it no new request. ``grace`` lies between SIGTERM and SIGKILL (Swarm's
    ``--stop-grace-period`` defaults to 10 s). ``start`` is how long a new process may take to its first
    200 on ``/livez``. After that it is asked ``every`` so often, has ``answer`` to answer, and is
    replaced after ``misses`` misses in a row (Docker's ``--health-retries`` defaults to 3).
    ``rolling`` is how long a rolling restart waits for one replacement before it gives up.
    """

    drain: float = 0.2
    grace: float = 10.0
    start: float = 30.0
    every: float = 2.0
    answer: float = 5.0
    misses: int = 3
    rolling: float = 45.0

"""How long a trooper takes from one rack to another, and whether any is lost or doubled on the way."""

from __future__ import annotations

import tempfile
import time
from contextlib import suppress
from pathlib import Path

from bench.figures import Figure, at_most, percentile
from bench.rack import wait_until
from bench.rack_http import RackHttp
from bench.two_racks import SERVICE, Pair, revolt, two_racks

REPLICAS = 3
_SETTLES = 40.0
"""Seconds for what comes after an answer, or for a board to show what a log tells."""


def measure(handoffs: int = 40) -> list[Figure]:
    """Hand troopers over one after another, from each side in turn, whoever it is, managers too."""
    with two_racks("--replicas", str(REPLICAS)) as pair, tempfile.TemporaryDirectory(prefix="claw-") as place:
        archive = Path(place)
        pair.wait_running(2 * REPLICAS)
        for rack in pair.both:
            rack.ask("POST", "/api/rps/config", {"interval_seconds": 2})
        seconds, refused = [], 0
        for number in range(handoffs):
            taken, answered = handed_over(pair.both[number % 2], pair.both, number // 2)
            seconds.append(taken)
            refused += not answered
            pair.keep_logs(archive)
        wrong = _gone_wrong(pair, archive)
        frozen = pair.history(archive).held()
    return [
        at_most("trooper changes racks, p50", percentile(seconds, 0.50), "s", 2.0, seconds),
        at_most("trooper changes racks, p99", percentile(seconds, 0.99), "s", 5.0, seconds),
        Figure("of that, it is frozen, p50", percentile(frozen, 0.50), "s", raw=frozen),
        at_most(f"of {handoffs} handoffs not answered 202", refused, "", 0, [refused]),
        at_most("troopers lost, doubled, or with other points", wrong, "", 0, [wrong]),
    ]


def handed_over(source: RackHttp, both: tuple[RackHttp, ...], turn: int) -> tuple[float, bool]:
    """Seconds until ``POST /api/revolt`` was answered, and whether with 202; waits for what comes after.

    Who goes is the ``turn``-th of the service on ``source``, in turn.
    """
    replicas = source.swarm(SERVICE)["replicas"]
    task_id = replicas[turn % len(replicas)]["id"]
    began = time.monotonic()
    status, _ = revolt(source, task_id)
    taken = time.monotonic() - began

    def over() -> bool:
        stays = any(replica["id"] == task_id for replica in source.swarm(SERVICE)["replicas"])
        return all(map(is_calm, both)) and (status != 202 or not stays)

    wait_until("nothing of the handoff is left to do", over, _SETTLES, every=0.1)
    return taken, status == 202


def is_calm(rack: RackHttp) -> bool:
    """Nobody there is held or about to leave, and each service has as many as it wants."""
    swarms = rack.swarms()
    return bool(swarms) and all(
        swarm["running_count"] == swarm["desired_replicas"] == len(swarm["replicas"])
        and not any(replica["frozen"] or replica["defected"] for replica in swarm["replicas"])
        for swarm in swarms
    )


def _gone_wrong(pair: Pair, archive: Path) -> int:
    """The sentences of the verdict, once no score is on its way from a log to a board, or none should be."""

    def judged() -> list[str]:
        return pair.history(archive).judge()

    with suppress(AssertionError):
        wait_until("logs and boards agree", lambda: not judged(), _SETTLES, every=0.3)
        return 0
    return len(judged())

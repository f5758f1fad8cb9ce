"""What one wants to know in ten seconds: whether all is well, a word a part, and in one sentence. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from app.fanout import State
from clawbucket.core.board import Board, Squad
from clawbucket.core.model import ArmState, Freshness

OK, NOT_KNOWN, OFF, SILENT, UNREACHABLE = "ok", "not known", "off", "silent", "unreachable"
"""A part's words, beside those of a model that is missing or no good (``_MODELS``)."""
_MODELS = {
    "unreachable": UNREACHABLE,
    "model_missing": "model missing",
    "misconfigured": "misconfigured",
    "failing": "failing",
}
UNKNOWN: State = dict.fromkeys(("bus", "engine", "rack", "ollama"), NOT_KNOWN)
"""How the parts are before anything was ever read."""


def health(board: Board) -> State:
    """How the ``bus``, the ``engine``, the ``rack`` manager and ``ollama`` are, a word each.

    What is only known through another part that is silent is not known: nobody would hear of its trouble.
    """
    bus = SILENT if board.stale_seconds is not None else OK
    rack = NOT_KNOWN if bus != OK else SILENT if board.snapshot_age_seconds is not None else OK
    engine = NOT_KNOWN if rack != OK else UNREACHABLE if board.engine_error is not None else OK
    return {"bus": bus, "engine": engine, "rack": rack, "ollama": _ollama(board) if bus == OK else NOT_KNOWN}


def _ollama(board: Board) -> str:
    """As most of the agents find it: ``board.trouble`` is their verdict where it is bad."""
    found = Counter(t.agent.health for squad in board.squads for t in squad.replicas)
    if board.trouble is None and found["ok"]:
        return OK
    bad = [(health, count) for health, count in found.most_common() if health in _MODELS]
    if bad:
        return _MODELS[bad[0][0]]
    return OFF if found and found["off"] == found.total() else NOT_KNOWN


def summary(squads: Sequence[Squad], primary: str) -> str:
    """The rack in one sentence, as it is read out: "6 of 6 running, Brave Otter manages, 2 armed, …"."""
    everybody = [trooper for squad in squads for trooper in squad.replicas]
    running = sum(squad.running_count for squad in squads)
    desired = sum(squad.desired_replicas for squad in squads)
    first = next((squad for squad in squads if squad.service == primary), None)
    manager = next((t.name for t in first.replicas if t.is_manager), None) if first else None
    armed = sum(t.arm is ArmState.ON for t in everybody)
    fresh = Counter(t.freshness for t in everybody)
    said = [
        f"{running} of {desired} running",
        f"{manager or 'nobody'} manages",
        f"{armed or 'nobody'} armed",
        f"{fresh[Freshness.SUSPECT] or 'nobody'} suspect",
    ]
    if fresh[Freshness.MISSING]:
        said.append(f"{fresh[Freshness.MISSING]} missing")
    return ", ".join(said)

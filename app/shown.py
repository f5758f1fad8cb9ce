"""What the page shows beside the contract's fields: ranks, totals, what a round was against. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from app.fanout import State
from clawbucket.core import rps
from clawbucket.core.board import Squad, Trooper


def of_trooper(trooper: Trooper, squad: Squad) -> State:
    """What a tile shows of a trooper and the contract's replica object has not.

    ``change``: what its last round did to its score; ``lead_move``: what it met in that round; ``epoch``: of
    the lease, where it manages; ``band``: its score's colour in a heat map.
    """
    move, outcome = trooper.move, trooper.outcome
    return {
        "service": squad.service,
        "alias": squad.alias,
        "change": _signed(rps.points(outcome)) if outcome else None,
        "lead_move": rps.met(move, outcome) if move and outcome else None,
        "epoch": squad.manager_epoch if trooper.is_manager else None,
        "band": band(trooper.score),
    }


def of_squad(squad: Squad) -> State:
    """Who manages the service next by the rule of preference: ``next_manager``, by name and slot."""
    heir = next((t for t in squad.replicas if t.id == squad.heir_task_id), None)
    return {"next_manager": heir.name if heir else None, "next_manager_slot": heir.slot if heir else None}


def _signed(points: int) -> str:
    """With a real minus sign, which is as wide as the plus."""
    return f"{points:+d}".replace("-", "\N{MINUS SIGN}") if points else "±0"


def ranks(scores: Iterable[int]) -> dict[int, int]:
    """Each score's place among all of a service, from 1; equals share one (standard competition ranking)."""
    places: dict[int, int] = {}
    for place, score in enumerate(sorted(scores, reverse=True), start=1):
        places.setdefault(score, place)
    return places


def with_ranks(state: State) -> State:
    """The stream's state with each task's ``rank`` in its service, as the page works it out by itself.

    The stream leaves it out: one point moves the ranks of all whom it passes, so that of a thousand troopers
    fifty news made 264 records, and of five thousand nearly every one.
    """
    scores: dict[str, list[int]] = {}
    for task in state["tasks"].values():
        scores.setdefault(task["service"], []).append(task["score"])
    places = {service: ranks(all_) for service, all_ in scores.items()}
    tasks = {i: {**t, "rank": places[t["service"]][t["score"]]} for i, t in state["tasks"].items()}
    return {**state, "tasks": tasks}


def in_all(squads: Sequence[Squad], primary: str) -> State:
    """The rack in one line: how many run, are wanted and are not alive, what they have, and who manages."""
    everybody = [trooper for squad in squads for trooper in squad.replicas]
    first = next((squad for squad in squads if squad.service == primary), None)
    manager = next((t for t in first.replicas if t.is_manager), None) if first else None
    return {
        "running": sum(squad.running_count for squad in squads),
        "desired": sum(squad.desired_replicas for squad in squads),
        "not_alive": sum(t.freshness.value != "alive" for t in everybody),
        "score": sum(t.score for t in everybody),
        "manager": manager.name if manager else None,
        "manager_confirmed": manager.manager_confirmed if manager else None,
        "epoch": first.manager_epoch if first and manager else None,
    }


FAR = 10
"""Points from nought at which a score has an outer colour: half of all have one after 300 rounds."""


def band(score: int) -> str:
    """Which of a heat map's five colours a score has. In fixed steps: nobody's depends on the others'."""
    if abs(score) >= FAR:
        return "high" if score > 0 else "low"
    return "more" if score > 0 else "less" if score < 0 else "even"

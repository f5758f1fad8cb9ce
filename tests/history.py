"""A recorded history, and the checker that judges it (after Jepsen: record what happened, then decide).

The history is what the troopers themselves logged, plus what an independent observer read from the lease
key and when the test killed whom. All of it comes from one machine, so its wall clock orders it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from bench.trooper_logs import POINTS, entries, unix


@dataclass(frozen=True, slots=True)
class Reign:
    """A trooper logged ``leadership confirmed``; ``end`` is when it logged the end or was killed (unix s)."""

    service: str
    task_id: str
    epoch: int
    begin: float
    end: float = float("inf")


@dataclass(frozen=True, slots=True)
class Score:
    """A trooper logged ``round scored``; ``total`` is its score after."""

    task_id: str
    round: int
    outcome: str
    total: int


@dataclass(slots=True)
class History:
    """``reigns`` and ``scores`` in each trooper's order; ``leases``, by service, as an observer read them."""

    reigns: list[Reign] = field(default_factory=list)
    scores: list[Score] = field(default_factory=list)
    leases: dict[str, list[tuple[str, int]]] = field(default_factory=lambda: defaultdict(list))

    def judge(self) -> list[str]:
        """What must never happen and did, one sentence each; empty when the history is good."""
        return [
            *self._one_leader_an_epoch(),
            *self._epochs_rise(),
            *self._reigns_apart(),
            *self._scored_once(),
        ]

    def _one_leader_an_epoch(self) -> Iterator[str]:
        leaders: dict[tuple[str, int], set[str]] = defaultdict(set)
        for reign in self.reigns:
            leaders[reign.service, reign.epoch].add(reign.task_id)
        for (service, epoch), who in leaders.items():
            if len(who) > 1:
                yield f"{service} had {len(who)} confirmed leaders in epoch {epoch}: {sorted(who)}"

    def _epochs_rise(self) -> Iterator[str]:
        for service, seen in self.leases.items():
            for (_, before), (who, after) in pairwise(seen):
                if after < before:
                    yield f"{service}: the lease went back from epoch {before} to {after} of {who}"
        for service, reigns in self._by_service().items():
            for old, new in pairwise(reigns):
                if new.epoch <= old.epoch:
                    yield f"{service}: {new.task_id} was confirmed in epoch {new.epoch} after {old.epoch}"

    def _reigns_apart(self) -> Iterator[str]:
        for service, reigns in self._by_service().items():
            for old, new in pairwise(reigns):
                if new.begin < old.end:
                    yield f"{service}: {new.task_id} led {old.end - new.begin:.3f} s beside {old.task_id}"

    def _scored_once(self) -> Iterator[str]:
        totals: dict[str, Score] = {}
        for score in self.scores:
            before = totals.get(score.task_id)
            if before is not None and score.round <= before.round:
                yield f"{score.task_id} scored round {score.round} after round {before.round}"
            expected = (before.total if before else 0) + POINTS[score.outcome]
            if score.total != expected:
                yield f"{score.task_id} has {score.total} after round {score.round}, not {expected}"
            totals[score.task_id] = score

    def _by_service(self) -> dict[str, list[Reign]]:
        services: dict[str, list[Reign]] = defaultdict(list)
        for reign in sorted(self.reigns, key=lambda r: r.begin):
            services[reign.service].append(reign)
        return services


def read_logs(paths: Iterable[Path], killed_at: Mapping[str, float]) -> History:
    """The history that the troopers' JSON logs tell; ``killed_at`` ends the reigns of the killed."""
    history = History()
    for path in paths:
        _read_log(path, history, killed_at)
    return history


def _read_log(path: Path, history: History, killed_at: Mapping[str, float]) -> None:
    open_reigns: dict[str, Reign] = {}
    for entry in entries(path):
        match entry.get("event"):
            case "leadership confirmed":
                service = entry["service"]
                at = unix(entry)
                _close(open_reigns, service, at, history, killed_at)
                open_reigns[service] = Reign(service, entry["task_id"], entry["epoch"], at)
            case "leadership ended" | "leadership released":
                at = unix(entry) - entry.get("late", 0.0)
                _close(open_reigns, entry["service"], at, history, killed_at)
            case "round scored":
                score = Score(entry["task_id"], entry["round"], entry["outcome"], entry["score"])
                history.scores.append(score)
    for service in list(open_reigns):
        _close(open_reigns, service, float("inf"), history, killed_at)


def _close(
    reigns: dict[str, Reign], service: str, at: float, history: History, killed_at: Mapping[str, float]
) -> None:
    reign = reigns.pop(service, None)
    if reign is not None:
        end = min(at, killed_at.get(reign.task_id, float("inf")))
        history.reigns.append(Reign(service, reign.task_id, reign.epoch, reign.begin, end))

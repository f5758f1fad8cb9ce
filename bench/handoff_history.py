"""What the troopers of two racks logged of their handoffs, and the checker that judges it.

A trooper is a line of tasks: each that was restored from a handoff goes on as the one that was frozen for it.
What must hold of it is what people are promised: it is in one place, and its score is the sum of the rounds
that the tasks of its line scored.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bench.trooper_logs import POINTS, entries, unix


@dataclass(frozen=True, slots=True)
class Frozen:
    """A task logged ``trooper frozen`` with its score; ``at`` in unix seconds."""

    task_id: str
    score: int
    at: float = 0.0


@dataclass(frozen=True, slots=True)
class Restored:
    """A task logged ``trooper restored``: ``base`` is what it took over; ``at`` in unix seconds."""

    task_id: str
    handoff: str
    base: int
    at: float = 0.0


@dataclass(slots=True)
class HandoffHistory:
    """What happened.

    ``points`` that each task scored; ``frozen`` by handoff; ``thawed``: the handoffs after
    which it went on where it was; ``after_freezing``: who scored while frozen. ``final`` are the scores of
    the living as the boards have them, ``killed`` the tasks that the test killed, ``kept`` the handoffs whose
    state was written down.
    """

    points: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    frozen: dict[str, Frozen] = field(default_factory=dict)
    thawed: set[str] = field(default_factory=set)
    restored: list[Restored] = field(default_factory=list)
    after_freezing: list[str] = field(default_factory=list)
    final: dict[str, int] = field(default_factory=dict)
    killed: set[str] = field(default_factory=set)
    kept: set[str] = field(default_factory=set)

    def judge(self) -> list[str]:
        """What must never happen and did, one sentence each; empty when the history is good."""
        return [
            *(f"{task} scored while it was frozen" for task in self.after_freezing),
            *self._taken_over_as_given(),
            *self._in_one_place(),
            *self._scores_add_up(),
            *self._none_lost(),
        ]

    def held(self) -> list[float]:
        """Seconds from each freezing until the trooper went on in its new task; of one machine's clock."""
        pairs = ((taken, self.frozen.get(taken.handoff)) for taken in self.restored)
        return [taken.at - frozen.at for taken, frozen in pairs if frozen is not None]

    def _heirs(self) -> dict[str, list[Restored]]:
        """Of each task, what was restored into it."""
        heirs: dict[str, list[Restored]] = defaultdict(list)
        for taken in self.restored:
            heirs[taken.task_id].append(taken)
        return heirs

    def line(self, task_id: str) -> list[str]:
        """The tasks that the trooper in this one was in before, and this one."""
        before = [
            self.frozen[taken.handoff].task_id
            for taken in self._heirs()[task_id]
            if taken.handoff in self.frozen
        ]
        return [task_id, *(one for source in before for one in self.line(source))]

    def _taken_over_as_given(self) -> Iterator[str]:
        for taken in self.restored:
            given = self.frozen.get(taken.handoff)
            if given is None:
                yield f"{taken.task_id} was restored from {taken.handoff}, for which nobody was frozen"
            elif given.score != taken.base:
                yield f"{taken.task_id} took {taken.base} points over, {given.task_id} gave {given.score}"

    def _in_one_place(self) -> Iterator[str]:
        places: dict[str, set[str]] = defaultdict(set)
        for task_id in self.final:
            for one in self.line(task_id):
                places[one].add(task_id)
        for origin, where in places.items():
            if len(where) > 1:
                yield f"the trooper of {origin} is in {len(where)} places: {sorted(where)}"

    def _scores_add_up(self) -> Iterator[str]:
        for task_id, score in self.final.items():
            scored = sum(self.points[one] for one in self.line(task_id))
            if score != scored:
                yield f"{task_id} has {score} points, the logs of its line {self.line(task_id)} {scored}"

    def _none_lost(self) -> Iterator[str]:
        went_on = {taken.handoff for taken in self.restored}
        gone = {frozen.task_id for frozen in self.frozen.values()} - set(self.final)
        handed = {task: [h for h, frozen in self.frozen.items() if frozen.task_id == task] for task in gone}
        for task_id, handoffs in handed.items():
            if any(h in went_on for h in handoffs):
                continue
            held = [h for h in handoffs if h not in self.thawed]
            if task_id in self.killed and not any(h in self.kept for h in held):
                continue  # killed after it was let go, or before anything was written down: as troopers die
            yield f"the trooper of {task_id} was frozen for {handoffs}, and is nowhere"
        for taken in self.restored:
            task_id = taken.task_id
            if task_id not in self.final and task_id not in self.killed and task_id not in handed:
                yield f"the trooper in {task_id}, restored from {taken.handoff}, is nowhere"


def read_handoffs(paths: Iterable[Path]) -> HandoffHistory:
    """The history that the troopers' JSON logs tell; a file is one task's."""
    history = HandoffHistory()
    for path in paths:
        held = ""
        for entry in entries(path):
            match entry.get("event"):
                case "round scored":
                    history.points[entry["task_id"]] += POINTS[entry["outcome"]]
                    if held:
                        history.after_freezing.append(entry["task_id"])
                case "trooper frozen":
                    held = entry["handoff"]
                    history.frozen[held] = Frozen(entry["task_id"], entry["score"], unix(entry))
                case "trooper thawed":
                    held = ""
                    history.thawed.add(entry["handoff"])
                case "trooper restored":
                    taken = Restored(entry["task_id"], entry["handoff"], entry["base"], unix(entry))
                    history.restored.append(taken)
    return history

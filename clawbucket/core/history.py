"""What one observer saw of the rack: the latest scores and changes of each task, and the rack's totals.

Two kinds of memory, as in a flight recorder: of each task what *changed* (a point a round, an entry a
change), of the whole rack a *sample* at a steady pace. All of it is bounded, in length and in tasks, and all
of it is one observer's view: it begins when that one began to look, and where it could not look there is a
gap, never a guess.

Memory when every list is full, measured with tracemalloc: 2.4 MB for 1,000 troopers, 11.2 MB for 5,000, the
rack's samples among it. Scores are kept in arrays for that: 12 bytes a point, where a tuple takes a hundred.
A look that finds everything new takes 5 ms for 1,000 troopers and 15 ms for 5,000, once a second.
"""

from __future__ import annotations

from array import array
from collections import deque
from dataclasses import dataclass, field, replace

from clawbucket.core.board import Board, Trooper
from clawbucket.core.model import ArmState, Freshness

MOST_POINTS = 60
"""Scores kept of a task: ten minutes of rounds at the default interval, and as many as a sparkline shows."""
MOST_CHANGES = 20
"""Changes kept of a task."""
SAMPLE_EVERY = 2.0
"""Seconds between two samples of the rack: every second look of one who looks once a second, the shortest
interval between two rounds, and about a pixel of a chart as wide as a laptop's page."""
MOST_SAMPLES = 600
"""Samples kept: twenty minutes."""
LONGEST_PAUSE = 3 * SAMPLE_EVERY
"""Seconds between two samples beyond which what was between them is a gap: nobody looked."""
FORGET_AFTER = 600.0
"""Seconds for which a task that is gone is remembered."""
MOST_GONE = 200
"""Tasks that are gone and still remembered; beyond that the one that left first is forgotten."""

BUS, UNWATCHED = "bus", "unwatched"
"""Why there is a gap: the bus did not answer, or this observer did not look."""


@dataclass(frozen=True, slots=True)
class Change:
    """Something about a task became another. ``at``: ISO-8601 UTC by the observer's clock, for people.

    ``kind``: state (the engine's word), freshness, manager (``yes``, ``no``) or board (``shown``, ``gone``).
    """

    at: str
    kind: str
    was: str
    now: str


@dataclass(frozen=True, slots=True)
class Sample:
    """The rack at one moment. ``seconds``: on the observer's monotonic clock, since it began.

    ``running`` and ``desired`` are None while the rack manager is silent or cannot ask its engine: then
    nobody knows them. ``manager`` is the task that leads the primary service, None while none does. ``gap``
    tells why nothing is known at all; the rest is None then.
    """

    seconds: float
    running: int | None = None
    desired: int | None = None
    score: int | None = None
    armed: int | None = None
    not_alive: int | None = None
    manager: str | None = None
    gap: str | None = None


@dataclass(frozen=True, slots=True)
class Gap:
    """Nothing was seen between the two moments (seconds since the observer began)."""

    begin: float
    end: float
    reason: str


@dataclass(frozen=True, slots=True)
class Reign:
    """That task led the primary service from that sample on; None: nobody did, or nobody knows."""

    seconds: float
    task_id: str | None


@dataclass(slots=True)
class TaskHistory:
    """One task of ``service``: ``rounds`` and ``scores`` side by side, and its ``changes``; newest last.

    ``first_seen`` is when the observer first saw it; ``gone_at`` when it was no longer there, None while it
    is. Both ISO-8601 UTC.
    """

    service: str
    first_seen: str
    state: str
    freshness: Freshness
    manages: bool
    rounds: array[int] = field(default_factory=lambda: array("q"))
    scores: array[int] = field(default_factory=lambda: array("i"))
    changes: list[Change] = field(default_factory=list)
    gone_at: str | None = None
    _told: int = 0

    def look(self, trooper: Trooper, at: str) -> bool:
        """Take in what the board says of it now; whether anything was new."""
        changed = self._play(trooper.round, trooper.score)
        if self.gone_at is not None:
            self.gone_at = None
            changed |= self._change(at, "board", "gone", "shown")
        if trooper.state != self.state:
            changed |= self._change(at, "state", self.state, trooper.state)
            self.state = trooper.state
        if trooper.freshness is not self.freshness:
            changed |= self._change(at, "freshness", self.freshness.value, trooper.freshness.value)
            self.freshness = trooper.freshness
        if trooper.is_manager != self.manages:
            changed |= self._change(at, "manager", _yes(self.manages), _yes(trooper.is_manager))
            self.manages = trooper.is_manager
        return changed

    def leave(self, at: str) -> None:
        """It is no longer on the board."""
        self.gone_at = at
        self._change(at, "board", "shown", "gone")

    def _play(self, number: int, score: int) -> bool:
        """Take in the last round that it told of, and its score.

        A score is published at once, its round with the next beat. A score that moved alone is therefore put
        under the round after the last one, until a beat names a later one. A round that moved alone is a
        draw, or one that it threw, unless its score is here already.
        """
        told, last = self._told, self.rounds[-1] if self.rounds else -1
        self._told = number
        if self.scores and score == self.scores[-1]:
            if number == told:
                return False
            if told < last and told < number:
                self.rounds[-1] = max(last, number)
                return True
        elif told <= number <= last:
            number = last + 1
        self.rounds.append(number)
        self.scores.append(score)
        if len(self.scores) > MOST_POINTS:
            del self.rounds[0], self.scores[0]
        return True

    def _change(self, at: str, kind: str, was: str, now: str) -> bool:
        self.changes.append(Change(at, kind, was, now))
        del self.changes[:-MOST_CHANGES]
        return True


class History:
    """What one observer saw since ``since`` (ISO-8601 UTC) and ``began`` (its monotonic seconds).

    Not thread-safe: one looks (clawbucket/watched.py). ``version`` rises whenever anything in it changes.
    """

    def __init__(self, began: float, since: str) -> None:
        self.since = since
        self.tasks: dict[str, TaskHistory] = {}
        self.samples: deque[Sample] = deque(maxlen=MOST_SAMPLES)
        self.version = 0
        self._began = began
        self._gone: dict[str, float] = {}
        self._looked: tuple[str, int] | None = None

    def look(self, board: Board | None, now: float, at: str) -> None:
        """Take in the board; None, or one that is stale, is a look that saw nothing.

        ``now``: monotonic seconds, never less than at the look before; ``at``: the same for people.
        """
        seen = None if board is None or board.stale_seconds is not None else board
        self._sample(seen, now)
        if seen is not None and self._looked != (seen.rack, seen.version):
            self._looked = (seen.rack, seen.version)
            self._look_at_tasks(seen, now, at)
        self._forget(now)

    def gaps(self) -> list[Gap]:
        """Where nothing was seen, oldest first: from the first sample without a view to the next with one."""
        found: list[Gap] = []
        for sample in self.samples:
            last = found[-1] if found else None
            if last is not None and last.end < 0:
                if sample.gap == last.reason:
                    continue
                found[-1] = replace(last, end=sample.seconds)
            if sample.gap is not None:
                found.append(Gap(sample.seconds, -1.0, sample.gap))
        if found and found[-1].end < 0:
            found[-1] = replace(found[-1], end=self.samples[-1].seconds)
        return found

    def reigns(self) -> list[Reign]:
        """Who led the primary service, as it changed, oldest first."""
        found: list[Reign] = []
        for sample in self.samples:
            if not found or found[-1].task_id != sample.manager:
                found.append(Reign(sample.seconds, sample.manager))
        return found

    def _sample(self, board: Board | None, now: float) -> None:
        seconds = round(now - self._began, 1)
        since = seconds - self.samples[-1].seconds if self.samples else SAMPLE_EVERY
        if since < SAMPLE_EVERY - 0.25:  # looks are not to the millisecond
            return
        self.version += 1
        if since > LONGEST_PAUSE:
            self.samples.append(Sample(round(seconds - since + SAMPLE_EVERY, 1), gap=UNWATCHED))
        self.samples.append(_sampled(board, seconds) if board else Sample(seconds, gap=BUS))

    def _look_at_tasks(self, board: Board, now: float, at: str) -> None:
        there: set[str] = set()
        changed = False
        for squad in board.squads:
            for trooper in squad.replicas:
                there.add(trooper.id)
                known = self.tasks.get(trooper.id)
                if known is None:
                    known = self.tasks[trooper.id] = TaskHistory(
                        squad.service, at, trooper.state, trooper.freshness, trooper.is_manager
                    )
                self._gone.pop(trooper.id, None)
                changed |= known.look(trooper, at)
        unread = {squad.service for squad in board.squads if squad.error is not None}
        for task_id, task in self.tasks.items():
            if task_id not in there and task.gone_at is None and task.service not in unread:
                task.leave(at)
                self._gone[task_id] = now
                changed = True
        self.version += changed

    def _forget(self, now: float) -> None:
        """Forget who has been gone for long, or is one too many; they are in the order in which they left."""
        while self._gone:
            task_id = next(iter(self._gone))
            if now - self._gone[task_id] < FORGET_AFTER and len(self._gone) <= MOST_GONE:
                return
            del self._gone[task_id], self.tasks[task_id]
            self.version += 1


def _sampled(board: Board, seconds: float) -> Sample:
    known = board.engine_error is None and board.snapshot_age_seconds is None
    everybody = [trooper for squad in board.squads for trooper in squad.replicas]
    primary = board.squad(board.primary)
    return Sample(
        seconds=seconds,
        running=sum(squad.running_count for squad in board.squads) if known else None,
        desired=sum(squad.desired_replicas for squad in board.squads) if known else None,
        score=sum(trooper.score for trooper in everybody),
        armed=sum(trooper.arm is ArmState.ON for trooper in everybody),
        not_alive=sum(trooper.freshness is not Freshness.ALIVE for trooper in everybody),
        manager=primary.manager_task_id if primary else None,
    )


def _yes(value: bool) -> str:
    return "yes" if value else "no"

"""The aggregator's scoreboard: the rule that makes it of the ARM events, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from clawbucket.core.model import ArmState
from clawbucket.core.records import ArmEvent

SCORING = "ON +1, OFF -1"
STATE_RULE = "a bot's current state is that of its latest event"
"""The rule in words, as the contract's answer gives it (CONTRACT section 2)."""


@dataclass(frozen=True, slots=True)
class Line:
    """One bot's line. ``on`` and ``off`` count its events, ``toggles`` both; ``score`` is on minus off.

    ``current_on_state`` is 1 while its latest event is ON, else 0.
    """

    bot: str
    task_id: str
    on: int
    off: int
    toggles: int
    score: int
    current_on_state: int
    last_state: ArmState
    last_event_at: str


def scoreboard(events: Iterable[ArmEvent]) -> tuple[Line, ...]:
    """One line for each task that has events, the armed and highest first.

    An event that appears twice counts once. Latest means highest ``seq``, then ``id``: never the
    wall-clock ``at``. Equals are in the order of their task ids, so that every reader shows the same.
    """
    by_task: dict[str, list[ArmEvent]] = {}
    for event in sorted({e.id: e for e in events}.values(), key=lambda e: (e.seq, e.id)):
        by_task.setdefault(event.task_id, []).append(event)
    lines = [_line(task_id, history) for task_id, history in by_task.items()]
    return tuple(sorted(lines, key=lambda x: (-x.current_on_state, -x.score, -x.toggles, x.task_id)))


def _line(task_id: str, history: list[ArmEvent]) -> Line:
    latest = history[-1]
    on = sum(e.state is ArmState.ON for e in history)
    off = len(history) - on
    return Line(
        bot=latest.bot,
        task_id=task_id,
        on=on,
        off=off,
        toggles=len(history),
        score=on - off,
        current_on_state=int(latest.state is ArmState.ON),
        last_state=latest.state,
        last_event_at=latest.at,
    )

"""Handoffs as people read them: one line each, folded from the events of its phases. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from clawbucket.core.callsign import name_of
from clawbucket.core.model import short_alias
from clawbucket.core.revolt import RevoltEvent

MOST = 20
"""Handoffs that are shown."""


@dataclass(frozen=True, slots=True)
class HandoffLine:
    """One handoff as this rack knows it. ``heir`` is what the trooper is called where it went, if known.

    One that never came has no ``name`` and no ``source_rack``: the other rack asked about it first.

    ``phases`` are the events, oldest first; ``at`` and ``reason`` are the latest one's.
    """

    snapshot_id: str
    name: str
    heir: str
    service: str
    alias: str
    source_rack: str
    target_rack: str
    phases: tuple[RevoltEvent, ...]
    at: str
    reason: str


def handoff_lines(events: Iterable[RevoltEvent]) -> list[HandoffLine]:
    """The handoffs, the one that began last first."""
    by_id: dict[str, list[RevoltEvent]] = {}
    for event in sorted(events, key=lambda e: (e.seq, e.id)):
        by_id.setdefault(event.snapshot_id, []).append(event)
    return [_line(found) for found in list(by_id.values())[: -MOST - 1 : -1]]


def _line(events: list[RevoltEvent]) -> HandoffLine:
    latest = events[-1]
    heir = next((e.target_task_id for e in reversed(events) if e.target_task_id), "")
    return HandoffLine(
        snapshot_id=latest.snapshot_id,
        name=name_of(latest.source_task_id) if latest.source_task_id else "",
        heir=name_of(heir) if heir else "",
        service=latest.service,
        alias=short_alias(latest.service),
        source_rack=latest.source_rack,
        target_rack=latest.target_rack,
        phases=tuple(events),
        at=latest.at,
        reason=latest.reason,
    )

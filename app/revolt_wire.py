"""Handoffs in the contract's words: plain dicts for JSON. Pure."""

from __future__ import annotations

from typing import Any

from app.wire import revolt_event
from clawbucket.core.revolt import Handoff, PhaseChange, event_of, told_to_peer

Json = dict[str, Any]


def revolted(record: Handoff, source_desired: int) -> Json:
    """What ``POST /api/revolt`` answers."""
    return {
        "ok": True,
        "service": record.service,
        "source_task_id": record.source_task_id,
        "target_task_id": record.target_task_id,
        "peer": record.peer,
        "snapshot_id": record.snapshot_id,
        "source_snapshot_path": record.path,
        "target_snapshot_path": record.peer_path,
        "source_desired_replicas": source_desired,
        "event": revolt_event(event_of(record, record.phases[-1])),
        "status": "revolted",
    }


def accepted(record: Handoff) -> Json:
    """What ``POST /api/revolt/accept`` answers."""
    return {
        "ok": True,
        "service": record.service,
        "target_task_id": record.target_task_id,
        "from_task_id": record.source_task_id,
        "snapshot_id": record.snapshot_id,
        "snapshot_path": record.path,
        "rack": record.target_rack,
        "event": revolt_event(event_of(record, record.phases[-1])),
        "status": "accepted",
    }


def handoff(record: Handoff) -> Json:
    """What ``GET /api/revolt/<snapshot_id>`` answers to people."""
    return {
        "snapshot_id": record.snapshot_id,
        "side": record.side,
        "phase": record.phase.value,
        "settled": record.settled,
        "phases": [_change(change) for change in record.phases],
        "service": record.service,
        "source_task_id": record.source_task_id,
        "target_task_id": record.target_task_id,
        "source_rack": record.source_rack,
        "target_rack": record.target_rack,
        "snapshot_path": record.path,
        "reason": record.reason,
    }


def to_peer(record: Handoff) -> Json:
    """The same to the other rack: of the phase only what it may act upon."""
    return {**handoff(record), "phase": told_to_peer(record).value, "rack": record.target_rack}


def _change(change: PhaseChange) -> Json:
    return {"phase": change.phase.value, "at": change.at, "by": change.by}

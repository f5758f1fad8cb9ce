"""The board in the contract's words: plain dicts for JSON. Pure; app/schemas.py documents every field.

The contract's own fields come first in each object, what was added since after them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from zlib import crc32

from app import feed
from clawbucket import keys
from clawbucket.asking import PassedOn
from clawbucket.core.agent import Utterance
from clawbucket.core.board import Board, Squad, Trooper
from clawbucket.core.callsign import name_of
from clawbucket.core.model import short_alias
from clawbucket.core.neighbours import PeerSummary
from clawbucket.core.records import Answer as AgentAnswer
from clawbucket.core.records import ArmEvent, ChatMessage, LoadSample
from clawbucket.core.revolt import RevoltEvent
from clawbucket.loops.haiku import PERIOD

Json = dict[str, Any]
SOURCE = "memcached"
"""Where lists come from, as the contract says it of each."""
HAIKU_INTERVAL = int(PERIOD)
"""Seconds between two haiku."""
RPS_TTL = keys.RPS_STATE.ttl
"""Seconds for which a throw stands without being published again."""


def swarms(board: Board) -> Json:
    """Every service. One that cannot be read carries ``error`` and zeros."""
    return {
        "swarms": [swarm(squad) for squad in board.squads],
        "rack": board.rack,
        "primary": board.primary,
        **_circumstances(board),
    }


def swarms_unread(services: tuple[str, ...], reason: str) -> Json:
    """The same while no snapshot was ever seen: every service with ``error`` and zeros."""
    squads = [Squad(name, short_alias(name), 0, 0, (), error=reason) for name in services]
    return {"swarms": [swarm(squad) for squad in squads], "rack": "", "primary": services[0]}


def primary_swarm(board: Board, squad: Squad) -> Json:
    """One service on its own, with how current it is."""
    return {**swarm(squad), **_circumstances(board)}


def swarm(squad: Squad) -> Json:
    """One service. ``error`` is there only when it could not be read."""
    said: Json = {
        "service": squad.service,
        "desired_replicas": squad.desired_replicas,
        "running_count": squad.running_count,
        "replicas": [replica(trooper) for trooper in squad.replicas],
        "alias": squad.alias,
        "manager_task_id": squad.manager_task_id,
        "manager_epoch": squad.manager_epoch,
        "manager_confirmed": squad.manager_confirmed,
        "override_slot": squad.override_slot,
        "heir_task_id": squad.heir_task_id,
    }
    return said if squad.error is None else {**said, "error": squad.error}


def replica(trooper: Trooper) -> Json:
    """One trooper."""
    return {
        "id": trooper.id,
        "slot": trooper.slot,
        "state": trooper.state,
        "node_id": trooper.node_id,
        "name": trooper.name,
        "color": trooper.color,
        "is_manager": trooper.is_manager,
        "score": trooper.score,
        "three_words": trooper.three_words,
        "words_source": trooper.words_source,
        "manager_confirmed": trooper.manager_confirmed,
        "desired_state": trooper.desired_state,
        "node": trooper.node,
        "task_name": trooper.task_name,
        "freshness": trooper.freshness.value,
        "arm": trooper.arm.value,
        "round": trooper.round,
        "move": trooper.move,
        "outcome": trooper.outcome,
        "started_at": trooper.started_at,
        "agent": trooper.agent.health,
        "thinking": trooper.agent.busy,
        "frozen": trooper.frozen,
        "from_rack": trooper.from_rack or None,
        "defected": trooper.defected,
    }


def chat(board: Board) -> Json:
    """The chat, oldest first."""
    return {"messages": [message(m) for m in board.chat], "source": SOURCE, **_staleness(board)}


def message(said: ChatMessage) -> Json:
    """One line of the chat."""
    return {
        "id": said.id,
        "from": said.sender,
        "host": said.host,
        "text": said.text,
        "at": said.at,
        "source": said.source,
    }


def addressed(passed_on: PassedOn | None) -> Json:
    """Whom a chat line was passed on to, or why nobody; nothing where it was for nobody in particular."""
    if passed_on is None:
        return {}
    told: Json = {"addressed": [name_of(task_id) for task_id in passed_on.reached]}
    problem = passed_on.problem or ("the bus failed on the way" if not passed_on.reached else None)
    return told if problem is None else {**told, "note": f"{problem[0].upper()}{problem[1:]}."}


def agent_answer(task_id: str, answer: AgentAnswer) -> Json:
    """What a trooper answered."""
    return {
        "ok": True,
        "task_id": task_id,
        "name": name_of(task_id),
        "reply": answer.text,
        "session": answer.session,
        "model": answer.model,
        "backend": answer.backend,
        "outcome": answer.outcome,
        "duration_seconds": answer.milliseconds / 1000,
        "at": answer.at,
    }


def agent_history(task_id: str, conversation: Iterable[Utterance]) -> Json:
    """The end of the conversation with a trooper."""
    messages = [{"role": u.role, "text": u.text, "at": u.at} for u in conversation]
    return {"task_id": task_id, "name": name_of(task_id), "messages": messages, "source": SOURCE}


def arm_events(board: Board) -> Json:
    """The ARM events, oldest first."""
    return {"events": [arm_event(e) for e in board.arm_events], "source": SOURCE, **_staleness(board)}


def arm_event(event: ArmEvent) -> Json:
    """One ARM event."""
    return {
        "id": event.id,
        "task_id": event.task_id,
        "bot": event.bot,
        "state": event.state.value,
        "at": event.at,
        "source": event.source,
    }


def revolt_events(board: Board) -> Json:
    """The phases of handoffs between racks, oldest first."""
    return {"events": [revolt_event(e) for e in board.revolts], "source": SOURCE, **_staleness(board)}


def revolt_event(event: RevoltEvent) -> Json:
    """One side of a handoff came to another phase."""
    return {
        "id": event.id,
        "at": event.at,
        "source_task_id": event.source_task_id,
        "target_task_id": event.target_task_id,
        "service": event.service,
        "source_rack": event.source_rack,
        "target_rack": event.target_rack,
        "snapshot_id": event.snapshot_id,
        "phase": event.phase.value,
        "reason": event.reason,
    }


def events(board: Board, kind: str = "") -> Json:
    """What happened, of that kind or of every one, oldest first."""
    told = [event(line) for line in feed.lines(board, kind)]
    return {"events": told, "source": SOURCE, **_staleness(board)}


def event(line: feed.Line) -> Json:
    """One thing that happened."""
    return {
        "id": line.id,
        "at": line.at,
        "kind": line.kind,
        "text": line.text,
        "service": line.service or None,
        "task_id": line.task_id or None,
        "name": line.name or None,
        "epoch": line.epoch,
        "from": line.before,
        "to": line.after,
    }


def peer(summary: PeerSummary) -> Json:
    """Another rack at a glance. ``problem`` is null while it can be reached.

    ``mark`` changes when its troopers do, who are not told here: only who groups by rack looks at them.
    """
    return {
        "url": summary.url,
        "label": summary.label,
        "reachable": summary.reachable,
        "running": summary.running,
        "desired": summary.desired,
        "manager": summary.manager,
        "score": summary.score,
        "problem": summary.problem or None,
        "mark": f"{crc32(repr((summary.troopers, summary.more, summary.last_seen)).encode()):08x}",
    }


def load_samples(board: Board) -> Json:
    """The last seconds of a running load test, oldest first; none while none runs."""
    return {"samples": [load_sample(s) for s in board.load], "source": SOURCE, **_staleness(board)}


def load_sample(sample: LoadSample) -> Json:
    """One second of a load test."""
    return {
        "run": sample.run,
        "users": sample.users,
        "rate": sample.rate,
        "p95_ms": sample.p95_ms,
        "failures": sample.failures,
        "at": sample.at,
    }


def rps(board: Board) -> Json:
    """The running round. ``state`` is null while nobody throws."""
    throw = board.throw
    state = None
    if throw is not None:
        state = {
            "choice": throw.choice,
            "from": throw.by,
            "at": throw.at,
            "publisher": "leader-manager",
            "round": throw.round,
            "epoch": throw.epoch,
        }
    return {
        "state": state,
        "interval_seconds": board.interval_seconds,
        "ttl_seconds": RPS_TTL,
        **_staleness(board),
    }


def haiku(board: Board) -> Json:
    """The haiku; the board always has one."""
    poem = {"text": board.haiku.text, "source": board.haiku.source, "at": board.haiku.at}
    return {"haiku": poem, "interval_seconds": HAIKU_INTERVAL, **_staleness(board)}


def _circumstances(board: Board) -> Json:
    """How far what is said can be relied on."""
    said: Json = _staleness(board)
    if board.engine_error is not None:
        said["engine_error"] = board.engine_error
    if board.snapshot_age_seconds is not None:
        said["snapshot_age_seconds"] = board.snapshot_age_seconds
    if board.trouble is not None:
        said["agent_problem"], said["agent_mend"] = board.trouble.problem, board.trouble.mend
    return said


def _staleness(board: Board) -> Json:
    """``stale_seconds`` is there only while the bus does not answer."""
    return {} if board.stale_seconds is None else {"stale_seconds": board.stale_seconds}

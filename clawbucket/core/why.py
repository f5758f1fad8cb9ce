"""Why a trooper is in the state that it is in, and what comes next: one sentence, and a true one.

The sentence follows what was seen, and says no more than follows from it. What weighs most goes first: that
nothing newer is known, then a handoff, then that it is on its way out, then the state that the engine tells
(docs.docker.com, "Swarm task states"), and of one that runs its heartbeats, its part in leading the service,
and its agent.
"""

from __future__ import annotations

from dataclasses import dataclass

from clawbucket.core.agent import Agent
from clawbucket.core.election import Timing
from clawbucket.core.membership import MISSING_AFTER, SUSPECT_AFTER
from clawbucket.core.model import Freshness, Task, TaskState
from clawbucket.core.revolt import Phase

LONGEST_TOLD = 160
"""Characters kept of what an engine or an agent gives as its reason."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of one trooper at one moment.

    ``task`` is the engine's word; ``alias`` its service's short name and ``node`` its node's host name, ""
    while it has none. ``manages`` and ``confirmed``: it is shown as its service's manager, and its lease is
    seen moving, in ``epoch``; ``chosen``: because its slot is preferred after an outage. ``frozen`` and
    ``defected`` tell of a handoff to ``to_rack``, whose last known phase is ``phase``. ``stale_seconds``,
    ``silent_seconds`` and ``engine_error`` tell that the bus, the rack manager or its engine do not answer.
    """

    task: Task
    alias: str
    node: str = ""
    freshness: Freshness = Freshness.ALIVE
    manages: bool = False
    confirmed: bool = False
    epoch: int = 0
    chosen: bool = False
    frozen: bool = False
    defected: bool = False
    to_rack: str = ""
    phase: Phase | None = None
    agent: Agent | None = None
    stale_seconds: float | None = None
    silent_seconds: int | None = None
    engine_error: str | None = None


def why(seen: Seen) -> str:
    """The sentence, with a capital and a full stop."""
    return _capital(_caveat(seen) + _reason(seen)) + "."


def why_ended(state: TaskState) -> str:
    """The same of a task of which only the state is kept in which it ended."""
    last = Task("", "", 0, "", state, TaskState.SHUTDOWN, "")
    return _capital(_of_state(Seen(last, "its service"))) + "."


def _caveat(seen: Seen) -> str:
    """What keeps the rest from being news."""
    if seen.stale_seconds is not None:
        return f"as last known {int(seen.stale_seconds)} s ago, before the bus fell silent: "
    if seen.silent_seconds is not None:
        return f"by the rack manager's last word, {seen.silent_seconds} s ago: "
    if seen.engine_error is not None:
        return "by the engine's last word before it failed to answer: "
    return ""


def _reason(seen: Seen) -> str:
    if seen.defected:
        rack = seen.to_rack or "another rack"
        return f"it defected: it goes on on {rack} with its score, and here it ends and its slot is given up"
    if seen.frozen:
        return _held(seen)
    if seen.task.desired_state.ended and not seen.task.state.ended:
        return _leaving(seen)
    if seen.task.state is TaskState.RUNNING:
        return _running(seen)
    return _of_state(seen)


def _held(seen: Seen) -> str:
    rack = seen.to_rack or "another rack"
    if seen.phase is Phase.IN_DOUBT:
        return (
            f"it is frozen, because whether {rack} took it in is in doubt: the manager asks until it knows, "
            "and then it ends here or goes on here"
        )
    return f"it is frozen for a handoff to {rack}: it ends here once it goes on there, else it goes on here"


def _leaving(seen: Seen) -> str:
    told = _told(seen.task.message) if seen.task.message not in _DULL else ""
    return (
        f"it is {seen.task.state.value}, but is wanted to end{told}: it finishes what it does, releases what "
        "it leads, and is then gone"
    )


def _running(seen: Seen) -> str:
    if seen.freshness is Freshness.MISSING:
        return (
            f"its process runs, but its heartbeat has not moved for {MISSING_AFTER:.0f} s or more: if it "
            "does not answer the engine's health check either, it is ended and another takes its slot"
        )
    if seen.freshness is Freshness.SUSPECT:
        return (
            f"its process runs, but its heartbeat has not moved for {SUSPECT_AFTER:.0f} s or more: it is "
            f"alive again with the next one, and missing after {MISSING_AFTER:.0f} s without"
        )
    return f"it runs and its heartbeats arrive{_leading(seen)}{_thinking(seen.agent)}"


def _leading(seen: Seen) -> str:
    limit = f"{Timing().dead_after:g} s"
    if not seen.manages:
        return "; it goes on until somebody ends it"
    if not seen.confirmed:
        return (
            f"; it comes first in the order of preference of {seen.alias}, and manages it as soon as it is "
            "seen to renew the lease"
        )
    chosen = " because its slot is preferred since an outage" if seen.chosen else ""
    return (
        f"; it manages {seen.alias} in epoch {seen.epoch}{chosen}, until it ends or does not renew its lease "
        f"for {limit}"
    )


def _thinking(agent: Agent | None) -> str:
    if agent is None or agent.health in {"ok", "off", "unknown"}:
        return ""
    because = f" ({_short(agent.problem)})" if agent.problem else ""
    return f"; it speaks from the phrase book, because its agent cannot think{because}"


def _of_state(seen: Seen) -> str:
    """What Swarm's word for a task that does not run means for this one."""
    task, node = seen.task, seen.node or "a node"
    told = _told(task.error or (task.message if task.message not in _DULL else ""))
    code = "" if task.exit_code is None else f" with exit code {task.exit_code}"
    return {
        TaskState.NEW: f"{seen.alias} wants one more replica, and this task was just made for it: next the "
        "swarm looks for what it needs",
        TaskState.PENDING: f"it waits for a node that may take it{told}: it goes to the first there is",
        TaskState.ASSIGNED: f"it was given to {node}: next that node accepts it",
        TaskState.ACCEPTED: f"it was accepted by {node}: next it is prepared there",
        TaskState.PREPARING: f"it is prepared on {node}{told}: next it is ready to start",
        TaskState.READY: f"it is prepared, but must not start yet{told}: it starts when its slot is free",
        TaskState.STARTING: f"its process starts{told}: it runs once it proves to be alive",
        TaskState.RUNNING: "it runs",
        TaskState.COMPLETE: f"its process ended by itself{code}, without an error: while its service wants "
        "as many, another takes its slot",
        TaskState.SHUTDOWN: f"it was asked to end, and has{told}: it does not come back",
        TaskState.FAILED: f"its process ended{code or ' with an error'}{told}: while its service wants as "
        "many, another takes its slot",
        TaskState.REJECTED: f"it was refused by {node}{told}: while its service wants as many, another "
        "is tried",
        TaskState.ORPHANED: f"it was given up, because {node} was out of sight for too long, though its "
        "process may still run there: another takes its slot",
        TaskState.REMOVE: f"its service no longer wants it{told}: it ends, and is then forgotten",
    }[task.state]


_DULL = frozenset({"", "ended", "pending", "preparing", "ready", "started", "running", "removed"})
"""Messages of an engine that say no more than the state does."""


def _told(reason: str) -> str:
    return f" ({_short(reason)})" if reason else ""


def _short(reason: str) -> str:
    """Somebody else's words on one line, without a stop of their own at the end."""
    flat = " ".join(reason.split()).rstrip(".")
    return flat if len(flat) <= LONGEST_TOLD else f"{flat[: LONGEST_TOLD - 1].rstrip()}…"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]

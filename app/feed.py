"""Everything that happened, of every kind, as one list of sentences: the journal, ARM, handoffs, chat. Pure.

The lists are merged by their hybrid clocks. That keeps each list's own order; between two lists, what two
machines did in the same moment may stand either way round.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from clawbucket.actions import IN_DOUBT
from clawbucket.core.board import Board
from clawbucket.core.callsign import name_of
from clawbucket.core.events import RackEvent
from clawbucket.core.model import short_alias
from clawbucket.core.records import ArmEvent, ChatMessage
from clawbucket.core.revolt import Phase, RevoltEvent

GROUPS: dict[str, tuple[str, ...]] = {
    "elections": ("election", "released", "lost"),
    "kills": ("outage", "self_destruct"),
    "tasks": ("started", "ended"),
    "scale": ("scale",),
    "rounds": ("interval",),
    "arms": ("arm",),
    "revolts": ("revolt",),
    "chat": ("chat",),
}
"""What the page filters by, and the kinds of event in each."""
KINDS: tuple[str, ...] = tuple(kind for kinds in GROUPS.values() for kind in kinds)
MOST = 200
"""Events that are told at once."""
MOST_SHOWN = 20
"""Events of one group that the page shows: a busy chat pushes no election out."""
_GROUP_OF = {kind: group for group, kinds in GROUPS.items() for kind in kinds}


@dataclass(frozen=True, slots=True)
class Line:
    """One event. ``text`` is one sentence, or what was said in the chat; ``name`` is whose doing it was.

    Where the event has no such thing, ``service``, ``task_id`` and ``name`` are empty and numbers None.
    """

    id: str
    seq: int
    at: str
    kind: str
    text: str
    service: str = ""
    task_id: str = ""
    name: str = ""
    epoch: int | None = None
    before: int | None = None
    after: int | None = None

    @property
    def group(self) -> str:
        """What the page filters it by."""
        return _GROUP_OF[self.kind]


def lines(board: Board, kind: str = "") -> list[Line]:
    """The last events of that kind, or of all, oldest first."""
    wanted = (line for line in _all(board) if not kind or line.kind == kind)
    return sorted(wanted, key=lambda line: (line.seq, line.id))[-MOST:]


def shown(board: Board) -> list[Line]:
    """What the page shows: the last of each group, newest first."""
    kept: list[Line] = []
    counts = dict.fromkeys(GROUPS, 0)
    for line in sorted(_all(board), key=lambda line: (line.seq, line.id), reverse=True):
        if counts[line.group] < MOST_SHOWN:
            counts[line.group] += 1
            kept.append(line)
    return kept


def since(board: Board) -> str:
    """The time of the oldest event in the journal; empty where it has none."""
    return min(board.events, key=lambda e: (e.seq, e.id)).at if board.events else ""


def chosen(asked: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The groups that an address asks for (``feed=elections,scale``), and what of it makes no sense.

    No ``feed`` is all of them, ``feed=none`` is none. A page is never refused for it.
    """
    named = [name for value in asked for name in value.split(",") if name]
    if not named:
        return tuple(GROUPS), ()
    known = tuple(group for group in GROUPS if group in named)
    unknown = [name[:40] for name in named if name not in GROUPS and name != "none"]
    problems = tuple(f"The feed knows no “{name}”; it knows {', '.join(GROUPS)}." for name in unknown[:3])
    return (tuple(GROUPS) if unknown and not known else known), problems


def _all(board: Board) -> Iterable[Line]:
    yield from map(_of_rack, board.events)
    yield from map(_of_arm, board.arm_events)
    yield from map(_of_revolt, board.revolts)
    yield from map(_of_chat, board.chat)


def _of_rack(event: RackEvent) -> Line:
    name = name_of(event.task_id) if event.task_id else ""
    return Line(
        event.id, event.seq, event.at, event.kind, _SENTENCES[event.kind](event, name),
        event.service, event.task_id, name, event.epoch or None, event.before, event.after,
    )  # fmt: skip


def _of_arm(event: ArmEvent) -> Line:
    done = "armed" if event.state == "on" else "disarmed"
    text = f"{event.bot} was {done}."
    return Line(event.id, event.seq, event.at, "arm", text, task_id=event.task_id, name=event.bot)


def _of_chat(said: ChatMessage) -> Line:
    return Line(said.id, said.seq, said.at, "chat", said.text, name=said.sender)


def _of_revolt(event: RevoltEvent) -> Line:
    who = name_of(event.source_task_id) if event.source_task_id else "A trooper"
    here, there = event.source_rack or "another rack", event.target_rack or "another rack"
    heir = f", now called {name_of(event.target_task_id)}" if event.target_task_id else ""
    why = f": {event.reason.rstrip('.')}" if event.reason else ""
    text = {
        Phase.PREPARED: f"{who} is about to change racks, from {here} to {there}.",
        Phase.ACCEPTED: f"{there} makes room for {who} from {here}.",
        Phase.RESTORED: f"{who} arrived from {here}{heir}.",
        Phase.COMMITTED: f"{who} changed racks, from {here} to {there}{heir}.",
        Phase.ABORTED: f"{who} stays on {here}{why}.",
        Phase.REJECTED: f"{who} from {here} was not taken in{why}.",
        Phase.IN_DOUBT: f"Nobody knows yet whether {who} changed racks, from {here} to {there}{why}.",
    }[event.phase]
    name = who if event.source_task_id else ""
    return Line(event.id, event.seq, event.at, "revolt", text, event.service, event.source_task_id, name)


def _doubted(event: RackEvent, done: str, asked: str) -> str:
    """What was done, or what was asked for where nobody knows whether it was."""
    return f"{asked}; nobody knows whether that was done." if event.detail == IN_DOUBT else f"{done}."


def _scale(event: RackEvent, _name: str) -> str:
    service = short_alias(event.service)
    from_ = "" if event.before is None else f" from {event.before}"
    done = f"Somebody scaled {service}{from_} to {event.after}"
    if event.before is not None and event.before == event.after:
        done = f"Somebody asked for {event.after} replicas of {service}, as many as were wanted before"
    return _doubted(event, done, f"Somebody asked for {event.after} replicas of {service}")


def _interval(event: RackEvent, _name: str) -> str:
    was = "" if event.before in {None, event.after} else f" instead of {event.before}"
    return _doubted(
        event, f"Somebody set a round every {event.after} s{was}",
        f"Somebody asked for a round every {event.after} s",
    )  # fmt: skip


def _outage(event: RackEvent, name: str) -> str:
    what = f"{name}, the manager of {short_alias(event.service)}"
    return _doubted(
        event, f"Outage: somebody took out {what}", f"Outage: somebody asked for the end of {what}"
    )


def _self_destruct(event: RackEvent, name: str) -> str:
    what = f"{name} of {short_alias(event.service)}"
    return _doubted(event, f"Somebody had {what} self-destruct", f"Somebody asked {what} to self-destruct")


_SENTENCES: Mapping[str, Callable[[RackEvent, str], str]] = {
    "scale": _scale,
    "interval": _interval,
    "outage": _outage,
    "self_destruct": _self_destruct,
    "election": lambda e, name: f"{name} leads {short_alias(e.service)} since epoch {e.epoch}.",
    "released": lambda e, name: f"{name} gave up leading {short_alias(e.service)} (epoch {e.epoch}).",
    "lost": lambda e, name: f"{name} lost the lead of {short_alias(e.service)} (epoch {e.epoch}).",
    "started": lambda e, name: f"{name} of {short_alias(e.service)} runs.",
    "ended": lambda e, name: f"{name} of {short_alias(e.service)} ended ({e.detail or 'state unknown'}).",
}

"""Who led a service when, folded from the journal: reigns, how each ended, and the gaps between them. Pure.

The times are of the machines that wrote them, so a gap is told as "about", and a reign whose end nobody
told has none: it was over when the next one began, and more is not known. What the journal does not
hold, because it was before it or was lost with it, is not made up.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from clawbucket.actions import IN_DOUBT
from clawbucket.core.board import Board, Squad
from clawbucket.core.callsign import color_of, name_of
from clawbucket.core.events import RackEvent

MOST_REIGNS = 40
"""Reigns of one service that are shown, the latest."""
MOST_LANES = 12
"""Lanes of one service: who led last, then who runs and did not lead."""
SHORTEST_GAP = 0.05
"""Seconds under which two reigns are told as one after the other: a leader looks ten times a second."""
NO_MARK = "0:::0"
"""The mark while nothing is known."""
_DAYS_BACK, _DAY_MS = 8, 86_400_000


@dataclass(frozen=True, slots=True)
class Reign:
    """One task led in one epoch. Times are unix milliseconds; None: not known.

    ``began_at`` and ``ended_at`` are the same as people read them. ``running``: it is the one that goes on.
    ``how`` says how it ended, or that it goes on. ``gap``: seconds from the end before it to its begin.
    """

    task_id: str
    name: str
    epoch: int
    began: int | None
    began_at: str
    ended: int | None = None
    ended_at: str = ""
    running: bool = False
    how: str = ""
    gap: float | None = None


@dataclass(frozen=True, slots=True)
class Lane:
    """One replica's row. ``gone``: it does not run any more."""

    task_id: str
    name: str
    color: str
    slot: int | None
    gone: bool


@dataclass(frozen=True, slots=True)
class Timeline:
    """One service's reigns, oldest first. ``vacant``: nobody is known to lead it now.

    ``more`` counts the replicas without a lane, ``vacant_since`` is the end of the last reign if known.
    """

    service: str
    alias: str
    lanes: tuple[Lane, ...]
    reigns: tuple[Reign, ...]
    more: int
    vacant: bool
    vacant_since: int | None
    summary: str


def timelines(board: Board, now_ms: int) -> list[Timeline]:
    """One for each service, the primary first. ``now_ms``: this machine's time, for what is plausible."""
    return [_timeline(squad, board.events, now_ms) for squad in board.squads]


def mark(board: Board) -> str:
    """What changes when a timeline does."""
    last = board.events[-1].id if board.events else ""
    led = ",".join(f"{s.manager_epoch}{'+' if s.manager_confirmed else '-'}" for s in board.squads)
    running = sum(s.running_count for s in board.squads)
    return f"{len(board.events)}:{last}:{led}:{running}"


def _timeline(squad: Squad, events: Iterable[RackEvent], now_ms: int) -> Timeline:
    mine = [e for e in events if e.service == squad.service]
    reigns = _with_gaps(_ended(_reigns(mine, squad, now_ms), mine, now_ms))[-MOST_REIGNS:]
    vacant = not (reigns and reigns[-1].running)
    lanes, more = _lanes(reigns, squad)
    return Timeline(
        service=squad.service,
        alias=squad.alias,
        lanes=lanes,
        reigns=tuple(reigns),
        more=more,
        vacant=vacant,
        vacant_since=reigns[-1].ended if reigns and vacant else None,
        summary=_summary(reigns, squad),
    )


def _reigns(events: list[RackEvent], squad: Squad, now_ms: int) -> list[Reign]:
    """By epoch, which only rises: those whose begin was told, those of which only the end was, and now's."""
    found: dict[tuple[int, str], Reign] = {}
    for event in events:
        who = (event.epoch, event.task_id)
        if event.kind == "election":
            found[who] = Reign(
                event.task_id, name_of(event.task_id), event.epoch, _ms(event.at, now_ms), event.at
            )
        elif event.kind in {"released", "lost"} and who not in found:
            found[who] = Reign(event.task_id, name_of(event.task_id), event.epoch, None, "")
    manager = squad.manager_task_id
    if manager is not None and squad.manager_confirmed:
        now = (squad.manager_epoch, manager)
        told = found.get(now) or Reign(manager, name_of(manager), squad.manager_epoch, None, "")
        found[now] = replace(told, running=True, how="leads now")
    return [found[who] for who in sorted(found)]


def _ended(reigns: list[Reign], events: list[RackEvent], now_ms: int) -> list[Reign]:
    """The same with their ends, as far as somebody told them."""
    own = {(e.epoch, e.task_id): e for e in events if e.kind in {"released", "lost"}}
    gone = {e.task_id: e for e in events if e.kind == "ended"}
    orders = [e for e in events if e.kind in {"outage", "self_destruct"} and e.detail != IN_DOUBT]
    killed = {e.task_id: e for e in reversed(orders)}
    last_of = {reign.task_id: reign.epoch for reign in reigns}
    return [
        reign if reign.running else _one_ended(
            reign,
            own.get((reign.epoch, reign.task_id)),
            gone.get(reign.task_id) if last_of[reign.task_id] == reign.epoch else None,
            killed.get(reign.task_id) if last_of[reign.task_id] == reign.epoch else None,
            now_ms,
        )
        for reign in reigns
    ]  # fmt: skip


def _one_ended(
    reign: Reign, own: RackEvent | None, gone: RackEvent | None, killed: RackEvent | None, now_ms: int
) -> Reign:
    # Whoever is killed does not tell. The order came just before that, the heir saw it just after, often as
    # late as its own election: the order is nearer to when nobody led any more.
    told = own or killed or gone
    if told is None:
        return replace(reign, how="its end was not told")
    if own is not None:
        how = "gave it up" if own.kind == "released" else "lost its lease"
    elif killed is not None:
        how = "was taken out" if killed.kind == "outage" else "self-destructed"
    else:
        how = f"its task ended ({told.detail or 'state unknown'})"
    return replace(reign, ended=_ms(told.at, now_ms), ended_at=told.at, how=how)


def _with_gaps(reigns: list[Reign]) -> list[Reign]:
    """No reign lasts into the next one; what is between two is a gap, where both ends are known."""
    told: list[Reign] = []
    for number, reign in enumerate(reigns):
        after = reigns[number + 1] if number + 1 < len(reigns) else None
        if after is not None and after.began is not None:
            if reign.running:
                reign = replace(reign, running=False, how="its end was not told")  # noqa: PLW2901
            if reign.ended is not None and reign.ended > after.began:
                reign = replace(reign, ended=after.began)  # noqa: PLW2901 - the later epoch is the true one
        if reign.began is not None and reign.ended is not None and reign.ended < reign.began:
            reign = replace(reign, ended=reign.began)  # noqa: PLW2901 - two machines' clocks
        before = told[-1].ended if told else None
        if before is not None and reign.began is not None:
            seconds = (reign.began - before) / 1000
            reign = replace(reign, gap=seconds if seconds >= SHORTEST_GAP else None)  # noqa: PLW2901
        told.append(reign)
    return told


def _lanes(reigns: list[Reign], squad: Squad) -> tuple[tuple[Lane, ...], int]:
    slots = {t.id: t.slot for t in squad.replicas}
    led = list(dict.fromkeys(reign.task_id for reign in reversed(reigns)))
    others = [t.id for t in squad.replicas if t.id not in led]
    rows = [*led, *others]
    lanes = [Lane(who, name_of(who), color_of(who), slots.get(who), who not in slots) for who in rows]
    return tuple(lanes[:MOST_LANES]), max(0, len(rows) - MOST_LANES)


def _summary(reigns: list[Reign], squad: Squad) -> str:
    if not reigns:
        return f"The journal knows of nobody who led {squad.alias}."
    last = reigns[-1]
    changes = f"The journal has {len(reigns)} reign{'s' if len(reigns) != 1 else ''}."
    if not last.running:
        return f"Nobody is known to lead {squad.alias} now; {last.name} was the last. {changes}"
    since = f" since {last.began_at[11:19]} UTC" if last.began is not None else ""
    return f"{last.name} leads {squad.alias}{since}, in epoch {last.epoch}. {changes}"


def _ms(at: str, now_ms: int) -> int | None:
    """ISO-8601 as unix milliseconds; None where it is none, or no time that this page could show."""
    try:
        moment = datetime.fromisoformat(at)
        ms = round(moment.timestamp() * 1000) if moment.tzinfo else None
    except (ValueError, OverflowError):
        return None
    return ms if ms is not None and now_ms - _DAYS_BACK * _DAY_MS < ms < now_ms + _DAY_MS else None

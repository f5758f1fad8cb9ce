"""The read model: what the bus says, folded into one immutable, versioned Board.

However many people watch a replica, the bus is asked at most once in ``max_age`` seconds, by one
``get_many`` and by one caller at a time; the others wait for that answer. What has vanished from the bus
(a wipe, an eviction) is shown as it was last known until its owner publishes it again. A bus that does
not answer leaves the last board standing, marked with how stale it is.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from random import Random
from typing import Any, TypeVar, cast

from clawbucket import codecs, keys
from clawbucket.codecs import Codec, Gate, Reader
from clawbucket.core import phrases, rps
from clawbucket.core.agent import Agent, trouble_of
from clawbucket.core.board import Board, Squad, Trooper
from clawbucket.core.callsign import color_of, name_of
from clawbucket.core.commands import Commands, commands
from clawbucket.core.election import Timing, preference
from clawbucket.core.membership import Membership
from clawbucket.core.model import ArmState, Freshness, Snapshot, Task, short_alias
from clawbucket.core.records import Arm, ArmEvent, Haiku, Heartbeat, Lease, Words
from clawbucket.core.revolt import Phase, RevoltEvent
from clawbucket.ports import Bus, BusDown, BusInDoubt, BusRefused, Clock
from clawbucket.settings import Settings

T = TypeVar("T")
MAX_AGE = 0.25
"""Seconds for which a board counts as current (DESIGN, the way of the data)."""
SILENT_AFTER = 3.0
"""Seconds without a new snapshot after which the rack manager counts as silent: three it owed."""
LONGEST_LABEL = 40
"""Characters of a rack's label, as settings take it; what is on the bus may be longer."""


@dataclass(slots=True)
class _Watched:
    """A version that should move, and when it last did on this process's clock."""

    version: object = None
    moved_at: float = 0.0

    def look(self, version: object, now: float) -> float:
        """Seconds since it moved."""
        if version != self.version:
            self.version, self.moved_at = version, now
        return now - self.moved_at


@dataclass(frozen=True, slots=True)
class _Seen:
    """What one refresh saw, on its way into the drawing."""

    snapshot: Snapshot
    nodes: Mapping[str, str]
    values: Mapping[str, bytes]
    beats: Mapping[str, Heartbeat]
    fresh: Mapping[str, Freshness]
    arms: Mapping[str, ArmState]
    left: frozenset[str]
    now: float


class BoardReader:
    """One process's view of the rack. Thread- and greenlet-safe."""

    def __init__(self, bus: Bus, gate: Gate, clock: Clock, settings: Settings) -> None:
        self._bus, self._gate, self._clock, self._settings = bus, gate, clock, settings
        self._lock = threading.Lock()
        self._readers: dict[str, Reader[Any]] = {}
        self._last: dict[str, Any] = {}
        self._membership = Membership()
        self._watched: dict[str, _Watched] = {}
        self._keys: tuple[tuple[Task, ...], list[str]] | None = None
        self._drawn: dict[str, tuple[tuple[object, ...], Trooper]] = {}
        self._board: Board | None = None
        self._asked_at = float("-inf")
        self._answered_at = float("-inf")
        self._down: str | None = None
        self.refreshes = 0

    def board(self, max_age: float = MAX_AGE) -> Board:
        """The board, at most ``max_age`` seconds old while the bus answers.

        BusDown with one sentence while nothing was ever read that could be shown.
        """
        if self._clock.monotonic() - self._asked_at >= max_age:
            wanted_at = self._clock.monotonic()
            with self._lock:
                if self._asked_at <= wanted_at and self._clock.monotonic() - self._asked_at >= max_age:
                    self._refresh()
        if self._board is None:
            with self._lock:  # somebody's first look may not be drawn yet
                if self._board is None:
                    raise BusDown(self._down or "no snapshot of the rack yet: is the rack manager running?")
        if self._down is None:
            return self._board
        return replace(self._board, stale_seconds=round(self._clock.monotonic() - self._answered_at, 1))

    def typed(self, snapshot: Snapshot | None, port: int | None = None) -> Commands:
        """What to type about this rack, by its engine in that snapshot; before there is one, as it is set."""
        settings = self._settings
        engine = (snapshot.engine if snapshot else "") or settings.engine
        return commands(engine, settings.primary, settings.swarm_node, port)

    def invalidate(self) -> None:
        """The next ``board`` asks the bus: this process has just changed something."""
        self._asked_at = float("-inf")

    @property
    def snapshot(self) -> Snapshot | None:
        """The snapshot behind the last board."""
        return cast("Snapshot | None", self._last.get(keys.SNAPSHOT.of()))

    def _refresh(self) -> None:
        started = self._clock.monotonic()
        try:
            values = self._ask()
        except (BusDown, BusInDoubt, BusRefused) as error:
            self._down = str(error)
            self._asked_at = self._clock.monotonic()
            return
        self.refreshes += 1
        self._down = None
        self._answered_at = self._asked_at = started
        snapshot = self._value(codecs.SNAPSHOT, values)
        if snapshot is not None:
            self._board = self._versioned(self._draw(snapshot, values, started))

    def _ask(self) -> dict[str, bytes]:
        """One ``get_many``, and a second one when the snapshot shows tasks that were not known before."""
        asked = self._wanted()
        values = self._bus.get_many(asked)
        self._value(codecs.SNAPSHOT, values)
        wanted = self._wanted()
        if wanted is asked:
            return values
        self._forget_the_ended(wanted)
        news = set(wanted).difference(asked)
        return {**values, **self._bus.get_many(news)} if news else values

    def _wanted(self) -> list[str]:
        """The keys that the board is drawn from: the same list while the tasks are the same."""
        tasks = self._tasks()
        if self._keys is not None and self._keys[0] is tasks:
            return self._keys[1]
        wanted = [
            key.of() for key in (
                keys.SNAPSHOT, keys.RPS_STATE, keys.RPS_INTERVAL, keys.HAIKU, keys.CHAT, keys.ARM_EVENTS,
                keys.REVOLT_EVENTS, keys.EVENTS, keys.PEERS, keys.LOAD,
            )
        ]  # fmt: skip
        for service in self._settings.swarm_services:
            wanted += [keys.LEADER.of(service), keys.OVERRIDE.of(service)]
        for task in tasks:
            wanted += [keys.HEARTBEAT.of(task.name), keys.SCORE.of(task.id), keys.WORDS.of(task.id)]
        self._keys = (tasks, wanted)
        return wanted

    def _tasks(self) -> tuple[Task, ...]:
        return self.snapshot.tasks if self.snapshot else ()

    def _now(self, codec: Codec[T], values: Mapping[str, bytes], member: str = "") -> T | None:
        """What the bus holds now."""
        key = codec.key.of(member)
        if key not in self._readers:
            self._readers[key] = self._gate.reader(codec, key)
        read = self._readers[key]
        return cast("T | None", read(values.get(key)))

    def _value(self, codec: Codec[T], values: Mapping[str, bytes], member: str = "") -> T | None:
        """What the bus holds now, or else held last."""
        key = codec.key.of(member)
        value = self._now(codec, values, member)
        if value is None:
            return cast("T | None", self._last.get(key))
        self._last[key] = value
        return value

    def _forget_the_ended(self, keep: Iterable[str]) -> None:
        """Keep memory only of tasks that are still there."""
        wanted, here = set(keep), {task.id for task in self._tasks()}
        self._readers = {key: read for key, read in self._readers.items() if key in wanted}
        self._last = {key: value for key, value in self._last.items() if key in wanted}
        self._drawn = {who: drawn for who, drawn in self._drawn.items() if who in here}

    def _versioned(self, drawn: Board) -> Board:
        before = self._board
        if before is None:
            return replace(drawn, version=1)
        if replace(drawn, version=before.version, at=before.at) == before:
            return before
        return replace(drawn, version=before.version + 1)

    def _draw(self, snapshot: Snapshot, values: Mapping[str, bytes], now: float) -> Board:
        beats = {
            t.id: beat
            for t in snapshot.tasks
            if (beat := self._value(codecs.HEARTBEAT, values, t.name)) is not None
        }
        running = [t.id for t in snapshot.tasks if t.running]
        fresh = self._membership.look(running, {who: beat.seq for who, beat in beats.items()}, now)
        events = self._value(codecs.ARM_EVENTS, values) or []
        chat = self._value(codecs.CHAT, values) or []
        revolts = self._value(codecs.REVOLT_EVENTS, values) or []
        happened = self._value(codecs.EVENTS, values) or []
        load = self._now(codecs.LOAD, values) or []
        left = defectors(revolts, self._settings.label)
        nodes = {node.id: node.hostname for node in snapshot.nodes}
        seen = _Seen(snapshot, nodes, values, beats, fresh, armed(events, beats.values()), left, now)
        age = self._watch(keys.SNAPSHOT.of(), (snapshot.rack, snapshot.seq), now)
        return Board(
            version=0,
            at=self._clock.iso(),
            rack=snapshot.rack,
            primary=self._settings.primary,
            squads=tuple(self._squad(service, seen) for service in self._settings.swarm_services),
            throw=self._now(codecs.THROW, values),
            interval_seconds=self._value(codecs.INTERVAL, values) or rps.DEFAULT_INTERVAL,
            haiku=self._value(codecs.HAIKU, values) or self._own_haiku(),
            chat=tuple(chat),
            arm_events=tuple(events),
            revolts=tuple(revolts),
            events=tuple(happened),
            # Without the time of the look: that alone makes no new board.
            peers=tuple(replace(peer, at="") for peer in self._now(codecs.PEERS, values) or ()),
            load=tuple(load),
            engine_error=snapshot.error,
            snapshot_age_seconds=int(age) if age >= SILENT_AFTER else None,
            trouble=trouble_of(
                [b.agent for b in beats.values() if b.agent is not None], self.typed(snapshot)
            ),
        )

    def _squad(self, service: str, seen: _Seen) -> Squad:
        wanted = seen.snapshot.service(service)
        if wanted is None or wanted.error is not None:
            reason = wanted.error if wanted and wanted.error else f"no service {service} runs on this rack"
            return Squad(service, short_alias(service), 0, 0, (), error=reason)
        override = self._now(codecs.OVERRIDE, seen.values, service)
        order = preference(seen.snapshot, service, override)
        lease = self._value(codecs.LEASE, seen.values, service)
        unmoved = self._watch(keys.LEADER.of(service), lease, seen.now)
        holder = _holder(lease, order)
        manager = holder or (order[0].id if order else None)
        confirmed = holder is not None and unmoved < Timing().dead_after
        tasks = seen.snapshot.tasks_of(service)
        heirs = (t.id for t in preference(seen.snapshot, service, None) if t.id != manager)
        return Squad(
            service=service,
            alias=short_alias(service),
            desired_replicas=wanted.desired,
            running_count=sum(t.running for t in tasks),
            replicas=tuple(
                self._trooper(t, seen, manages=t.id == manager, confirmed=confirmed) for t in tasks
            ),
            manager_task_id=manager,
            manager_epoch=lease.epoch if lease else 0,
            manager_confirmed=confirmed,
            override_slot=override or None,  # NO_SLOT is none
            heir_task_id=next(heirs, None),
        )

    def _trooper(self, task: Task, seen: _Seen, *, manages: bool, confirmed: bool) -> Trooper:
        """Drawn anew only where something of it is another: of thousands few change between two looks."""
        beat = seen.beats.get(task.id)
        words = self._value(codecs.WORDS, seen.values, task.id)
        score = self._value(codecs.SCORE, seen.values, task.id)
        node = seen.nodes.get(task.node_id, task.node_id)
        fresh = seen.fresh.get(task.id, Freshness.ALIVE)
        arm, left = seen.arms.get(task.id, ArmState.OFF), task.id in seen.left
        confirmed = manages and confirmed
        facts = (task, beat, words, score, node, fresh, arm, left, manages, confirmed)
        known = self._drawn.get(task.id)
        if known is not None and known[0] == facts:
            self._drawn[task.id] = (facts, known[1])  # the very objects of now: those compare at once
            return known[1]
        words = words or _own_words(task.id)
        drawn = Trooper(
            id=task.id,
            slot=task.slot,
            state=task.state.value,
            desired_state=task.desired_state.value,
            node_id=task.node_id,
            node=node,
            task_name=task.name,
            name=name_of(task.id),
            color=color_of(task.id),
            is_manager=manages,
            manager_confirmed=confirmed,
            score=score if score is not None else (beat.score if beat else 0),
            three_words=words.text[: phrases.LONGEST_WORDS],
            words_source=words.source,
            freshness=fresh,
            arm=arm,
            round=beat.round if beat else 0,
            move=beat.move if beat else None,
            outcome=beat.outcome if beat else None,
            started_at=beat.started_at if beat else task.created_at,
            frozen=bool(beat and beat.frozen),
            from_rack=beat.from_rack[:LONGEST_LABEL] if beat else "",
            defected=left,
            agent=(beat.agent if beat else None) or Agent("unknown"),
        )
        self._drawn[task.id] = (facts, drawn)
        return drawn

    def _watch(self, key: str, version: object, now: float) -> float:
        return self._watched.setdefault(key, _Watched()).look(version, now)

    def _own_haiku(self) -> Haiku:
        """A haiku for when no manager has written one: the reader's own, and it says so."""
        if self._board is not None:
            return self._board.haiku
        text = phrases.haiku(Random(self._settings.primary))  # noqa: S311 - not a secret
        return Haiku(text, phrases.SOURCE, self._clock.iso())


def _holder(lease: Lease | None, order: tuple[Task, ...]) -> str | None:
    if lease is None or lease.released:
        return None
    return lease.task_id if any(t.id == lease.task_id for t in order) else None


def _own_words(task_id: str) -> Words:
    """What a trooper that has not spoken yet is shown with: of the phrase book, and labelled so."""
    return Words(phrases.three_words(Random(task_id)), "", phrases.SOURCE)  # noqa: S311 - not a secret


def armed(events: Iterable[ArmEvent], beats: Iterable[Heartbeat]) -> dict[str, ArmState]:
    """Each task's ARM state: its latest event by ``seq``, or its own memory where that is newer."""
    latest: dict[str, Arm] = {}
    memories = [(b.task_id, b.arm) for b in beats if b.arm is not None]
    for task_id, arm in [*((e.task_id, Arm(e.state, e.seq)) for e in events), *memories]:
        if task_id not in latest or arm.seq > latest[task_id].seq:
            latest[task_id] = arm
    return {task_id: arm.state for task_id, arm in latest.items()}


def defectors(events: Iterable[RevoltEvent], rack: str) -> frozenset[str]:
    """The tasks of that rack whose latest handoff is committed: each is another rack's, and about to end."""
    latest: dict[str, RevoltEvent] = {}
    for event in sorted(events, key=lambda e: (e.seq, e.id)):
        if event.source_rack == rack:
            latest[event.source_task_id] = event
    return frozenset(who for who, event in latest.items() if event.phase is Phase.COMMITTED)

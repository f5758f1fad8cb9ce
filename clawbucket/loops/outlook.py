"""What a trooper sees of its world, put into the facts block that its agent is told."""

from __future__ import annotations

from clawbucket.board import BoardReader
from clawbucket.core.callsign import name_of
from clawbucket.core.facts import World, facts
from clawbucket.core.model import ArmState
from clawbucket.core.rps import DEFAULT_INTERVAL
from clawbucket.loops.memory import Memory
from clawbucket.ports import ClawError

FRESH = 2.0
"""Seconds that the board may be old: a thought takes as long."""


class Outlook:
    """Of itself a trooper knows what its memory holds, of the others what the board shows."""

    def __init__(self, board: BoardReader, memory: Memory) -> None:
        self._board, self._memory = board, memory

    def __call__(self) -> str:
        """The facts block as things are now; without the others while nothing is known of them."""
        memory = self._memory
        try:
            squads = self._board.board(max_age=FRESH).squads
        except ClawError:
            squads = ()
        mine = [t for s in squads if s.service == memory.service for t in s.replicas]
        leaders = [(s.alias, name_of(s.manager_task_id)) for s in squads if s.manager_task_id is not None]
        return facts(
            World(
                callsign=name_of(memory.task_id),
                score=memory.card.score,
                others=tuple(t.score for t in mine if t.id != memory.task_id),
                rounds=memory.rounds,
                leaders=tuple(leaders),
                arm=memory.arm.state if memory.arm else ArmState.OFF,
                interval=memory.interval or DEFAULT_INTERVAL,
            )
        )

"""Every trooper but the one that threw plays against the running round, once.

The score is kept in memory first and published after: a publication that is lost, doubled or late
changes no score.
"""

from __future__ import annotations

from random import Random

import structlog

from clawbucket import codecs, keys
from clawbucket.codecs import Gate
from clawbucket.core import rps
from clawbucket.core.facts import MOST_ROUNDS, Round
from clawbucket.loops.memory import Memory
from clawbucket.ports import Bus

log = structlog.get_logger(__name__)


class Scoring:
    """Play each round of the primary's manager."""

    name = "scoring"
    every = 0.25

    def __init__(self, bus: Bus, gate: Gate, memory: Memory, primary: str, rng: Random) -> None:
        self._bus, self._memory, self._rng = bus, memory, rng
        self._throw_key, self._lease_key = keys.RPS_STATE.of(), keys.LEADER.of(primary)
        self._read_throw = gate.reader(codecs.THROW, self._throw_key)
        self._read_lease = gate.reader(codecs.LEASE, self._lease_key)
        self._highest_epoch = 0

    def tick(self, now: float) -> None:  # noqa: ARG002 - a behaviour is given the time
        """Look at the running round; score it if it is new to this trooper, and nothing holds it."""
        if self._memory.frozen:
            return
        values = self._bus.get_many([self._throw_key, self._lease_key])
        throw = self._read_throw(values.get(self._throw_key))
        lease = self._read_lease(values.get(self._lease_key))
        if lease is not None:
            self._highest_epoch = max(self._highest_epoch, lease.epoch)
            if lease.task_id == self._memory.task_id and not lease.released:
                return  # the manager does not play against itself
        if throw is None or throw.round <= self._memory.latest_round or self._superseded(throw.epoch):
            return
        before = self._memory.card
        self._memory.card = card = rps.scored(before, throw, self._rng.choice(rps.CHOICES))
        played = Round(card.round, card.move, throw.choice, card.outcome)
        self._memory.rounds = (*self._memory.rounds, played)[-MOST_ROUNDS:]
        log.info(
            "round scored",
            task_id=self._memory.task_id,
            round=card.round,
            outcome=card.outcome,
            score=card.score,
        )
        self._bus.set_many(
            {
                keys.SCORE.of(self._memory.task_id): (codecs.SCORE.encode(card.score), keys.SCORE.ttl),
                keys.LAST_SEEN.of(self._memory.task_id): (
                    codecs.LAST_SEEN.encode(card.round),
                    keys.LAST_SEEN.ttl,
                ),
            }
        )

    def _superseded(self, epoch: int) -> bool:
        """Whether a later leader than the thrower of this epoch is known: its stamp is on the way."""
        return epoch < self._highest_epoch

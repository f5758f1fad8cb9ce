"""Puts one replica's part in handoffs together, on any bus, rack and peers."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

from clawbucket.board import BoardReader
from clawbucket.codecs import Gate
from clawbucket.handoff.files import SnapshotFiles
from clawbucket.handoff.finishing import Finishing
from clawbucket.handoff.ordering import Ordering
from clawbucket.handoff.registry import Registry
from clawbucket.handoff.source import Source, Standing
from clawbucket.handoff.target import Target
from clawbucket.handoff.watching_peers import WatchingPeers
from clawbucket.loops.runner import LoopRunner
from clawbucket.loops.trooper import Journals
from clawbucket.ports import Bus, Clock, Orders, Peers
from clawbucket.settings import Settings


@dataclass(frozen=True, slots=True)
class Handoffs:
    """One replica's: what requests use, and the runner that finishes what others left open."""

    registry: Registry
    source: Source
    target: Target
    files: SnapshotFiles
    ordering: Ordering

    def runner(
        self, settings: Settings, clock: Clock, bus: Bus, peers: Peers, leads: Callable[[], bool]
    ) -> LoopRunner:
        """What a service's manager does beside its other work; not yet started."""
        finishing = Finishing(
            settings, clock, self.registry, self.ordering, self.source, self.target, self.files, leads
        )
        return LoopRunner([finishing, WatchingPeers(settings, bus, peers, leads)], clock)


def handoffs(
    settings: Settings, clock: Clock, bus: Bus, gate: Gate, rack: Orders, board: BoardReader,
    journals: Journals, peers: Peers, standing: Standing, sync: Callable[[int], None] = os.fsync,
    pause: Callable[[float], object] | None = None,
) -> Handoffs:  # fmt: skip
    """The parts.

    ``standing`` is the acts' (clawbucket/actions.py); ``sync`` stands for fsync, ``pause`` for waiting.
    """
    files = SnapshotFiles(settings.revolt_snapshot_dir, sync)
    registry = Registry(bus, gate, clock, files, journals.revolts, settings.label, settings.task_id)
    ordering = Ordering(bus, gate, clock, board, pause)
    target = Target(settings, clock, registry, ordering, rack)
    source = Source(settings, bus, gate, clock, registry, ordering, target, peers, standing)
    return Handoffs(registry, source, target, files, ordering)

"""How long ``./claw up`` takes to six running tiles, and what a replica costs at rest."""

from __future__ import annotations

import time
from statistics import median

import psutil

from bench.figures import Figure, at_most
from bench.rack import RunningRack, rack

_REST = 5.0
"""Seconds over which the processor time at rest is counted."""


def measure(rounds: int = 5) -> list[Figure]:
    """Start racks one after another; look at the last one's memory and processor time."""
    seconds: list[float] = []
    for _ in range(rounds):
        with rack("--replicas", "3") as running:
            seconds.append(running.wait_running(6))
            memory, cpu = _at_rest(running) if len(seconds) == rounds else ([], [])
    return [
        at_most("./claw up -> six running tiles", median(seconds), "s", 5.0, seconds),
        Figure("memory of a replica (its own pages, USS)", median(memory), "MiB", raw=memory),
        Figure("processor of a replica at rest", 100 * median(cpu), "% of a core", raw=cpu),
    ]


def _at_rest(running: RunningRack) -> tuple[list[float], list[float]]:
    """MiB and share of a core of each replica, its master and worker together."""
    trees = []
    for task in running.running():
        master = psutil.Process(running.pid_of(task.id))
        trees.append([master, *master.children(recursive=True)])
    before = [_seconds(tree) for tree in trees]
    time.sleep(_REST)
    after = [_seconds(tree) for tree in trees]
    memory = [sum(p.memory_full_info().uss for p in tree) / 2**20 for tree in trees]
    return memory, [(b - a) / _REST for a, b in zip(before, after, strict=True)]


def _seconds(tree: list[psutil.Process]) -> float:
    times = [process.cpu_times() for process in tree]
    return sum(t.user + t.system for t in times)

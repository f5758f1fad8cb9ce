"""A rack manager that comes back takes up what runs, and ends what nobody knows.

Two proofs lead from a task in the state file to its process: pid and creation time, or the task's id in
the process' own environment. The second also finds a process that was started in the very moment in
which the former rack manager died, before it could write down the pid: the intent was on disk before.
"""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

import structlog

from clawbucket.core.model import TaskState
from rack.engines import processes
from rack.engines.ledger import Ledger
from rack.engines.processes import Replica
from rack.engines.state import State

log = structlog.get_logger(__name__)

_NEVER_STARTED = frozenset({TaskState.NEW, TaskState.PENDING, TaskState.ASSIGNED, TaskState.READY})


def adopt(ledger: Ledger, state: State, state_dir: Path) -> dict[str, Replica]:
    """Tell the ledger what became of every process in ``state``; those that run, by task id.

    Whatever else was started for a task of this directory (strays of a lost state file, of another run, or
    of a group whose leader died) gets SIGKILL.
    """
    found = list(processes.of_rack(state_dir))
    # The earliest of a task is the replica: what it started in a session of its own came after it.
    leading = sorted((p for p in found if p.leads), key=lambda p: processes.born(p.pid) or 0.0, reverse=True)
    leaders = {process.task_id: process.pid for process in leading}
    replicas: dict[str, Replica] = {}
    for record in state.tasks:
        task = record.task
        if task.state in _NEVER_STARTED:
            continue
        pid: int | None = record.pid
        if pid is None or not processes.is_same(pid, record.born, task.id):
            pid = leaders.get(task.id)
        if pid is not None and task.address is not None:
            created = processes.born(pid)
            ledger.adopted(task.id, pid, created)
            replicas[task.id] = Replica(pid, created)
            log.info("replica adopted", task=task.name, pid=pid)
        elif record.pid is None:
            ledger.vanished(task.id, "the rack manager ended before this task was started")
        else:
            ledger.vanished(task.id, "task: ended while no rack manager ran; exit code unknown")
            log.warning("replica lost", task=task.name, pid=record.pid)
    for process in found:
        if process.task_id not in replicas:
            log.warning("stray process ended", task_id=process.task_id, pid=process.pid)
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(process.pid, signal.SIGKILL)
    return replicas

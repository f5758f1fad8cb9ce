"""A sim engine over stand-ins for fronts and real workers, and what a test may do behind its back.

The workers find no memcached. Their troopers' loops turn all the same, and that is what "running" means.
"""

from __future__ import annotations

import socket
import sys
import time
from pathlib import Path

import psutil

from clawbucket.core.model import Task
from clawbucket.settings import environment, variable_of
from rack.engines.sim import SimEngine
from rack.engines.sim_workers import Worker
from rack.packed import talk
from tests.contract.local_rig import LocalRig

WORKER = (sys.executable, "-m", "rack.packed")
TOKEN = "a-token-for-workers"
NO_BUS = {variable_of("memcached_port").name: "9", "PYTHONPATH": str(Path(__file__).parents[2])}


class SimRig(LocalRig):
    """A SimEngine in a directory of its own. ``fronts`` replicas of each service are stand-ins."""

    def __init__(self, directory: Path, fronts: int) -> None:
        super().__init__(directory)
        self.fronts = fronts

    @property
    def sim(self) -> SimEngine:
        assert isinstance(self.engine, SimEngine)
        return self.engine

    @property
    def workers(self) -> list[Worker]:
        return self.sim._workers

    def make(self, **changes) -> SimEngine:
        """An engine that is not started."""
        local = super().make(**changes)
        names = ("rack", "clock", "metrics", "timing", "policy")
        options = {name: getattr(local, f"_{name}") for name in names}
        state = local._first
        local.close()
        return SimEngine(
            worker=WORKER, workers=1, fronts=self.fronts, token=TOKEN, command=local._starter._command,
            environment=environment(NO_BUS), services=[service.name for service in state.services],
            replicas=state.services[0].desired, nodes=len(state.nodes), state_dir=self.directory,
            run_id=local._run_id, **options,
        )  # fmt: skip

    def crash(self, task: Task) -> None:
        """A front by signal; a packed trooper by a second caller of its worker's."""
        home = self.sim._home.get(task.id)
        if home is None:
            super().crash(task)
            return
        host, _, port = home.record.address.rpartition(":")
        with socket.create_connection((host, int(port)), timeout=5.0) as caller:
            caller.sendall(talk.line({"token": TOKEN}) + talk.line({"kill": [task.id]}))
            caller.shutdown(socket.SHUT_WR)
            while caller.recv(1 << 16):
                pass

    def end(self) -> None:
        """Leave no process behind."""
        pids = [worker.record.pid for worker in self.workers] if self._engine is not None else []
        super().end()
        deadline = time.monotonic() + 5.0
        while any(map(psutil.pid_exists, pids)):
            assert time.monotonic() < deadline, f"a worker is left: {pids}"
            time.sleep(0.01)  # the pace of a poll that has a deadline

"""The sim engine: thousands of troopers on one machine, most of them packed into a few processes.

It is the local engine, books and all; only where a task lives differs. The lowest ``fronts`` slots of each
service are replicas as ever: processes with an address, to which the gateway routes. The others are
*packed*: they have no address and serve no page, and their loops turn in a few workers (rack/packed). A
worker belongs to one node, so that node's loss can be played: when a worker dies, all that ran on its node
dies with it, and the node is down until its workers are started again. docs/adr/0012 tells why so, and what
it cannot show.
"""

from __future__ import annotations

import selectors
import signal
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import structlog

from clawbucket.core.model import Snapshot, Task, TaskState
from rack.engines import processes
from rack.engines.adoption import adopt
from rack.engines.ledger import Stop
from rack.engines.local import LocalEngine
from rack.engines.sim_workers import Hiring, Worker, listen_to, log_of, packed_task, stop_listening
from rack.engines.state import State

log = structlog.get_logger(__name__)

AWAY = 5.0
"""Seconds for which a lost node stays away, where another one is there for its tasks."""
ALONE_AWAY = 0.5
"""Seconds where none is."""
DEAF = 30.0
"""Seconds without a word from a worker, which speaks every second, after which it is ended."""
KILLED = 137
_COMES_UP = frozenset({TaskState.PREPARING, TaskState.STARTING, TaskState.RUNNING})


class SimEngine(LocalEngine):
    """An Engine over packed troopers. It takes what ``LocalEngine`` takes, and more.

    ``worker`` is the program that packs, ``workers`` how many of it (each node has one at least),
    ``fronts`` how many replicas of each service are processes of their own, ``token`` what a worker asks
    its engine for.
    """

    def __init__(
        self, *, worker: Sequence[str], workers: int, fronts: int, token: str, environment: Mapping[str, str],
        **options: Any,
    ) -> None:  # fmt: skip
        super().__init__(environment=environment, **options)
        nodes = self._first.nodes
        self._each = max(1, -(-workers // len(nodes)))
        self._fronts = fronts
        self._hiring = Hiring(
            worker, environment, self._directory, token, self._run_id, options.get("lifeline_fd")
        )
        self._workers: list[Worker] = []
        self._home: dict[str, Worker] = {}
        self._back_at: dict[str, float] = {}
        self._other_logs = frozenset(log_of(node.hostname) for node in nodes)
        self._ending = False

    # Engine ----------------------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """What should run and what does, now."""
        return replace(super().snapshot(), engine="sim")

    def kill(self, task_id: str) -> None:
        """End the task as SIGKILL would, if it is on the leader's node."""
        with self._changed:
            self._reach()
            self._ledger.pid_to_kill(task_id)
            home = self._home.get(task_id)
            if home is None:
                self._replicas[task_id].signal(signal.SIGKILL)
            else:
                home.order("kill", task_id)
                home.send()

    def lose(self, node_id: str) -> None:
        """Have a node die, as a machine does: everything on it is gone at once."""
        with self._changed:
            self._reach()
            for worker in self._of_node(node_id):
                worker.process.signal(signal.SIGKILL)

    def close(self) -> None:
        """Let go of everything. What runs goes on running, for the next engine to take up."""
        super().close()
        for worker in self._workers:
            worker.close()
        self._workers = []

    def shut_down(self, grace: float = 3.0) -> None:
        """End every replica and worker; longer than the local engine, since a worker has many to end."""
        self._ending = True
        super().shut_down(grace)

    # Inside ----------------------------------------------------------------------------------------

    def _take_up(self, state: State) -> None:
        now = self._clock.monotonic()
        for worker in self._hiring.take_up({node.id for node in state.nodes}, now):
            self._employ(worker)
            self._home |= dict.fromkeys(worker.tasks, worker)
        fronts = tuple(record for record in state.tasks if self._is_front(record.task))
        for task_id, replica in adopt(self._ledger, replace(state, tasks=fronts), self._directory).items():
            self._hold(task_id, replica)
        known = set()
        for record in state.tasks:
            task, home = record.task, self._home.get(record.task.id)
            if self._is_front(task) or task.state not in _COMES_UP:
                continue
            if home is None:
                self._ledger.vanished(task.id, "task: ended while no rack manager ran; exit code unknown")
            else:
                known.add(task.id)
                self._ledger.adopted(task.id, home.process.pid, home.process.created)
                self._ledger.healthy(task.id)
        for task_id in self._home.keys() - known:  # of an older state file
            stranger = self._home.pop(task_id)
            stranger.tasks.discard(task_id)
            stranger.order("kill", task_id)
        for node in self._ledger.snapshot(self._rack).nodes:
            self._staff(node.id)

    def _is_front(self, task: Task) -> bool:
        return task.slot <= self._fronts

    def _of_node(self, node_id: str) -> list[Worker]:
        return [worker for worker in self._workers if worker.record.node_id == node_id]

    def _staff(self, node_id: str) -> None:
        """Give the node all its workers, and have it be ready."""
        said = self._ledger.snapshot(self._rack)
        node = next(node for node in said.nodes if node.id == node_id)
        now = self._clock.monotonic()
        self._back_at.pop(node_id, None)
        try:
            while len(self._of_node(node_id)) < self._each:
                services = [service.name for service in said.services]
                self._employ(self._hiring.hire(node_id, node.hostname, services, now))
            self._hiring.save(self._workers)
        except OSError as error:
            log.warning("no sim worker can be started", node=node.hostname, reason=str(error))
            if not self._of_node(node_id):
                self._lost(node_id)
                return
        if node.state != "ready":
            self._ledger.node_is(node_id, "ready")
            log.info("node is back", node=node.hostname)

    def _employ(self, worker: Worker) -> None:
        self._workers.append(worker)
        listen_to(self._selector, worker, self._heard)
        if worker.process.pidfd is not None:
            self._selector.register(
                worker.process.pidfd, selectors.EVENT_READ, lambda _mask: self._died(worker)
            )
        log.info("sim worker runs", pid=worker.process.pid)

    def _turn(self) -> None:
        now = self._clock.monotonic()
        for worker in list(self._workers):
            if worker.process.pidfd is None and worker.process.gone():
                self._died(worker)
            elif now - worker.heard_at > DEAF:
                worker.heard_at = now
                log.warning("sim worker says nothing; it is ended", pid=worker.process.pid)
                worker.process.signal(signal.SIGKILL)
        for node_id, at in list(self._back_at.items()):
            if at <= now and not self._ending:
                self._staff(node_id)
        super()._turn()
        for worker in self._workers:
            worker.send()

    def _start(self, tasks: Sequence[Task]) -> None:
        super()._start([task for task in tasks if self._is_front(task)])
        for task in tasks:
            if self._is_front(task):
                continue
            home = min(self._of_node(task.node_id), key=lambda worker: len(worker.tasks), default=None)
            if home is None:
                self._ledger.rejected(task.id, "its node has no worker")
                continue
            home.tasks.add(task.id)
            home.order("start", packed_task(task))
            self._home[task.id] = home
            self._ledger.started(task.id, home.process.pid, home.process.created)

    def _stop(self, deed: Stop) -> None:
        home = self._home.get(deed.task_id)
        if home is None:
            super()._stop(deed)
        else:
            home.order("kill" if deed.hard else "stop", deed.task_id)

    def _heard(self, worker: Worker) -> None:
        try:
            said = worker.hear()
            worker.heard_at = self._clock.monotonic()
            for message in said:
                for task_id in message.get("running", ()):
                    if self._home.get(task_id) is worker:
                        self._ledger.healthy(task_id)
                for task_id, code in message.get("ended", ()):
                    self._left(worker, task_id, code)
        except (EOFError, ValueError, TypeError) as error:
            stop_listening(self._selector, worker)
            if not isinstance(error, EOFError):
                log.warning("sim worker cannot be understood; it is ended", reason=str(error)[:200])
            worker.process.signal(signal.SIGKILL)  # its own end, or what becomes of one that hung up

    def _left(self, worker: Worker, task_id: str, code: int) -> None:
        worker.tasks.discard(task_id)
        if self._home.get(task_id) is worker:
            del self._home[task_id]
            self._ledger.exited(task_id, code)

    def _died(self, worker: Worker) -> None:
        """With its worker goes the node, whoever else was on it."""
        if worker.process.pidfd is not None:
            self._selector.unregister(worker.process.pidfd)
        stop_listening(self._selector, worker)
        self._workers.remove(worker)
        code = worker.process.collect()
        worker.close()
        for task_id in list(worker.tasks):
            self._left(worker, task_id, KILLED if code is None else code or 143)
        self._changed.notify_all()  # whoever waits for the last to end
        if not self._ending:
            log.warning("sim worker ended", pid=worker.process.pid, exit_code=code)
            self._lost(worker.record.node_id)

    def _lost(self, node_id: str) -> None:
        for worker in self._of_node(node_id):
            worker.process.signal(signal.SIGKILL)
        said = self._ledger.snapshot(self._rack)
        for task in said.tasks:
            if task.node_id == node_id and task.id in self._replicas:
                self._replicas[task.id].signal(signal.SIGKILL)
        others = any(
            n.id != node_id and n.availability == "active" and n.state == "ready" for n in said.nodes
        )
        self._back_at[node_id] = self._clock.monotonic() + (AWAY if others else ALONE_AWAY)
        self._ledger.node_is(node_id, "down")

    def _empty(self) -> bool:
        return super()._empty() and not self._workers

    def _signal_all(self, number: signal.Signals) -> None:
        super()._signal_all(number)
        for worker in list(self._workers):
            processes.signal_group(worker.process.pid, number)

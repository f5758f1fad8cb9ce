"""The local engine: troopers as operating-system processes of this machine.

One thread turns: it waits for news (an exit, an answer, an order), enters it in the ledger, asks the
ledger what to do, writes the intent to disk, does it, and tells whoever waits for a change. Orders come
in from other threads; one lock makes each turn and each order atomic. The thread sleeps in one
``select`` and wakes for nothing but news and due dates, so an idle rack costs next to nothing.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

import structlog

from clawbucket.core.model import Snapshot, Task
from clawbucket.ports import Clock, EngineDown
from rack.engines import processes, state_file
from rack.engines.adoption import adopt
from rack.engines.ledger import Ledger, Start, Stop
from rack.engines.nursery import READY_WITHIN
from rack.engines.probes import Prober
from rack.engines.processes import Replica
from rack.engines.restart_policy import RestartPolicy
from rack.engines.starter import Starter
from rack.engines.state import State, first_state, new_id
from rack.engines.timing import Timing
from rack.metrics import Metrics

log = structlog.get_logger(__name__)

_LONGEST_SLEEP = 1.0
_ASK_FOR_EXITS = 0.1
"""Seconds between two looks for dead replicas where the kernel has no pidfd (macOS, Linux before 5.3)."""
_TIDY_LOGS = 5.0
_STUCK = READY_WITHIN + 5.0
"""Seconds without a turn after which the engine calls itself down: a turn may wait for a nursery."""


class LocalEngine:
    """An Engine over processes that run ``command``. ``start`` it once; thread-safe from then on.

    ``services`` (the first is the primary), ``replicas`` and ``nodes`` count when ``state_dir`` holds
    nothing of the run ``run_id``; afterwards its state does. ``environment`` is what every replica gets
    beside its own facts, ``lifeline_fd`` is handed on to each. ``rack`` is the rack's label. ``nursery`` is
    the program to fork replicas from, where the machine can.
    """

    def __init__(
        self,
        *,
        rack: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        services: Sequence[str],
        replicas: int,
        nodes: int,
        state_dir: Path,
        clock: Clock,
        metrics: Metrics,
        run_id: str = "",
        lifeline_fd: int | None = None,
        timing: Timing | None = None,
        policy: RestartPolicy | None = None,
        nursery: Sequence[str] = (),
    ) -> None:
        self._rack = rack
        self._directory = state_dir.resolve()
        self._starter = Starter(command, nursery, environment, self._directory, lifeline_fd)
        self._clock = clock
        self._metrics = metrics
        self._run_id = run_id
        self._timing = timing or Timing()
        self._policy = policy or RestartPolicy()
        self._first = first_state(run_id, services, replicas, nodes)
        self._ledger = Ledger(self._first, clock, self._policy, self._timing, new_id)
        self._replicas: dict[str, Replica] = {}
        self._changed = threading.Condition()
        self._told = 0
        self._saved = 0
        self._decided = 0
        self._calls = 0
        self._restarts: dict[str, int] = {}
        self._beat = clock.monotonic()
        self._tidy_at = self._beat
        self._down: str | None = "the local engine has not been started"
        self._leaving = False
        self._unsaved = False
        self._strays = False
        self._other_logs: frozenset[str] = frozenset()
        self._lock_file: IO[str] | None = None
        self._selector = selectors.DefaultSelector()
        self._prober = Prober(self._selector, clock, self._timing, self._judged)
        self._wake_out, self._wake_in = os.pipe()
        os.set_blocking(self._wake_in, False)
        self._selector.register(
            self._wake_out, selectors.EVENT_READ, lambda _mask: os.read(self._wake_out, 4096)
        )
        self._thread = threading.Thread(target=self._run, name="local-engine", daemon=True)

    # Life ------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Take up what runs, and begin. state_file.Locked when another engine lives in the directory."""
        self._lock_file = state_file.lock(self._directory)
        self._starter.prepare()
        state = state_file.load(self._directory / "rack.json")
        if state is None or state.run != self._run_id:
            state = self._first
        with self._changed:
            self._ledger = Ledger(state, self._clock, self._policy, self._timing, new_id)
            self._take_up(state)
            for task in self._ledger.snapshot(self._rack).tasks:
                if task.id in self._replicas and task.address is not None:
                    self._prober.watch(task.id, task.address, starting=not task.running)
            self._down = None
        self._thread.start()

    def close(self) -> None:
        """Let go of everything. What runs goes on running, for the next engine to take up."""
        with self._changed:
            self._leaving = True
            self._down = self._down or "the local engine was closed"
            self._wake()
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(timeout=5.0)
        with self._changed:
            if self._wake_in < 0:
                return
            self._prober.close()
            self._starter.close()
            for replica in self._replicas.values():
                replica.close()
            self._selector.close()
            os.close(self._wake_out)
            os.close(self._wake_in)
            self._wake_in = -1
        if self._lock_file is not None:
            self._lock_file.close()

    def shut_down(self, grace: float = 1.5) -> None:
        """End every replica: SIGTERM to all at once, SIGKILL after ``grace`` seconds. Then only ``close``."""
        with self._changed:
            if self._down is not None:
                return
            self._ledger.shut_down()
            self._signal_all(signal.SIGTERM)
            self._commit()
            if not self._changed.wait_for(self._empty, grace):
                self._signal_all(signal.SIGKILL)
                self._changed.wait_for(self._empty, 1.0)
            processes.end_strays(self._directory, ())

    def kill_all(self) -> None:
        """SIGKILL to every replica's group: the launcher is gone, and so will this process be at once.

        Goes on without the lock when a turn holds it for too long: nothing may outlive the launcher.
        """
        self._leaving = True
        self._changed.acquire(timeout=0.5)
        self._signal_all(signal.SIGKILL)
        processes.end_strays(self._directory, ())

    def ping(self) -> None:
        """Return when the loop turns. EngineDown when it stands still, was closed or broke."""
        self._reach()
        still = self._clock.monotonic() - self._beat
        if still > _STUCK:
            raise EngineDown(f"the local engine has stood still for {still:.0f} s")

    # Engine ----------------------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """What should run and what does, now."""
        with self._changed:
            self._reach()
            self._calls += 1
            return self._ledger.snapshot(self._rack)

    def history(self, service: str) -> tuple[Task, ...]:
        """The kept dead tasks, newest first."""
        with self._changed:
            self._reach()
            self._calls += 1
            return self._ledger.history(service)

    def wait_change(self, after: int, timeout: float) -> int:
        """Block until something changed since ``after``, or ``timeout`` seconds went by."""
        with self._changed:
            self._changed.wait_for(lambda: self._told > after or self._down is not None, timeout)
            return self._told

    def calls(self) -> int:
        """How often ``snapshot`` and ``history`` were asked."""
        return self._calls

    def scale(self, service: str, replicas: int) -> None:
        """Make ``replicas`` the desired count; on disk before this returns."""
        with self._changed:
            self._reach()
            self._ledger.scale(service, replicas)
            self._commit()

    def resize(self, service: str, by: int, mark: str, leaving: str = "") -> int:
        """One more or one less, once for each mark; on disk, with the mark, before this returns."""
        with self._changed:
            self._reach()
            replicas = self._ledger.resize(service, by, mark, leaving)
            self._commit()
            return replicas

    def kill(self, task_id: str) -> None:
        """SIGKILL to the task's process group, if it runs on the leader's node."""
        with self._changed:
            self._reach()
            self._ledger.pid_to_kill(task_id)
            self._replicas[task_id].signal(signal.SIGKILL)

    def restart(self, service: str) -> None:
        """Replace every task of the service, one after another."""
        with self._changed:
            self._reach()
            self._ledger.restart(service)
            self._commit()

    def set_availability(self, node_id: str, availability: str) -> None:
        """``active`` or ``drain``, for a node's id or host name."""
        with self._changed:
            self._reach()
            self._ledger.set_availability(node_id, availability)
            self._commit()

    # Inside ----------------------------------------------------------------------------------------

    def _reach(self) -> None:
        if self._down is not None:
            raise EngineDown(self._down)

    def _take_up(self, state: State) -> None:
        """Hold what runs, and tell the ledger what does not."""
        for task_id, replica in adopt(self._ledger, state, self._directory).items():
            self._hold(task_id, replica)

    def _empty(self) -> bool:
        return not self._replicas

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError, OSError):
            os.write(self._wake_in, b"!")

    def _commit(self) -> None:
        """An order was entered: carve it in, let the world see, and have the loop act on it."""
        self._save()
        self._tell()
        self._wake()

    def _run(self) -> None:
        try:
            while not self._leaving:
                news = self._selector.select(self._sleep())
                with self._changed:
                    if not self._leaving:
                        for key, mask in news:
                            key.data(mask)
                        self._turn()
        except Exception as error:
            # Nothing below is expected to fail. If it does, limping on with half a turn done would be
            # worse than saying so: the program ends, comes back, and takes up what runs.
            log.exception("local engine broke")
            with self._changed:
                self._down = f"the local engine broke ({type(error).__name__}: {error})"
                self._changed.notify_all()

    def _sleep(self) -> float:
        with self._changed:
            if self._decided != self._ledger.version:
                return 0.0
            dates = [self._tidy_at, self._ledger.due(), self._prober.due()]
            blind = any(replica.pidfd is None for replica in self._replicas.values())
        now = self._clock.monotonic()
        wait = min((date - now for date in dates if date is not None), default=_LONGEST_SLEEP)
        return max(0.0, min(wait, _ASK_FOR_EXITS if blind else _LONGEST_SLEEP))

    def _turn(self) -> None:
        began = time.perf_counter()
        self._beat = self._clock.monotonic()
        for task_id, replica in list(self._replicas.items()):
            if replica.pidfd is None and replica.gone():
                self._exited(task_id)
        deeds = self._ledger.decide()
        self._decided = self._ledger.version
        self._start([deed.task for deed in deeds if isinstance(deed, Start)])
        for deed in deeds:
            if isinstance(deed, Stop):
                self._stop(deed)
        self._prober.turn()
        self._save()
        self._tell()
        self._count_restarts()
        if self._beat >= self._tidy_at:
            self._tidy_at = self._beat + _TIDY_LOGS
            self._tidy()
        self._metrics.reconcile.observe(time.perf_counter() - began)

    def _start(self, tasks: Sequence[Task]) -> None:
        """All at once: the sockets, one save of the intents, the processes."""
        with contextlib.ExitStack() as listeners:
            ready = []
            for task in tasks:
                try:
                    listener = listeners.enter_context(processes.listen())
                except OSError as error:
                    self._ledger.rejected(task.id, f"no socket to listen on: {error}")
                else:
                    self._ledger.listening(task.id, "{}:{}".format(*listener.getsockname()))
                    ready.append((task, listener))
            if ready:
                self._save()
            for task, listener in ready:
                try:
                    pid = self._starter.spawn(task, self._ledger.snapshot(self._rack), listener)
                except OSError as error:
                    log.warning("replica cannot be started", task=task.name, reason=str(error))
                    self._ledger.rejected(task.id, f"{self._starter.program}: {error.strerror or error}")
                    continue
                replica = Replica(pid, processes.born(pid))
                self._hold(task.id, replica)
                self._ledger.started(task.id, pid, replica.created)
                self._prober.watch(task.id, "{}:{}".format(*listener.getsockname()), starting=True)
                log.info("replica started", task=task.name, pid=pid)

    def _stop(self, deed: Stop) -> None:
        if deed.task_id in self._replicas:
            self._prober.forget(deed.task_id)
            self._replicas[deed.task_id].signal(signal.SIGKILL if deed.hard else signal.SIGTERM)

    def _hold(self, task_id: str, replica: Replica) -> None:
        self._replicas[task_id] = replica
        if replica.pidfd is not None:
            self._selector.register(replica.pidfd, selectors.EVENT_READ, lambda _mask: self._exited(task_id))

    def _exited(self, task_id: str) -> None:
        replica = self._replicas.pop(task_id)
        self._prober.forget(task_id)
        if replica.pidfd is not None:
            self._selector.unregister(replica.pidfd)
        code = replica.collect()
        self._strays = True
        self._ledger.exited(task_id, code)
        log.info("replica ended", task_id=task_id, pid=replica.pid, exit_code=code)

    def _judged(self, task_id: str, complaint: str | None) -> None:
        if complaint is None:
            self._ledger.healthy(task_id)
        else:
            log.warning("replica does not answer", task_id=task_id, reason=complaint)
            self._ledger.unhealthy(task_id, complaint)

    def _signal_all(self, number: signal.Signals) -> None:
        for replica in list(self._replicas.values()):
            processes.signal_group(replica.pid, number)

    def _tell(self) -> None:
        if self._told != self._ledger.version:
            self._told = self._ledger.version
            self._changed.notify_all()

    def _save(self) -> None:
        if self._saved == self._ledger.version:
            return
        version = self._ledger.version
        try:
            state_file.save(self._directory / "rack.json", self._ledger.state())
        except OSError as error:
            # A full disk must not stop the swarm. A rack manager after this one then knows less; what it
            # does not know it finds by the processes' own environment, and ends (adoption.py).
            if not self._unsaved:
                log.warning("state cannot be saved", reason=str(error))
            self._unsaved = True
            return
        self._unsaved = False
        self._saved = version

    def _count_restarts(self) -> None:
        for service, total in self._ledger.restarts.items():
            self._metrics.restarts.labels(service).inc(total - self._restarts.get(service, 0))
            self._restarts[service] = total

    def _tidy(self) -> None:
        if self._strays:
            self._strays = False
            processes.end_strays(self._directory, self._replicas)
        snapshot = self._ledger.snapshot(self._rack)
        known = {task.name for task in snapshot.tasks} | self._other_logs
        for service in snapshot.services:
            known |= {task.name for task in self._ledger.history(service.name)}
        try:
            self._starter.tidy({replica.pid for replica in self._replicas.values()}, known)
        except OSError as error:
            log.warning("logs cannot be tidied", reason=str(error))

"""What should run here and what does: every decision of the local engine, and none of its deeds.

The engine tells the ledger what happened (an order, a start, an answer, an exit) and asks it what to do
now; ``decide`` answers with deeds, and ``due`` says when to ask again at the latest. There is no I/O and
no clock but the one that is passed in, so a test plays a night of failures in a millisecond.

A slot holds at most one task whose process is not known to be gone. That is stricter than Swarm, which
may start a replacement while it still believes in the old one, and it is what "none doubled" rests on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from clawbucket.core.model import Service, Snapshot, Task, TaskState
from clawbucket.ports import Clock, Conflict, NodeUnknown, ServiceUnknown, TaskElsewhere, TaskUnknown
from rack.engines.entries import Entry, Past, Rolling
from rack.engines.placement import Crowd
from rack.engines.restart_policy import RestartPolicy
from rack.engines.slots import Wanted, resized
from rack.engines.state import Record, SlotRecord, State
from rack.engines.timing import Timing

KEPT_DEAD = 5
"""Dead tasks kept for each slot, as Swarm does (``--task-history-limit`` defaults to 5)."""

NO_NODE = "no suitable node: every node is drained or down"


@dataclass(frozen=True, slots=True)
class Start:
    """Start a process for the task."""

    task: Task


@dataclass(frozen=True, slots=True)
class Stop:
    """End the task's process group: with SIGTERM, or when ``hard`` with SIGKILL."""

    task_id: str
    hard: bool


Deed = Start | Stop


class Ledger:
    """The books of one rack. Not thread-safe: its engine holds a lock around it.

    ``version`` rises with everything that people or the disk should hear of.
    """

    def __init__(
        self, state: State, clock: Clock, policy: RestartPolicy, timing: Timing, new_id: Callable[[], str]
    ) -> None:
        self._run = state.run
        self._clock = clock
        self._policy = policy
        self._timing = timing
        self._new_id = new_id
        self._nodes = {node.id: node for node in state.nodes}
        self._services = {service.name: service for service in state.services}
        self._entries = {known.task.id: Entry(known.task, known.pid, known.born) for known in state.tasks}
        self._slots = {
            (past.service, past.slot): Past(past.failures, dead=list(past.dead)) for past in state.slots
        }
        self._rolling = {name: Rolling(list(ids)) for name, ids in state.rolling.items()}
        self._wanted = {
            name: Wanted.of(service.desired, state.wanted.get(name), state.marks.get(name, ()))
            for name, service in self._services.items()
        }
        self._closing = False
        self.version = 1
        self.restarts: Counter[str] = Counter(dict.fromkeys(self._services, 0))

    # What is asked for -----------------------------------------------------------------------------

    def scale(self, service: str, replicas: int) -> None:
        """Make ``replicas`` the desired count. ServiceUnknown."""
        known = self._service(service)
        if known.desired != replicas:
            self._wanted[service].scale(replicas)
            self._want(known, replicas)

    def resize(self, service: str, by: int, mark: str, leaving: str = "") -> int:
        """One more or one less, once for each mark; the count. ServiceUnknown, TaskUnknown, Conflict."""
        known, wanted = self._service(service), self._wanted[service]
        if mark in wanted.marks:
            return known.desired
        slot = self._slot_of(service, leaving) if leaving else None
        replicas = known.desired
        if slot is None or slot in wanted.slots:
            replicas = resized(service, replicas, by, leaving)
            wanted.slots.discard(slot or 0)
            wanted.scale(replicas)
        wanted.note(mark)
        self._want(known, replicas)
        return replicas

    def restart(self, service: str) -> None:
        """Replace every task of the service, one after another. Asked again meanwhile: it is the same one."""
        self._service(service)
        waiting = [entry.task.id for entry in self._of(service) if not entry.leaving]
        if service not in self._rolling and waiting:
            self._rolling[service] = Rolling(waiting)
            self.version += 1

    def set_availability(self, node_id: str, availability: str) -> None:
        """``active`` or ``drain`` for a node by id or host name. NodeUnknown; Conflict for another word."""
        node = next((n for n in self._nodes.values() if node_id in {n.id, n.hostname}), None)
        if node is None:
            names = ", ".join(n.hostname for n in self._nodes.values())
            raise NodeUnknown(f"no node {node_id[:64]!r} in this swarm; there are {names}")
        if availability not in {"active", "drain"}:
            raise Conflict(f"a node's availability is active or drain, not {availability[:32]!r}")
        if node.availability != availability:
            self._nodes[node.id] = replace(node, availability=availability)
            self.version += 1
            self._let_go()

    def node_is(self, node_id: str, state: str) -> None:
        """``ready`` or ``down``, as the engine found it; what ran on it is told of by ``exited``."""
        self._nodes[node_id] = replace(self._nodes[node_id], state=state)
        self.version += 1

    def pid_to_kill(self, task_id: str) -> int:
        """The process group behind a task on the leader's node. TaskUnknown, TaskElsewhere."""
        entry = self._entries.get(task_id)
        if entry is None:
            raise TaskUnknown(f"no task {task_id[:64]!r} runs here")
        node = self._nodes.get(entry.task.node_id)
        if node is not None and not node.leader:
            raise TaskElsewhere(f"task {task_id} runs on {node.hostname}, beyond this rack manager's reach")
        if entry.pid is None:
            raise TaskUnknown(f"task {task_id} has no process yet; there is nothing to kill")
        return entry.pid

    def shut_down(self) -> None:
        """Everything is to end, by the engine's own hand; from now on nothing is decided any more."""
        self._closing = True
        self._rolling.clear()
        for entry in list(self._entries.values()):
            self._leave(entry, "the rack is going down")
            entry.term_at = entry.kill_at = None

    # What happened ---------------------------------------------------------------------------------

    def listening(self, task_id: str, address: str) -> None:
        """The socket that the task's process will get is bound."""
        self._say(self._entries[task_id], address=address)

    def started(self, task_id: str, pid: int, born: float | None) -> None:
        """The task's process exists."""
        entry = self._entries[task_id]
        entry.pid, entry.born = pid, born
        self._say(entry, state=TaskState.STARTING, message="starting: waits for /livez")

    def rejected(self, task_id: str, reason: str) -> None:
        """The task's process could not be made."""
        self._bury(self._entries[task_id], TaskState.REJECTED, error=reason)

    def vanished(self, task_id: str, reason: str) -> None:
        """The task's process ended while nobody looked."""
        entry = self._entries[task_id]
        state = TaskState.SHUTDOWN if entry.leaving else TaskState.FAILED
        self._bury(entry, state, error=None if entry.leaving else reason)

    def adopted(self, task_id: str, pid: int, born: float | None) -> None:
        """The task's process still runs, started by a rack manager before this one."""
        entry = self._entries[task_id]
        entry.pid, entry.born = pid, born
        if entry.task.state is TaskState.RUNNING:
            entry.running_since = self._clock.monotonic()
        else:
            self._say(entry, state=TaskState.STARTING, message="adopted: waits for /livez")
        if entry.leaving:
            entry.term_at = self._clock.monotonic()

    def healthy(self, task_id: str) -> None:
        """``/livez`` answered 200."""
        entry = self._entries.get(task_id)
        if entry is None:
            return
        entry.misses = 0
        if entry.task.state is TaskState.STARTING and not entry.leaving:
            entry.running_since = self._clock.monotonic()
            self._say(entry, state=TaskState.RUNNING, message="started")

    def unhealthy(self, task_id: str, reason: str) -> None:
        """``/livez`` gave no 200. A task that never gave one has had its time; another has a few misses."""
        entry = self._entries.get(task_id)
        if entry is None or entry.leaving or entry.doom is not None:
            return
        entry.misses += 1
        if entry.task.state is TaskState.STARTING:
            entry.doom = f"unhealthy: /livez was not 200 within {self._timing.start:g} s ({reason})"
        elif entry.misses >= self._timing.misses:
            entry.doom = f"unhealthy: /livez failed {entry.misses} times in a row ({reason})"
        if entry.doom is not None:
            entry.kill_at = self._clock.monotonic()

    def exited(self, task_id: str, code: int | None) -> None:
        """The task's process is gone. ``code`` as a shell tells it (128 + signal), None when unknown."""
        entry = self._entries[task_id]
        if entry.leaving:
            self._bury(entry, TaskState.SHUTDOWN, code=code)
        elif entry.doom is not None:
            self._bury(entry, TaskState.FAILED, error=entry.doom, code=code)
        elif code == 0:
            self._bury(entry, TaskState.COMPLETE, code=code)
        elif code is None:
            error = "task: exit code unknown, the process was adopted from a rack manager before this one"
            self._bury(entry, TaskState.FAILED, error=error)
        else:
            self._bury(entry, TaskState.FAILED, error=f"task: non-zero exit ({code})", code=code)

    # What to do ------------------------------------------------------------------------------------

    def decide(self) -> list[Deed]:
        """What is to be done now. Every Start must be followed by ``started`` or ``rejected``."""
        now = self._clock.monotonic()
        if not self._closing:
            self._roll(now)
            self._fill(now)
        deeds: list[Deed] = []
        for entry in list(self._entries.values()):
            if entry.kill_at is not None and entry.kill_at <= now:
                entry.term_at = entry.kill_at = None
                deeds.append(Stop(entry.task.id, hard=True))
            elif entry.term_at is not None and entry.term_at <= now:
                entry.term_at = None
                entry.kill_at = now + self._timing.grace
                deeds.append(Stop(entry.task.id, hard=False))
            elif entry.task.state is TaskState.PREPARING:
                deeds.append(Start(entry.task))
        return deeds

    def due(self) -> float | None:
        """When ``decide`` has something to do at the latest, if nothing happens before."""
        times = [rolling.until for rolling in self._rolling.values() if rolling.slot is not None]
        for entry in self._entries.values():
            if entry.task.state is TaskState.READY:
                times.append(entry.start_at)
            times += [at for at in (entry.term_at, entry.kill_at) if at is not None]
        return min(times, default=None)

    # What is known ---------------------------------------------------------------------------------

    def snapshot(self, rack: str) -> Snapshot:
        """The rack for people and troopers."""
        return Snapshot(
            rack=rack,
            seq=0,
            at=self._clock.iso(),
            engine="local",
            nodes=tuple(self._nodes.values()),
            services=tuple(self._services.values()),
            tasks=tuple(sorted((e.task for e in self._entries.values()), key=_order)),
            ended={task.id: task.state for past in self._slots.values() for task in past.dead},
        )

    def history(self, service: str) -> tuple[Task, ...]:
        """The kept dead tasks, newest first. ServiceUnknown."""
        self._service(service)
        dead = (task for (name, _), past in self._slots.items() if name == service for task in past.dead)
        return tuple(sorted(dead, key=lambda task: task.updated_at, reverse=True))

    def state(self) -> State:
        """What a rack manager after this one needs to know."""
        return State(
            run=self._run,
            nodes=tuple(self._nodes.values()),
            services=tuple(self._services.values()),
            tasks=tuple(Record(e.task, e.pid, e.born) for e in self._entries.values()),
            slots=tuple(
                SlotRecord(service, slot, past.failures, tuple(past.dead))
                for (service, slot), past in self._slots.items()
            ),
            rolling={name: tuple(rolling.waiting) for name, rolling in self._rolling.items()},
            wanted={name: tuple(sorted(wanted.slots)) for name, wanted in self._wanted.items()},
            marks={name: tuple(wanted.marks) for name, wanted in self._wanted.items()},
        )

    # Inside ----------------------------------------------------------------------------------------

    def _service(self, name: str) -> Service:
        if name not in self._services:
            raise ServiceUnknown(f"no service {name[:64]!r} runs here; there are {', '.join(self._services)}")
        return self._services[name]

    def _of(self, service: str) -> list[Entry]:
        mine = (entry for entry in self._entries.values() if entry.task.service == service)
        return sorted(mine, key=lambda entry: entry.task.slot)

    def _slot_of(self, service: str, task_id: str) -> int:
        """Where the task is or was, as far back as the dead are kept. TaskUnknown."""
        alive = (entry.task for entry in self._entries.values())
        dead = (task for past in self._slots.values() for task in past.dead)
        for task in (*alive, *dead):
            if task.id == task_id and task.service == service:
                return task.slot
        raise TaskUnknown(f"no task {task_id[:64]!r} is known of service {service}")

    def _want(self, service: Service, replicas: int) -> None:
        self._services[service.name] = replace(service, desired=replicas)
        self.version += 1
        self._let_go()

    def _let_go(self) -> None:
        """Send away what is too much, and what lives on a node that is drained."""
        for entry in list(self._entries.values()):
            node = self._nodes.get(entry.task.node_id)
            if entry.task.slot not in self._wanted[entry.task.service].slots:
                self._leave(entry, "scaled down")
            elif node is not None and node.availability != "active":
                self._leave(entry, f"{node.hostname} is drained")

    def _roll(self, now: float) -> None:
        for name, rolling in list(self._rolling.items()):
            if rolling.slot is not None:
                replaced = any(e.task.slot == rolling.slot and e.task.running for e in self._of(name))
                if replaced or rolling.slot not in self._wanted[name].slots:
                    rolling.slot = None
                elif now >= rolling.until:
                    rolling.waiting.clear()
            while rolling.slot is None and rolling.waiting:
                entry = self._entries.get(rolling.waiting.pop(0))
                if entry is not None and not entry.leaving:
                    rolling.slot, rolling.until = entry.task.slot, now + self._timing.rolling
                    self._leave(entry, "replaced by a rolling restart")
                self.version += 1
            if not rolling.waiting and (rolling.slot is None or now >= rolling.until):
                del self._rolling[name]
                self.version += 1

    def _fill(self, now: float) -> None:
        held = {(entry.task.service, entry.task.slot) for entry in self._entries.values()}
        for service, wanted in self._wanted.items():
            for slot in sorted(wanted.slots):
                if (service, slot) not in held:
                    self._make(service, slot)
        crowd: Crowd | None = None
        for entry in list(self._entries.values()):
            if entry.task.state in {TaskState.NEW, TaskState.PENDING}:
                staying = (other.task for other in self._entries.values() if not other.leaving)
                crowd = crowd or Crowd(self._nodes.values(), staying)
                self._place(entry, crowd)
            if entry.task.state is TaskState.READY and entry.start_at <= now:
                self._say(
                    entry, state=TaskState.PREPARING, desired_state=TaskState.RUNNING, message="preparing"
                )

    def _make(self, service: str, slot: int) -> None:
        task_id, at = self._new_id(), self._clock.iso()
        past = self._slots.setdefault((service, slot), Past())
        task = Task(
            id=task_id,
            service=service,
            slot=slot,
            node_id="",
            state=TaskState.NEW,
            desired_state=TaskState.READY,
            name=f"{service}.{slot}.{task_id}",
            created_at=at,
            updated_at=at,
        )
        self._entries[task_id] = Entry(task, start_at=past.start_at)
        self.version += 1

    def _place(self, entry: Entry, crowd: Crowd) -> None:
        node = crowd.place(entry.task.service)
        if node is None:
            if entry.task.state is TaskState.NEW:
                self._say(entry, state=TaskState.PENDING, message="pending", error=NO_NODE)
            return
        failures = self._slots[entry.task.service, entry.task.slot].failures
        wait = entry.start_at - self._clock.monotonic()
        message = f"restarts in {wait:.1f} s, after {failures} failures in a row" if wait > 0 else "ready"
        self._say(entry, node_id=node.id, state=TaskState.READY, message=message, error=None)

    def _leave(self, entry: Entry, why: str) -> None:
        if entry.leaving:
            return
        self._say(entry, desired_state=TaskState.SHUTDOWN, message=why)
        if entry.pid is None:
            self._bury(entry, TaskState.SHUTDOWN)
        else:
            entry.term_at = self._clock.monotonic() + self._timing.drain

    def _bury(
        self, entry: Entry, state: TaskState, *, error: str | None = None, code: int | None = None
    ) -> None:
        """Move the task to its slot's past, and say when the slot may be filled again."""
        desired = TaskState.SHUTDOWN
        message = entry.task.message if entry.leaving else "ended"
        self._say(entry, state=state, desired_state=desired, message=message, error=error, exit_code=code)
        task = entry.task
        del self._entries[task.id]
        past = self._slots.setdefault((task.service, task.slot), Past())
        past.dead = [task, *past.dead][:KEPT_DEAD]
        now = self._clock.monotonic()
        if state is TaskState.SHUTDOWN:
            past.failures, past.start_at = 0, now
            return
        ran = 0.0 if entry.running_since is None else now - entry.running_since
        past.failures = self._policy.failures(past.failures, ran)
        past.start_at = now + self._policy.delay(past.failures)
        self.restarts[task.service] += 1

    def _say(self, entry: Entry, **changes: Any) -> None:
        entry.task = replace(entry.task, updated_at=self._clock.iso(), **changes)
        self.version += 1


def _order(task: Task) -> tuple[str, int, str]:
    return task.service, task.slot, task.id

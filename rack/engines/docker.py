"""The engine on Docker Swarm: what Swarm runs, told; what people order, passed on to Swarm.

Swarm itself starts, ends and replaces tasks. This object looks, in the thread of whoever asks or waits
(docker_pace.py says when), maps what it sees (docker_tasks.py), and is told by a thread that follows
Docker's events when a look is worth while (docker_events.py). So nothing is asked of Docker while nobody
asks or waits here, and however many do, the looks are shared.
"""

from __future__ import annotations

import contextlib
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import structlog

from clawbucket.core.model import Snapshot, Task, TaskState
from clawbucket.ports import (
    ClawError,
    Clock,
    Conflict,
    EngineDown,
    Indefinite,
    ServiceUnknown,
    TaskElsewhere,
    TaskUnknown,
)
from rack.engines.docker_daemon import Daemon, HttpDaemon, Missing
from rack.engines.docker_events import ALL, Follower, News
from rack.engines.docker_holds import held
from rack.engines.docker_orders import Hand, own_node
from rack.engines.docker_pace import Pace
from rack.engines.docker_tasks import Mapper, Raw, View
from rack.engines.slots import resized
from rack.metrics import Metrics

log = structlog.get_logger(__name__)

_MARKING = 1.0
"""Seconds for Swarm to choose the tasks that a lower count sends away."""
_EMPTIED = 2.5
"""Seconds for a slot's next task to find no place: the stack file's restart delay, and some."""
_FORGOTTEN = 30.0
"""Seconds after which nobody comes any more who held a service's new tasks up: a handoff retires in ten."""
_HISTORY_AGE = 1.0
"""Seconds during which one look for the dead serves all who ask for them."""
_DIED = frozenset({TaskState.FAILED, TaskState.REJECTED, TaskState.COMPLETE})


class DockerEngine:
    """An Engine over the services ``services`` (full names) of the swarm that ``daemon`` manages.

    ``start`` it once; thread-safe. ``rack`` is the rack's label. Its ``calls`` are looks at the swarm;
    ``requests`` are the HTTP requests for lists that they took, one to three each.
    """

    def __init__(
        self, *, rack: str, services: Sequence[str], daemon: Daemon, clock: Clock, metrics: Metrics,
        pace: Pace | None = None, rng: random.Random | None = None,
    ) -> None:  # fmt: skip
        self._services = tuple(services)
        self._daemon = daemon
        self._clock = clock
        self._metrics = metrics
        self._pace = pace or Pace()
        self._mapper = Mapper(rack, self._services)
        self._closed = threading.Event()
        self._follower = Follower(daemon, self._services, self._stir, clock.monotonic)
        self._hand = Hand(daemon, self._services, self._closed, rng)
        self._news = threading.Condition()
        self._looking = threading.Lock()
        self._to_see = ALL
        self._raw_services: list[Raw] = []
        self._raw_nodes: list[Raw] = []
        self._view: View | None = None
        self._view_orders = 0
        self._down: EngineDown | None = None
        self._orders = 0
        self._told = 0
        self._calls = 0
        self._requests = 0
        self._dead_looked = float("-inf")
        self._held: dict[tuple[str, int], float] = {}

    # Life ------------------------------------------------------------------------------------------

    def start(self) -> None:
        """See that this is a manager of a swarm, and follow its events. EngineDown says what to mend."""
        own_node(self._daemon)
        self._follower.start()

    def ping(self) -> None:
        """Return when this object does its part. EngineDown when it was closed or its follower broke."""
        self._open()
        if not self._follower.alive():
            raise EngineDown("nobody follows Docker's events any more; the rack manager has to start anew")

    def reach(self) -> None:
        """Return when Docker answered the last time that it was asked; raise as ``snapshot`` did."""
        self.ping()
        if self._down is not None:
            raise self._down

    def close(self) -> None:
        """Let go of Docker. What runs is Swarm's and goes on."""
        self._closed.set()
        with self._news:
            self._news.notify_all()
        self._follower.stop()
        self._daemon.close()

    # Engine ----------------------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """What should run and what does, by the last look: after the last order, at most REST seconds ago."""
        return self._latest().snapshot

    def history(self, service: str) -> tuple[Task, ...]:
        """The kept dead tasks, newest first, at most five a slot. One look serves all who ask in a second."""
        self._open()
        self._hand.known(service)
        began = self._clock.monotonic()
        view = self._view
        if view is None or began - self._dead_looked >= _HISTORY_AGE:
            view = self._look(lambda: self._dead_looked >= began)
            self._dead_looked = self._clock.monotonic()
        told = view.snapshot.service(service)
        if told is not None and told.error is not None and not view.history(service):
            raise ServiceUnknown(told.error)
        return view.history(service)

    def wait_change(self, after: int, timeout: float) -> int:
        """Block until a look shows something new, or ``timeout`` seconds went by; looks when one is due."""
        deadline = self._clock.monotonic() + timeout
        while True:
            with self._news:
                now = self._clock.monotonic()
                if self._told > after or self._closed.is_set() or now >= deadline:
                    return self._told
                due = self._pace.due()
                if due > now:
                    self._news.wait(min(due, deadline) - now)
                    continue
            try:
                self._look(lambda: self._clock.monotonic() < self._pace.due())
            except EngineDown:
                continue  # told to whoever asks next

    def calls(self) -> int:
        """How often Docker was asked what runs."""
        return self._calls

    def requests(self) -> int:
        """How many HTTP requests for a list that took."""
        return self._requests

    def scale(self, service: str, replicas: int) -> None:
        """Make ``replicas`` the desired count. Returns when Swarm chose whom a lower count sends away."""
        self._open()
        with self._ordering(News.SERVICES):
            before = self._hand.scale(service, replicas)
        if replicas < before:
            self._chosen(service, replicas)

    def resize(self, service: str, by: int, mark: str, leaving: str = "") -> int:
        """One more or one less, once for each mark. Returns when Swarm chose whom a lower count sends away.

        The marks are in a label of the service, changed in the same update as the count. Deploying a stack
        anew sets both as the stack file says, and so forgets the marks.

        Swarm has no call that removes one certain task. So what runs in the slot of ``leaving`` is killed
        after its replacement was held up, which is what Swarm gives up first (docker_holds.py). Conflict
        where Swarm places it all the same: then nothing is given up.
        """
        self._open()
        count, seen = self._hand.present(service, mark)
        if seen:
            return count
        if not leaving:
            with self._ordering(News.SERVICES):
                replicas = self._hand.resize(service, by, mark)
            if by < 0:
                self._chosen(service, replicas)
            return replicas
        before = self._look_anew()
        slot = before.slot_of(service, leaving)
        if slot is None:
            raise TaskUnknown(f"no task {leaving[:64]!r} is known of service {service}")
        if slot not in before.slots_of(service):
            with self._ordering(News.SERVICES):
                return self._hand.resize(service, 0, mark)
        resized(service, count, by, leaving)  # before anything ends for a change that is refused
        with self._ordering(News.SERVICES | News.TASKS):
            self._hand.hold(service, _empty_nodes(before.snapshot, service, slot))
            there = [
                task.id for task in before.snapshot.tasks if (task.service, task.slot) == (service, slot)
            ]
            self._hand.vacate(there, leaving)
            if not self._is_without_place(service, slot):
                self._hand.let_go(service)
                raise Conflict(
                    f"Swarm filled slot {slot} of service {service} anew; it stays as large as it is"
                )
            replicas = self._hand.resize(service, by, mark, held=True)
        after = self._chosen(service, replicas)
        if after is not None and slot in after:
            gone = sorted(before.slots_of(service) - after)
            log.warning("swarm gave up another slot", service=service, slot=slot, given_up=gone)
        return replicas

    def restart(self, service: str) -> None:
        """Have Swarm replace every task, in the way that the service's update_config says."""
        self._open()
        with self._ordering(News.SERVICES):
            self._hand.restart(service)

    def set_availability(self, node_id: str, availability: str) -> None:
        """``active`` or ``drain``, for a node's id or host name."""
        self._open()
        with self._ordering(News.NODES):
            self._hand.set_availability(node_id, availability)

    def kill(self, task_id: str) -> None:
        """SIGKILL to the task's container, if it is on this daemon's node."""
        self._open()
        with self._ordering(News.TASKS):
            self._hand.kill(task_id)

    # Looks -----------------------------------------------------------------------------------------

    def _open(self) -> None:
        if self._closed.is_set():
            raise EngineDown("the engine on Docker Swarm was closed")

    def _is_without_place(self, service: str, slot: int) -> bool:
        """Whether Swarm has a task for the slot and no node for it. One here that runs is killed."""
        deadline = self._clock.monotonic() + _EMPTIED
        while self._clock.monotonic() < deadline:
            there = [task for task in self._latest().snapshot.tasks_of(service) if task.slot == slot]
            if any(not task.node_id for task in there):
                return True
            for task in there:
                if task.running:
                    with contextlib.suppress(TaskUnknown, TaskElsewhere):
                        self._hand.kill(task.id)
            self._stir(News.TASKS)
            self._closed.wait(0.05)
        return False

    def _let_go_of_forgotten(self) -> None:
        """Whoever held new tasks up and ended before it let go must not keep them out for ever."""
        now = self._clock.monotonic()
        holds = [
            (raw["Spec"]["Name"], raw["Version"]["Index"]) for raw in self._raw_services if held(raw["Spec"])
        ]
        self._held = {hold: self._held.get(hold, now) for hold in holds if hold[0] in self._services}
        for (name, _), since in self._held.items():
            if now - since >= _FORGOTTEN:
                log.warning("new tasks were held up for long and are placed again", service=name)
                with contextlib.suppress(ClawError):  # at the next look, then, if it is still there
                    self._hand.let_go(name)
                    self._stir(News.SERVICES | News.TASKS)

    def _chosen(self, service: str, replicas: int) -> frozenset[int] | None:
        """The service's slots, once Swarm has chosen whom a lower count sends away; None if unseen."""
        deadline = self._clock.monotonic() + _MARKING
        while self._clock.monotonic() < deadline:
            try:
                slots = self._latest().slots_of(service)
            except EngineDown:
                return None  # the order was taken; that nobody can see it is the next question's trouble
            if len(slots) <= replicas:
                return slots
            self._stir(News.TASKS)
            self._closed.wait(0.05)
        return None

    @contextlib.contextmanager
    def _ordering(self, news: News) -> Iterator[None]:
        """What was ordered is seen by the next who asks; what is in doubt is looked at soon."""
        try:
            yield
        except Indefinite:
            self._stir(ALL)
            raise
        with self._news:
            self._orders += 1
        self._stir(news)

    def _stir(self, news: News, *, calm: bool = False) -> None:
        with self._news:
            self._to_see |= news
            if calm:
                return
            self._pace.stir(self._clock.monotonic())
            self._news.notify_all()

    def _look_anew(self) -> View:
        """What a look says that has not begun yet."""
        with self._news:
            self._orders += 1
        return self._latest()

    def _latest(self) -> View:
        self._open()
        with self._news:
            orders, view, down = self._orders, self._view, self._down
            fresh = self._clock.monotonic() < self._pace.due()
            if fresh and down is not None:
                raise down
            if fresh and view is not None and self._view_orders == orders:
                return view
        return self._look(lambda: self._view_orders >= orders and self._clock.monotonic() < self._pace.due())

    def _look(self, enough: Callable[[], bool]) -> View:
        """Ask Docker, unless somebody did while this one waited for its turn and that is ``enough``."""
        with self._looking:
            self._open()
            if self._view is not None and self._down is None and enough():
                return self._view
            if self._down is not None and self._clock.monotonic() < self._pace.due():
                raise self._down
            try:
                view = self._ask()
            except EngineDown as error:
                self._failed(error)
                raise
            return view

    def _ask(self) -> View:
        with self._news:
            orders, to_see = self._orders, self._to_see
            self._to_see = News.TASKS
            self._pace.begins()
        if News.SERVICES in to_see:
            self._raw_services = self._list("services")
            self._mapper.learn(self._raw_services)
        if News.NODES in to_see:
            self._raw_nodes = self._list("nodes")
        at = self._clock.iso()
        tasks = self._mapper.tasks_of(self._list("tasks"))
        if News.NODES not in to_see and self._mapper.missing(tasks):
            self._raw_nodes = self._list("nodes")
        known = {task.id: task for task in self._view.snapshot.tasks} if self._view else {}
        view = self._mapper.view(at, self._raw_services, tasks, self._raw_nodes)
        self._count_deaths(known, view.snapshot)
        self._let_go_of_forgotten()
        with self._news:
            if self._closed.is_set():
                self._open()
            self._calls += 1
            changed = self._view is None or replace(self._view.snapshot, at=at) != view.snapshot
            changed = changed or self._down is not None
            self._view, self._view_orders, self._down = view, orders, None
            self._pace.looked(self._clock.monotonic(), changed=changed, settled=view.settled)
            if changed:
                self._told += 1
                self._news.notify_all()
        return view

    def _list(self, what: str) -> list[Raw]:
        """One request for a list, as soon as the pace allows."""
        while True:
            with self._news:
                now = self._clock.monotonic()
                wait = self._pace.may(1) - now
                if wait <= 0:
                    self._pace.asks(now)
                    self._requests += 1
                    break
            self._closed.wait(wait)
            self._open()
        try:
            return self._daemon.get(f"/{what}")  # type: ignore[no-any-return]
        except Missing as error:
            raise EngineDown(f"Docker knows no list of {what}: {error}") from None

    def _failed(self, error: EngineDown) -> None:
        with self._news:
            self._to_see = ALL
            self._calls += 1
            self._pace.failed(self._clock.monotonic())
            if self._down is None or str(self._down) != str(error):
                log.warning("docker cannot tell what runs", reason=str(error))
                self._told += 1
            self._down = error
            self._news.notify_all()
        self._follower.drop()

    def _count_deaths(self, known: dict[str, Task], snapshot: Snapshot) -> None:
        """Tasks that ran at the last look and ended unasked since."""
        for task_id, task in known.items():
            if task.desired_state is TaskState.RUNNING and snapshot.ended.get(task_id) in _DIED:
                self._metrics.restarts.labels(task.service).inc()


def _empty_nodes(snapshot: Snapshot, service: str, slot: int) -> set[str]:
    """The nodes with no task of the service but that slot's."""
    others = (task for task in snapshot.tasks_of(service) if task.slot != slot)
    return {node.id for node in snapshot.nodes} - {task.node_id for task in others}


def docker_engine(
    rack: str, services: Sequence[str], url: str | None, clock: Clock, metrics: Metrics
) -> DockerEngine:
    """The engine over the Docker at ``url``; None is the usual socket."""
    return DockerEngine(rack=rack, services=services, daemon=HttpDaemon(url), clock=clock, metrics=metrics)

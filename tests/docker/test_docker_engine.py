"""The engine on Docker Swarm, held to the engines' contract on two nodes, and to its own promises."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from bench.rack import free_port
from clawbucket.clock import SystemClock
from clawbucket.core.model import Task, TaskState
from clawbucket.ports import EngineDown, TaskElsewhere
from clawbucket.settings import environment
from rack.client import RackClient
from rack.engines import docker_daemon
from rack.engines.docker import DockerEngine
from rack.engines.docker_daemon import HttpDaemon, Stream
from rack.engines.docker_events import news_of
from rack.engines.docker_orders import RESIZED
from rack.engines.docker_pace import ATTENTIVE
from rack.metrics import Metrics
from tests.conftest import Memcached, wait_for_port
from tests.contract.engine_suite import A, B, EngineContract, all_run, by_slot, gathered, until
from tests.docker.conftest import Images
from tests.docker.host import Engine
from tests.docker.nodes import Nodes, nodes

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow

STAND_IN = """
import signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
while True:
    signal.pause()
"""
"""What a replica is here: something that runs, and ends when told to."""
EDGE = "clawbucket_edge"


class Counting(HttpDaemon):
    """The real way to Docker, with the time of every request for a list, and what was heard of it."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.lists: deque[float] = deque(maxlen=10_000)
        self.heard: deque[Mapping[str, Any]] = deque(maxlen=1_000)

    def events(self, filters: Mapping[str, list[str]]) -> Stream:
        """The stream, and a note of each event that is news."""
        return Overheard(super().events(filters), self.heard)

    def most_in_a_second(self) -> int:
        """The most that left within any one second."""
        times = list(self.lists)
        return max(sum(1 for t in times if start <= t < start + 1.0) for start in times)

    def get(self, path: str, params: Mapping[str, str] | None = None) -> Any:
        if path in {"/tasks", "/services", "/nodes"}:
            self.lists.append(time.monotonic())
        return super().get(path, params)


class Overheard:
    """A stream whose news are noted on their way."""

    def __init__(self, stream: Stream, heard: deque[Mapping[str, Any]]) -> None:
        self._stream, self._heard = stream, heard
        self.close = stream.close

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        for event in self._stream:
            if news_of(event, (A, B)) is not None:
                self._heard.append(event)
            yield event


class DockerRig:
    """A DockerEngine over stand-ins on two nodes, and what a test may do behind its back."""

    def __init__(self, swarm: Nodes, image: str) -> None:
        self.swarm = swarm
        self.image = image
        self.daemon = Counting(swarm.manager.host)
        self._engine: DockerEngine | None = None

    @property
    def engine(self) -> DockerEngine:
        assert self._engine is not None
        return self._engine

    def deploy(self) -> None:
        """Two services of two replicas; Swarm spreads each over both nodes. The delay is the stack file's."""
        for service in (A, B):
            self.swarm.manager.docker(
                "service", "create", "--quiet", "--detach", "--no-resolve-image", "--name", service,
                "--replicas", "2", "--network", EDGE, "--endpoint-mode", "dnsrr", "--restart-delay", "1s",
                "--update-delay", "0s", "--stop-grace-period", "2s",
                self.image, "python3", "-I", "-S", "-c", STAND_IN,
            )  # fmt: skip

    def end(self) -> None:
        """Leave two nodes that take tasks, and none."""
        if self._engine is not None:
            self._engine.close()
        self.swarm.manager.try_docker("service", "rm", A, B)
        for node in self.swarm.nodes:
            self.swarm.manager.docker("node", "update", "--availability", "active", node.name)

    def spec(self, service: str) -> dict[str, Any]:
        """The service's specification, as Swarm has it."""
        told: dict[str, Any] = json.loads(
            self.swarm.manager.docker("service", "inspect", "--format", "{{json .Spec}}", service)
        )
        return told

    def crash(self, task: Task) -> None:
        """SIGKILL to the container's process, by the kernel of the node that it is on."""
        node = self.swarm.node(task.node_id)
        listed = node.engine.docker("ps", "--quiet", "--filter", f"label=com.docker.swarm.task.id={task.id}")
        pid = node.engine.docker("inspect", "--format", "{{.State.Pid}}", listed)
        self.swarm.outer.docker("exec", node.container, "sh", "-c", f"kill -9 {pid}")

    def succeed(self) -> None:
        """Another engine over the same swarm."""
        self.daemon = Counting(self.swarm.manager.host)
        self._engine = DockerEngine(
            rack="BOT 1", services=(A, B), daemon=self.daemon, clock=SystemClock(), metrics=Metrics()
        )
        self._engine.start()


@pytest.fixture(scope="module")
def two_nodes(engine_host: Engine, images: Images) -> Iterator[Nodes]:
    """A manager and a worker with the image on both."""
    with nodes(engine_host, images.dind, 2) as swarm:
        swarm.load(images.python)
        swarm.manager.docker("network", "create", "--driver", "overlay", EDGE)
        yield swarm


@pytest.fixture
def rig(two_nodes: Nodes, images: Images) -> Iterator[DockerRig]:
    """A fresh deployment and a fresh engine."""
    rig = DockerRig(two_nodes, images.python)
    try:
        rig.deploy()
        rig.succeed()
        yield rig
    finally:
        rig.end()


class TestContract(EngineContract):
    """The suite of the local engine, unchanged."""


def watch(engine: DockerEngine, seconds: float) -> None:
    """Ask as the rack manager's observer does: at every change, and at least every second."""
    end, seen = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        engine.snapshot()
        seen = engine.wait_change(seen, 1.0)


def come_to_rest(rig: DockerRig) -> None:
    """Return when everything runs and nothing was heard for as long as news keep the poll quick.

    On a slow machine a former test's containers may still be ending, and Docker tells of each.
    """
    until(rig.engine, all_run)
    deadline = time.monotonic() + 60.0
    while True:
        heard = len(rig.daemon.heard)
        watch(rig.engine, ATTENTIVE + 1.0)
        if len(rig.daemon.heard) == heard:
            return
        assert time.monotonic() < deadline, f"there is always news: {list(rig.daemon.heard)[heard:]}"


def test_at_rest_docker_is_asked_every_other_second_at_most(rig: DockerRig, monkeypatch: pytest.MonkeyPatch):
    """While the observer asks every second: at most 0.5 requests for lists a second, and fewer looks.

    The event stream is opened anew meanwhile, sooner than it usually is. Who heard of something was not at
    rest, and rests again; how many requests are allowed then is the next test's matter.
    """
    quiet = 15.0
    monkeypatch.setattr(docker_daemon, "QUIET", quiet)
    rig.engine.close()
    rig.succeed()
    for _ in range(3):
        come_to_rest(rig)
        heard, calls, requests = len(rig.daemon.heard), rig.engine.calls(), len(rig.daemon.lists)
        begun = time.monotonic()
        watch(rig.engine, 2 * quiet)
        seconds = time.monotonic() - begun
        if len(rig.daemon.heard) == heard:
            break
    else:
        pytest.fail(f"it never rested: {list(rig.daemon.heard)}")
    looks, lists = rig.engine.calls() - calls, len(rig.daemon.lists) - requests
    print(f"at rest: {looks / seconds:.2f} looks, {lists / seconds:.2f} requests a second")
    assert 1 <= looks < lists <= 0.5 * seconds
    assert rig.engine.requests() == len(rig.daemon.lists)


def test_under_load_docker_is_asked_four_times_a_second_at_most(rig: DockerRig):
    """Four threads ask for snapshots and histories without a pause while services are scaled up and down."""
    until(rig.engine, all_run)
    rig.daemon.lists.clear()
    stop = threading.Event()
    asked: deque[int] = deque()

    def ask() -> None:
        while not stop.is_set():
            rig.engine.snapshot()
            rig.engine.history(A)
            asked.append(1)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    calls, begun = rig.engine.calls(), time.monotonic()
    for thread in threads:
        thread.start()
    try:
        for count in (4, 1, 3, 2):
            rig.engine.scale(A, count)
            rig.engine.scale(B, count)
            watch(rig.engine, 2.0)
    finally:
        stop.set()
        for thread in threads:
            thread.join(10.0)
    seconds = time.monotonic() - begun
    looks, lists = rig.engine.calls() - calls, len(rig.daemon.lists)
    most = rig.daemon.most_in_a_second()
    print(f"under load: {len(asked) / seconds:.0f} askers, {looks / seconds:.2f} looks, ", end="")
    print(f"{lists / seconds:.2f} requests a second, {most} at most in one")
    assert most <= 4
    assert looks <= 4 * seconds


def test_marks_are_in_a_label_and_replace_no_task(rig: DockerRig):
    """Beside the labels that were there; a change of labels alone is no reason to replace what runs."""
    before = until(rig.engine, all_run)
    rig.swarm.manager.docker("service", "update", "--quiet", "--detach", "--label-add", "a=b", A)
    rig.engine.resize(A, 1, "x:grow")
    rig.engine.resize(A, -1, "x:shrink")
    after = until(rig.engine, lambda s: all_run(s) and len(s.tasks_of(A)) == 2)
    told = rig.swarm.manager.docker("service", "inspect", "--format", "{{json .Spec.Labels}}", A)
    assert json.loads(told) == {"a": "b", RESIZED: "x:grow,x:shrink"}
    assert by_slot(after, B) == by_slot(before, B)
    kept = set(by_slot(before, A).values()) & set(by_slot(after, A).values())
    assert kept, "two of three stayed, so one at least was there before"


@pytest.mark.parametrize("slot", [1, 3, 5])
def test_any_slot_of_a_node_can_be_given_up(rig: DockerRig, slot: int):
    """Within a few list requests; no other task is touched."""
    before = gathered(rig.engine, 5)
    rest = {number: task_id for number, task_id in by_slot(before, A).items() if number != slot}
    begun = time.monotonic()
    assert rig.engine.resize(A, -1, "x:shrink", by_slot(before, A)[slot]) == 4
    print(f"slot {slot} was given up in {time.monotonic() - begun:.2f} s")
    assert rig.daemon.most_in_a_second() <= 4
    assert by_slot(until(rig.engine, all_run), A) == rest


@pytest.mark.parametrize("where", ["here", "there"])
@pytest.mark.parametrize("replicas", [2, 3, 4])
def test_any_slot_of_several_nodes_can_be_given_up(rig: DockerRig, where: str, replicas: int):
    """Whichever node has more, no other task is touched. Out of reach it is refused, until it has ended."""
    rig.engine.scale(A, replicas)
    before = until(rig.engine, all_run)
    near = {task.id for task in before.tasks_of(A) if task.node_id == before.leader_node_id}
    leaving = next(task for task in before.tasks_of(A) if (task.id in near) is (where == "here"))
    rest = {task.slot: task.id for task in before.tasks_of(A) if task.id != leaving.id}
    spec = rig.spec(A)
    if where == "there":
        with pytest.raises(TaskElsewhere):
            rig.engine.resize(A, -1, "x:shrink", leaving.id)
        assert by_slot(rig.engine.snapshot(), A)[leaving.slot] == leaving.id
        rig.crash(leaving)
        until(rig.engine, lambda s: s.task(leaving.id) is None)
    begun = time.monotonic()
    assert rig.engine.resize(A, -1, "x:shrink", leaving.id) == replicas - 1
    print(f"slot {leaving.slot} was given up in {time.monotonic() - begun:.2f} s")
    assert by_slot(until(rig.engine, all_run), A) == rest
    after = rig.spec(A)
    assert after["Labels"].keys() - (spec["Labels"] or {}).keys() == {RESIZED}
    assert after["TaskTemplate"].get("Placement") == spec["TaskTemplate"].get("Placement")


def test_a_worker_says_what_to_type(two_nodes: Nodes):
    """Its engine cannot tell what runs, and the rack manager does not start there."""
    worker = two_nodes.nodes[1].engine
    engine = DockerEngine(
        rack="BOT 1", services=(A,), daemon=HttpDaemon(worker.host), clock=SystemClock(), metrics=Metrics()
    )
    with pytest.raises(EngineDown, match="docker node promote"):
        engine.start()
    with pytest.raises(EngineDown, match="docker node promote"):
        engine.snapshot()
    engine.close()


def test_the_rack_manager_leaves_the_tasks_to_swarm(rig: DockerRig, tmp_path: Path, memcached: Memcached):
    """``python -m rack`` tells what runs on Swarm, and ends at SIGTERM without ending any of it."""
    before = until(rig.engine, all_run)
    port = free_port()
    settings = {
        "CLAWBUCKET_ENGINE": "docker",
        "DOCKER_HOST": rig.swarm.manager.host,
        "SWARM_SERVICES": f"{A},{B}",
        "CLAWBUCKET_RACK_TOKEN": "token-of-a-test",
        "CLAWBUCKET_BIND": f"127.0.0.1:{port}",
        "MEMCACHED_PORT": str(memcached.port),
    }
    with (tmp_path / "log").open("wb") as log:
        rack = subprocess.Popen(
            [sys.executable, "-m", "rack"], env=environment(settings), stderr=log, cwd=ROOT
        )
    try:
        wait_for_port(port, 30.0)
        client = RackClient(f"http://127.0.0.1:{port}", "token-of-a-test")
        told = client.snapshot(wait=2.0)
        client.close()
        assert {task.id for task in told.tasks} == {task.id for task in before.tasks}
        rack.terminate()
        assert rack.wait(20.0) == 0, (tmp_path / "log").read_text()
    finally:
        rack.kill()
        rack.wait()
    after = until(rig.engine, all_run)
    assert {task.id for task in after.tasks} == {task.id for task in before.tasks}


def test_a_manager_that_was_away_is_followed_again(rig: DockerRig, monkeypatch: pytest.MonkeyPatch):
    """While it is, that is said; afterwards news come at once again, and the same tasks are told of."""
    before = until(rig.engine, all_run)
    monkeypatch.setattr(docker_daemon, "ANSWER", 2.0)
    manager = rig.swarm.nodes[0]
    rig.swarm.outer.docker("pause", manager.container)
    try:
        with pytest.raises(EngineDown):
            rig.engine.history(A)
    finally:
        rig.swarm.outer.docker("unpause", manager.container)
    deadline = time.monotonic() + 20.0
    while rig.engine.wait_change(0, 0.5) >= 0 and time.monotonic() < deadline:
        try:
            rig.engine.reach()
            break
        except EngineDown:
            continue
    after = until(rig.engine, all_run, timeout=60.0)
    assert {task.slot for task in after.tasks} == {task.slot for task in before.tasks}
    rig.engine.scale(B, 3)
    until(rig.engine, lambda s: all_run(s) and len(s.tasks_of(B)) == 3)


def test_a_lost_node_is_told_truthfully(rig: DockerRig):
    """Its tasks neither run nor have ended; their slots are filled elsewhere, and the others go on."""
    before = until(rig.engine, all_run)
    lost = rig.swarm.nodes[1]
    lost_id = lost.id
    there = {task.id for task in before.tasks if task.node_id == lost_id}
    here = {task.id for task in before.tasks} - there
    rig.swarm.lose(lost)
    try:
        after = until(
            rig.engine,
            lambda s: len([t for t in s.tasks if t.running and t.node_id != lost_id]) == 4,
            timeout=60.0,
        )
        assert next(node for node in after.nodes if node.id == lost_id).state == "down"
        left = {task.id: task for task in after.tasks if task.node_id == lost_id}
        assert left.keys() == there
        assert {task.state for task in left.values()} == {TaskState.RUNNING}
        assert not any(task.running or task.live for task in left.values())
        assert not there & after.ended.keys()
        assert here <= {task.id for task in after.tasks if task.running}
        assert len(after.tasks_of(A)) == len(after.tasks_of(B)) == 2
    finally:
        rig.swarm.bring_back(lost)
    back = until(rig.engine, lambda s: all_run(s) and {n.state for n in s.nodes} == {"ready"}, timeout=60.0)
    assert there <= back.ended.keys()

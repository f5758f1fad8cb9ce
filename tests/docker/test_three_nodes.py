"""The stack on a swarm of three nodes, a manager and two workers: who manages, what moves, what stays."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest

from bench.rack import wait_until
from clawbucket.core.callsign import name_of
from tests.docker import host
from tests.docker.conftest import Images
from tests.docker.deployed import CONVERGED, MENDED, Seat
from tests.docker.host import Engine
from tests.docker.nodes import Node, Nodes, nodes
from tests.docker.reign import Load, loaded, watched
from tests.docker.spread import Sight, Spread

pytestmark = pytest.mark.slow

NOTICED = 30.0
"""Seconds within which Swarm says that a node is down: some three heartbeats of 1 s, on two busy cores."""
SUSPECT = 9.0
"""Seconds after which nobody shows a lost trooper as alive: it is suspect after 6 s without a heartbeat."""
WITHOUT = 6.0
"""Seconds for which a service may have no confirmed manager while a node is lost."""
WITHOUT_BUS = 90.0
"""The same where memcached is lost with the node: nobody can confirm anything until Swarm has another.

A node that is new to a network first asks its members for what they know, 10 s in vain where one is lost.
"""


@pytest.fixture(scope="module", autouse=True)
def three_nodes(engine_host: Engine, images: Images) -> Iterator[Nodes]:
    """A manager and two workers that have the images."""
    began = time.monotonic()
    engine_host.clean([f"{engine_host.prefix}-rack"])  # of the tests before; nobody needs it any more
    with nodes(engine_host, images.dind, 3) as swarm:
        joined = time.monotonic()
        swarm.load(images.clawbucket, images.memcached, images.ollama)
        loaded = time.monotonic() - joined
        host.tell(f"three nodes joined after {joined - began:.0f} s, images on all {loaded:.0f} s later")
        yield swarm


@pytest.fixture(scope="module")
def stack(three_nodes: Nodes, images: Images) -> Spread:
    """The stack on all three; it goes when they go. Each test leaves it whole again."""
    variables = images.for_stack() | {"DOCKER_SOCKET": "/var/run/docker.sock", "CLAWBUCKET_REPLICAS": "3"}
    spread = Spread(three_nodes, variables)
    spread.deploy()
    host.tell(f"the stack runs on three nodes after {spread.seconds:.1f} s")
    return spread


def busiest(stack: Spread) -> tuple[Node, Node]:
    """The worker on which most troopers are, and the other one."""
    first, second = sorted(stack.nodes.nodes[1:], key=lambda node: len(stack.on(node)), reverse=True)
    return first, second


def put_bus_on(stack: Spread, node: Node) -> None:
    """Have memcached run on that node; afterwards it may run anywhere again."""

    def there() -> bool:
        return [stack.node_of(s.node_id) for s in stack.running(stack.full("memcached"))] == [node]

    if not there():
        stack.place("memcached", f"--constraint-add=node.hostname=={node.name}")
        wait_until(f"memcached is on {node.name}", there, MENDED, 0.2)
        stack.place("memcached", f"--constraint-rm=node.hostname=={node.name}")  # nobody moves for that
    stack.wait_whole()


def ended(stack: Spread, seat: Seat) -> bool:
    """Whether Swarm says that the task runs no longer."""
    return seat.id not in stack.ids()


def scores(stack: Spread) -> dict[str, tuple[int, int]]:
    """Round and score by task id."""
    return {r["id"]: (r["round"], r["score"]) for r in stack.replicas()}


@contextmanager
def quick_rounds(stack: Spread) -> Iterator[None]:
    """For the length of a block a round every 2 s, and at its begin everybody has played some."""
    stack.post("/api/rps/config", {"interval_seconds": 2})
    first = max(round_ for round_, _ in scores(stack).values())
    try:
        wait_until(
            "everybody played", lambda: min(r for r, _ in scores(stack).values()) >= first + 2, MENDED, 0.2
        )
        yield
    finally:
        stack.post("/api/rps/config", {"interval_seconds": 10})


HEALED = 12.0
"""Seconds within which a memcached that began empty holds everything again (docs/architecture.md)."""
BEHIND = 2
"""Rounds of 2 s that fit into a beat's 2 s and the quarter second by which a board may be old."""


def kept(stack: Spread, before: dict[str, tuple[int, int]], stayed: set[str]) -> None:
    """Those that stayed went on from where they were: a point at most for each round, none lost.

    A score is shown as soon as it is scored, its round with the next beat: ``BEHIND`` rounds later at most.
    Where memcached was lost too, a replica that just started knows a trooper only from its next beat on.
    """
    wrong: dict[str, object] = {}

    def as_before() -> bool:
        after = scores(stack)
        wrong.clear()
        for who in stayed:
            (old_round, old), (new_round, new) = before[who], after[who]
            if not (new_round >= old_round and abs(new - old) <= new_round - old_round + BEHIND):
                wrong[name_of(who)] = (before[who], after[who])
        return not wrong

    try:
        wait_until("those that stayed go on from where they were", as_before, HEALED, 0.2)
    finally:
        if wrong:
            print(f"went back, or too far: {wrong}")


def chat_and_arm(stack: Spread, who: str, text: str) -> None:
    """Both are taken now, and told by the other port too."""
    assert stack.post("/api/chat", {"text": text}).status_code == 201
    assert stack.post("/api/arm", {"task_id": who, "state": "on"}).status_code == 201
    wait_until("the line is told", lambda: text in said(stack), MENDED)

    def armed() -> bool:
        return [r["arm"] for r in stack.replicas() if r["id"] == who] == ["on"]

    wait_until("the tile says so", armed, MENDED)

    def row() -> dict[str, Any] | None:
        board = stack.send("GET", "/api/scoreboard", base=stack.aggregator_url)
        rows: list[dict[str, Any]] = board.get_json()["scoreboard"] if board.status_code == 200 else []
        return next((r for r in rows if r["task_id"] == who and r["current_on_state"] == 1), None)

    wait_until("the scoreboard has it", row, MENDED, 0.2)


def said(stack: Spread) -> list[str]:
    """The chat's lines."""
    answer = stack.get("/api/chat")
    return [m["text"] for m in answer.get_json()["messages"]] if answer.status_code == 200 else []


def judged(stack: Spread) -> None:
    """What all troopers logged so far holds: one leader an epoch, reigns apart, each round scored once."""
    history = stack.history()
    assert history.judge() == []
    assert {reign.service for reign in history.reigns} == set(stack.services)
    assert history.scores


# Where things are ---------------------------------------------------------------------------------------


def test_every_node_has_replicas_and_answers_for_the_rack(stack):
    """/api/swarms: Swarm's ids and the nodes' host names, the same at each node's 8080 and 8090."""
    hosts = {node.name for node in stack.nodes.nodes}
    for service in stack.services:
        seats = {s.id: (s.slot, s.node_id, stack.node_of(s.node_id).name) for s in stack.running(service)}
        shown = {r["id"]: (r["slot"], r["node_id"], r["node"]) for r in stack.replicas(service)}
        assert shown == seats
        assert {hostname for _, _, hostname in seats.values()} == hosts
    answered = set()
    for base, board in stack.bases():
        for port in (base, board):
            wait_until("it is ready", partial(stack.answers, port), MENDED)
        told = stack.send("GET", "/api/swarms", base=base).get_json()
        assert {r["id"] for s in told["swarms"] for r in s["replicas"]} == stack.ids()
        assert "Bob's World" in stack.send("GET", "/", base=base).text
        for _ in range(12):
            answered.add(stack.send("GET", "/api/whoami", base=base).get_json()["swarm_node"])
        assert "scoreboard" in stack.send("GET", "/api/scoreboard", base=board).get_json()
    assert answered == hosts
    assert stack.told_nodes() == {
        node.name: ["manager" if node is stack.nodes.nodes[0] else "worker", "active", "ready"]
        for node in stack.nodes.nodes
    }


def test_the_manager_is_on_the_leaders_node_whatever_its_slot(stack):
    """Who is on the leader's node comes before lower slots; where nobody is there, the lowest slot."""
    for service in stack.services:
        assert stack.manager(service)["id"] == stack.preferred(stack.running(service)).id
        assert stack.manager_seat(service).node_id == stack.leader_node
    sight = Sight()
    with watched(stack, sight):
        stack.place("clawbucket-b", "--constraint-add=node.role==worker")

        def managed_from_afar() -> bool:
            seats = stack.running(stack.second)
            away = len(seats) == 3 and all(s.node_id != stack.leader_node for s in seats)
            return away and stack.manager(stack.second)["slot"] == 1

        wait_until("slot 1 manages from a worker", managed_from_afar, MENDED, 0.2)
        stack.place("clawbucket-b", "--constraint-rm=node.role==worker")  # nobody moves for that
        assert stack.post("/api/scale", {"service": stack.second, "replicas": 5}).status_code == 202

        def back() -> Seat | None:
            seat: Seat = stack.manager_seat(stack.second)
            return seat if seat.slot > 3 else None

        wait_until("all five run", lambda: len(stack.running(stack.second)) == 5, MENDED, 0.2)
        heir = wait_until("a new slot manages from the leader's node", back, MENDED, 0.2)
        stack.wait_whole()
    assert heir.node_id == stack.leader_node
    sight.check(longest=WITHOUT)
    judged(stack)
    assert stack.post("/api/scale", {"service": stack.second, "replicas": 3}).status_code == 202
    stack.wait_whole()


# Ends that were ordered ---------------------------------------------------------------------------------


def test_a_self_destruct_reaches_a_trooper_on_a_worker(stack):
    """The rack manager has no hand there: the order goes over the bus; Swarm starts another."""
    asked = next(s for s in stack.running(stack.primary) if s.node_id == stack.leader_node)
    for service in stack.services:
        victim = next(s for s in stack.running(service) if s.node_id != stack.leader_node)
        order = {"service": service, "task_id": victim.id}
        before, at = stack.ids(), time.monotonic()
        assert stack.post_by(asked, "/api/self_destruct", order) == 202
        wait_until("it has ended", partial(ended, stack, victim), MENDED, 0.1)
        gone = time.monotonic() - at
        wait_until("six run", lambda: len(stack.ids()) == 6, MENDED, 0.2)
        filled = time.monotonic() - at
        print(f"self-destruct on a worker: ended after {gone:.1f} s, another runs after {filled:.1f} s")
        assert before - stack.ids() == {victim.id}
        sent = [e["order"] for e in stack.logged("order sent") if e["task_id"] == victim.id]
        assert sent == ["self_destruct"]
    stack.wait_whole()


def test_a_self_destruct_reaches_a_trooper_on_the_managers_node(stack):
    """By the rack manager's own hand, asked at a worker's port; Swarm starts another."""
    victim = next(s for s in stack.running(stack.primary) if s.node_id == stack.leader_node)
    base, _ = next(stack.bases(stack.nodes.nodes[1]))
    sight = Sight()
    with watched(stack, sight):
        order = {"service": "clawbucket", "task_id": victim.id}
        answer = stack.send("POST", "/api/self_destruct", order, base=base)
        assert (answer.status_code, answer.get_json()["removed_task_id"]) == (202, victim.id)
        wait_until("it has ended", partial(ended, stack, victim), MENDED, 0.1)
        stack.wait_whole()
    sight.check(longest=WITHOUT)
    assert victim.id not in {e["task_id"] for e in stack.logged("order sent")}


# Nodes that go ------------------------------------------------------------------------------------------


def lost(stack: Spread, node: Node, longest: float) -> Load:
    """Kill a node, hold what is shown and what is kept until all runs elsewhere, and bring it back.

    Returns what two clients, one that reads and one that writes, were answered meanwhile.
    """
    gone = {seat.id for seat in stack.on(node)}
    before = scores(stack)
    assert gone, f"nothing runs on {node.name}"
    sight = Sight()
    with watched(stack, sight), loaded(stack, clients=2) as load:
        at = stack.lose(node)
        wait_until("Swarm says that it is down", lambda: state_of(stack, node) == "down", NOTICED, 0.1)
        down = time.time() - at
        wait_until("six run elsewhere", lambda: len(stack.ids() - gone) == 6, CONVERGED, 0.2)
        running = time.time() - at
        stack.wait_whole(CONVERGED)
        whole = time.time() - at
    shown = max(filter(None, (sight.last_as(who, alive=False) for who in gone)), default=at) - at
    alive = max(filter(None, (sight.last_as(who, alive=True) for who in gone)), default=at) - at
    bus = stack.since(stack.running(stack.full("memcached"))[0]) - at
    print(
        f"{node.name} killed with {len(gone)} troopers: down after {down:.1f} s, shown until {shown:.1f} s, "
        f"as alive until {alive:.1f} s; six run after {running:.1f} s, full strength after {whole:.1f} s; "
        f"longest without a confirmed manager {sight.unconfirmed}; memcached runs since {bus:.1f} s; {load}"
    )
    assert alive < SUSPECT
    assert not gone & {r["id"] for r in stack.replicas()}
    assert stack.on(node) == []
    stayed = before.keys() - gone
    assert stayed <= stack.ids()
    kept(stack, before, stayed)
    sight.check(longest)
    assert stack.told_nodes()[node.name][1:] == ["active", "down"]
    chat_and_arm(stack, min(stayed), f"without {node.name}")
    returned(stack, node)
    return load


def returned(stack: Spread, node: Node) -> None:
    """Bring a lost node back: it answers for the rack again, nobody is disturbed, and it takes troopers."""
    before, at = stack.ids(), time.monotonic()
    stack.nodes.bring_back(node)
    wait_until("Swarm says that it is ready", lambda: state_of(stack, node) == "ready", MENDED, 0.2)
    ((base, board),) = stack.bases(node)
    wait_until("its ports answer", lambda: stack.answers(base) and stack.answers(board), MENDED, 0.2)
    stack.wait_whole()
    print(f"{node.name} came back: its ports answer after {time.monotonic() - at:.1f} s")
    assert stack.ids() == before
    takes_troopers(stack, node)
    judged(stack)


def takes_troopers(stack: Spread, node: Node) -> None:
    """An empty node is given the next trooper of the primary service, which is three again afterwards."""
    for replicas in (4, 3):
        answer = stack.post("/api/scale", {"service": stack.primary, "replicas": replicas})
        assert answer.status_code == 202, answer.text
        stack.wait_whole()
        assert stack.on(node), f"nothing runs on {node.name} with {replicas} replicas"


def state_of(stack: Spread, node: Node) -> str:
    """What Swarm says of a node: ``ready`` or ``down``."""
    return stack.engine.docker("node", "inspect", "--format", "{{.Status.State}}", node.name)


def test_a_lost_node_with_a_manager(stack):
    """After an outage a worker's trooper manages. Its node is killed: another leads, all is told truly."""
    order = {"service": stack.second, "task_id": stack.manager(stack.second)["id"]}
    answer = stack.post("/api/outage", order)
    assert answer.status_code == 202, answer.text
    slot = answer.get_json()["next_manager_slot"]
    wait_until("the heir manages", lambda: stack.manager(stack.second)["slot"] == slot, MENDED)
    stack.wait_whole()
    heir = stack.manager_seat(stack.second)
    assert heir.node_id != stack.leader_node
    node = stack.node_of(heir.node_id)
    put_bus_on(stack, next(n for n in stack.nodes.nodes[1:] if n is not node))
    with quick_rounds(stack):
        epoch = stack.swarm(stack.second)["manager_epoch"]
        load = lost(stack, node, WITHOUT)
        assert stack.swarm(stack.second)["manager_epoch"] > epoch
    assert {status for method, status in load.answers if method == "GET"} == {200}, load.failures
    in_doubt = {status for method, status in load.answers if method == "POST"} - {201}
    assert in_doubt <= {502, 504}, load.failures  # the one that a lost trooper had in its hands


def test_a_drained_node_gives_its_troopers_away(stack):
    """Through the rack manager's API: they end and others start elsewhere; who stays keeps its score."""
    node, other = busiest(stack)
    put_bus_on(stack, other)
    sight = Sight()
    with quick_rounds(stack), watched(stack, sight):
        gone = {seat.id for seat in stack.on(node)}
        before, at = scores(stack), time.monotonic()
        stack.rack(f"rack.set_availability({node.name!r}, 'drain')")
        assert stack.told_nodes()[node.name] == ["worker", "drain", "ready"]
        wait_until("its troopers are gone", lambda: not gone & stack.ids(), MENDED, 0.2)
        wait_until("six run elsewhere", lambda: len(stack.ids()) == 6, MENDED, 0.2)
        stack.wait_whole()
        whole = time.monotonic() - at
        print(f"{node.name} drained of {len(gone)} troopers: full strength after {whole:.1f} s")
        assert stack.on(node) == []
        stayed = before.keys() - gone
        kept(stack, before, stayed)
        chat_and_arm(stack, min(stayed), "with a node drained")
        stack.rack(f"rack.set_availability({node.name!r}, 'active')")
        assert stack.told_nodes()[node.name] == ["worker", "active", "ready"]
        ((base, _),) = stack.bases(node)
        wait_until("its port answers again", lambda: stack.answers(base), MENDED, 0.2)
        takes_troopers(stack, node)
    sight.check(longest=WITHOUT)
    judged(stack)


def test_a_lost_node_with_the_bus(stack):
    """With memcached gone as well, the troopers put back what they know: no score is lost."""
    node, _ = busiest(stack)
    put_bus_on(stack, node)
    with quick_rounds(stack):
        lost(stack, node, WITHOUT_BUS)

"""The engine on Swarm before a manager in memory: what is asked how often, and what is made of failures."""

from __future__ import annotations

import random
import threading

import pytest

from clawbucket.clock import SystemClock
from clawbucket.core.model import TaskState
from clawbucket.ports import (
    Conflict,
    EngineDown,
    EngineInDoubt,
    NodeUnknown,
    ServiceUnknown,
    TaskElsewhere,
    TaskUnknown,
)
from rack.engines.docker_events import ALL, LONGEST_DELAY, News, delay, news_of
from rack.engines.docker_orders import ATTEMPTS
from rack.engines.docker_pace import ATTENTIVE, MOST, Pace
from tests.fake_docker import BROKEN, FAR, HERE, QUIET, SERVICES, id_of
from tests.unit.docker_desk import A, B, Desk, eventually, followed

DOWN = EngineDown("no Docker engine listens")
desk = pytest.fixture(followed)


def event(kind: str, **attributes: str) -> dict[str, object]:
    """One of Docker's."""
    return {"Type": kind, "Actor": {"Attributes": attributes}}


# Looks ----------------------------------------------------------------------------------------------------


def test_a_look_is_one_call_of_up_to_three_requests(desk: Desk):
    """The first asks for all three lists; whoever asks in the same moment shares it."""
    first = desk.engine.snapshot()
    assert (first.engine, first.seq, len(first.tasks)) == ("docker", 0, 4)
    assert sorted(path for _, path in desk.docker.lists) == ["/nodes", "/services", "/tasks"]
    assert (desk.engine.calls(), desk.engine.requests()) == (1, 3)
    assert desk.engine.snapshot() is first
    assert desk.engine.calls() == 1


def test_waiting_with_no_time_asks_nothing(desk: Desk):
    """Nor does an engine that nobody asks."""
    assert desk.engine.wait_change(0, 0.0) == 0
    assert desk.docker.lists == []


@pytest.mark.slow
def test_a_storm_of_events_and_askers_is_four_requests_a_second(desk: Desk):
    """However many events come and however many threads ask, for snapshots and histories."""
    stop = threading.Event()

    def ask() -> None:
        while not stop.wait(0.005):
            desk.engine.snapshot()
            desk.engine.history(A)

    def storm() -> None:
        while not stop.wait(0.005):
            desk.docker.tell("service", name=A)
            desk.docker.tell("node")

    threads = [threading.Thread(target=target) for target in (ask, ask, ask, storm)]
    for thread in threads:
        thread.start()
    stop.wait(4.0)
    stop.set()
    for thread in threads:
        thread.join(10.0)
    times = [at for at, _ in desk.docker.lists]
    assert len(times) >= 10
    assert max(sum(1 for t in times if start <= t < start + 1.0) for start in times) <= MOST


@pytest.mark.slow
def test_an_event_is_looked_at_at_once(desk: Desk):
    """Whoever waits is told of what it was about, long before the next look at rest."""
    desk.engine.snapshot()
    seen = desk.engine.wait_change(0, 0.0)
    with desk.docker.guard:
        desk.docker.task(id_of(A, 1))["Status"]["State"] = "failed"
    desk.docker.tell("container", **{"com.docker.swarm.service.name": A})
    assert desk.engine.wait_change(seen, 2.0) > seen
    snapshot = desk.engine.snapshot()
    assert snapshot.ended == {id_of(A, 1): TaskState.FAILED}
    labels = {"service": A}
    assert desk.metrics.registry.get_sample_value("clawbucket_rack_restarts_total", labels) == 1.0


@pytest.mark.slow
def test_what_no_event_tells_of_is_found_by_the_poll(desk: Desk):
    """A task on another node that dies is seen within the seconds of the poll at rest."""
    desk.engine.snapshot()
    seen = desk.engine.wait_change(0, 0.0)
    with desk.docker.guard:
        desk.docker.task(id_of(A, 2))["Status"]["State"] = "failed"
    assert desk.engine.wait_change(seen, 4.0) > seen
    assert id_of(A, 2) in desk.engine.snapshot().ended


def test_a_changed_service_alone_is_not_a_look_at_nodes():
    """Events say which lists are stale."""
    assert news_of(event("service", name=A), SERVICES) == News.TASKS | News.SERVICES
    assert news_of({"Type": "node"}, SERVICES) == News.TASKS | News.NODES
    assert news_of(event("container", **{"com.docker.swarm.service.name": A}), SERVICES) == News.TASKS


def test_what_else_the_swarm_runs_is_no_news():
    """Neither another stack's services and tasks nor containers of no task."""
    assert news_of(event("service", name="shop_web"), SERVICES) is None
    assert news_of(event("container", **{"com.docker.swarm.service.name": "shop_web"}), SERVICES) is None
    assert news_of(event("container", name="builder"), SERVICES) is None
    assert news_of({"Type": "service", "Actor": {}}, SERVICES) is None


# The stream -----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_lost_stream_is_followed_again_and_everything_looked_at(desk: Desk):
    """What happened in between was told to nobody."""
    desk.engine.snapshot()
    with desk.docker.guard:
        desk.docker.nodes[1]["Spec"]["Availability"] = "drain"
    desk.docker.streams[-1].events.put(BROKEN)
    assert desk.docker.opened.acquire(timeout=5.0)
    eventually(lambda: desk.engine.snapshot().nodes[1].availability == "drain")
    assert len(desk.docker.streams) == 2
    desk.engine.ping()


def test_a_quiet_stream_is_opened_anew_without_a_pause(desk: Desk):
    """Quiet is no failure: however often, there is no wait before the next."""
    for _ in range(20):
        desk.docker.streams[-1].events.put(QUIET)
        assert desk.docker.opened.acquire(timeout=1.0)


def test_a_quiet_stream_makes_nobody_look_sooner():
    """The new one's look at everything is the next that is due at rest; a lost one's is at once."""
    pace = Pace()
    desk = Desk(pace).start()
    # A stream is read once its opening was told of: with the second one there, the first has stirred.
    desk.docker.streams[-1].events.put(QUIET)
    assert desk.docker.opened.acquire(timeout=5.0)
    desk.engine.snapshot()
    pace.begins()  # and that is over when nothing was heard for a while
    pace.looked(SystemClock().monotonic() + ATTENTIVE, changed=False, settled=True)
    due = pace.due()
    for _ in range(2):  # the opening of the last may still be under way, that of the one before was told of
        desk.docker.streams[-1].events.put(QUIET)
        assert desk.docker.opened.acquire(timeout=5.0)
    assert pace.due() == due
    desk.docker.streams[-1].events.put(BROKEN)
    assert desk.docker.opened.acquire(timeout=5.0)
    eventually(lambda: pace.due() < due)
    desk.engine.close()


def test_the_pause_before_the_next_stream_doubles_and_is_bounded():
    """Half of it is chance; the longest is 5 s."""
    rng = random.Random(4)
    pauses = [delay(failures, rng) for failures in range(1, 200)]
    assert 0.05 <= pauses[0] <= 0.1
    assert 0.2 <= pauses[2] <= 0.4
    assert all(LONGEST_DELAY / 2 <= pause <= LONGEST_DELAY for pause in pauses[7:])
    assert len(set(pauses[7:])) > 100


# Failures -------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_daemon_that_is_away_is_told_in_its_own_words(desk: Desk):
    """Snapshots fail with them and asking again asks Docker nothing for a second; then it is found again."""
    desk.engine.snapshot()
    seen = desk.engine.wait_change(0, 0.0)
    desk.docker.fails["get"] = DOWN
    desk.docker.tell("node")
    eventually(lambda: desk.engine.wait_change(seen, 0.1) > seen)
    asked = desk.engine.calls()
    for _ in range(5):
        with pytest.raises(EngineDown, match="listens"):
            desk.engine.snapshot()
    assert desk.engine.calls() == asked
    with pytest.raises(EngineDown, match="listens"):
        desk.engine.reach()
    desk.engine.ping()  # it is Docker that is away, not this
    desk.docker.fails.clear()
    seen = desk.engine.wait_change(0, 0.0)
    assert desk.engine.wait_change(seen, 3.0) > seen
    assert len(desk.engine.snapshot().tasks) == 4


@pytest.mark.parametrize(
    ("swarm", "type_this"),
    [
        ({"LocalNodeState": "inactive"}, "docker swarm init"),
        ({"LocalNodeState": "locked"}, "docker swarm unlock"),
        ({"LocalNodeState": "active", "ControlAvailable": False, "NodeID": HERE}, "docker node promote"),
    ],
)
def test_it_does_not_start_where_it_could_see_nothing(swarm, type_this):
    """The sentence says what to type."""
    desk = Desk()
    desk.docker.swarm = swarm
    with pytest.raises(EngineDown, match=type_this):
        desk.engine.start()
    desk.engine.close()


def test_a_service_that_is_not_deployed_is_told_beside_the_others(desk: Desk):
    """It has an error; the rest of the snapshot stands."""
    with desk.docker.guard:
        del desk.docker.services[1]
    snapshot = desk.engine.snapshot()
    assert snapshot.service(A).error is None
    assert "./claw swarm up" in snapshot.service(B).error
    with pytest.raises(ServiceUnknown, match="swarm up"):
        desk.engine.scale(B, 1)
    with pytest.raises(ServiceUnknown, match="swarm up"):
        desk.engine.history(B)


# Orders ---------------------------------------------------------------------------------------------------


def test_a_change_keeps_what_it_does_not_know(desk: Desk):
    """The specification goes back as it came but for the count."""
    desk.engine.scale(A, 3)
    spec = desk.docker.services[0]["Spec"]
    assert spec["Mode"] == {"Replicated": {"Replicas": 3}}
    assert spec["TaskTemplate"] == {"ContainerSpec": {"Image": "i"}, "FieldOfTomorrow": [1]}


@pytest.mark.slow
def test_what_was_ordered_is_in_the_next_snapshot(desk: Desk):
    """Also where the last look was a moment ago; a lower count has chosen who goes."""
    desk.engine.snapshot()
    desk.engine.scale(A, 1)
    snapshot = desk.engine.snapshot()
    assert snapshot.service(A).desired == 1
    assert [task.slot for task in snapshot.tasks_of(A)] == [1]


def test_the_same_count_again_changes_nothing(desk: Desk):
    """So an order is safe to repeat."""
    desk.engine.scale(A, 2)
    desk.engine.set_availability(FAR, "active")
    assert desk.docker.posts == []


def test_a_change_that_was_overtaken_is_made_again(desk: Desk):
    """Read anew each time, with the version of that very read."""
    desk.docker.overtaken = 3
    desk.engine.restart(A)
    assert desk.docker.services[0]["Spec"]["TaskTemplate"]["ForceUpdate"] == 1
    assert len(desk.docker.posts) == 4
    assert len({params["version"] for _, params in desk.docker.posts}) == 4


@pytest.mark.slow
def test_a_change_that_is_always_overtaken_is_given_up(desk: Desk):
    """After a bounded number of attempts, and nothing was done."""
    desk.docker.overtaken = 1_000
    with pytest.raises(EngineDown, match="ask again"):
        desk.engine.restart(A)
    assert len(desk.docker.posts) == ATTEMPTS
    assert "ForceUpdate" not in desk.docker.services[0]["Spec"]["TaskTemplate"]


@pytest.mark.slow
def test_an_order_in_doubt_stays_in_doubt_and_is_looked_for(desk: Desk):
    """It is not sent twice; the next look shows what became of it."""
    desk.engine.snapshot()
    desk.docker.fails["post"] = EngineInDoubt("Docker stopped answering after the order left")
    with pytest.raises(EngineInDoubt):
        desk.engine.scale(A, 3)
    assert desk.docker.posts == []
    calls = desk.engine.calls()
    eventually(lambda: desk.engine.snapshot() is not None and desk.engine.calls() > calls)


@pytest.mark.slow
def test_a_node_is_drained_by_id_or_host_name(desk: Desk):
    """The beginning of an id, which Docker would take, is refused."""
    desk.engine.set_availability("node-2", "drain")
    assert next(n for n in desk.engine.snapshot().nodes if n.id == FAR).availability == "drain"
    desk.engine.set_availability(FAR, "active")
    assert next(n for n in desk.engine.snapshot().nodes if n.id == FAR).availability == "active"
    for wrong in ("fa", "", "../services"):
        with pytest.raises(NodeUnknown):
            desk.engine.set_availability(wrong, "drain")
    with pytest.raises(Conflict, match="active or drain"):
        desk.engine.set_availability(FAR, "pause")


def test_a_kill_ends_a_container_of_this_node(desk: Desk):
    """By SIGKILL; on another node it cannot."""
    desk.engine.kill(id_of(A, 1))
    assert desk.docker.posts == [(f"/containers/container-{id_of(A, 1)}/kill", {"signal": "SIGKILL"})]
    with pytest.raises(TaskElsewhere):
        desk.engine.kill(id_of(A, 2))
    with pytest.raises(TaskUnknown, match="failed"):
        desk.engine.kill(id_of(A, 1))


def test_a_kill_touches_no_other_service(desk: Desk):
    """The bus is in the same swarm, and no trooper; nor is anything ended by half an id or a path."""
    with desk.docker.guard:
        desk.docker.services[1]["Spec"]["Name"] = "clawbucket_memcached"
    for wrong in (id_of(B, 1), id_of(A, 1)[:20], "../services/service0", ""):
        with pytest.raises(TaskUnknown):
            desk.engine.kill(wrong)
    assert desk.docker.posts == []


def test_a_task_without_a_container_cannot_be_killed(desk: Desk):
    """There is nothing to kill yet."""
    with desk.docker.guard:
        desk.docker.task(id_of(A, 1))["Status"] = {"State": "preparing"}
    with pytest.raises(TaskUnknown, match="no process yet"):
        desk.engine.kill(id_of(A, 1))


def test_closing_lets_everybody_go(desk: Desk):
    """Who waits returns, who asks is told, Docker's connections are closed."""
    desk.engine.snapshot()
    told: list[int] = []
    waiter = threading.Thread(target=lambda: told.append(desk.engine.wait_change(99, 30.0)))
    waiter.start()
    desk.engine.close()
    waiter.join(5.0)
    assert told
    assert desk.docker.closed
    for ask in (desk.engine.snapshot, desk.engine.ping, lambda: desk.engine.history(A)):
        with pytest.raises(EngineDown, match="closed"):
            ask()


def test_news_of_a_new_stream_is_everything():
    """Tasks, services and nodes."""
    assert ALL == News.TASKS | News.SERVICES | News.NODES

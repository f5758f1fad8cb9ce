"""The deployed stack, and one container after another killed: the rest goes on, the dead one returns."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pytest

from bench.rack import wait_until
from tests.docker.deployed import MENDED, Deployed
from tests.docker.reign import watched

pytestmark = pytest.mark.slow

Truth = dict[str, tuple[int, int, bool, bool, str]]
QUIET = 3.0
"""Seconds without a new round that show that the long interval holds."""
HEALED = 12.0
"""Seconds from memcached's return until all is as before, as in tests/cluster."""
FAILOVER = 5.0
"""Seconds after which another leads: a dead one's lease stands 1.5 s, and two busy cores need the rest."""


def truth(stack: Deployed) -> Truth:
    """What must survive: score, round, manager, confirmed, ARM state of each replica."""
    return {
        r["id"]: (r["score"], r["round"], r["is_manager"], r["manager_confirmed"], r["arm"])
        for r in stack.replicas()
    }


@contextmanager
def no_new_round(stack: Deployed) -> Iterator[None]:
    """For the length of a block nobody scores: a round lasts two minutes, and all have scored this one.

    The manager takes up the interval with its next reading of the bus, so no round may come for a while.
    """
    stack.post("/api/rps/config", {"interval_seconds": 120})
    seen: dict[str, float] = {}

    def quiet() -> bool:
        rounds = str(sorted({r["round"] for r in stack.replicas()}))
        since = seen.setdefault(rounds, time.monotonic())
        return "," not in rounds and time.monotonic() - since > QUIET

    wait_until("everybody is in one round", quiet, 30.0, 0.1)
    try:
        yield
    finally:
        stack.post("/api/rps/config", {"interval_seconds": 10})


def replaced(stack: Deployed, service: str, former: str) -> str:
    """Wait until the stack file's service has another container that runs; its id."""

    def another() -> str | None:
        container = stack.container(service)
        return None if container == former else container

    return wait_until(f"{service} is back", another, MENDED, 0.2)


def test_a_killed_replica_is_replaced(stack):
    """Its slot gets another task at a score of 0; the others are the same as before; requests go on."""
    with no_new_round(stack):
        before = truth(stack)
        victim = stack.replicas(stack.primary)[-1]
        at = stack.kill(victim["id"])
        statuses = set()

        def filled() -> bool:
            statuses.add(stack.get("/api/whoami").status_code)
            mine = [
                r
                for r in stack.replicas(stack.primary)
                if r["slot"] == victim["slot"] and r["id"] != victim["id"]
            ]
            return bool(mine) and mine[0]["state"] == "running"

        wait_until("another task runs in its slot", filled, MENDED)
        print(f"replica killed -> its slot runs again: {time.time() - at:.1f} s")
        stack.wait_whole()
        after = truth(stack)
    assert statuses == {200}
    (heir,) = after.keys() - before.keys()
    assert {who: after[who] for who in before if who != victim["id"]} == {
        who: told for who, told in before.items() if who != victim["id"]
    }
    assert abs(after[heir][0]) <= 1, "it has scored the running round at most"


def test_a_killed_manager_is_followed_by_another(stack):
    """The lease moves at once, in a higher epoch; never two managers; then slot 1 manages again."""
    old = stack.manager(stack.primary)
    epoch = stack.swarm(stack.primary)["manager_epoch"]
    with watched(stack) as reign:
        at = stack.kill(old["id"])
        when = wait_until("another leads", lambda: stack.led_after(stack.primary, at), MENDED, 0.2)
        seconds = when - at
        assert stack.swarm(stack.primary)["manager_epoch"] > epoch
        stack.wait_whole()
    print(
        f"manager killed -> the next confirmed: {seconds:.2f} s; nobody was shown for {reign.longest_without}"
    )
    assert seconds < FAILOVER
    reign.check(longest=FAILOVER)
    assert old["id"] not in {r["id"] for r in stack.replicas()}
    # Whoever stood in hands over in this moment perhaps, and then nobody is confirmed.
    wait_until(
        "the first slot manages again",
        lambda: stack.manager(stack.primary)["slot"] == old["slot"],
        MENDED,
        0.2,
    )


def test_a_killed_rack_manager_touches_nobody(stack):
    """While it is away pages and chat go on; the next finds the same tasks, and orders are taken again."""
    before, old = stack.ids(), stack.container("rack")
    with watched(stack) as reign:
        stack.engine.docker("kill", old)
        said = [stack.post("/api/chat", {"text": f"still here {n}"}).status_code for n in range(10)]
        seen = [stack.get("/api/swarms").status_code for _ in range(10)]
        replaced(stack, "rack", old)
        stack.wait_whole()
    assert (set(said), set(seen)) == ({201}, {200})
    assert stack.ids() == before
    reign.check(longest=0.0)
    scaled = stack.post("/api/scale", {"service": stack.second, "replicas": 3})
    assert scaled.status_code == 202, scaled.text


def test_a_killed_gateway_returns_on_its_ports(stack):
    """The replicas are the same as before, and both addresses are the same."""
    before, old = truth(stack).keys(), stack.container("gateway")
    stack.engine.docker("kill", old)
    at = time.monotonic()
    replaced(stack, "gateway", old)
    for base in (stack.url, stack.aggregator_url):
        wait_until("it answers", partial(stack.answers, base), MENDED, 0.1)
    print(f"gateway killed -> both ports answer: {time.monotonic() - at:.1f} s")
    stack.wait_whole()
    assert truth(stack).keys() == before


def test_a_killed_scoreboard_returns_behind_its_port(stack):
    """The gateway's second port says that it is away and leads to the next one as soon as that runs."""
    stack.post("/api/arm", {"task_id": stack.replicas()[0]["id"], "state": "on"})
    before = stack.send("GET", "/api/scoreboard", base=stack.aggregator_url).get_json()
    old = stack.container("clawbucket-aggregator")
    stack.engine.docker("kill", old)
    away = stack.send("GET", "/api/scoreboard", base=stack.aggregator_url)
    assert away.status_code in {200, 502, 503}, away.text
    replaced(stack, "clawbucket-aggregator", old)

    def same() -> bool:
        answer = stack.send("GET", "/api/scoreboard", base=stack.aggregator_url)
        return answer.status_code == 200 and bool(answer.get_json() == before)

    wait_until("it tells the same as before", same, MENDED, 0.2)


def test_a_killed_memcached_loses_nothing(stack):
    """The next one begins empty, at another address: scores, epochs, ARM state and chat are healed.

    Swarm takes some seconds to start it. Meanwhile the leases run out, so that others may lead afterwards,
    and a new leader throws at once: a score may differ by the rounds since, and by no more.
    """
    armed = stack.replicas(stack.second)[0]["id"]
    with no_new_round(stack):
        assert stack.post("/api/arm", {"task_id": armed, "state": "on"}).status_code == 201
        assert stack.post("/api/chat", {"text": "remember me"}).status_code == 201
        wait_until("its tile says so", lambda: truth(stack)[armed][4] == "on")
        before, old = truth(stack), stack.container("memcached")
        epochs = [swarm["manager_epoch"] for swarm in stack.swarms()]
        stack.engine.docker("kill", old)
        wait_until("that the bus is away is told", lambda: away(stack), MENDED)
        assert stack.get("/").status_code == 200
        replaced(stack, "memcached", old)
        at = time.monotonic()
        seen: list[dict[str, object]] = []

        def healed() -> bool:
            seen.append(unhealed(before, truth(stack)))
            return not seen[-1]

        try:
            wait_until("everything is as before", healed, HEALED, 0.1)
        finally:
            print(f"{len(seen)} looks, the last of which missed {seen[-1:]}")
        print(f"memcached is back -> everything healed: {time.monotonic() - at:.1f} s")
        # Whoever took the line puts it back with its next beat; the others may not have seen it.
        wait_until("the chat has its last line again", lambda: "remember me" in chat(stack), HEALED, 0.1)
    for swarm, epoch in zip(stack.swarms(), epochs, strict=True):
        assert swarm["manager_epoch"] >= epoch
    stack.wait_whole()


def chat(stack: Deployed) -> list[str]:
    """What was said, as one replica shows it."""
    return [message["text"] for message in stack.get("/api/chat").get_json()["messages"]]


def unhealed(before: Truth, now: Truth) -> dict[str, object]:
    """What is not as it was: troopers, their scores and ARM states, and a confirmed manager a service."""
    managers = sum(told[2] and told[3] for told in now.values())
    wrong: dict[str, object] = {} if managers == 2 else {"managers": managers}
    for who in before.keys() | now.keys():
        was, is_now = before.get(who), now.get(who)
        if (
            was is None
            or is_now is None
            or was[4] != is_now[4]
            or abs(is_now[0] - was[0]) > is_now[1] - was[1]
        ):
            wrong[who] = (was, is_now)
    return wrong


def away(stack: Deployed) -> bool:
    """Whether the rack says that what it shows is what was last known."""
    answer = stack.get("/api/swarms")
    return answer.status_code == 200 and "stale_seconds" in answer.get_json()

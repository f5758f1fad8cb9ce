"""docker-stack.yml on a real engine: the contract through its published ports, and who reaches what."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import pytest
import urllib3

from app import answers
from bench.rack import wait_until
from clawbucket.core.callsign import color_of, name_of
from clawbucket.core.model import TaskState
from tests.contract.api_form import refused, told
from tests.docker.deployed import CONVERGED, MENDED, Deployed

pytestmark = pytest.mark.slow

REPLICA = {"id", "slot", "state", "node_id", "name", "color", "is_manager", "score", "three_words"}
SWARM = {"service", "desired_replicas", "running_count", "replicas"}
ROW = {
    "bot", "task_id", "on", "off", "toggles", "score", "current_on_state", "last_state", "last_event_at",
}  # fmt: skip
"""The contract's own names, written out on purpose as in tests/contract."""


# What runs ----------------------------------------------------------------------------------------------


def test_it_converges(stack):
    """``docker stack deploy`` alone, and within its deadline all answers say that everything runs."""
    print(f"converged after {stack.seconds:.1f} s")
    assert stack.seconds < CONVERGED
    assert stack.short() == {}


def test_the_dashboard_is_served(stack):
    """GET /: the page, whole and under its own policy."""
    page = stack.get("/")
    assert (page.status_code, page.mimetype) == (200, "text/html")
    assert "Bob's World" in page.text
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    for replica in stack.replicas():
        assert replica["name"] in page.text


def test_the_stream_opens_with_the_whole_picture(stack):
    """GET /api/stream: an event with all six troopers comes at once, through the gateway."""
    http = urllib3.PoolManager(retries=False)
    answer = http.request("GET", f"{stack.url}/api/stream", preload_content=False, timeout=10.0)
    try:
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        heard = b""
        while heard.count(b"\n\n") < 2:
            part = answer.read1()
            assert part, heard
            heard += part
    finally:
        answer.close()
        http.clear()
    assert all(replica["id"].encode() in heard for replica in stack.replicas())


def test_whoami_is_one_of_swarms_own_tasks(stack):
    """GET /api/whoami: every setting that Swarm fills in is the task's own; all six come to answer."""
    seats = {seat.id: (s, seat) for s in stack.services for seat in stack.seats(s) if seat.running}
    node = stack.engine.docker("info", "--format", "{{.Name}}")
    seen = set()
    for _ in range(60):
        said = told(stack.get("/api/whoami"), 200, answers.Whoami)
        service, seat = seats[said["task_id"]]
        assert (said["service"], said["task_slot"], said["swarm_node"]) == (service, seat.slot, node)
        assert said["task_name"] == f"{service}.{seat.slot}.{seat.id}"
        assert (said["color"], said["name"]) == (color_of(seat.id), name_of(seat.id))
        assert seat.container.startswith(said["hostname"])
        seen.add(seat.id)
    assert seen == seats.keys()


def test_swarms_are_what_swarm_tells(stack):
    """GET /api/swarm and /api/swarms: Swarm's own ids, slots, nodes and states; a manager each."""
    node = stack.engine.docker("info", "--format", "{{.Name}} {{.Swarm.NodeID}}").split()
    said = told(stack.get("/api/swarms"), 200, answers.Services)
    assert said["primary"] == stack.primary
    assert [s["service"] for s in said["swarms"]] == list(stack.services)
    for swarm in said["swarms"]:
        seats = [seat for seat in stack.seats(swarm["service"]) if seat.running]
        assert swarm.keys() >= SWARM
        assert (swarm["desired_replicas"], swarm["running_count"]) == (3, 3)
        shown = [(r["id"], r["slot"], r["node_id"], r["state"]) for r in swarm["replicas"]]
        assert shown == [(seat.id, seat.slot, seat.node_id, seat.state) for seat in seats]
        for replica in swarm["replicas"]:
            assert replica.keys() >= REPLICA
            assert [replica["node"], replica["node_id"]] == node
            assert replica["name"] == name_of(replica["id"])
        assert sum(r["is_manager"] for r in swarm["replicas"]) == 1
    primary = told(stack.get("/api/swarm"), 200, answers.PrimaryService)
    assert [r["id"] for r in primary["replicas"]] == [r["id"] for r in said["swarms"][0]["replicas"]]


# What can be asked of it --------------------------------------------------------------------------------


def test_changes_need_the_operators_token(stack):
    """POST: 401 without it and with a wrong one; reading is open. Logging in takes it too."""
    before = stack.get("/api/chat").get_json()
    said = {"text": "let me in"}
    refused(stack.post("/api/chat", said, token=False), 401, "token_needed")
    wrong = stack.send("POST", "/api/chat", said, token=False, Authorization="Bearer no")
    assert wrong.status_code == 401
    assert stack.get("/api/chat").get_json() == before
    assert stack.post("/api/session", {"token": "no"}, token=False).status_code == 401
    entered = stack.post("/api/session", {"token": stack.secrets["token"]}, token=False)
    assert (entered.status_code, "HttpOnly" in entered.headers["Set-Cookie"]) == (200, True)
    cookie = entered.headers["Set-Cookie"].partition(";")[0]
    assert stack.send("POST", "/api/chat", said, token=False, Cookie=cookie).status_code == 201


def test_chat(stack):
    """POST and GET /api/chat: whoever is asked next has the message; 280 characters, none are refused."""
    message = told(stack.post("/api/chat", {"text": "ä" * 300}), 201, answers.Said)["message"]
    assert message["text"] == "ä" * 280
    for _ in range(12):
        assert told(stack.get("/api/chat"), 200, answers.Chat)["messages"][-1] == message
    refused(stack.post("/api/chat", {"text": " "}), 400, "bad_payload")


def test_arm_and_the_scoreboard_on_the_second_port(stack):
    """POST /api/arm, then GET /api/arm/events, the tile, and the aggregator's own port tell the same."""
    who = stack.replicas(stack.second)[1]
    for state in ("on", "off", "on"):
        event = told(stack.post("/api/arm", {"task_id": who["id"], "state": state}), 201, answers.Armed)[
            "event"
        ]
    assert told(stack.get("/api/arm/events"), 200, answers.ArmEvents)["events"][-1] == event
    wait_until("its tile says so", lambda: stack.replicas(stack.second)[1]["arm"] == "on")

    def row() -> dict[str, Any] | None:
        board = stack.send("GET", "/api/scoreboard", base=stack.aggregator_url).get_json()
        assert board.keys() == {"events", "scoreboard", "scoring", "state_rule", "source"}
        rows: list[dict[str, Any]] = board["scoreboard"]
        return next((row for row in rows if row["task_id"] == who["id"] and row["toggles"] == 3), None)

    found = wait_until("the scoreboard has all three", row)
    assert found == {
        "bot": who["name"], "task_id": who["id"], "on": 2, "off": 1, "toggles": 3, "score": 1,
        "current_on_state": 1, "last_state": "on", "last_event_at": event["at"],
    }  # fmt: skip
    assert found.keys() == ROW
    healthy = stack.send("GET", "/healthz", base=stack.aggregator_url)
    assert (healthy.status_code, healthy.get_json()) == (200, {"ok": True})
    assert stack.send("GET", "/", base=stack.aggregator_url).mimetype == "text/html"
    refused(stack.post("/api/arm", {"task_id": who["id"], "state": "maybe"}), 400, "bad_payload")


def test_rock_paper_scissors(stack):
    """GET /api/rps, POST /api/rps/config: a round every 2 s, thrown by the primary's manager, is scored."""
    try:
        set_to = told(stack.post("/api/rps/config", {"interval_seconds": 1}), 200, answers.Interval)
        assert set_to == {"ok": True, "interval_seconds": 2}
        first = told(stack.get("/api/rps"), 200, answers.Rps)["state"]["round"]

        def scored() -> bool:
            replicas = stack.replicas()
            thrown = [r["id"] for r in replicas if r["move"] is None]
            return len(thrown) <= 1 and all(r["round"] >= first + 2 for r in replicas)

        wait_until("everybody scored two more rounds", scored, every=0.2)
        throw = told(stack.get("/api/rps"), 200, answers.Rps)
        assert throw["interval_seconds"] == 2
        manager = stack.manager(stack.primary)
        assert (throw["state"]["from"], throw["state"]["publisher"]) == (manager["name"], "leader-manager")
        refused(stack.post("/api/rps/config", {"interval_seconds": "2"}), 400, "bad_payload")
    finally:
        stack.post("/api/rps/config", {"interval_seconds": 10})


def test_haiku_and_three_words(stack):
    """GET /api/haiku: there is always one; all three words come from the stack's own Ollama by and by."""
    said = told(stack.get("/api/haiku"), 200, answers.Haiku)
    assert said["interval_seconds"] == 120
    assert said["haiku"]["source"] in {"picoclaw", "fallback"}

    def thought() -> bool:
        return {r["words_source"] for r in stack.replicas()} == {"picoclaw"}

    wait_until("everybody thought", thought, 60.0, 0.5)
    assert all(0 < len(r["three_words"]) <= 50 for r in stack.replicas())


def test_a_trooper_can_be_talked_to(stack):
    """POST /api/agent/ask and GET /api/agent/history: answered by that very trooper, who remembers."""
    who = stack.replicas(stack.second)[2]
    before = told(stack.get(f"/api/agent/history?task_id={who['id']}"), 200, answers.AgentHistory)
    assert before["messages"] == []
    asked = {"task_id": who["id"], "text": "Status report?"}
    said = told(stack.post("/api/agent/ask", asked), 200, answers.AgentAnswer)
    assert (said["task_id"], said["name"], said["backend"]) == (who["id"], who["name"], "embedded")
    lines = told(stack.get(f"/api/agent/history?task_id={who['id']}"), 200, answers.AgentHistory)["messages"]
    assert [line["role"] for line in lines] == ["user", "assistant"]
    assert lines[0]["text"] == "Status report?"
    assert lines[1]["text"].startswith("You said")
    assert said["reply"].startswith("You said")
    refused(stack.post("/api/agent/ask", {**asked, "task_id": "nobody"}), 404, "task_unknown")


def test_every_other_page_for_machines_answers(stack):
    """/livez, /readyz, /metrics and /openapi.json, through the gateway's port and the aggregator's."""
    assert stack.get("/openapi.json").get_json()["openapi"].startswith("3.")
    for base in (stack.url, stack.aggregator_url):
        for path in ("/livez", "/readyz", "/metrics"):
            assert stack.send("GET", path, base=base).status_code == 200, (base, path)


# What changes what runs ---------------------------------------------------------------------------------


def test_scaling_up_and_down_keeps_the_lower_slots(stack):
    """POST /api/scale: 3 -> 5 -> 2 -> 3; states are Swarm's own words, and the lower slots are untouched."""
    before = [r["id"] for r in stack.replicas(stack.second)]
    said = told(stack.post("/api/scale", {"service": "clawbucket-b", "replicas": 5}), 202, answers.Scaling)
    assert said == {"ok": True, "service": stack.second, "desired_replicas": 5, "status": "scaling"}
    states: set[str] = set()

    def five() -> bool:
        swarm = stack.swarm(stack.second)
        states.update(r["state"] for r in swarm["replicas"])
        return bool(swarm["running_count"] == swarm["desired_replicas"] == 5)

    started = time.monotonic()
    wait_until("five run", five, MENDED, 0.05)
    print(f"3 -> 5 after {time.monotonic() - started:.1f} s, by way of {sorted(states)}")
    assert states <= {state.value for state in TaskState}
    assert states & {"assigned", "accepted", "preparing", "ready", "starting"}
    assert [r["id"] for r in stack.replicas(stack.second)][:3] == before
    told(stack.post("/api/scale", {"service": stack.second, "replicas": 2}), 202, answers.Scaling)
    wait_until("two run", lambda: [r["id"] for r in stack.replicas(stack.second)] == before[:2], MENDED)
    told(stack.post("/api/scale", {"service": stack.second, "replicas": 3}), 202, answers.Scaling)
    stack.wait_whole()
    refused(stack.post("/api/scale", {"replicas": 21}), 400, "bad_payload")


def gone(stack: Deployed, task_id: str) -> bool:
    """Whether Swarm does not run the task any more."""
    return task_id not in stack.ids()


def test_a_self_destruct_is_answered_whichever_replica_takes_it(stack):
    """POST /api/self_destruct: 202 each of three times; the slot gets another task, the others stay."""
    for turn in range(3):
        before = stack.ids()
        victim = stack.replicas(stack.second)[1 + turn % 2]
        order = {"service": "clawbucket-b", "task_id": victim["id"]}
        said = told(stack.post("/api/self_destruct", order), 202, answers.Destructed)
        assert said == {
            "ok": True, "service": stack.second, "removed_task_id": victim["id"],
            "status": "self-destruct-triggered",
        }  # fmt: skip
        wait_until("it is gone", partial(gone, stack, victim["id"]), MENDED, 0.2)
        refused(stack.post("/api/self_destruct", order), 404, "task_unknown")
        wait_until("six run", lambda: len(stack.ids()) == 6, MENDED, 0.2)
        assert before - stack.ids() == {victim["id"]}
    stack.wait_whole()


def test_an_outage_moves_the_manager_for_five_minutes(stack):
    """POST /api/outage: 202, the next slot manages; 409 for a task that does not manage."""
    old = stack.manager(stack.second)
    epoch = stack.swarm(stack.second)["manager_epoch"]
    other = next(r for r in stack.replicas(stack.second) if r["id"] != old["id"])
    refused(stack.post("/api/outage", {"service": stack.second, "task_id": other["id"]}), 409, "conflict")
    order = {"service": stack.second, "task_id": old["id"]}
    said = told(stack.post("/api/outage", order), 202, answers.Outage)
    assert (said["removed_task_id"], said["next_manager_slot"], said["override_ttl_seconds"]) == (
        old["id"],
        2,
        300,
    )
    wait_until("slot 2 manages", lambda: stack.manager(stack.second)["slot"] == 2, MENDED)
    assert stack.swarm(stack.second)["manager_epoch"] > epoch
    stack.wait_whole()
    assert (stack.manager(stack.second)["slot"], stack.swarm(stack.second)["override_slot"]) == (2, 2)

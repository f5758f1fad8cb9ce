"""Talking to troopers over HTTP: an ask, its answer or why there is none, the history, and the chat."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from app import answers
from clawbucket import asking, codecs, keys
from clawbucket.core.agent import Agent
from clawbucket.core.callsign import name_of
from clawbucket.core.records import Heartbeat
from clawbucket.ports import AgentFailed
from tests.contract.api_form import refused, told
from tests.fakes import FakeAgent
from tests.stage import PRIMARY, Stage, task_id

ME, OTHER = task_id(PRIMARY, 1), task_id(PRIMARY, 2)
NAME = name_of(ME)


@contextmanager
def alive(stage: Stage, seconds_a_step: float = 0.05) -> Iterator[None]:
    """Let the trooper of that replica act and think while the test talks to it."""
    over = threading.Event()
    trooper = stage.services.trooper

    def live() -> None:
        while not over.is_set():
            stage.beat(seconds_a_step)
            trooper.runner.step(stage.clock.monotonic())
            trooper.mind.step()
            over.wait(0.002)

    thread = threading.Thread(target=live)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def talk_to(agent: FakeAgent | None) -> Stage:
    """A replica whose trooper has that agent."""
    return Stage(loops=True, agent=agent)


def ask(stage: Stage, **body: object):
    """POST /api/agent/ask."""
    return stage.client().post("/api/agent/ask", json={"task_id": ME, "text": "ready?", **body})


def test_an_ask_is_answered_with_all_about_the_turn():
    """POST /api/agent/ask: the reply with session, model, backend and duration."""
    stage = talk_to(FakeAgent(talk="Holding the line."))
    with alive(stage):
        said = told(ask(stage), 200, answers.AgentAnswer)
    assert said.pop("at")
    assert said == {
        "ok": True, "task_id": ME, "name": NAME, "reply": "Holding the line.", "session": "agent:main:talk",
        "model": "fake", "backend": "embedded", "outcome": "ok", "duration_seconds": 0.5,
    }  # fmt: skip


def test_the_history_shows_what_was_said_oldest_first():
    """GET /api/agent/history: both sides, without what the agent was told besides."""
    stage = talk_to(FakeAgent(talk="Aye."))
    with alive(stage):
        ask(stage, text="first?")
        ask(stage, text="second?")
        said = told(stage.client().get(f"/api/agent/history?task_id={ME}"), 200, answers.AgentHistory)
    assert [(m["role"], m["text"]) for m in said["messages"]] == [
        ("user", "first?"), ("assistant", "answer to 0"), ("user", "second?"), ("assistant", "answer to 1"),
    ]  # fmt: skip


def test_a_trooper_that_was_never_asked_has_an_empty_history():
    """GET /api/agent/history: nothing was said yet."""
    said = told(Stage().client().get(f"/api/agent/history?task_id={OTHER}"), 200, answers.AgentHistory)
    assert said["messages"] == []


@pytest.mark.parametrize("query", ["", "?task_id=", "?task_id=A%20B", "?task_id=" + "a" * 65])
def test_a_history_of_no_task_id_is_refused(query):
    """GET /api/agent/history: 400 says what a task's id is."""
    assert "/api/swarms" in refused(Stage().client().get(f"/api/agent/history{query}"), 400, "bad_payload")


def test_unknown_tasks_are_404():
    """Nobody can be asked, or looked up, who does not run here."""
    stage = Stage()
    refused(ask(stage, task_id="nobody"), 404, "task_unknown")
    refused(stage.client().get("/api/agent/history?task_id=nobody"), 404, "task_unknown")


@pytest.mark.parametrize(
    "body", [{"text": ""}, {"text": "  "}, {"text": 5}, {"task_id": "A B"}, {"task_id": None}]
)
def test_an_ask_that_says_nothing_or_names_no_task_is_refused(body):
    """POST /api/agent/ask: 400."""
    refused(ask(Stage(), **body), 400, "bad_payload")


@pytest.mark.parametrize(
    ("health", "status", "code"),
    [
        (
            AgentFailed("Ollama is gone", "unreachable", "agent_backend_unreachable"),
            503,
            "agent_backend_unreachable",
        ),
        (
            AgentFailed("no such model", "model_missing", "agent_model_not_found"),
            503,
            "agent_model_not_found",
        ),
        (AgentFailed("too slow", "failing", "agent_turn_timeout"), 504, "agent_turn_timeout"),
        (AgentFailed("too long", "failing", "agent_context_overflow"), 409, "agent_context_overflow"),
    ],
)
def test_an_agent_that_fails_says_why(health, status, code):
    """The trooper's own sentence is the error's."""
    stage = talk_to(FakeAgent(talk=AgentFailed("the model is out of sorts", health, code)))
    with alive(stage):
        assert refused(ask(stage), status, code) == "The model is out of sorts."


def test_a_trooper_without_an_agent_says_that_it_has_none():
    """409 and which setting it is."""
    stage = talk_to(None)
    with alive(stage):
        assert "PICOCLAW_ENABLED" in refused(ask(stage), 409, "agent_off")


def test_an_answer_that_does_not_come_is_in_doubt():
    """504 after 25 s: it may still come."""
    stage = Stage(loops=True, agent=FakeAgent(talk="Aye."))
    with alive(stage, seconds_a_step=1.0):
        refused(ask(stage, task_id=OTHER), 504, "agent_in_doubt")


def test_a_trooper_that_ends_before_it_answers_is_told_of_at_once():
    """409 as soon as the rack manager says that the task is gone, not after 25 s."""
    stage = Stage()
    bell = threading.Timer(0.2, lambda: stage.publish(ended={OTHER: "failed"}))
    bell.start()
    with_time = threading.Timer(0.3, lambda: stage.clock.advance(1))
    with_time.start()
    assert "ended" in refused(ask(stage, task_id=OTHER), 409, "conflict")
    bell.join()
    with_time.join()


def test_no_more_than_a_few_wait_at_one_replica(monkeypatch):
    """503 for one more than that."""
    monkeypatch.setattr(asking, "MOST_ASKING", 0)
    refused(ask(Stage()), 503, "agent_busy")


def test_an_ask_is_cut_to_what_is_told():
    """The first 900 characters are kept, as the document says."""
    agent = FakeAgent(talk="Aye.")
    stage = talk_to(agent)
    with alive(stage):
        ask(stage, text="x" * 2_000)
    (prompt,) = [text for session, text in agent.asked if session.endswith("talk")]
    assert "x" * asking.LONGEST_ASK in prompt
    assert "x" * (asking.LONGEST_ASK + 1) not in prompt


def test_without_the_bus_nobody_can_be_asked():
    """503, and nothing was done."""
    stage = Stage()
    stage.client().get("/api/swarms")
    stage.bus.down = True
    stage.clock.advance(1)
    refused(ask(stage), 503, "bus_down")


def test_a_chat_line_with_a_callsign_is_answered_in_the_chat():
    """POST /api/chat: it is passed on, and the answer is from the trooper."""
    stage = talk_to(FakeAgent(talk="Aye."))
    client = stage.client()
    with alive(stage):
        said = told(client.post("/api/chat", json={"text": f"@{NAME} ready?"}), 201, answers.Said)
        assert said["addressed"] == [NAME]
        over = threading.Event()
        for _ in range(500):
            lines = told(client.get("/api/chat"), 200, answers.Chat)["messages"]
            if len(lines) > 1 or over.wait(0.01):
                break
    assert [(m["from"], m["text"], m["source"]) for m in lines[1:]] == [(NAME, "Aye.", "picoclaw")]


def test_a_chat_line_to_all_reaches_every_running_trooper_in_turn():
    """POST /api/chat: each has it in its inbox, the later ones a little later."""
    stage = Stage()
    said = told(stage.client().post("/api/chat", json={"text": "@all report"}), 201, answers.Said)
    everybody = [t.id for t in stage.tasks]
    assert said["addressed"] == [name_of(task) for task in everybody]
    orders = [
        stage.services.gate.read(codecs.ORDERS, "o", stage.bus.get(keys.ORDERS.of(task)))
        for task in everybody
    ]
    assert [(o[0].kind, o[0].text, o[0].to_chat) for o in orders] == [("ask", "report", True)] * 6
    assert [o[0].wait for o in orders] == [0, 2, 4, 6, 8, 10]


@pytest.mark.parametrize(
    ("text", "why"), [("@nobody hi", "nobody here is called"), (f"@{NAME}", "nothing is said")]
)
def test_a_chat_line_for_nobody_is_in_the_chat_and_says_why_nobody_answers(text, why):
    """POST /api/chat: 201, since it is said; ``note`` is one sentence."""
    said = told(Stage().client().post("/api/chat", json={"text": text}), 201, answers.Said)
    assert said["addressed"] == []
    assert why in said["note"].lower()


def test_an_ordinary_chat_line_is_passed_on_to_nobody():
    """POST /api/chat: nothing is said of addressees."""
    said = told(Stage().client().post("/api/chat", json={"text": "hello @all"}), 201, answers.Said)
    assert said.keys() == {"ok", "message"}


def test_what_keeps_agents_from_thinking_is_in_every_reading_of_the_rack():
    """GET /api/swarms and /api/swarm: the sentence and the command; nothing of it while they think."""
    stage = Stage()
    client = stage.client()
    assert "agent_problem" not in told(client.get("/api/swarms"), 200, answers.Services)
    at = stage.clock.iso()
    ill = Agent("model_missing", "embedded", "smollm2:135m", problem="there is no model smollm2:135m")
    for task in stage.tasks:
        beat = Heartbeat(task.id, task.name, task.service, task.slot, "node-1", 10, at, at, agent=ill)
        stage.put(codecs.HEARTBEAT, beat, task.name)
    stage.beat()
    for path, model in (("/api/swarms", answers.Services), ("/api/swarm", answers.PrimaryService)):
        said = told(client.get(path), 200, model)
        assert said["agent_problem"] == "there is no model smollm2:135m"
        assert said["agent_mend"] == "./claw models pull smollm2:135m"
    assert {r["agent"] for r in said["replicas"]} == {"model_missing"}

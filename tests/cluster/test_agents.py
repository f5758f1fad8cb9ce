"""Troopers with agents on one Ollama: asked, mentioned in the chat, killed in mid turn, left without it."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import urllib3

from bench.election import settled
from bench.rack import RunningRack, rack, wait_until
from clawbucket.core.callsign import name_of
from tests.cluster.conftest import SECOND, SERVICE
from tests.cluster.vigil import spread, vigil
from tests.fake_ollama_process import FakeOllama

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

TROOPERS = 6
A_TURN = 33.0
"""Seconds in which every trooper has thought of its three words once: a period, and a moment."""
PATIENCE = 40.0
"""Seconds for an answer by HTTP: more than the gateway's 30, so that it is the gateway who gives up."""


@pytest.fixture(scope="module")
def ollama() -> Iterator[FakeOllama]:
    """The one that all share."""
    fake = FakeOllama(parallel=4)
    fake.start()
    yield fake
    fake.kill()


@pytest.fixture(autouse=True)
def healthy(ollama: FakeOllama) -> None:
    """Each test finds Ollama there and well."""
    ollama.reset()


@pytest.fixture(scope="module")
def running(ollama: FakeOllama) -> Iterator[RunningRack]:
    """One rack of 3 + 3 that think; each test leaves it whole again."""
    with rack("--replicas", "3", environ={"OLLAMA_URL": ollama.url}) as started:
        started.wait_running(TROOPERS)
        yield started


def say(running: RunningRack, task_id: str, text: str) -> tuple[int, dict[str, Any]]:
    """Ask a trooper through the gateway; the status and the body."""
    wanted = {"task_id": task_id, "text": text}
    url = f"{running.url}/api/agent/ask"
    answer = urllib3.request("POST", url, json=wanted, timeout=PATIENCE, retries=False)
    return answer.status, dict(answer.json())


def history(running: RunningRack, task_id: str) -> list[tuple[str, str]]:
    """What was said with a trooper, as (role, text)."""
    status, body = running.ask("GET", f"/api/agent/history?task_id={task_id}")
    assert status == 200, body
    return [(m["role"], m["text"]) for m in body["messages"]]


def chat(running: RunningRack, text: str) -> dict[str, Any]:
    """Write into the chat, through the gateway."""
    status, body = running.ask("POST", "/api/chat", {"text": text})
    assert status == 201, body
    return dict(body)


def home_of(running: RunningRack, task_id: str) -> Path:
    """Where the task's agent lives."""
    return next(path for path in running.run_dir.rglob(f"agents/{task_id}") if path.is_dir())


def sources(running: RunningRack) -> set[str]:
    """Where the three words of all come from."""
    return {replica["words_source"] for replica in running.replicas()}


def seats(running: RunningRack) -> set[str]:
    """The ids of who runs."""
    return {task.id for task in running.running()}


@contextmanager
def asked_meanwhile(running: RunningRack, task_id: str, text: str) -> Iterator[Future[tuple[int, Any]]]:
    """Somebody asks while the block goes on."""
    with ThreadPoolExecutor(1) as somebody:
        yield somebody.submit(say, running, task_id, text)


# Talking to one -----------------------------------------------------------------------------------------


def test_a_trooper_remembers_what_it_was_asked(running):
    """The second answer tells of the first; the history shows both; another trooper knows nothing of it."""
    one, other = running.running()[:2]
    status, first = say(running, one.id, "My name is Rico.")
    assert (status, first["name"], first["model"], first["backend"]) == (
        200, name_of(one.id), "smollm2:135m", "embedded",
    ), first  # fmt: skip
    assert first["reply"].endswith("after 0 earlier messages.")
    assert first["duration_seconds"] < 5
    _, second = say(running, one.id, "What is my name?")
    assert second["reply"].endswith("after 1 earlier messages.")
    told = history(running, one.id)
    assert [role for role, _ in told] == ["user", "assistant"] * 2
    assert [text for role, text in told if role == "user"] == ["My name is Rico.", "What is my name?"]
    assert history(running, other.id) == []
    assert say(running, other.id, "Who am I?")[1]["reply"].endswith("after 0 earlier messages.")


def test_each_lives_in_a_home_of_its_own(running):
    """Six homes, six characters, six conversations; nobody else may look in."""
    tasks = running.running()
    for task in tasks:
        assert say(running, task.id, f"hello {task.id}")[0] == 200
    homes = {task.id: home_of(running, task.id) for task in tasks}
    for name in ("AGENT.md", "SOUL.md"):
        assert len({(home / "workspace" / name).read_text() for home in homes.values()}) == TROOPERS
    for task_id, home in homes.items():
        assert home.stat().st_mode & 0o077 == 0 or (home / "workspace").stat().st_mode & 0o077 == 0
        sessions = "".join(p.read_text() for p in (home / "workspace" / "sessions").glob("*talk*.jsonl"))
        assert f"hello {task_id}" in sessions
        assert not any(f"hello {other}" in sessions for other in homes if other != task_id)


def test_who_does_not_run_cannot_be_asked(running):
    """404 with its code, at once."""
    status, body = say(running, "nosuchtask000000000000000", "hello?")
    assert (status, body["code"]) == (404, "task_unknown")


# In the chat --------------------------------------------------------------------------------------------


def answers_in_chat(running: RunningRack, after: str) -> list[dict[str, Any]]:
    """What troopers said in the chat after the message of that id."""
    messages = running.ask("GET", "/api/chat")[1]["messages"]
    place = next(n for n, message in enumerate(messages) if message["id"] == after)
    return [m for m in messages[place + 1 :] if m["source"] != "person"]


def test_a_callsign_in_the_chat_is_answered_by_that_trooper(running):
    """Once, under its callsign, by PicoClaw."""
    task = running.running()[0]
    namesakes = sum(name_of(t.id) == name_of(task.id) for t in running.running())
    said = chat(running, f"@{name_of(task.id)} how are you?")
    came: list[dict[str, Any]] = []

    def it_came() -> bool:
        came[:] = answers_in_chat(running, said["message"]["id"])
        return len(came) == namesakes

    wait_until("it answers", it_came)
    assert {(m["from"], m["source"]) for m in came} == {(name_of(task.id), "picoclaw")}


def test_all_are_answered_by_each_one_after_another(running, ollama):
    """Six answers in the chat, none twice, with never more than four turns at once on Ollama."""
    ollama.script(delay=1.0)
    said = chat(running, "@all report")
    assert sorted(said["addressed"]) == sorted(name_of(t.id) for t in running.running())
    # One reading is judged: the next may be another replica's, which knows a quarter of a second less.
    came: list[dict[str, Any]] = []

    def all_came() -> bool:
        came[:] = answers_in_chat(running, said["message"]["id"])
        return len(came) == TROOPERS

    wait_until("all answer", all_came, 30.0)
    assert sorted(m["from"] for m in came) == sorted(said["addressed"])
    assert {m["source"] for m in came} == {"picoclaw"}
    assert ollama.seen()["most_open"] <= 4


# What goes wrong ----------------------------------------------------------------------------------------


def test_a_trooper_killed_in_mid_turn_is_told_of_at_once(running, ollama):
    """Who asked hears so within seconds; the one that fills the slot remembers nothing."""
    settled(running)
    victim = running.running(SECOND)[-1]
    assert say(running, victim.id, "remember me")[0] == 200
    ollama.script(delay=60.0)

    def under_way() -> bool:
        asked = [r for r in ollama.requests("/api/chat") if "and now?" in str(r["body"])]
        return bool(asked) and asked[-1]["status"] is None

    with asked_meanwhile(running, victim.id, "and now?") as answer:
        wait_until("its turn is under way", under_way)
        began = time.monotonic()
        running.signal_task(victim.id, signal.SIGKILL)
        status, body = answer.result(PATIENCE)
    seconds = time.monotonic() - began
    print(f"\nkilled in mid turn: told {status} {body} after {seconds:.2f} s")
    assert seconds < 5.0
    assert status in {409, 502}, body  # the latter where the gateway had chosen the victim itself to ask
    ollama.kill()  # and with it every turn that hangs
    ollama.start()
    wait_until("another fills the slot", lambda: len(seats(running) - {victim.id}) == TROOPERS)
    heir = next(t for t in running.running(SECOND) if t.slot == victim.slot)
    assert history(running, heir.id) == []
    assert say(running, heir.id, "do you know me?")[1]["reply"].endswith("after 0 earlier messages.")


def test_a_model_that_is_not_there_is_told_with_what_to_type(running, ollama):
    """Who asks is told 503 with a code; when most have noticed, the page says how to fetch it."""
    ollama.script(models={})
    told = [say(running, task.id, "hello?") for task in running.running()]
    assert {(status, body["code"]) for status, body in told} == {(503, "agent_model_not_found")}
    body = wait_until("the page says so", lambda: _trouble(running), 10.0)
    assert body["agent_mend"] == "./claw models pull smollm2:135m"
    assert "smollm2:135m" in body["agent_problem"]
    ollama.reset()
    told = [say(running, task.id, "hello again?") for task in running.running()]
    assert {status for status, _ in told} == {200}
    wait_until("the page says nothing more", lambda: _trouble(running) is None, 10.0)


def _trouble(running: RunningRack) -> dict[str, Any] | None:
    """What /api/swarms tells while the agents are in trouble."""
    body = running.ask("GET", "/api/swarms")[1]
    return dict(body) if body.get("agent_problem") else None


def test_ollama_goes_and_comes_back(running, ollama):
    """The page says so within a period, words go on from the book, no beat is late; then all is as before."""
    wait_until("all think", lambda: sources(running) == {"picoclaw"}, A_TURN)
    with vigil(running) as seen:
        ollama.kill()
        gone = time.monotonic()
        status, body = say(running, running.running()[0].id, "anybody?")
        assert (status, body["code"]) == (503, "agent_backend_unreachable")
        trouble = wait_until("the page says so", lambda: _trouble(running), A_TURN)
        noticed = time.monotonic() - gone
        assert trouble["agent_mend"] == "ollama serve"
        wait_until("all speak from the book", lambda: sources(running) == {"fallback"}, A_TURN)
        ollama.start()
        back = time.monotonic()
        wait_until("the page says nothing more", lambda: _trouble(running) is None, A_TURN)
        wait_until("all think again", lambda: sources(running) == {"picoclaw"}, A_TURN)
    print(f"\nnoticed after {noticed:.1f} s, thinking again {time.monotonic() - back:.1f} s after its return")
    print(f"  heartbeats late by: {spread(seen.lateness())}")
    assert max(seen.lateness()) < 1.0
    assert all(len(seen.epochs(service)) == 1 for service in (SERVICE, SECOND))

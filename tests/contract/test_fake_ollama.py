"""The fake Ollama itself: that it answers, remembers, queues and ends as the tests on it rely on."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.fake_ollama_process import FakeOllama

MODEL = "smollm2:135m"


@pytest.fixture(scope="module")
def web() -> Iterator[httpx.Client]:
    """One client: making another reads every certificate again."""
    with httpx.Client(trust_env=False) as client:
        yield client


def chat(web: httpx.Client, server: FakeOllama, *said: str, system: str = "", model: str = MODEL) -> str:
    """The native answer to a conversation in which the user said that."""
    messages = [{"role": "system", "content": system}, *({"role": "user", "content": s} for s in said)]
    body = {"model": model, "messages": messages, "stream": False}
    answer = web.post(f"{server.url}/api/chat", json=body)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["message"]["content"])


def test_words_depend_on_who_is_asked_and_not_on_when(fake_ollama: FakeOllama, web: httpx.Client):
    """Three different lowercase words: the same for the same system prompt, others for another's."""
    ask = "Give me three lowercase words."
    first, again = chat(web, fake_ollama, ask, system="Rico"), chat(web, fake_ollama, ask, system="Rico")
    assert first == again != chat(web, fake_ollama, ask, system="Dizzy")
    assert len(set(first.split())) == 3
    assert first.islower()


def test_a_haiku_has_three_lines_and_all_else_is_echoed_with_what_came_before(
    fake_ollama: FakeOllama, web: httpx.Client
):
    """What tests of memory look at: the last text, and how many the user said before it."""
    assert len(chat(web, fake_ollama, "Write a haiku").splitlines()) == 3
    assert chat(web, fake_ollama, "one", "two", "hello") == 'You said "hello" after 2 earlier messages.'


def test_the_streams_carry_the_same_text_as_the_whole_answers(fake_ollama: FakeOllama, web: httpx.Client):
    """NDJSON and server-sent events, each to its end."""
    body: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": "hi"}]}
    whole = chat(web, fake_ollama, "hi")
    native = web.post(f"{fake_ollama.url}/api/chat", json=body).text.splitlines()
    assert "".join(json.loads(line)["message"]["content"] for line in native) == whole
    assert json.loads(native[-1])["done"] is True
    events = web.post(f"{fake_ollama.base}/chat/completions", json={**body, "stream": True})
    *parts, end = [line.removeprefix("data: ") for line in events.text.split("\n\n") if line]
    assert end == "[DONE]"
    assert "".join(json.loads(p)["choices"][0]["delta"].get("content", "") for p in parts) == whole
    generated = web.post(
        f"{fake_ollama.url}/api/generate", json={"model": MODEL, "prompt": "hi", "stream": False}
    )
    assert generated.json()["response"] == 'You said "hi" after 0 earlier messages.'


def test_models_are_shown_and_deleted(fake_ollama: FakeOllama, web: httpx.Client):
    """What is deleted is no longer there."""
    shown = {"model": "tiny"}
    assert web.post(f"{fake_ollama.url}/api/show", json=shown).status_code == 200
    gone = web.request("DELETE", f"{fake_ollama.url}/api/delete", json=shown)
    assert gone.status_code == 200
    assert web.post(f"{fake_ollama.url}/api/show", json=shown).status_code == 404


def test_a_behaviour_that_does_not_exist_is_refused(fake_ollama: FakeOllama):
    """A test with a typing error fails instead of testing nothing."""
    with pytest.raises(AssertionError, match="no such behaviour"):
        fake_ollama.script(dealy=1)


@pytest.mark.slow
def test_parallel_places_are_kept_and_told(web: httpx.Client):
    """With two places five callers are served two at a time, as OLLAMA_NUM_PARALLEL does."""
    server = FakeOllama(parallel=2, delay=0.1)
    server.start()
    try:
        callers = [threading.Thread(target=chat, args=(web, server, str(n))) for n in range(5)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
        seen = server.seen()
        assert (seen["total"], seen["most_running"]) == (5, 2)
        assert max(one["seconds"] for one in seen["requests"]) > 0.2
    finally:
        assert server.stop() == 0

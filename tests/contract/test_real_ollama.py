"""A real Ollama: ``./claw test --ollama`` asks the one at OLLAMA_HOST, with the model of OLLAMA_MODEL.

Everything else is tested on the fake (tests/fake_ollama.py), which is what CI has. What a small model says is
no matter here; that it is asked, answers and is sent what was said before is.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from clawbucket.agents.picoclaw import PicoClawAgent
from clawbucket.clock import SystemClock
from clawbucket.core import three_words
from clawbucket.core.agent import OLLAMA, PICOCLAW
from clawbucket.loops.thinker import Thinker
from clawbucket.settings import Settings
from picoclaw.ollama_server import OllamaServer, full_name, ollama_base
from tests.conftest import real_ollama

pytestmark = [pytest.mark.ollama, pytest.mark.slow, pytest.mark.timeout(400)]

PATIENCE = 120.0
"""Seconds for one turn: the first loads the model."""
TRIES = 5
"""A small model gives three words in most tries, not in each."""


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PicoClawAgent]:
    """A trooper's agent on the embedded backend, at home in tmp_path."""
    monkeypatch.delenv("PICOCLAW_CONFIG", raising=False)
    settings = replace(
        Settings.from_env(), task_id="a" * 25, task_slot=1, picoclaw_home=tmp_path, picoclaw_enabled=True,
        picoclaw_backend="embedded",
    )  # fmt: skip
    made = PicoClawAgent(settings, ollama_base(real_ollama()), say=lambda _: None)
    yield made
    made.close()


def test_it_has_the_model():
    """And where not, this says what to type."""
    wanted = full_name(Settings.from_env().ollama_model)
    with closing(OllamaServer(real_ollama())) as server:
        there = [full_name(model.name) for model in server.models()]
    assert wanted in there, f"type: ./claw models pull {wanted}"


def test_it_answers(agent):
    """One turn: a text, the model's name, and tokens as the server counted them."""
    reply = agent.ask("agent:main:talk", "Who are you? Answer in one short sentence.", PATIENCE)
    print(f"\n{reply.text!r} after {reply.seconds:.1f} s")
    assert reply.text
    assert (reply.backend, reply.model) == ("embedded", Settings.from_env().ollama_model)
    assert reply.prompt_tokens > 0
    assert reply.completion_tokens > 0


def test_it_finds_three_words(agent):
    """By the agent or by the model alone, in one of a few tries."""
    agent.ask("agent:main:words", "Are you there?", PATIENCE)  # loads the model: a thought has 25 s only
    thinker = Thinker(agent, SystemClock(), Random(), lambda: "")
    said = [thinker.words() for _ in range(TRIES)]
    print(f"\n{said}; {thinker.tally.turns}")
    assert {source for _, source in said} & {PICOCLAW, OLLAMA}
    assert all(three_words.three_words_in(text) == text for text, _ in said)


def test_it_is_sent_what_was_said_before(agent):
    """The second turn's prompt holds the first; the session has both."""
    first = agent.ask("agent:main:talk", "My name is Rico. Remember it.", PATIENCE)
    second = agent.ask("agent:main:talk", "What is my name?", PATIENCE)
    print(f"\n{second.text!r}")
    assert second.prompt_tokens > first.prompt_tokens
    said = agent.history("agent:main:talk")
    assert [u.role for u in said] == ["user", "assistant"] * 2
    assert "Rico" in said[0].text

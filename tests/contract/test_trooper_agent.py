"""PicoClaw behind the AgentRuntime port: a home and a character each, on the model that all share."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from clawbucket.agents.picoclaw import PicoClawAgent
from clawbucket.core.callsign import name_of
from clawbucket.ports import AgentFailed
from clawbucket.settings import Settings
from tests.fake_ollama_process import FakeOllama

Make = Callable[..., PicoClawAgent]


@pytest.fixture
def make(fake_ollama: FakeOllama, tmp_path: Path, monkeypatch) -> Iterator[Make]:
    """Makes agents that are closed in the end."""
    for name in ("PICOCLAW_CONFIG", "PICOCLAW_BINARY"):
        monkeypatch.delenv(name, raising=False)
    made = []

    def agent(task_id: str = "a1", url: str = "", said: list[str] | None = None, **settings) -> PicoClawAgent:
        options = {
            "task_id": task_id, "task_slot": 1, "picoclaw_home": tmp_path / task_id,
            "picoclaw_backend": "embedded", "ollama_model": "smollm2:135m", **settings,
        }  # fmt: skip
        say = said.append if said is not None else lambda _text: None
        made.append(PicoClawAgent(Settings(**options), url or fake_ollama.url, say))
        return made[-1]

    yield agent
    for each in made:
        each.close()


def test_each_trooper_has_a_home_and_a_character_of_its_own(make: Make, tmp_path: Path):
    """Two tasks: two homes, two AGENT.md with their callsigns, two souls, two conversations."""
    for task_id in ("a1", "b2"):
        make(task_id).ask("agent:main:talk", f"I am with {task_id}", 10)
    texts = [(tmp_path / t / "workspace" / "SOUL.md").read_text(encoding="utf-8") for t in ("a1", "b2")]
    assert texts[0] != texts[1]
    for task_id in ("a1", "b2"):
        home = tmp_path / task_id / "workspace"
        assert name_of(task_id) in (home / "AGENT.md").read_text(encoding="utf-8")
        talk = (home / "sessions" / "agent_main_talk.jsonl").read_text(encoding="utf-8")
        assert f"I am with {task_id}" in talk


def test_the_model_is_told_who_it_is(make: Make, fake_ollama: FakeOllama):
    """The system prompt holds the trooper's character."""
    make("a1").ask("agent:main:talk", "hello", 10)
    (body,) = fake_ollama.bodies("/api/chat")
    assert body["messages"][0]["role"] == "system"
    assert name_of("a1") in body["messages"][0]["content"]


def test_a_config_is_ours_to_read_alone(make: Make, tmp_path: Path):
    """Nobody else on the machine can read it."""
    make("a1").ask("agent:main:talk", "hello", 10)
    assert stat.S_IMODE((tmp_path / "a1" / "config.json").stat().st_mode) == 0o600


def test_the_reply_says_all_about_the_turn(make: Make):
    """Session, model, backend, tokens, and the conversation afterwards."""
    agent = make("a1")
    reply = agent.ask("agent:main:talk", "hello", 10)
    assert (reply.session, reply.model, reply.backend) == ("agent:main:talk", "smollm2:135m", "embedded")
    assert (reply.outcome, reply.prompt_tokens is not None) == ("ok", True)
    assert [(u.role, u.text) for u in agent.history("agent:main:talk")] == [
        ("user", "hello"), ("assistant", reply.text),
    ]  # fmt: skip


def test_the_model_alone_is_asked_without_a_character(make: Make, fake_ollama: FakeOllama):
    """Plain: one user message, no system prompt, nothing remembered."""
    agent = make("a1")
    agent.plain("say three words", 10)
    agent.plain("say three words", 10)
    assert [[m["role"] for m in body["messages"]] for body in fake_ollama.bodies("/api/chat")] == [
        ["user"]
    ] * 2


def test_hostile_text_of_the_model_alone_is_clean(make: Make, fake_ollama: FakeOllama):
    """ANSI and control characters do not come through."""
    fake_ollama.script(replies=["\x1b[31mred\x1b[0m\x07 rust\u202e tide"])
    assert make("a1").plain("say", 10).text == "red rust tide"


@pytest.mark.parametrize("how", ["ask", "plain"])
def test_a_dead_server_is_unreachable_and_named(make: Make, how: str):
    """Health, a stable code, and a few words for the dashboard."""
    agent = make("a1", url="http://127.0.0.1:9")
    with pytest.raises(AgentFailed) as caught:
        agent.ask("agent:main:talk", "x", 3) if how == "ask" else agent.plain("x", 3)
    assert (caught.value.health, caught.value.code) == ("unreachable", "agent_backend_unreachable")
    assert caught.value.brief == "the model's server at http://127.0.0.1:9 does not answer"


def test_a_missing_model_is_named(make: Make, fake_ollama: FakeOllama):
    """Health model_missing, with the model's name."""
    with pytest.raises(AgentFailed) as caught:
        make("a1", ollama_model="nosuch:1b").ask("agent:main:talk", "x", 5)
    assert (caught.value.health, caught.value.code) == ("model_missing", "agent_model_not_found")
    assert caught.value.brief == f"the server at {fake_ollama.url} has no model nosuch:1b"


def test_a_config_of_the_persons_own_is_used_and_may_be_mended(
    make: Make, fake_ollama: FakeOllama, tmp_path: Path, monkeypatch
):
    """PICOCLAW_CONFIG that is no good: misconfigured, with file and key; mended, it just works."""
    config = tmp_path / "mine.json"
    config.write_text('{"version": 3, "agnets": {}}', encoding="utf-8")
    monkeypatch.setenv("PICOCLAW_CONFIG", str(config))
    agent = make("a1")
    with pytest.raises(AgentFailed, match="agents") as caught:
        agent.ask("agent:main:talk", "x", 5)
    assert caught.value.health == "misconfigured"
    assert str(config) in str(caught.value)
    entry = {
        "model_name": "mine",
        "model": "ollama/smollm2:135m",
        "api_base": fake_ollama.base,
        "api_keys": [],
    }
    document = {"version": 3, "agents": {"defaults": {"model_name": "mine"}}, "model_list": [entry]}
    config.write_text(json.dumps(document), encoding="utf-8")
    assert agent.ask("agent:main:talk", "x", 5).model == "mine"


def test_a_home_that_cannot_be_made_is_misconfigured(make: Make, tmp_path: Path):
    """One sentence that names it, no trace."""
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(AgentFailed, match="file") as caught:
        make("a1", picoclaw_home=tmp_path / "file" / "home").ask("agent:main:talk", "x", 5)
    assert caught.value.health == "misconfigured"


def test_what_the_agent_sends_by_itself_is_said(make: Make, fake_ollama: FakeOllama):
    """The message tool reaches the application, where tools are on."""
    call = {"name": "message", "arguments": {"content": "contact at the ridge"}}
    fake_ollama.script(replies=[{"tool_calls": [call]}, "Told them."])
    said: list[str] = []
    make("a1", said=said, picoclaw_tools="auto").ask("agent:main:talk", "report", 10)
    assert said == ["contact at the ridge"]


def test_without_tools_none_are_offered(make: Make, fake_ollama: FakeOllama):
    """The default: small models do worse with them."""
    make("a1").ask("agent:main:talk", "report", 10)
    (body,) = fake_ollama.bodies("/api/chat")
    assert not body.get("tools")


def test_picoclaw_switched_off_leaves_the_model_alone(make: Make):
    """PICOCLAW_ENABLED off: no turn is taken, and plain still answers."""
    agent = make("a1", picoclaw_enabled=False)
    with pytest.raises(AgentFailed) as caught:
        agent.ask("agent:main:talk", "x", 5)
    assert (caught.value.health, caught.value.code) == ("off", "agent_off")
    assert agent.plain("say three words", 5).text


def test_a_task_that_starts_again_keeps_its_conversation(make: Make):
    """Its home is the same, so it remembers."""
    make("a1").ask("agent:main:talk", "the password is tangerine", 10)
    assert "tangerine" in make("a1").history("agent:main:talk")[0].text

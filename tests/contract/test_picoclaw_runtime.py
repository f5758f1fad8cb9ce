"""The runtime's contract on every backend, and what only the embedded one can be held to."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from picoclaw.errors import BackendUnreachable, ConfigInvalid, ContextOverflow
from picoclaw.turns import Usage
from tests.contract.runtime_errors import ErrorContract, LoadContract
from tests.contract.runtime_rig import BINARY, MODEL, NATIVE, OPENAI, Rig, echo, well_formed, wish
from tests.contract.runtime_suite import SessionContract, TurnContract
from tests.fake_ollama_process import FakeOllama


@pytest.fixture
def rig(tmp_path: Path, fake_ollama: FakeOllama, kind: str) -> Iterator[Rig]:
    """A home on that backend."""
    made = Rig(tmp_path, kind, fake_ollama)
    yield made
    made.close()


EVERY = pytest.mark.parametrize("kind", [NATIVE, OPENAI, pytest.param(BINARY, marks=pytest.mark.slow)])
"""A process a turn takes its time."""
EMBEDDED = pytest.mark.parametrize("kind", [NATIVE, OPENAI])


@EVERY
class TestTurns(TurnContract):
    """A turn."""


@EVERY
class TestSessions(SessionContract):
    """Sessions."""


@EVERY
class TestErrors(ErrorContract):
    """What fails."""


@EVERY
class TestLoad(LoadContract):
    """Many at once."""


@pytest.mark.parametrize("kind", [NATIVE, BINARY])
def test_auto_takes_the_binary_where_there_is_one_and_says_so_once(rig, caplog):
    """Chosen at the opening, logged once, and not asked about again by any turn."""
    with caplog.at_level(logging.INFO, "picoclaw.runtime"):
        runtime = rig.open()
        rig.ask()
        rig.ask()
    assert runtime.backend == ("embedded" if rig.embedded else "binary")
    said = [r.getMessage() for r in caplog.records if "backend" in r.getMessage()]
    assert len(said) == 1
    assert f"picoclaw backend: {runtime.backend}" in said[0]


@pytest.mark.parametrize("kind", [NATIVE, BINARY])
def test_a_backend_that_was_chosen_by_name_is_the_one(rig):
    """Embedded also where there is a binary; binary is ConfigInvalid where there is none."""
    assert rig.open(backend="embedded").backend == "embedded"
    if rig.embedded:
        with pytest.raises(ConfigInvalid, match="PICOCLAW_BINARY"):
            rig.open(backend="binary")
    else:
        assert rig.open(backend="binary").backend == "binary"


@pytest.mark.parametrize("kind", [BINARY])
def test_a_model_without_tools_is_told_with_the_setting_that_helps_on_the_binary(rig):
    """Upstream's own configuration decides there; the error names the key."""
    rig.server.script(refuse_tools=True)
    with pytest.raises(BackendUnreachable, match="turn_profile") as caught:
        rig.ask()
    assert not caught.value.retryable
    rig.configure(turn_profile={"enabled": True, "tools": {"mode": "off"}})
    assert rig.ask("again").outcome == "ok"


@EMBEDDED
def test_a_model_that_refuses_tools_is_asked_without_and_never_offered_them_again(rig):
    """One turn, two requests; the next turn is one request, without tools."""
    runtime = rig.open()
    assert runtime.status().tools
    rig.server.script(refuse_tools=True)
    assert rig.ask("one").text == echo("one")
    assert rig.ask("two").text == echo("two", 1)
    assert [bool(body.get("tools")) for body in rig.bodies()] == [True, False, False]
    assert "You have no tools" in rig.system()
    assert not runtime.status().tools


@EMBEDDED
def test_a_server_that_refuses_tools_that_nobody_offered_is_an_error(rig):
    """One of the six, after one request."""
    rig.configure(turn_profile={"enabled": True, "tools": {"mode": "off"}})
    rig.server.script(fail={"status": 400, "times": 9, "words": "tiny does not support tools"})
    with pytest.raises(BackendUnreachable, match="clear the session"):
        rig.ask()
    assert len(rig.bodies()) == 1


@EMBEDDED
def test_tools_write_and_read_the_workspace(rig):
    """Two calls, then the answer: file, session and usage of all three requests."""
    rig.server.script(
        replies=[
            wish("write_file", path="memory/plan.md", content="hold the hill"),
            wish("read_file", path="memory/plan.md"),
            "it is written",
        ]
    )
    reply = rig.ask("plan")
    assert (reply.text, reply.tool_calls) == ("it is written", 2)
    assert (rig.workspace / "memory" / "plan.md").read_text() == "hold the hill"
    assert [role for role, _ in rig.stored()] == ["user", *["assistant", "tool"] * 2, "assistant"]
    assert "hold the hill" in rig.stored()[4][1]
    assert reply.usage.completion_tokens == 3
    rig.ask("on")
    assert well_formed(rig.sent())


@EMBEDDED
def test_tokens_are_unknown_as_soon_as_one_of_the_requests_did_not_tell(rig):
    """A sum with a hole is not a count."""
    rig.server.script(usage=False, replies=[wish("list_dir", path="."), "yes"])
    assert rig.ask().usage == Usage(None, None)


@EMBEDDED
def test_a_message_of_the_agent_reaches_the_application(rig):
    """While the turn runs, cleaned; and what the application raises does not cost the turn."""
    said: list[str] = []

    def say(text: str) -> None:
        said.append(text)
        if len(said) == 2:
            raise KeyError(text)

    rig.open(say=say)
    hail = wish("message", content="\x1b[31mbugs!\x1b[0m")
    rig.server.script(replies=[hail, hail, "told them"])
    assert rig.ask().text == "told them"
    assert said == ["bugs!", "bugs!"]


@EMBEDDED
@pytest.mark.parametrize("script", [{"models": {"qwen3:0.6b": 1}}, {"fail": {"status": 400, "times": 1}}])
def test_another_model_answers_where_the_first_cannot(rig, script):
    """model_fallbacks, in order; the reply says who answered, and one that does not exist is passed over."""
    rig.configure(model_fallbacks=["nobody", "second"])
    rig.server.script(**script)
    assert rig.ask("hi").model == "second"
    assert [body["model"] for body in rig.bodies()] == [MODEL, "qwen3:0.6b"]
    rig.server.reset()
    assert rig.ask("hi").model == MODEL


@EMBEDDED
def test_a_conversation_larger_than_the_window_is_compacted_before_it_is_sent(rig):
    """Ollama would drop its beginning without a word; here it is summarised first."""
    rig.configure(context_window=4_096, summarize_token_percent=100)
    rig.ask("alpha " * 600)
    rig.server.script(replies=["they said alpha", "fits"])
    assert rig.ask("beta " * 600).text == "fits"
    assert "they said alpha" in rig.system().partition("CONTEXT_SUMMARY: ")[2]
    assert [m["content"][:4] for m in rig.sent()] == ["beta"]


@EMBEDDED
def test_tool_results_are_held_to_the_window_too(rig):
    """A turn that reads more than fits is told ContextOverflow, and the session goes on."""
    rig.configure(context_window=4_096)
    rig.open()
    (rig.workspace / "long").write_text("x" * 4_000)
    rig.server.script(replies=[wish("read_file", path="long") for _ in range(9)])
    with pytest.raises(ContextOverflow):
        rig.ask()
    rig.server.reset()
    assert rig.ask("on").outcome == "ok"
    assert rig.sent()[-1]["content"] == "on"


@EMBEDDED
def test_one_text_that_no_window_holds_is_refused_and_the_session_goes_on(rig):
    """ContextOverflow without asking the model; the next turn is not burdened with it."""
    rig.ask("one")
    with pytest.raises(ContextOverflow, match="context_window") as caught:
        rig.ask("x" * 100_000)
    assert not caught.value.retryable
    assert rig.ask("two").outcome == "ok"
    assert all(len(m["content"]) < 1_000 for m in rig.sent())
    assert well_formed(rig.sent()[-1:])

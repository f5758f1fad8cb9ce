"""The binary backend on a real process: what it is started with, what it says, and what it leaves."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from picoclaw.binary import MOST_LOG, BinaryBackend
from picoclaw.deadline import Deadline
from picoclaw.errors import (
    BackendUnreachable,
    ConfigInvalid,
    ContextOverflow,
    ModelNotFound,
    PicoClawError,
)
from tests.binary_place import EMPTY, HAIKU, KEY, Place
from tests.fake_ollama_process import FakeOllama
from tests.stand_in_binary import write_stand_in


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """Give a home; nothing that was started in it outlives the test."""
    made = Place(tmp_path)
    yield made
    if made.backend is not None:
        made.backend.close()


def test_a_turn_gives_the_whole_reply_and_leaves_it_in_the_session(place):
    """Three lines stay three; the file ends with what was asked and what was answered, each once."""
    place.start(reply=HAIKU)
    answer = place.ask("a haiku")
    assert (answer.text, answer.outcome, answer.tool_calls) == (HAIKU, "ok", None)
    assert place.stored() == [("user", "a haiku"), ("assistant", HAIKU)]


def test_banner_colours_and_log_lines_are_no_part_of_the_reply(place):
    """A build that colours all it prints and logs to stdout is read as well as one that does not."""
    place.start(reply=HAIKU, ansi=1, log=1)
    assert place.ask().text == HAIKU


def test_the_binary_is_started_by_the_recipe(place):
    """Flags, environment, folder and empty input are as upstream needs them for one message."""
    place.start(reply="yes", seen=place.root / "seen")
    place.ask("-d is no flag")
    seen = json.loads((place.root / "seen").read_text(encoding="utf-8"))
    assert seen["argv"] == ["agent", "-m", "-d is no flag", "-s", KEY, "--model", "tiny:latest"]
    assert seen["cwd"] == str(place.config.workspace)
    assert seen["stdin"] == ""
    home = place.root / "home"
    wanted = {
        "PICOCLAW_HOME": str(home), "PICOCLAW_CONFIG": str(home / "config.json"), "NO_COLOR": "1",
        "PICOCLAW_LOG_FILE": str(home / "logs" / "picoclaw.log"), "HOME": str(place.root),
    }  # fmt: skip
    assert {name: seen["env"].get(name) for name in wanted} == wanted
    assert "TZ" not in seen["env"]


def test_the_session_reads_on_after_the_turn_without_being_opened_again(place):
    """The runtime compacts after a turn under the same lock: it must see what the binary wrote."""
    backend = place.start(reply="yes")
    with place.session() as session:
        backend.turn("hello", session, place.config.entry(None), "cli", Deadline(20.0))
        assert [m.content for m in session.messages] == ["hello", "yes"]


def test_a_turn_that_the_binary_wrote_elsewhere_is_written_where_it_belongs(place):
    """Upstream ignored -s in some releases; the session has its turn all the same."""
    place.start(reply="yes", forget=1)
    place.ask("one")
    place.ask("one")
    assert place.stored() == [("user", "one"), ("assistant", "yes")] * 2


def test_a_message_that_looks_like_a_command_is_said_to_the_model(place):
    """Upstream's own /clear must not be within reach of whoever may chat."""
    place.start(reply="yes")
    assert place.ask("/clear").text == "yes"
    assert place.stored() == [("user", "> /clear"), ("assistant", "yes")]


@pytest.mark.parametrize("switches", [{}, {"forget": 1}], ids=["by upstream", "by us"])
def test_an_empty_reply_is_an_outcome_and_stored_as_upstream_does(place, switches):
    """The sentence stays in the file, where both backends put it, and is not the reply."""
    place.start(reply=EMPTY, **switches)
    answer = place.ask()
    assert (answer.text, answer.outcome) == ("", "empty")
    assert place.stored() == [("user", "hello"), ("assistant", EMPTY)]


def test_the_version_is_asked_once_and_bounded(place):
    """Status is shown often; what no program says is "unknown"."""
    backend = place.start()
    assert backend.version == "v0.2.9 (git: 0123abc)"
    write_stand_in(place.root / "bin", exit=1).unlink()
    assert backend.version == "v0.2.9 (git: 0123abc)"
    assert BinaryBackend(place.root / "bin" / "picoclaw", place.config, place.environ).version == "unknown"


def test_the_model_sees_the_conversation_so_far(place, fake_ollama: FakeOllama):
    """The second turn is asked with the first before it: one session file, whoever reads it."""
    place.configure(fake_ollama.base)
    place.start()
    place.ask("one")
    assert place.ask("two").text == 'You said "two" after 1 earlier messages.'
    messages = fake_ollama.bodies("/v1/chat/completions")[-1]["messages"]
    assert [m["role"] for m in messages] == ["system", "user", "assistant", "user"]
    assert [text for _, text in place.stored()] == [
        "one", 'You said "one" after 0 earlier messages.', "two", 'You said "two" after 1 earlier messages.',
    ]  # fmt: skip


def test_tools_that_the_binary_ran_are_part_of_the_session(place, fake_ollama: FakeOllama):
    """Their calls and results stand between what was asked and what was answered."""
    place.configure(fake_ollama.base)
    place.start()
    wish = {"tool_calls": [{"name": "read_file", "arguments": {"path": "notes"}}]}
    fake_ollama.script(replies=[wish, "done"])
    assert place.ask().text == "done"
    assert [role for role, _ in place.stored()] == ["user", "assistant", "tool", "assistant"]
    place.environ["PICOCLAW_AGENTS_DEFAULTS_MAX_TOOL_ITERATIONS"] = "2"
    place.start()
    fake_ollama.script(replies=[wish] * 3)
    answer = place.ask()
    assert (answer.outcome, place.stored()[-1]) == ("tool_limit", ("assistant", answer.text))


@pytest.mark.parametrize(
    ("script", "kind", "retryable", "words"),
    [
        ({"models": {}}, ModelNotFound, False, "pull it"),
        ({"fail": {"status": 503, "times": 9}}, BackendUnreachable, True, "answered 503"),
        ({"fail": {"status": 400, "times": 9}}, BackendUnreachable, False, "answered 400"),
        ({"die": {"after": 1, "how": "rst", "times": 9}}, BackendUnreachable, True, "cannot be reached"),
        ({"refuse_tools": True}, BackendUnreachable, False, "turn_profile"),
        ({"overflow": 1}, ContextOverflow, False, "context window"),
    ],
    ids=["no model", "503", "400", "cut answer", "no tools", "too long"],
)
def test_what_ollama_refuses_becomes_the_right_error(
    place, fake_ollama: FakeOllama, script, kind: type[PicoClawError], retryable, words
):
    """Ollama's own words, through upstream's stderr, still tell one refusal from another."""
    place.configure(fake_ollama.base)
    place.start()
    fake_ollama.script(**script)
    with pytest.raises(kind, match=words) as caught:
        place.ask()
    assert (caught.value.retryable, caught.value.exit_code) == (retryable, 1)


def test_an_empty_completion_is_an_outcome(place, fake_ollama: FakeOllama):
    """Upstream exits 0 with a sentence; the reply is empty and says so."""
    place.configure(fake_ollama.base)
    place.start()
    fake_ollama.script(empty=True)
    answer = place.ask()
    assert (answer.text, answer.outcome) == ("", "empty")


def test_a_model_server_that_is_down_is_told_with_stderr_and_code(place):
    """Upstream's own retries are over by then; another turn may do better."""
    place.start()
    with pytest.raises(BackendUnreachable, match=r"127\.0\.0\.1:9") as caught:
        place.ask()
    assert (caught.value.retryable, caught.value.exit_code) == (True, 1)
    assert caught.value.stderr.startswith("Error: error processing message: LLM call failed after retries")


def test_a_config_that_upstream_refuses_is_told_as_such(place):
    """Its strict fields, and a model_name that it does not have."""
    place.start()
    path = place.config.path
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace('"version"', '"clawbucket": 1, "version"'), encoding="utf-8")
    with pytest.raises(ConfigInvalid, match="clawbucket"):
        place.ask()
    path.write_text(text.replace('"model_name"', '"model_name": "x", "provider"'), encoding="utf-8")
    with pytest.raises(ModelNotFound):
        place.ask()


@pytest.mark.parametrize(
    ("switches", "retryable", "code"),
    [
        ({"garbage": 1}, False, 0),
        ({"exit": 3}, False, 3),
        ({"die": "user"}, True, -9),
        ({"flood": 100}, False, None),
    ],
)
def test_a_binary_that_goes_wrong_fails_the_turn_and_not_the_session(place, switches, retryable, code):
    """Garbage, another exit code, a crash, 100 MB of output: an error each, and the next turn works."""
    place.start(**switches)
    with pytest.raises(BackendUnreachable) as caught:
        place.ask()
    assert caught.value.retryable is retryable
    assert code is None or caught.value.exit_code == code
    place.start(reply="better")
    assert place.ask("again").text == "better"
    assert place.stored()[-2:] == [("user", "again"), ("assistant", "better")]


@pytest.mark.parametrize("step", ["start", "user", "model", "reply"])
def test_a_binary_killed_at_any_step_leaves_a_session_that_goes_on(place, fake_ollama: FakeOllama, step):
    """No message is lost that was saved, none is there twice, and roles alternate."""
    place.configure(fake_ollama.base)
    place.start(die=step)
    with pytest.raises(BackendUnreachable, match="signal 9"):
        place.ask("one")
    place.start(reply="yes")
    place.ask("two")
    stored = place.stored()
    assert [role for role, _ in stored] == ["user", "assistant"] * (len(stored) // 2)
    assert [text for role, text in stored if role == "user"] == (
        ["two"] if step == "start" else ["one", "two"]
    )


@pytest.mark.parametrize("fault", ["missing", "not executable", "no program"])
def test_a_binary_that_cannot_be_started_is_named_with_what_to_set(place, fault):
    """It went, or was never a program: the turn says which file, and which variable names another."""
    place.start()
    path = place.root / "bin" / "picoclaw"
    if fault == "missing":
        path.unlink()
    elif fault == "not executable":
        path.chmod(0o644)
    else:
        path.write_bytes(b"\x7fELF no")
    with pytest.raises(
        BackendUnreachable, match=r"bin/picoclaw cannot be started.*PICOCLAW_BINARY"
    ) as caught:
        place.ask()
    assert (caught.value.retryable, caught.value.exit_code) == (False, None)


def test_upstreams_log_does_not_grow_without_end(place):
    """It goes to a file under the home, which is begun anew once it is large."""
    place.start(reply="yes")
    place.ask()
    log = place.root / "home" / "logs" / "picoclaw.log"
    assert "a line to be ignored" in log.read_text(encoding="utf-8")
    log.write_bytes(b"x" * (MOST_LOG + 1))
    place.ask()
    assert 0 < log.stat().st_size < 1000


def test_turns_of_several_sessions_run_at_once_and_do_not_mix(place):
    """Eight at a time: each session has its own turn, whole, and no pipe is left open."""
    place.start(reply="yes")
    before = len(list(Path("/proc/self/fd").iterdir()))
    threads = [
        threading.Thread(target=place.ask, args=(f"turn {n}",), kwargs={"key": f"agent:main:t{n}"})
        for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30.0)
    for n in range(8):
        assert place.stored(f"agent:main:t{n}") == [("user", f"turn {n}"), ("assistant", "yes")]
    assert len(list(Path("/proc/self/fd").iterdir())) == before

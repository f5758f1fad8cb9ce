"""The agent's command as a process, against the fake Ollama: what it prints where, and how it ends."""

from __future__ import annotations

import json
import re
import subprocess
import time
from pathlib import Path

import pytest

from bench.rack import free_port
from picoclaw.binary import BinaryBackend
from picoclaw.binary_output import failure_of, reply_in
from picoclaw.child import Finished
from picoclaw.config import ModelEntry, load
from picoclaw.errors import BackendUnreachable, ConfigInvalid, ModelNotFound
from picoclaw.sentences import EMPTY
from picoclaw.sessions import SessionStore
from picoclaw.turns import Usage

pytestmark = pytest.mark.slow

OURS = Path("picoclaw-py")
"""What the error texts of the parser call the program."""
ENTRY = ModelEntry("m", "ollama", "m", "http://x", (), 120.0, 0, {}, enabled=True)
"""What they say of the model."""


def finished(done: subprocess.CompletedProcess[str]) -> Finished:
    """What a driver of the command sees."""
    return Finished(done.returncode, done.stdout.encode(), done.stderr.encode(), flooded=False)


# One turn -----------------------------------------------------------------------------------------------


def test_one_turn_is_printed_as_upstream_prints_it(picoclaw):
    """A banner, then a line that begins with the lobster, the reply, a newline; and nothing else."""
    done = picoclaw("agent", "-m", "hello")
    assert (done.returncode, done.stderr) == (0, "")
    banner, _, reply = done.stdout.partition("\n🦞 ")
    assert reply == 'You said "hello" after 0 earlier messages.\n'
    assert re.fullmatch(r"picoclaw-py \S+ · smollm2:135m\n", banner)


def test_the_parser_of_the_binary_reads_it(picoclaw, ollama):
    """Whoever drives upstream's command can drive this one: a haiku keeps its lines, emptiness is seen."""
    ollama.script(replies=["one line\n🦞 two\nthree", ""])
    haiku = reply_in(finished(picoclaw("agent", "-m", "x")), OURS)
    assert (haiku.text, haiku.outcome) == ("one line\n🦞 two\nthree", "ok")
    empty = picoclaw("agent", "-m", "x")
    assert empty.stdout.endswith(f"\n🦞 {EMPTY}\n")
    assert (empty.returncode, reply_in(finished(empty), OURS).outcome) == (0, "empty")


def test_who_drives_upstreams_binary_can_drive_it(picoclaw, tmp_path):
    """Under that name it takes the recipe's flags and environment, and leaves the same session file."""
    script = tmp_path / "picoclaw"
    script.write_text(f'#!/bin/sh\nexec {" ".join(picoclaw.argv)} "$@"\n')
    script.chmod(0o755)
    config = load(picoclaw.environ)
    backend = BinaryBackend(script, config, picoclaw.environ)
    try:
        assert re.match(r"\d+\.\d+\.\d+", backend.version)
    finally:
        backend.close()
    argv = [script, "agent", "-m", "hello", "-s", "agent:main:a", "--model", "smollm2:135m"]
    recipe = {**picoclaw.environ, "PICOCLAW_LOG_FILE": str(tmp_path / "log"), "NO_COLOR": "1"}
    done = subprocess.run(argv, env=recipe, capture_output=True, text=True, check=False, timeout=30)
    assert reply_in(finished(done), script).text == 'You said "hello" after 0 earlier messages.'
    stored = SessionStore(config.workspace / "sessions").history("agent:main:a")
    assert [message.role for message in stored] == ["user", "assistant"]


def test_json_is_one_object_with_all_that_is_known(picoclaw):
    """Nothing else is on either stream."""
    done = picoclaw("agent", "-m", "hello", "-s", "bob", "--json")
    assert (done.returncode, done.stderr, done.stdout.count("\n")) == (0, "", 1)
    told = json.loads(done.stdout)
    assert 0 < told.pop("seconds") < 30
    assert told.pop("usage").keys() == {"prompt_tokens", "completion_tokens"}
    assert told == {
        "text": 'You said "hello" after 0 earlier messages.', "outcome": "ok",
        "session": "agent:main:bob", "model": "smollm2:135m", "backend": "embedded", "tool_calls": 0,
    }  # fmt: skip


def test_unknown_usage_is_null(picoclaw, ollama):
    """A server that does not count is not taken for one that counts nothing."""
    ollama.script(usage=False)
    told = json.loads(picoclaw("agent", "-m", "hello", "--json").stdout)
    assert told["usage"] == {"prompt_tokens": None, "completion_tokens": None}
    assert Usage() == Usage(**told["usage"])


def test_turns_of_a_session_know_each_other_and_no_others(picoclaw):
    """-s names the conversation, across processes; without it all are in one."""

    def said(*words: str) -> str:
        return str(json.loads(picoclaw("agent", "-m", "x", "--json", *words).stdout)["text"])

    assert "after 0 earlier" in said("-s", "a")
    assert "after 1 earlier" in said("--session=a")
    assert "after 0 earlier" in said("-s", "b")
    assert "after 0 earlier" in said()
    assert "after 1 earlier" in said()


@pytest.mark.parametrize("text", ["-5", "--json", "-m", "--", "=", "a=b", "naïve 🦞", "two\nlines"])
def test_any_text_is_a_message(picoclaw, ollama, text):
    """Also one that looks like an option, as upstream takes it."""
    done = picoclaw("agent", "-m", text)
    assert done.returncode == 0
    assert ollama.bodies("/api/chat")[-1]["messages"][-1]["content"] == text


def test_bytes_that_are_no_utf8_are_replaced(picoclaw, ollama):
    """Whatever a shell passes is a message."""
    done = subprocess.run(
        [*picoclaw.argv, "agent", "-m", b"a\xffb"], env=picoclaw.environ, capture_output=True, check=False
    )
    assert done.returncode == 0
    assert ollama.bodies("/api/chat")[-1]["messages"][-1]["content"] == "a\ufffdb"


def test_a_foreign_locale_prints_the_lobster_all_the_same(picoclaw):
    """The output is UTF-8, whatever the terminal's encoding is said to be."""
    done = picoclaw("agent", "-m", "x", LC_ALL="C", PYTHONCOERCECLOCALE="0", PYTHONUTF8="0")
    assert (done.returncode, "\n🦞 You said" in done.stdout) == (0, True)


def test_what_the_agent_sends_by_its_tool_stays_out_of_the_reply(picoclaw, ollama):
    """In a single turn it goes to standard error: standard output is the reply's."""
    call = {"tool_calls": [{"name": "message", "arguments": {"content": "on my way"}}]}
    ollama.script(replies=[call, "done"])
    done = picoclaw("agent", "-m", "x")
    assert done.stderr == "picoclaw says: on my way\n"
    assert done.stdout.endswith("\n🦞 done\n")


# Logs ---------------------------------------------------------------------------------------------------


def test_log_lines_are_on_standard_output_before_the_reply(picoclaw, ollama):
    """With the time and zerolog's level, as upstream's; one line each."""
    ollama.script(refuse_tools=True)
    done = picoclaw("agent", "-m", "x", "-d")
    before = done.stdout.partition("\n🦞 ")[0].splitlines()
    before = [line for line in before if not line.startswith("picoclaw-py ")]
    assert any("takes no tools" in line for line in before)
    assert all(re.match(r"\d\d:\d\d:\d\d (DBG|INF|WRN|ERR) \S", line) for line in before)
    assert done.stderr == ""


def test_a_log_file_takes_them_away(picoclaw, ollama, tmp_path):
    """PICOCLAW_LOG_FILE, whose folder is made; standard output is banner and reply."""
    ollama.script(refuse_tools=True)
    path = tmp_path / "logs" / "x.log"
    done = picoclaw("agent", "-m", "x", "-d", PICOCLAW_LOG_FILE=str(path))
    assert len(done.stdout.splitlines()) == 3
    assert re.search(r"^\d\d:\d\d:\d\d INF .*takes no tools", path.read_text(), re.MULTILINE)


def test_a_log_file_that_cannot_be_is_told(picoclaw):
    """Rather than a turn whose log is nowhere."""
    done = picoclaw("agent", "-m", "x", PICOCLAW_LOG_FILE="/proc/nothing/x.log")
    assert done.returncode == 1
    assert done.stderr.startswith("Error: /proc/nothing")


def test_with_json_logs_are_on_standard_error(picoclaw, ollama):
    """Standard output holds the object alone."""
    ollama.script(refuse_tools=True)
    done = picoclaw("agent", "-m", "x", "--json", "-d")
    assert json.loads(done.stdout)["outcome"] == "ok"
    assert "takes no tools" in done.stderr


# What fails ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("fly",), 'unknown command "fly" for "picoclaw-py"; it has agent, status, onboard, version'),
        (("gateway",), "gateway is a command of upstream's picoclaw only"),
        (("--fly",), "unknown flag: --fly"),
        (("agent", "--fly"), "unknown flag: --fly; see picoclaw-py agent --help"),
        (("agent", "fly"), "unknown argument: fly"),
        (("agent", "-m"), "expected one argument"),
        (("agent", "-m", " "), "-m is empty"),
        (("agent", "-m", "x", "--timeout", "nan"), "takes seconds, above 0 and at most 86400, not 'nan'"),
        (("agent", "-m", "x", "--backend", "both"), "invalid choice: 'both'"),
        (("onboard", "--model", "\x1b[1m"), "takes a line of 1 to 512 characters"),
        (("onboard", "--api-base", "ollama:11434"), "takes an http(s) URL, such as http://localhost:11434"),
    ],
)
def test_wrong_usage_is_one_line_and_status_1(fresh, words, said):
    """As upstream's; nothing is written anywhere."""
    done = fresh(*words)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.startswith("Error: ")
    assert said in done.stderr
    assert not fresh.config.exists()


def test_wrong_usage_is_an_object_for_who_asked_for_one(fresh):
    """A program that reads JSON gets JSON."""
    done = fresh("agent", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["error"].startswith("--json needs -m")
    done = fresh("agent", "--json", "--fly")
    assert done.returncode == 1
    assert json.loads(done.stdout) == {
        "error": "unknown flag: --fly; see picoclaw-py agent --help", "code": "usage", "retryable": False,
    }  # fmt: skip


def test_no_command_is_answered_with_help(fresh):
    """Status 0, on standard output, with something to copy."""
    done = fresh()
    assert (done.returncode, done.stderr) == (0, "")
    assert 'picoclaw-py agent -m "Who are you?"' in done.stdout


@pytest.mark.parametrize("command", [("agent", "-m", "x"), ("agent",), ("status",)])
def test_a_missing_config_says_what_to_type(fresh, command):
    """Status 1, before anything is asked of anybody."""
    done = fresh(*command)
    assert done.returncode == 1
    assert done.stderr.startswith(f"Error: error loading config: {fresh.config} does not exist;")
    assert "onboard" in done.stderr


@pytest.mark.parametrize("command", [("agent", "-m", "x"), ("status",)])
def test_a_broken_config_is_never_status_0(picoclaw, command):
    """Upstream's status exits with 0; the file and what is wrong with it are named. Its driver sees which."""
    picoclaw.config.write_text('{"version": 3, "agentz": {}}')
    done = picoclaw(*command)
    assert done.returncode == 1
    assert f"{picoclaw.config}" in done.stderr
    assert "agents" in done.stderr
    assert isinstance(failure_of(finished(done), OURS, ENTRY), ConfigInvalid)
    told = json.loads(picoclaw(*command, "--json").stdout)
    assert (told["code"], told["retryable"]) == ("config_invalid", False)


@pytest.mark.parametrize("command", [("agent", "-m", "x"), ("status",)])
def test_a_dead_server_is_told_with_its_address(picoclaw, command):
    """Status 1, one sentence on standard error; a driver sees that it may try again."""
    url = f"http://127.0.0.1:{free_port()}"
    document = picoclaw.config.read_text()
    picoclaw.config.write_text(re.sub(r"http://127.0.0.1:\d+", url, document))
    done = picoclaw(*command)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: ")
    assert url in done.stderr
    assert "ollama serve" in done.stderr
    failed = failure_of(finished(done), OURS, ENTRY)
    assert isinstance(failed, BackendUnreachable)
    assert failed.retryable
    if command[0] == "agent":
        assert done.stderr.startswith("Error: error processing message: ")
        assert "🦞" not in done.stdout
        told = json.loads(picoclaw(*command, "--json").stdout)
        assert (told["code"], told["retryable"]) == ("backend_unreachable", True)
        assert url in told["error"]


@pytest.mark.parametrize("command", [("agent", "-m", "x"), ("status",)])
def test_a_missing_model_is_told_with_what_mends_it(picoclaw, ollama, command):
    """Status 1; a driver sees what it is."""
    ollama.script(models={})
    done = picoclaw(*command)
    assert done.returncode == 1
    assert "ollama pull smollm2:135m" in done.stderr
    if command[0] == "agent":
        assert isinstance(failure_of(finished(done), OURS, ENTRY), ModelNotFound)


def test_a_model_that_the_config_lacks_is_told_with_those_it_has(picoclaw):
    """--model takes a name of the config."""
    done = picoclaw("agent", "-m", "x", "--model", "smollm2:136m")
    assert done.returncode == 1
    assert "did you mean smollm2:135m?" in done.stderr
    assert isinstance(failure_of(finished(done), OURS, ENTRY), ModelNotFound)


def test_the_timeout_is_the_whole_turns(picoclaw, ollama):
    """A slow server is given up at it."""
    ollama.script(delay=60)
    began = time.monotonic()
    done = picoclaw("agent", "-m", "x", "--timeout", "0.5")
    assert failure_of(finished(done), OURS, ENTRY).retryable
    told = json.loads(picoclaw("agent", "-m", "x", "--json", "--timeout", "0.5").stdout)
    assert (told["code"], told["retryable"]) == ("turn_timeout", True)
    assert time.monotonic() - began < 10

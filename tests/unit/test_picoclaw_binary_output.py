"""What upstream's output means, how a message is given to it, and which program it is."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from picoclaw.binary import MOST_ARGUMENT, argument, find_binary
from picoclaw.binary_output import failure_of, plain, reply_in
from picoclaw.child import Finished
from picoclaw.config import ModelEntry
from picoclaw.errors import BackendUnreachable, ConfigInvalid, ContextOverflow, ModelNotFound

BINARY = Path("/opt/picoclaw")
ENTRY = ModelEntry(
    model_name="tiny", provider="ollama", model="tiny:1b", api_base="http://ollama:11434/v1",
    api_keys=("sekret",), request_timeout=120.0, rpm=0, extra_body={}, enabled=True,
)  # fmt: skip
BANNER = "\r\n\x1b[1;38;2;62;93;185m██████╗ \x1b[1;38;2;213;70;70m ██████╗\n \x1b[0m\r\n"
EMPTY = "The model returned an empty response. This may indicate a provider error or token limit."
LIMIT = "I've reached `max_tool_iterations` without a final response. Increase it in config.json."
FAILED = "Error: error processing message: LLM call failed after retries: "


def printed(stdout: str = "", stderr: str = "", code: int = 0) -> Finished:
    """Give what a run left that printed this."""
    return Finished(code, stdout.encode(), stderr.encode(), flooded=False)


@pytest.mark.parametrize(
    ("stdout", "reply"),
    [
        ("\n🦞 hello\n", "hello"),
        (BANNER + "\n🦞 hello\n", "hello"),
        (
            BANNER + "15:04:05 WRN agent loop.go:1 > late\n\x1b[33m15:04:05 ERR x\x1b[0m\n\n🦞 hello\n",
            "hello",
        ),
        ("\n🦞 bug in the rain\nsix legs march\n\nno moon\n", "bug in the rain\nsix legs march\n\nno moon"),
        ("\n🦞 one\n🦞 two\n\n🦞 three\n", "one\n🦞 two\n\n🦞 three"),
        ("\n🦞 ends in a line\n\n", "ends in a line\n"),
    ],
)
def test_the_reply_is_all_that_follows_the_first_marker(stdout, reply):
    """A banner, coloured or not, and log lines before it do not count; a reply of lines is kept whole."""
    answer = reply_in(printed(stdout), BINARY)
    assert (answer.text, answer.outcome) == (reply, "ok")
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.tool_calls) == (
        None,
        None,
        None,
    )


@pytest.mark.parametrize(
    ("reply", "text", "outcome"),
    [(EMPTY, "", "empty"), ("", "", "empty"), (" \n", "", "empty"), (LIMIT, LIMIT, "tool_limit")],
)
def test_the_sentences_that_upstream_prints_for_outcomes_become_outcomes(reply, text, outcome):
    """Exit 0 although nothing was said: that is told by the outcome, not by a sentence."""
    answer = reply_in(printed(f"\n🦞 {reply}\n"), BINARY)
    assert (answer.text, answer.outcome) == (text, outcome)


def test_output_without_a_marker_is_an_error_that_shows_it():
    """A program that is not upstream's is told from one that is, and its words are shown without colours."""
    with pytest.raises(BackendUnreachable, match="but lorem ipsum") as caught:
        reply_in(printed("\x1b[31mlorem\x1b[0m\nipsum 🦞 no\n", "warning\n"), BINARY)
    assert (caught.value.retryable, caught.value.exit_code, caught.value.stderr) == (False, 0, "warning")
    assert "PICOCLAW_BINARY" in str(caught.value)


@pytest.mark.parametrize(
    ("message", "kind", "retryable"),
    [
        ('failed to send request: Post "http://x/v1": dial tcp x: connect: connection refused', 0, True),
        ('Post "http://x/v1": context deadline exceeded (Client.Timeout exceeded)', 0, True),
        ("failed to read response: unexpected EOF", 0, True),
        ("dial tcp: lookup ollama: no such host", 0, True),
        ('API request failed:\n  Status: 429\n  Body:   {"error":"slow down"}', 0, True),
        ("API request failed:\n  Status: 503\n  Body:   <empty>", 0, True),
        ('API request failed:\n  Status: 400\n  Body:   {"error":"bad temperature"}', 0, False),
        ("API request failed:\n  Status: 401\n  Body:   no", 0, False),
        ("API request failed:\n  Status: 404\n  Body:   404 page not found", 0, False),
        ('API request failed:\n  Status: 400\n  Body:   "tiny does not support tools"', 0, False),
        ("typeof is unknown", 0, False),
        ("""API request failed:\n  Status: 404\n  Body:   {"error":{"message":"model 'x' no""", 1, False),
        ('{"error":{"message":"model \\"x\\" not found, try pulling it first"}}', 1, False),
        ("API request failed:\n  Status: 400\n  Body:   maximum context length is 2048", 2, False),
        ("request (9000 tokens) exceeds the available context size", 2, False),
    ],
)
def test_a_failed_call_to_the_model_becomes_one_of_the_six(message, kind, retryable):
    """Refused, timed out, 429 and 5xx may do better later; a missing model or too long a talk may not."""
    error = failure_of(printed(stderr=f"{FAILED}{message}\n", code=1), BINARY, ENTRY)
    assert type(error) is (BackendUnreachable, ModelNotFound, ContextOverflow)[kind]
    assert (error.retryable, error.exit_code) == (retryable, 1)
    assert error.stderr == f"{FAILED}{message}"
    assert "\n" not in str(error)


def test_a_refused_config_is_config_invalid():
    """Upstream's strict fields are told as such, and not mistaken for a model that is missing."""
    text = 'Error: error loading config: json: unknown field "clawbucket"\n'
    assert type(failure_of(printed(stderr=text, code=1), BINARY, ENTRY)) is ConfigInvalid
    text = 'Error: error creating provider: model "nope" not found in model_list\n'
    assert type(failure_of(printed(stderr=text, code=1), BINARY, ENTRY)) is ModelNotFound


def test_the_help_after_an_error_is_not_judged():
    """Upstream prints its help where an error speaks of something invalid; its words mean nothing."""
    text = (
        f"{FAILED}API request failed:\n  Status: 400\n  Body: invalid\n\nUsage:\n  timeout, model not found\n"
    )
    error = failure_of(printed(stderr=text, code=1), BINARY, ENTRY)
    assert (type(error), error.retryable) == (BackendUnreachable, False)
    assert "Usage" not in str(error)
    assert "Usage" in error.stderr


def test_stderr_is_cleaned_bounded_and_shows_no_key():
    """A server that says back the key it was sent does not make it into a log."""
    text = "\x1b[31m" + "x" * 100_000 + "\n" + FAILED + "key sekret\x07\n"
    error = failure_of(printed(stderr=text, code=1), BINARY, ENTRY)
    assert error.stderr.endswith("key ***")
    assert len(error.stderr) < 20_000
    assert "sekret" not in str(error)
    assert len(str(error)) < 600


def test_another_end_is_told_with_its_code_or_signal():
    """An unknown exit code is final; a killed process may have been killed for want of memory."""
    error = failure_of(printed(stderr="gone wrong\n", code=3), BINARY, ENTRY)
    assert (type(error), error.retryable, error.exit_code) == (BackendUnreachable, False, 3)
    assert "exit code 3: gone wrong" in str(error)
    error = failure_of(printed(code=-signal.SIGKILL), BINARY, ENTRY)
    assert (error.retryable, error.exit_code) == (True, -9)
    assert "signal 9" in str(error)


def test_plain_keeps_lines_and_drops_escapes():
    """Titles, colours and bells go; line ends and letters stay."""
    assert plain("\x1b]0;title\x07a\x1b[1;31mé\x1b[0m\nb\x00".encode()) == "aé\nb"


@pytest.mark.parametrize("text", ["/clear", "!ls", "  \n/help me", "\u3000/x", "", "   "])
def test_a_message_is_never_a_chat_command_nor_empty(text):
    """Upstream splits at white space and looks for / or ! first; an empty one starts its interactive mode."""
    words = argument(text).split()
    assert words
    assert words[0][0] not in "/!"
    assert argument(text).endswith(text)


def test_an_ordinary_message_is_given_as_it_is():
    """Only what a program cannot be given is changed: NUL is dropped, half a character becomes ?."""
    assert argument("-m a/b!\n  c") == "-m a/b!\n  c"
    assert argument("a\0b\ud800") == "ab?"


def test_a_message_longer_than_an_argument_is_refused_with_both_lengths():
    """128 KiB less the final NUL is what Linux takes, in bytes and not in characters."""
    assert len(argument("x" * MOST_ARGUMENT)) == MOST_ARGUMENT == 131_071
    with pytest.raises(ContextOverflow, match=r"131072 bytes .* 131071"):
        argument("é" * 65_536)


def program(path: Path, text: str = "#!/bin/sh\n", mode: int = 0o755) -> Path:
    """Write a script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return path


OURS = "#!/venv/bin/python3\nimport sys\nfrom picoclaw.cli import main\nsys.exit(main())\n"


def test_the_binary_is_the_first_program_of_that_name_on_path_that_is_not_ours(tmp_path):
    """Folders, data, our own command and links to it are passed over, and relative entries of PATH."""
    (tmp_path / "a" / "picoclaw").mkdir(parents=True)
    program(tmp_path / "b" / "picoclaw", mode=0o644)
    program(tmp_path / "c" / "picoclaw", OURS)
    own = program(tmp_path / "d" / "picoclaw-py")
    (tmp_path / "d" / "picoclaw").symlink_to(own)
    real = program(tmp_path / "e" / "picoclaw")
    folders = [".", "", *(str(tmp_path / name) for name in "abcde")]
    assert find_binary({"PATH": ":".join(folders)}) == real
    assert find_binary({"PATH": ":".join(folders[:-1])}) is None
    assert find_binary({}) is None


def test_a_named_binary_wins_over_path(tmp_path):
    """PICOCLAW_BINARY may have any name; empty is as if it were not set."""
    real, other = program(tmp_path / "claw-0.2.9"), program(tmp_path / "bin" / "picoclaw")
    path = {"PATH": str(tmp_path / "bin")}
    assert find_binary({**path, "PICOCLAW_BINARY": str(real)}) == real
    assert find_binary({**path, "PICOCLAW_BINARY": ""}) == other


@pytest.mark.parametrize("fault", ["no file", "not executable", "this package's own"])
def test_a_named_binary_that_is_none_is_refused(tmp_path, fault):
    """It is never passed over for another: who set it is told what is wrong with it."""
    path = tmp_path / "given"
    if fault != "no file":
        program(path, OURS, 0o755 if fault.startswith("this") else 0o644)
    with pytest.raises(ConfigInvalid, match=f"PICOCLAW_BINARY is .*given.*{fault}"):
        find_binary({"PICOCLAW_BINARY": str(path), "PATH": "/usr/bin"})

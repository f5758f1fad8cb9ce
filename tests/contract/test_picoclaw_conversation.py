"""The agent's command in a conversation, and how it ends: a terminal, a pipe, Ctrl-C, a full disk."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.contract.picoclaw_typing import eventually

pytestmark = pytest.mark.slow


def test_a_conversation_through_a_pipe(picoclaw):
    """A reply for each line, none for an empty one, no prompt; the last line needs no newline."""
    done = picoclaw("agent", typed="one\n\n  \ntwo")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split("\n🦞 ")[1:] == [
        'You said "one" after 0 earlier messages.\n', 'You said "two" after 1 earlier messages.\n',
    ]  # fmt: skip


@pytest.mark.parametrize("word", ["exit", "quit", " EXIT "])
def test_exit_and_quit_end_a_conversation(picoclaw, ollama, word):
    """With status 0; what follows is not said."""
    done = picoclaw("agent", typed=f"one\n{word}\ntwo\n")
    assert done.returncode == 0
    assert done.stdout.count("\n🦞 ") == 1
    assert len(ollama.requests("/api/chat")) == 1


def test_each_reply_comes_when_it_is_there(picoclaw):
    """A program can talk to it in turns: nothing waits in a buffer."""
    with picoclaw.start("agent") as process:
        for number in range(2):
            process.stdin.write(f"line {number}\n")
            process.stdin.flush()
            while not (line := process.stdout.readline()).startswith("🦞 "):
                assert line, "it ended"
            assert f'"line {number}" after {number}' in line
        process.stdin.close()
        assert process.wait(10) == 0


def test_a_failed_turn_does_not_end_a_conversation(picoclaw, ollama):
    """It is told, and the next line is answered."""
    ollama.script(fail={"status": 400, "times": 1, "words": "bad day"})
    done = picoclaw("agent", typed="one\ntwo\n")
    assert done.returncode == 0
    assert done.stderr.startswith("Error: error processing message: ")
    assert done.stdout.count("\n🦞 ") == 1


def test_a_line_without_end_is_refused_and_not_kept(picoclaw):
    """The next line is a line again."""
    done = picoclaw("agent", typed="x" * 1_000_000 + "\nhello\n")
    assert done.returncode == 0
    assert "say less" in done.stderr
    assert done.stdout.count("\n🦞 ") == 1
    assert '"hello"' in done.stdout


def test_in_a_conversation_the_agents_messages_are_shown(picoclaw, ollama):
    """Like replies, in their order."""
    call = {"tool_calls": [{"name": "message", "arguments": {"content": "on my way"}}]}
    ollama.script(replies=[call, "done"])
    done = picoclaw("agent", typed="x\n")
    assert done.stdout.split("\n🦞 ")[1:] == ["on my way\n", "done\n"]


@pytest.mark.alone
def test_a_terminal_gets_a_prompt_and_ctrl_c_ends_it(picoclaw):
    """Status 0: nothing was under way."""
    ours, theirs = pty.openpty()
    seen = bytearray()

    def read(until: bytes, times: int = 1) -> None:
        while seen.count(until) < times:
            ready, _, _ = select.select([ours], [], [], 10.0)
            assert ready, f"{until!r} did not come after {bytes(seen)!r}"
            seen.extend(os.read(ours, 4096))

    try:
        with picoclaw.start(
            "agent", stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
        ) as process:
            read(b"You: ")
            os.write(ours, b"hello\n")
            read(b"after 0 earlier messages.")
            read(b"You: ", 2)
            process.send_signal(signal.SIGINT)
            assert process.wait(10) == 0
    finally:
        os.close(ours)
        os.close(theirs)


# Ends ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [("-m", "x"), ("-m", "x", "--json"), ()])
@pytest.mark.alone
def test_ctrl_c_in_a_turn_cancels_it(picoclaw, ollama, words):
    """Status 130, at once, and the server's place is free again; the session goes on afterwards."""
    ollama.script(delay=60)
    with picoclaw.start("agent", *words) as process:
        if not words:
            process.stdin.write("x\n")
            process.stdin.flush()
        eventually(lambda: ollama.seen()["open"] == 1, "the model is asked")
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=10)
        assert process.returncode == 130
    assert time.monotonic() - began < 3
    assert "Traceback" not in err
    if "--json" in words:
        told = json.loads(out)
        assert told["code"] == "turn_timeout"
        assert "cancelled after" in told["error"]
    else:
        assert "cancelled after" in err
    eventually(lambda: ollama.seen()["open"] == 0, "the place is free")
    ollama.script(delay=0.0)
    assert picoclaw("agent", "-m", "again").returncode == 0


def test_a_reader_that_goes_away_is_no_news(picoclaw):
    """`… | head -0`: no traceback; the status is what a shell shows for SIGPIPE."""
    read, write = os.pipe()
    os.close(read)
    with picoclaw.start("agent", "-m", "x", stdout=write) as process:
        os.close(write)
        _, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (141, "")


def test_closed_streams_are_no_fault(picoclaw):
    """`>&-` and `<&-`: the turn is had all the same, and a conversation is over at once."""
    command = " ".join([*picoclaw.argv, "agent"])
    for shell in (f"{command} -m x >&-", f"{command} <&-", f"{command} -m x >&- 2>&- <&-"):
        done = subprocess.run(["sh", "-c", shell], env=picoclaw.environ, capture_output=True, check=False)
        assert (done.returncode, done.stderr) == (0, b""), shell


def test_a_full_disk_is_told(picoclaw):
    """A reply that cannot be written is no success."""
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    with Path("/dev/full").open("w") as full, picoclaw.start("agent", "-m", "x", stdout=full) as process:
        _, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (1, "Error: No space left on device\n")

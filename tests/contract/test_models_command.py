"""``./claw models`` as a process, against the fake Ollama."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from bench.rack import free_port
from clawbucket.cli.models_command import _lines
from picoclaw.ollama_server import PullProgress
from tests.fake_ollama_process import FakeOllama

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-P", "-m", "clawbucket", "models"]


@pytest.fixture
def ollama(fake_ollama: FakeOllama) -> FakeOllama:
    """It, healthy and asked nothing yet."""
    return fake_ollama


def environment(**changes: str) -> dict[str, str]:
    """This one's, without what would change the outcome."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("OLLAMA_", "PICOCLAW_"))}
    return {**kept, "PYTHONPATH": str(ROOT), **changes}


def models(*words: str, **changes: str) -> subprocess.CompletedProcess[str]:
    """Type the command."""
    return subprocess.run(
        [*COMMAND, *words], env=environment(**changes), capture_output=True, text=True, check=False,
        timeout=30, cwd="/",
    )  # fmt: skip


def wait_for(server: FakeOllama, path: str) -> None:
    """Return when it has been asked that."""
    deadline, pause = time.monotonic() + 10, threading.Event()
    while not server.requests(path):
        assert time.monotonic() < deadline, f"{path} was not asked within 10 s"
        pause.wait(0.02)


def test_the_models_are_listed(ollama):
    """With size and date; the one that OLLAMA_MODEL names is marked, and is smollm2:135m by default."""
    done = models(OLLAMA_URL=ollama.url)
    assert (done.returncode, done.stderr) == (0, "")
    lines = [line.split() for line in done.stdout.splitlines()]
    assert done.stdout.startswith(f"3 models on Ollama at {ollama.url}\n")
    assert ["smollm2:135m", "271", "MB", "2026-01-01", "00:00", "OLLAMA_MODEL"] in lines
    assert ["qwen3:0.6b", "523", "MB", "2026-01-01", "00:00"] in lines
    assert models("list", OLLAMA_URL=ollama.url).stdout == done.stdout


def test_the_older_form_of_the_url_means_the_same(ollama):
    """…/api/generate is what older set-ups give; a name without a tag is its latest."""
    done = models(OLLAMA_URL=f"{ollama.url}/api/generate", OLLAMA_MODEL="tiny")
    assert done.returncode == 0
    assert any(
        line.split()[:1] == ["tiny:latest"] and "OLLAMA_MODEL" in line for line in done.stdout.splitlines()
    )


def test_a_missing_model_is_told_with_the_command_that_fetches_it(ollama):
    """After the list; status 1. That command works, and then all is well."""
    name = "a-model-with-quite-a-long-name-as-they-are-nowadays/instruct-0.5b-q4_K_M:2026-11-21"
    done = models(OLLAMA_URL=ollama.url, OLLAMA_MODEL=name)
    assert done.returncode == 1
    assert done.stderr == (
        f"claw: OLLAMA_MODEL is {name}, which is not there; type ./claw models pull {name}\n"
    )
    assert "qwen3:0.6b" in done.stdout
    assert models("pull", name, OLLAMA_URL=ollama.url).returncode == 0
    done = models(OLLAMA_URL=ollama.url, OLLAMA_MODEL=name)
    assert done.returncode == 0
    assert name in done.stdout


def test_an_empty_ollama_is_no_fault_of_the_table(ollama):
    """No table, one sentence, status 1."""
    ollama.script(models={})
    done = models(OLLAMA_URL=ollama.url)
    assert (done.returncode, done.stdout) == (1, f"0 models on Ollama at {ollama.url}\n")
    assert "./claw models pull smollm2:135m" in done.stderr


def test_a_hostile_name_does_not_reach_the_terminal(ollama):
    """Escape sequences of whoever answers there are taken out."""
    ollama.script(models={"\x1b[31mred:1": 5, "smollm2:135m": 5})
    done = models(OLLAMA_URL=ollama.url)
    assert "\x1b" not in done.stdout
    assert "red:1" in done.stdout


def test_a_pull_into_a_pipe_is_told_in_lines(ollama):
    """Each step once, a line each quarter; OLLAMA_MODEL unless a name is given."""
    ollama.script(models={})
    done = models("pull", OLLAMA_URL=ollama.url, OLLAMA_MODEL="other:1b")
    assert (done.returncode, done.stderr) == (0, "")
    *steps, last = done.stdout.splitlines()
    part = "pulling 0123456789ab"
    quarters = [f"{part}: {share} % of 1 MB" for share in (0, 25, 50, 75, 100)]
    assert steps == ["pulling manifest", *quarters, "verifying sha256 digest", "success"]
    assert last.startswith("other:1b is there, after ")
    assert ollama.bodies("/api/pull")[0]["model"] == "other:1b"


def test_many_reports_of_a_pull_are_few_lines(capsys):
    """Ollama reports several times a second: a log gets each quarter once, whatever the sizes."""
    reports = [PullProgress("pulling a", 1_000, done) for done in range(1_001)]
    _lines(
        iter(
            [*reports, *reports[:3], PullProgress("pulling b", 0, None), PullProgress("success", None, None)]
        )
    )
    told = capsys.readouterr().out.splitlines()
    assert told == [
        *(f"pulling a: {share} % of 1 kB" for share in (0, 25, 50, 75, 100)), "pulling a: 0 % of 1 kB",
        "pulling b", "success",
    ]  # fmt: skip


def test_a_pull_on_a_terminal_has_a_bar(ollama):
    """With what is done, of how much, and how fast."""
    ollama.script(pull_step=0.2)
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [*COMMAND, "pull"], env=environment(OLLAMA_URL=ollama.url, TERM="xterm", COLUMNS="120"),
        stdin=theirs, stdout=theirs, stderr=theirs, cwd="/",
    ) as process:  # fmt: skip
        os.close(theirs)
        seen = bytearray()
        try:
            while b"is there, after" not in seen:
                ready, _, _ = select.select([ours], [], [], 10.0)
                assert ready, bytes(seen)
                seen.extend(os.read(ours, 4096))
            assert process.wait(10) == 0
        finally:
            process.kill()
            os.close(ours)
    shown = seen.decode(errors="replace")
    assert "━" in shown
    assert "0.5/1.0 MB" in shown
    assert "/s" in shown


def test_a_model_that_nobody_has_cannot_be_fetched(ollama):
    """Status 1, one sentence that does not send the reader round in a circle."""
    done = models("pull", "missing:1b", OLLAMA_URL=ollama.url)
    assert done.returncode == 1
    assert "missing:1b" in done.stderr
    assert "ollama pull" not in done.stderr
    assert done.stderr.count("\n") == 1


def test_ctrl_c_stops_a_pull(ollama):
    """Status 130, and it says that nothing is lost."""
    ollama.script(pull_stalls=True)
    with subprocess.Popen(
        [*COMMAND, "pull"], env=environment(OLLAMA_URL=ollama.url), cwd="/", text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        try:
            wait_for(ollama, "/api/pull")
            while process.stdout.readline() != "pulling manifest\n":
                assert process.poll() is None
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=10)
        finally:
            process.kill()
    assert process.returncode == 130
    assert said == "claw: stopped; Ollama keeps what was fetched: type the same again to go on\n"


def test_a_model_is_tried_out(ollama):
    """One short question without any agent: the reply, seconds and tokens."""
    ollama.script(replies=["I am a\x1b[31m small model."])
    done = models("test", OLLAMA_URL=ollama.url)
    assert (done.returncode, done.stderr) == (0, "")
    question, reply, figures = done.stdout.splitlines()
    assert question.startswith("smollm2:135m: ")
    assert reply == "I am a small model."
    assert " s, " in figures
    assert figures.endswith(" tokens in, 5 out")
    [asked] = ollama.bodies("/api/chat")
    assert [message["role"] for message in asked["messages"]] == ["user"]


def test_tokens_that_nobody_counted_are_unknown(ollama):
    """Not 0."""
    ollama.script(usage=False)
    assert models("test", OLLAMA_URL=ollama.url).stdout.endswith("unknown tokens in, unknown out\n")


@pytest.mark.parametrize(
    ("behaviour", "name", "said"),
    [
        ({}, "none:1b", "claw: none:1b is not there; type ./claw models pull none:1b\n"),
        ({"empty": True}, "smollm2:135m", "answered nothing"),
        ({"fail": {"status": 500, "times": 9, "words": "out of memory"}}, "smollm2:135m", "out of memory"),
        ({"garbage": True}, "smollm2:135m", "not as Ollama does"),
    ],
)
def test_a_model_that_does_not_answer_is_told(ollama, behaviour, name, said):
    """Status 1, one sentence."""
    ollama.script(**behaviour)
    done = models("test", name, OLLAMA_URL=ollama.url)
    assert done.returncode == 1
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("what", ["list", "pull", "test"])
def test_a_dead_ollama_is_told_with_its_address(what):
    """How to start it, where to have it from, and which variable says where it is; status 1."""
    url = f"http://127.0.0.1:{free_port()}"
    done = models(what, OLLAMA_URL=url)
    assert (done.returncode, done.stdout) == (1, "")
    for told in (f"no Ollama answers at {url}", "ollama serve", "ollama.com/download", "OLLAMA_URL"):
        assert told in done.stderr
    assert done.stderr.count("\n") == 1


def test_an_ollama_with_a_bad_day_is_not_called_dead(ollama):
    """It answers; what it says is told."""
    ollama.script(fail={"status": 500, "times": 1, "words": "disk on fire", "all": True})
    done = models(OLLAMA_URL=ollama.url)
    assert done.returncode == 1
    assert "disk on fire" in done.stderr


@pytest.mark.parametrize(
    ("words", "url", "said"),
    [
        (("list", "x:1b"), "http://127.0.0.1:1", "did you mean ./claw models pull x:1b?"),
        (("fly",), "http://127.0.0.1:1", "'fly' is not one of 'list', 'pull', 'test'"),
        ((), "127.0.0.1:1", "OLLAMA_URL takes an http(s) URL; '127.0.0.1:1' is not that"),
    ],
)
def test_what_was_typed_wrong_is_told(words, url, said):
    """Status 2: nothing was begun."""
    done = models(*words, OLLAMA_URL=url)
    assert done.returncode == 2
    assert said in done.stderr


def test_without_a_url_it_looks_where_ollama_is_by_default():
    """And says so."""
    done = models()
    assert done.stderr.startswith("claw: OLLAMA_URL is not set; looking at http://localhost:11434\n")

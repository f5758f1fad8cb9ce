"""Turns under kill -9: whatever is killed, and whenever, the session is readable and the next turn works."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from picoclaw.errors import BackendUnreachable
from picoclaw.runtime import Runtime
from picoclaw.session_lines import INTERRUPTED
from picoclaw.turns import DEFAULT_SESSION, TurnRequest
from tests.binary_place import gone, until
from tests.contract.runtime_rig import BINARY, KINDS, NATIVE, SESSION, Rig, echo, well_formed
from tests.contract.turn_child import CONTENT, PLAN, SUMMARY, environ
from tests.fake_ollama_process import FakeOllama
from tests.stand_in_binary import write_stand_in

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow


@pytest.fixture
def rig(tmp_path: Path, fake_ollama: FakeOllama, kind: str) -> Iterator[Rig]:
    """A home on that backend."""
    made = Rig(tmp_path, kind, fake_ollama)
    yield made
    made.close()


def stages(kind: str) -> list[tuple[str, str]]:
    """What the killed turn's session holds when it is whole; a tool's result is not looked at."""
    first = "writing" if kind == NATIVE else "reading"
    tools = [("assistant", first), ("tool", ""), ("assistant", "reading"), ("tool", "")]
    return [
        ("user", "seed"), ("assistant", echo("seed")), ("user", "go"), *tools, ("assistant", "done"),
    ]  # fmt: skip


@pytest.mark.parametrize("kind", [NATIVE, BINARY])
def test_killed_at_any_step_of_a_turn_the_next_one_works(tmp_path, fake_ollama, kind):
    """At each call that writes, and at each send and receive: tools, reply and compaction included.

    What was on disk before the model was asked is there; the model is sent a conversation with every tool
    call answered; and either backend reads what the killed one left.
    """
    binary = str(write_stand_in(tmp_path / "bin")) if kind == BINARY else "-"
    homes = tmp_path / "homes"
    homes.mkdir()
    command = [sys.executable, "-m", "tests.contract.turn_child", str(homes), str(fake_ollama.port), binary]
    subprocess.run(command, cwd=ROOT, check=True, timeout=100)
    deaths = sorted(homes.iterdir())
    assert len(deaths) > (60 if kind == NATIVE else 20)
    whole = stages(kind)
    for number, home in enumerate(deaths):
        fake_ollama.reset()
        # Every other home goes on with the embedded backend, whichever was killed.
        runtime = Runtime.open(environ(home, "-" if number % 2 else binary), sync=lambda _: None)
        asked = int((home / "asked").read_text())
        found = [(m.role, "" if m.role == "tool" else m.content) for m in runtime.history(SESSION)]
        compacted = asked > 3 and found == whole[2:]
        at_least = 2 if not asked else min(len(whole), 2 * asked + 1)
        assert compacted or (found == whole[: len(found)] and len(found) >= at_least), (home.name, found)
        reply = runtime.ask(TurnRequest("next", SESSION))
        before = [content for role, content in found if role == "user"]
        assert reply.text == echo("next", len(before)), home.name
        sent = turn_of(fake_ollama)
        assert well_formed(sent[1:]), (home.name, sent)
        assert [m["content"] for m in sent if m["role"] == "user"] == [*before, "next"], home.name
        assert ("CONTEXT_SUMMARY" in sent[0]["content"]) is (SUMMARY in sent[0]["content"])
        (file,) = (home / "workspace" / "sessions").glob("*.jsonl")
        lines = [json.loads(line) for line in file.read_text().split("\n")[:-1]]
        assert [line["content"] for line in lines[-2:]] == ["next", reply.text], home.name
        plan = home / "workspace" / PLAN
        assert not plan.exists() or plan.read_text() == CONTENT
        runtime.close()


def turn_of(server: FakeOllama) -> list[dict[str, Any]]:
    """The messages of the turn since the last reset; a summary may have been asked for after it."""
    return next(one["body"]["messages"] for one in server.requests() if one["path"] != "/api/tags")


@pytest.mark.parametrize("kind", [BINARY])
@pytest.mark.parametrize("step", ["start", "user", "model", "reply"])
@pytest.mark.parametrize("goes_on", KINDS)
def test_a_binary_killed_at_any_step_leaves_a_session_for_either_backend(rig, step, goes_on):
    """Before it did anything, with the message saved, with the answer in hand, with the answer saved."""
    rig.ask("one")
    rig.open(switches={"die": step})
    with pytest.raises(BackendUnreachable, match="signal 9") as caught:
        rig.ask("two")
    assert (caught.value.retryable, caught.value.exit_code) == (True, -9)
    kept = step != "start"
    assert [m.content for m in rig.open().history(SESSION)][2:3] == (["two"] if kept else [])
    rig.kind = goes_on
    rig.configure()
    rig.open()
    assert rig.ask("three").text == echo("three", 1 + kept)
    assert well_formed(rig.sent())
    replies = {"start": [], "reply": [echo("two", 1)]}.get(step, [INTERRUPTED])
    assert [text for role, text in rig.stored() if role == "assistant"][1:-1] == replies


@pytest.mark.parametrize("kind", [NATIVE, BINARY])
@pytest.mark.alone
def test_the_command_killed_while_the_model_thinks_leaves_nothing_running(rig, kind):
    """SIGKILL to ``python -m picoclaw agent``: its connection or its binary goes too, the session heals."""
    rig.server.script(delay=60.0)
    command = [sys.executable, "-P", "-m", "picoclaw", "agent", "--backend", "auto", "-m", "one"]
    environment = {**rig.environ(), "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, env=environment, cwd="/", stdout=subprocess.DEVNULL) as child:
        try:
            rig.asked()
            children = [started.pid for started in psutil.Process(child.pid).children()]
            assert bool(children) is (kind == BINARY)
        finally:
            child.kill()
    until(lambda: all(gone(pid) for pid in children), 2.0)
    until(lambda: rig.server.seen()["open"] == 0, 2.0)
    rig.server.reset()
    assert rig.ask("two", session=DEFAULT_SESSION).text == echo("two", 1)
    assert rig.stored(DEFAULT_SESSION)[:2] == [("user", "one"), ("assistant", INTERRUPTED)]
    assert well_formed(rig.sent())

"""Turns that are killed at each step, for test_picoclaw_turn_faults.py.

``python -m tests.contract.turn_child FOLDER PORT BINARY|-`` runs one turn, each time in a home and a
process of its own, killed by SIGKILL one step later each time until one lives. ``FOLDER/N-how`` is what was
left, and ``asked`` in it how often the model had been asked.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from picoclaw import wire
from picoclaw.config import default_document
from picoclaw.runtime import Runtime
from picoclaw.turns import TurnRequest
from tests.contract.runtime_rig import MODEL, SESSION, wish
from tests.fake_ollama_process import FakeOllama

STEPS = ("open", "write", "fsync", "replace", "rename", "mkdir", "ftruncate", "unlink")
MOST_STEPS = 400
PLAN = "memory/plan.md"
CONTENT = "hold the hill"
WRITES = {**wish("write_file", path=PLAN, content=CONTENT), "text": "writing"}
READS = {**wish("read_file", path="AGENT.md"), "text": "reading"}
SUMMARY = "they made a plan"
REPLIES = {"embedded": [WRITES, READS, "done", SUMMARY], "binary": [READS, READS, "done", SUMMARY]}
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_REAL: dict[str, Callable[..., Any]] = {name: getattr(os, name) for name in STEPS}
_REAL["fsync"] = lambda _: None  # a kill takes nothing from the page cache: it need not be waited for


def environ(home: Path, binary: str) -> dict[str, str]:
    """What a process of that home sees."""
    found = {"PATH": os.environ["PATH"], "HOME": str(home), "PICOCLAW_HOME": str(home)}
    return found if binary == "-" else {**found, "PICOCLAW_BINARY": binary, "STAND_IN_BACKOFF": "0.01"}


def turn(home: Path, binary: str, text: str) -> None:
    """One turn in that home."""
    runtime = Runtime.open(environ(home, binary), sync=_sync)
    runtime.ask(TurnRequest(text, SESSION, seconds=20.0))
    runtime.close()


def _sync(file: int) -> None:
    os.fsync(file)  # the counted one, looked up when it is called


def main(root: Path, server: FakeOllama, binary: str) -> None:
    """Die in every way."""
    first = root / "first"
    first.mkdir()
    document = default_document(MODEL, server.base, context_window=8_192)
    document["agents"]["defaults"]["summarize_message_threshold"] = 6
    (first / "config.json").write_text(json.dumps(document))
    turn(first, binary, "seed")
    for how, wanted in (("before", (*STEPS, "send", "receive")), ("half", ("write", "send"))):
        for step in range(1, MOST_STEPS):
            home = root / f"{step}-{how}"
            shutil.copytree(first, home)
            server.reset()
            server.script(replies=REPLIES["embedded" if binary == "-" else "binary"])
            child = os.fork()
            if child == 0:
                _die_at(step, how, wanted)
                turn(home, binary, "go")
                os._exit(0)
            _, status = os.waitpid(child, 0)
            if os.WIFEXITED(status):
                assert os.WEXITSTATUS(status) == 0, f"the turn failed at step {step}"
                shutil.rmtree(home)
                break
            (home / "asked").write_text(str(server.seen()["total"]))
        else:
            raise AssertionError(f"a turn takes over {MOST_STEPS} steps")
    shutil.rmtree(first)


def _die_at(step: int, how: str, wanted: tuple[str, ...]) -> None:
    """Let the turn's steps be counted, of which one is the last."""
    seen, own = 0, os.getpid()

    def counting(name: str, real: Callable[..., Any], place: int) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal seen
            reads = name == "open" and not args[1] & _WRITING
            if os.getpid() != own or reads or name not in wanted:
                return real(*args, **kwargs)
            seen += 1
            if seen == step:
                if how == "half":
                    cut = list(args)
                    cut[place] = args[place][: len(args[place]) // 2]
                    real(*cut, **kwargs)
                os.kill(own, signal.SIGKILL)
            return real(*args, **kwargs)

        return call

    for name in STEPS:
        setattr(os, name, counting(name, _REAL[name], 1))
    stream: Any = wire.Stream
    stream.write, stream.read = counting("send", stream.write, 1), counting("receive", stream.read, 1)


if __name__ == "__main__":
    told = FakeOllama()
    told.port = int(sys.argv[2])
    told.reset = lambda: told._call("POST", "/_reset", {})  # type: ignore[method-assign]
    main(Path(sys.argv[1]), told, sys.argv[3])

"""Processes for test_picoclaw_session_faults.py: some are killed at each step, one holds, many talk.

``python -m tests.contract.session_child killed FOLDER SCENARIO`` runs the scenario once for each way to die,
each time in a process and a folder of its own, until it lives: ``FOLDER/N-how`` holds what was left and the
file ``acks`` in it says what had returned. ``hold``, ``talk`` and ``greenlets`` are told where they are.
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

KEY = "agent:main:alpha"
STEPS = ("open", "write", "fsync", "replace", "ftruncate", "mkdir")
MOST_STEPS = 400


def user(text: str) -> dict[str, Any]:
    """A line as upstream writes it."""
    return {"role": "user", "content": text, "created_at": "2026-06-01T12:00:00Z"}


def reply(text: str, *calls: str) -> dict[str, Any]:
    """The same of the assistant's."""
    asked = [{"id": c, "type": "function", "function": {"name": "f", "arguments": "{}"}} for c in calls]
    line = {"role": "assistant", "content": text, "created_at": "2026-06-01T12:00:00Z"}
    return {**line, "tool_calls": asked} if asked else line


TWO_TURNS = [user("u0"), reply("r0"), user("u1"), reply("r1")]
BEFORE: dict[str, tuple[list[dict[str, Any]], bytes]] = {
    "new": ([], b""),
    "turn": (TWO_TURNS, b""),
    "torn": (TWO_TURNS, b'{"role":"user","con'),
    "dangling": ([*TWO_TURNS, user("u2"), reply("", "c1", "c2")], b""),
    "middle": ([user("u0"), reply("", "c1"), *TWO_TURNS], b""),
    "compact": ([line for _ in range(3) for line in TWO_TURNS], b""),
    "clear": (TWO_TURNS, b""),
}
"""The lines that a scenario begins with, and what is torn after them."""
SAID = ("ask", "wish", "result", "answer")


def prepare(folder: Path, scenario: str) -> None:
    """Write the files that the scenario begins with; a summary too, and two lines that were skipped."""
    lines, torn = BEFORE[scenario]
    if not lines:
        return
    folder.mkdir(parents=True)
    every = [user("skipped"), reply("skipped"), *lines]
    text = "".join(json.dumps(line) + "\n" for line in every)
    (folder / "agent_main_alpha.jsonl").write_bytes(text.encode() + torn)
    times = {"created_at": "2026-06-01T12:00:00Z", "updated_at": "2026-06-01T12:00:00Z"}
    meta = {"key": KEY, "summary": "old", "skip": 2, "count": len(every), **times}
    (folder / "agent_main_alpha.meta.json").write_text(json.dumps(meta))


def act(folder: Path, scenario: str, ack: Callable[[str], None]) -> None:
    """What the scenario does, acknowledging each thing when it has returned."""
    from picoclaw.deadline import Deadline  # noqa: PLC0415
    from picoclaw.sessions import SessionStore  # noqa: PLC0415
    from picoclaw.turns import Message, ToolCall  # noqa: PLC0415

    store = SessionStore(folder, sync=_sync)
    if scenario == "clear":
        store.clear(KEY, Deadline(5.0))
        ack("clear")
        return
    with store.open(KEY, Deadline(5.0)) as session:
        ack("opened")
        if scenario == "compact":
            session.compact(4, "new")
            ack("compact")
        for said in (
            Message("user", "ask"),
            Message("assistant", "wish", tool_calls=(ToolCall("c9", "f", {}),)),
            Message("tool", "result", tool_call_id="c9"),
            Message("assistant", "answer"),
        ):
            session.append(said)
            ack(said.content)
    ack("closed")


def killed(root: Path, scenario: str) -> None:
    """Run it to every death: before and after each call of STEPS, and in the middle of each write."""
    import picoclaw.sessions  # noqa: F401, PLC0415 - once, not in every fork

    for how in ("before", "half", "after"):
        for step in range(1, MOST_STEPS):
            folder = root / f"{step}-{how}"
            prepare(folder / "sessions", scenario)
            folder.mkdir(exist_ok=True)
            child = os.fork()
            if child == 0:
                _die_at(step, how)
                act(folder / "sessions", scenario, _acks(folder / "acks"))
                os._exit(0)
            _, status = os.waitpid(child, 0)
            if os.WIFEXITED(status):
                assert os.WEXITSTATUS(status) == 0, f"{scenario} failed at step {step}"
                shutil.rmtree(folder)
                break
        else:
            raise AssertionError(f"{scenario} takes over {MOST_STEPS} steps")


def _sync(file: int) -> None:
    os.fsync(file)  # the counted one, looked up when it is called


_REAL: dict[str, Callable[..., Any]] = {name: getattr(os, name) for name in STEPS}
_REAL["fsync"] = lambda _: None  # a kill takes nothing from the page cache: it need not be waited for


def _acks(path: Path) -> Callable[[str], None]:
    file = _REAL["open"](path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    return lambda text: _REAL["write"](file, f"{text}\n".encode()) and None


def _die_at(step: int, how: str) -> None:
    """Replace the os calls by ones that count, of which one is the last."""
    seen = 0

    def counting(name: str) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal seen
            seen += 1
            if seen != step:
                return _REAL[name](*args, **kwargs)
            if how == "half" and name == "write":
                _REAL[name](args[0], args[1][: len(args[1]) // 2])
            elif how == "after":
                _REAL[name](*args, **kwargs)
            os.kill(os.getpid(), signal.SIGKILL)
            raise AssertionError

        return call

    for name in STEPS:
        setattr(os, name, counting(name))


def hold(root: Path) -> None:
    """Take the session, say a user's message in it, tell, and wait to be killed."""
    from picoclaw.deadline import Deadline  # noqa: PLC0415
    from picoclaw.sessions import SessionStore  # noqa: PLC0415
    from picoclaw.turns import Message  # noqa: PLC0415

    with SessionStore(root / "sessions").open(KEY, Deadline(5.0)) as session:
        session.append(Message("user", "held"))
        print("held", flush=True)
        signal.pause()


def talk(root: Path, name: str, turns: int) -> None:
    """So many turns in the one session that others use too."""
    from picoclaw.deadline import Deadline  # noqa: PLC0415
    from picoclaw.sessions import SessionStore  # noqa: PLC0415
    from picoclaw.turns import Message  # noqa: PLC0415

    store = SessionStore(root / "sessions")
    for number in range(turns):
        with store.open(KEY, Deadline(60.0)) as session:
            session.append(Message("user", f"{name}-{number}?" + "x" * 5_000))
            session.append(Message("assistant", f"{name}-{number}!"))


def greenlets(root: Path, count: int) -> None:
    """As many greenlets in a monkey-patched process, which must take turns while one of them lingers."""
    from gevent import monkey  # noqa: PLC0415

    monkey.patch_all()
    import gevent  # noqa: PLC0415

    from picoclaw.deadline import Deadline  # noqa: PLC0415
    from picoclaw.sessions import SessionStore  # noqa: PLC0415
    from picoclaw.turns import Message  # noqa: PLC0415

    store = SessionStore(root / "sessions")

    def turn(number: int) -> None:
        with store.open(KEY, Deadline(60.0)) as session:
            session.append(Message("user", f"{number}?"))
            gevent.sleep(0.001)
            session.append(Message("assistant", f"{number}!"))

    gevent.joinall([gevent.spawn(turn, n) for n in range(count)], raise_error=True)


if __name__ == "__main__":
    what, where, *rest = sys.argv[1:]
    if what == "killed":
        killed(Path(where), rest[0])
    elif what == "hold":
        hold(Path(where))
    elif what == "talk":
        talk(Path(where), rest[0], int(rest[1]))
    else:
        greenlets(Path(where), int(rest[0]))

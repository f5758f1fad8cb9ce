"""Sessions under kill -9 and among processes: real processes, killed at every step that touches the disk."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from picoclaw.deadline import Deadline
from picoclaw.errors import RuntimeBusy
from picoclaw.session_lines import INTERRUPTED, TOOL_INTERRUPTED
from picoclaw.sessions import SessionStore
from picoclaw.turns import Message
from tests.contract.session_child import BEFORE, KEY, SAID

ROOT = Path(__file__).parent.parent.parent
REPAIRS = {INTERRUPTED, TOOL_INTERRUPTED}
SKIPPED = ["skipped", "skipped"]


def command(*arguments: object) -> list[str]:
    """How to start the child."""
    return [sys.executable, "-m", "tests.contract.session_child", *map(str, arguments)]


def run(*arguments: object) -> None:
    """Run the child to its end."""
    subprocess.run(command(*arguments), cwd=ROOT, check=True, timeout=100)


def texts(store: SessionStore) -> list[str]:
    """What an opening finds, tool results and repairs included."""
    with store.open(KEY, Deadline(5.0)) as session:
        return [message.content for message in session.messages]


def own(found: list[str]) -> list[str]:
    """Without what repairs have put in."""
    return [text for text in found if text not in REPAIRS]


def stages(scenario: str, acks: list[str]) -> list[list[str]]:
    """What may be in the session when those things had returned: all of them, and perhaps one more."""
    lines = [line["content"] for line in BEFORE[scenario][0]]
    said = [text for text in SAID if text in acks]
    with_next = list(SAID[: len(said) + 1])
    if scenario == "clear":
        return [[]] if "clear" in acks else [lines, [], SKIPPED + lines]
    if scenario == "compact":
        if "compact" not in acks:
            # Between the renames the old lines are all there and count again; no live one is missing.
            return [lines, SKIPPED + lines, lines[-4:]]
        lines = lines[-4:]
    begun = [lines + said, lines + with_next]
    # The repair in the middle rewrites the file as a compaction does.
    return [*begun, SKIPPED + lines] if scenario == "middle" and "opened" not in acks else begun


@pytest.mark.slow
@pytest.mark.parametrize("scenario", BEFORE)
def test_killed_at_any_step_a_session_stays_whole(tmp_path, scenario):
    """Before, in and after each call to the disk: what had returned is there, and the next turn works."""
    run("killed", tmp_path, scenario)
    deaths = sorted(tmp_path.iterdir())
    assert len(deaths) > 15
    for folder in deaths:
        acks = (folder / "acks").read_text().split() if (folder / "acks").exists() else []
        store = SessionStore(folder / "sessions", sync=lambda _: None)
        allowed = stages(scenario, acks)
        assert own([m.content for m in store.history(KEY)]) in allowed, (folder.name, acks)
        found = texts(store)
        assert own(found) in allowed, (folder.name, acks)
        assert not found or found[-1] in {*REPAIRS, "r1", "answer"}, (folder.name, found)
        with store.open(KEY, Deadline(5.0)) as session:
            if scenario == "compact" and "compact" in acks:
                assert session.summary == "new"
            session.append(Message("user", "next"))
            session.append(Message("assistant", "works"))
        assert texts(store) == [*found, "next", "works"], folder.name
        assert not (folder / "sessions" / "agent_main_alpha.jsonl").read_bytes().count(b"\n\n")


def test_a_session_whose_holder_was_killed_is_free_at_once(tmp_path):
    """The lock dies with the process; until then the session is busy for others, and after it repaired."""
    with subprocess.Popen(command("hold", tmp_path), cwd=ROOT, stdout=subprocess.PIPE) as child:
        try:
            assert child.stdout.readline() == b"held\n"
            store = SessionStore(tmp_path / "sessions")
            with pytest.raises(RuntimeBusy, match=KEY), store.open(KEY, Deadline(0.05)):
                pass
        finally:
            child.kill()
            child.wait()
    with store.open(KEY, Deadline(0.0)) as session:
        assert [m.content for m in session.messages] == ["held", INTERRUPTED]


@pytest.mark.slow
def test_processes_on_one_session_take_turns(tmp_path):
    """Eight processes, twenty turns each: every turn's two lines stand together and none is missing."""
    children = [subprocess.Popen(command("talk", tmp_path, n, 20), cwd=ROOT) for n in range(8)]
    try:
        assert [child.wait(timeout=100) for child in children] == [0] * 8
    finally:
        for child in children:
            child.kill()
            child.wait()
    said = [m.content.rstrip("x") for m in SessionStore(tmp_path / "sessions").history(KEY)]
    assert [text[:-1] for text in said[::2]] == [text[:-1] for text in said[1::2]]
    assert sorted(said[::2]) == sorted(f"{n}-{turn}?" for n in range(8) for turn in range(20))


@pytest.mark.slow
def test_greenlets_on_one_session_take_turns(tmp_path):
    """In a monkey-patched process a waiting greenlet lets the one that holds the session go on."""
    run("greenlets", tmp_path, 50)
    said = [m.content for m in SessionStore(tmp_path / "sessions").history(KEY)]
    assert [text[:-1] for text in said[::2]] == [text[:-1] for text in said[1::2]]
    assert sorted(int(text[:-1]) for text in said[::2]) == list(range(50))

"""Damaged sessions: nothing whole is lost, and every damage is repaired at the next opening."""

from __future__ import annotations

import json
import logging
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from picoclaw import session_files
from picoclaw.deadline import Deadline
from picoclaw.errors import ConfigInvalid
from picoclaw.session_lines import INTERRUPTED, TOOL_INTERRUPTED
from picoclaw.turns import Message
from tests.unit.session_desk import KEY, NAME, NOW, Desk, call, reply, user

WARNED = logging.WARNING


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """An empty workspace."""
    return Desk(tmp_path)


@pytest.mark.slow
def test_a_file_cut_at_any_byte_of_its_last_three_lines_is_readable(desk):
    """Whatever byte the last write got to, whole messages are kept and the next turn works."""
    desk.say(user("first"), reply("ünï"), user("second"), reply("🦀 last"))
    whole, meta = desk.lines.read_bytes(), desk.meta.read_bytes()
    said = ["first", "ünï", "second", "🦀 last"]
    start = len(whole.split(b"\n")[0]) + 1
    for size in range(start, len(whole) + 1):
        desk.lines.write_bytes(whole[:size])
        desk.meta.write_bytes(meta)
        left = whole[:size].count(b"\n") + (whole[size : size + 1] == b"\n")
        seen = [m.content for m in desk.store.history(KEY)]
        desk.say(user("next"), reply("fine"))
        expected = said[:left] + ([INTERRUPTED] if left % 2 else [])
        assert desk.texts() == [*expected, "next", "fine"], size
        assert seen == said[:left], size
        assert desk.told()["count"] == len(expected) + 2


def test_a_torn_line_is_told_once(desk, caplog):
    """One warning says how much was cut; the next opening finds nothing to tell."""
    desk.say(user("a"), reply("b"))
    with desk.lines.open("ab") as file:
        file.write(b'{"role":"us')
    desk.texts()
    assert [r.getMessage() for r in caplog.records if r.levelno >= WARNED] == [
        f"session {KEY}: a torn last line of 11 bytes was cut off"
    ]
    caplog.clear()
    assert desk.texts() == ["a", "b"]
    assert not [r for r in caplog.records if r.levelno >= WARNED]


POISON: list[object] = [
    b"garbage", b"\xff\xfe", b"[" * 100_000, b"null", b"[]", {}, {"role": "boss", "content": "x"},
    {"role": ["user"], "content": "x"}, {"role": "user", "content": ["x"]},
    {"role": "assistant", "tool_calls": "x"}, {"role": "assistant", "tool_calls": [7]},
    {"role": "assistant", "tool_calls": [{"id": 3, "function": {}}]},
    b'{"role":"user","content":' + b"9" * 5_000 + b"}",
]  # fmt: skip


@pytest.mark.parametrize("poison", POISON, ids=[str(p)[:30] for p in POISON])
def test_a_poisoned_line_in_the_middle_is_skipped_and_counted(desk, caplog, poison):
    """It stays where it is, costs one warning for a store, and does not shift what skip counts."""
    desk.write(
        {"role": "user", "content": "old"},
        poison,
        {"role": "user", "content": "a"},
        poison,
        {"role": "assistant", "content": "b"},
        meta={"key": KEY, "summary": "", "skip": 2, "count": 5, "created_at": NOW, "updated_at": NOW},
    )
    for _ in range(2):
        with desk.store.open(KEY, Deadline(5.0)) as session:
            assert [m.content for m in session.messages] == ["a", "b"]
            assert session.poisoned == 1
    assert sum("1 lines are no messages" in r.getMessage() for r in caplog.records) == 1
    assert desk.lines.read_bytes().count(b"\n") == 5


def test_a_poisoned_last_line_is_cut(desk):
    """Garbage at the end, though it has its newline, is what a torn write leaves on some disks."""
    desk.write({"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, b"\0" * 100)
    desk.say(user("c"), reply("d"))
    assert desk.texts() == ["a", "b", "c", "d"]
    assert b"\0" not in desk.lines.read_bytes()


def test_a_dangling_user_message_is_answered(desk):
    """A turn that was killed before its reply gets one that says so, once, and it is on disk."""
    desk.say(user("a"))
    assert desk.texts() == ["a", INTERRUPTED]
    assert desk.texts() == ["a", INTERRUPTED]
    assert [m.content for m in desk.store.history(KEY)] == ["a", INTERRUPTED]


def test_dangling_tool_calls_get_results(desk):
    """A turn killed between two tools keeps the result that there is, and the other says what happened."""
    desk.say(user("a"), reply("", call("1"), call("2")), Message("tool", "one", tool_call_id="2"))
    assert desk.texts() == ["a", "", "one", TOOL_INTERRUPTED, INTERRUPTED]
    assert [m.tool_call_id for m in desk.store.history(KEY)] == [None, None, "2", "1", None]


def test_tool_calls_left_dangling_in_the_middle_are_answered_there(desk):
    """Upstream went on after a killed turn, and hides all that follows it: results are put in between."""
    asked = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    desk.write(
        {"role": "user", "content": "skipped"},
        {"role": "user", "content": "a", "name": "kept"},
        {"role": "assistant", "content": "", "tool_calls": [asked]},
        {"role": "user", "content": "b"},
        {"role": "assistant", "content": "c"},
        meta={"key": KEY, "summary": "s", "skip": 1, "count": 5, "created_at": NOW, "updated_at": NOW},
    )
    assert desk.texts() == ["a", "", TOOL_INTERRUPTED, "b", "c"]
    assert json.loads(desk.lines.read_bytes().split(b"\n")[0])["name"] == "kept"
    assert (desk.told()["skip"], desk.told()["count"], desk.told()["summary"]) == (0, 5, "s")


def test_a_tool_result_that_answers_nothing_is_left_out(desk):
    """A history that begins with a result, or has one twice, would be refused by the model's server."""
    desk.write(
        {"role": "tool", "content": "?", "tool_call_id": "0"},
        {"role": "user", "content": "a"},
        {"role": "tool", "content": "?", "tool_call_id": "1"},
        {"role": "assistant", "content": "b"},
    )
    assert desk.texts() == ["a", "b"]


GOOD = {"key": KEY, "summary": "s", "skip": 1, "count": 3, "created_at": NOW, "updated_at": NOW}


@pytest.mark.parametrize(
    ("meta", "texts", "summary"),
    [
        (None, ["a", "b", "c"], ""),
        (b"", ["a", "b", "c"], ""),
        (b"{torn", ["a", "b", "c"], ""),
        (b"[" * 100_000, ["a", "b", "c"], ""),
        (b"[1]", ["a", "b", "c"], ""),
        (b'{"skip": 1, "scope": NaN}', ["a", "b", "c"], ""),
        (b" " * 2_000_000 + b"{}", ["a", "b", "c"], ""),
        (GOOD, ["b", "c"], "s"),
        ({**GOOD, "skip": 99}, [], "s"),
        ({**GOOD, "skip": -3}, ["a", "b", "c"], "s"),
        ({**GOOD, "skip": 10**30}, [], "s"),
        ({**GOOD, "skip": True}, ["a", "b", "c"], "s"),
        ({**GOOD, "skip": "2"}, ["a", "b", "c"], "s"),
        ({**GOOD, "count": "many", "created_at": 7, "updated_at": "soon"}, ["b", "c"], "s"),
        ({**GOOD, "key": "somebody:else", "aliases": [1], "summary": 3}, ["b", "c"], ""),
    ],
)
def test_a_meta_that_makes_no_sense_is_made_anew(desk, meta, texts, summary):
    """Each field that upstream could not read is replaced, the others are believed, and new lines count."""
    desk.write(*({"role": "assistant", "content": text} for text in "abc"), meta=meta)
    with desk.store.open(KEY, Deadline(5.0)) as session:
        assert [m.content for m in session.messages] == texts
        assert session.summary == summary
        session.append(user("next"))
        session.append(reply("fine"))
    assert desk.texts() == [*texts, "next", "fine"]
    told = desk.told()
    assert told["key"] == KEY
    assert (told["count"], told["summary"]) == (5, summary)
    assert 0 <= told["skip"] <= 3
    assert told["created_at"] == told["updated_at"] == NOW
    assert "aliases" not in told
    assert b"NaN" not in desk.meta.read_bytes()


def test_of_an_enormous_file_the_end_is_read(desk, monkeypatch):
    """A file over the bound is read from its end, at a whole line, and the next compaction makes it small."""
    monkeypatch.setattr(session_files, "MAX_FILE", 1_000)
    skipped = {**GOOD, "skip": 90}
    lines = [{"role": "assistant", "content": f"{n:090}"} for n in range(100)]
    desk.write(*lines, meta=skipped)
    texts = desk.texts()
    assert texts == [f"{n:090}" for n in range(100 - len(texts), 100)]
    assert 5 < len(texts) < 10
    with desk.store.open(KEY, Deadline(5.0)) as session:
        assert session.poisoned == 0
        session.compact(2, "all gone")
    assert desk.texts() == [f"{98:090}", f"{99:090}"]
    assert desk.told()["count"] == 2


def test_what_the_binary_wrote_meanwhile_is_seen_and_not_overwritten(desk):
    """After a reload the session is what the files say, and upstream's scope stays in the meta."""
    with desk.store.open(KEY, Deadline(5.0)) as session:
        desk.write(
            {"role": "user", "content": "a"}, {"role": "assistant", "content": "b"},
            meta={**GOOD, "skip": 0, "count": 2, "scope": {"agent_id": "main"}},
        )  # fmt: skip
        session.reload()
        assert [m.content for m in session.messages] == ["a", "b"]
        assert session.summary == "s"
        session.append(user("c"))
        session.append(reply("d"))
    assert desk.told()["scope"] == {"agent_id": "main"}
    assert desk.told()["count"] == 4


def test_an_append_that_the_disk_refuses_is_not_in_the_session(desk, monkeypatch):
    """A full disk is told with the file; half a line does not stay there, and the next append works."""
    desk.say(user("a"), reply("b"))
    real = os.write
    with desk.store.open(KEY, Deadline(5.0)) as session:

        def full(file: int, data: bytes) -> int:
            if len(data) < 20:
                raise OSError(28, "No space left on device")
            return real(file, data[: len(data) - 10])

        monkeypatch.setattr(os, "write", full)
        with pytest.raises(ConfigInvalid, match=f"{NAME}.jsonl cannot be used: No space left on device"):
            session.append(user("lost"))
        monkeypatch.undo()
        session.append(user("c"))
        session.append(reply("d"))
        assert [m.content for m in session.messages] == ["a", "b", "c", "d"]
    assert desk.texts() == ["a", "b", "c", "d"]


def test_a_folder_that_cannot_be_used_says_which_and_what_to_do(tmp_path):
    """A sessions folder that is a file is ConfigInvalid with its path."""
    (tmp_path / "workspace").mkdir()
    (tmp_path / "workspace" / "sessions").write_text("")
    with pytest.raises(ConfigInvalid, match=r"sessions.* cannot be used: .*agents\.defaults\.workspace"):
        Desk(tmp_path).say(user("a"))


def test_a_session_file_that_is_a_link_or_a_pipe_is_refused(desk, tmp_path):
    """What a tool of the agent's could have planted there is neither followed nor waited for."""
    desk.folder.mkdir(parents=True)
    (tmp_path / "elsewhere").write_text("secret")
    desk.lines.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigInvalid):
        desk.say(user("a"))
    desk.lines.unlink()
    os.mkfifo(desk.lines)
    with pytest.raises(ConfigInvalid, match="not a plain file"):
        desk.say(user("a"))
    assert (tmp_path / "elsewhere").read_text() == "secret"


class Conversation(RuleBasedStateMachine):
    """A session against a plain list, opened by a fresh store as often as hypothesis likes."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp())
        self.desk = Desk(self.root)
        self.model: list[str] = []
        self.summary = ""
        self.begun = False

    @rule(turns=st.lists(st.text(max_size=20), max_size=4), unanswered=st.booleans(), again=st.booleans())
    def converse(self, turns: list[str], unanswered: bool, again: bool) -> None:
        """Whole turns, then perhaps one that is killed; in this store or in another."""
        said = [message for text in turns for message in (user(text), reply(text[::-1]))]
        said += [user("killed")] if unanswered else []
        self._repaired()
        self.desk.say(*said, store=self.desk.another() if again else None)
        self.model += [m.content.encode("utf-8", "replace").decode() for m in said]
        self.begun = self.begun or bool(said)

    @rule(keep=st.integers(0, 6), summary=st.text(max_size=10))
    def compact(self, keep: int, summary: str) -> None:
        """Drop all but so many."""
        self._repaired()
        with self.desk.store.open(KEY, Deadline(5.0)) as session:
            session.compact(keep, summary)
        self.model = self.model[len(self.model) - min(keep, len(self.model)) :]
        self.summary = summary.encode("utf-8", "replace").decode()
        self.begun = True

    @rule()
    def clear(self) -> None:
        """Forget it."""
        self.desk.store.clear(KEY, Deadline(5.0))
        self.model, self.summary = [], ""

    @rule(junk=st.binary(min_size=1, max_size=10).filter(lambda b: b"\n" not in b))
    def tear(self, junk: bytes) -> None:
        """A write that got no further."""
        if self.desk.lines.exists():
            with self.desk.lines.open("ab") as file:
                file.write(b'{"role":' + junk)

    @rule()
    def lose_count(self) -> None:
        """Killed before the meta was brought up to date."""
        if self.desk.meta.exists():
            self.desk.meta.write_text(json.dumps({**self.desk.told(), "count": 0}))

    @invariant()
    def holds_what_the_list_holds(self) -> None:
        """Readers see exactly the model at every moment."""
        assert [m.content for m in self.desk.store.history(KEY)] == self.model
        if self.begun:
            (listed,) = self.desk.store.sessions()
            assert (listed.key, listed.messages, listed.summary) == (KEY, len(self.model), self.summary)

    def _repaired(self) -> None:
        if self.model and self.model[-1] == "killed":
            self.model.append(INTERRUPTED)

    def teardown(self) -> None:
        """Leave nothing behind."""
        shutil.rmtree(self.root)


Conversation.TestCase.settings = settings(max_examples=30, stateful_step_count=20, deadline=None)


@pytest.mark.slow
class TestConversation(Conversation.TestCase):  # type: ignore[misc,valid-type]
    """The session is the list, whatever is done in whatever order."""

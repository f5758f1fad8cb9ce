"""An agent's tools: what they do in the workspace, what they answer, and where they stop."""

from __future__ import annotations

import json
import os
import stat
import time
from pathlib import Path
from typing import Any

import pytest

from picoclaw import inside
from picoclaw.errors import TurnTimeout
from picoclaw.tools import MESSAGES_A_TURN, Toolbox
from picoclaw.turns import ToolCall
from tests.unit.picoclaw_yard import Yard


@pytest.fixture
def yard(tmp_path: Path) -> Yard:
    """A fresh one."""
    return Yard(tmp_path)


def test_a_file_is_written_appended_to_and_read(yard):
    """The three file tools work on one file, whose folders are made, for its owner only."""
    assert yard.run("write_file", path="log/2024/x.md", content="one\n").startswith("File written")
    assert yard.run("append_file", path="log/2024/x.md", content="zwei ü\n").startswith("Appended")
    assert yard.run("read_file", path="./log//2024/x.md").endswith("further content.]\n\none\nzwei ü\n")
    assert stat.S_IMODE((yard.root / "log/2024/x.md").stat().st_mode) == 0o600
    assert yard.run("append_file", path="new.md", content="made").startswith("Appended")


def test_the_workspace_s_own_absolute_path_is_inside(yard):
    """The model is told the workspace's path, so it may use it; also where the workspace is a link."""
    assert yard.run("read_file", path=f"{yard.root}/notes/a.txt").endswith("hello")
    alias = yard.root.parent.parent / "alias"
    alias.symlink_to(yard.root)
    box = Toolbox(alias)
    assert box.run(ToolCall("1", "read_file", {"path": f"{alias}/notes/a.txt"})).endswith("hello")
    assert box.run(ToolCall("1", "write_file", {"path": f"{yard.root}/b.txt", "content": "b"})).startswith(
        "File"
    )


def test_a_file_is_replaced_only_when_that_is_asked_for(yard):
    """As upstream: overwrite has to be said; then readers see the old file or the new, never a part."""
    assert yard.run("write_file", path="notes/a.txt", content="x").startswith("error: ")
    with (yard.root / "notes/a.txt").open() as old:
        assert yard.run("write_file", path="notes/a.txt", content="new", overwrite=True).startswith("File")
        assert old.read() == "hello"
    assert (yard.root / "notes/a.txt").read_text() == "new"
    assert sorted(p.name for p in (yard.root / "notes").iterdir()) == ["a.txt", "out"]


def test_a_long_file_is_read_in_pieces_at_whole_characters(yard):
    """Following the notes gives the whole file back, though pieces would end inside characters."""
    text = "äöü€😀" * 12_000
    (yard.root / "long.txt").write_text(text)
    got, offset, rounds = "", 0, 0
    while offset is not None:
        answer = yard.run("read_file", path="long.txt", offset=offset)
        head, _, piece = answer.partition("\n\n")
        assert len(piece.encode()) <= inside.READ_BYTES
        got += piece
        rounds += 1
        offset = int(head.partition("offset=")[2].partition(" ")[0]) if "TRUNCATED" in head else None
    assert got == text
    assert rounds == 3
    assert "no content" in yard.run("read_file", path="long.txt", offset=10**30)
    assert "read: bytes 2-5]" in yard.run("read_file", path="long.txt", offset=1, length=5)


@pytest.mark.parametrize(
    ("given_as", "got"), [({"length": 4}, "0123"), ({"limit": "5"}, "01234"), ({"length": 4.0}, "0123")]
)
def test_a_read_can_be_shorter(yard, given_as, got):
    """Length (or limit) in bytes; numbers come as small models write them."""
    (yard.root / "n.txt").write_text("0123456789")
    assert yard.run("read_file", path="n.txt", **given_as).endswith(f"\n\n{got}")


def test_a_toolbox_for_a_small_model_reads_less(yard):
    """read_bytes bounds a read, whatever the model asks for."""
    (yard.root / "n.txt").write_text("x" * 1_000)
    box = Toolbox(yard.root, read_bytes=100)
    assert "bytes 0-99]" in box.run(ToolCall("1", "read_file", {"path": "n.txt", "length": 500}))


@pytest.mark.parametrize("data", [b"\x89PNG\x00\x00", b"a\x00b", b"caf\xe9", b"\xff\xfe", b"\xc3"])
def test_what_is_not_text_is_not_read(yard, data):
    """Bytes that are no UTF-8, or have a NUL, are an error and not garbage in the conversation."""
    (yard.root / "b.bin").write_bytes(data)
    assert yard.run("read_file", path="b.bin") == "error: b.bin is not text (UTF-8)"


def test_a_listing_tells_folders_first_and_hides_what_is_kept_back(yard):
    """Kinds and names as upstream prints them; sessions and state are not shown."""
    lines = yard.run("list_dir", path=".").split("\n")
    assert lines[:3] == ["DIR:  memory", "DIR:  notes", "DIR:  skills"]
    assert "LINK: link.txt" in lines
    assert "FILE: AGENT.md" in lines
    assert not [line for line in lines if "sessions" in line or "state" in line]
    assert yard.run("list_dir") == "\n".join(lines)
    assert yard.run("list_dir", path="skills") == "skills is empty"


def test_a_listing_is_bounded_and_each_name_is_one_line(yard):
    """A folder of many files is cut with a word, and a name with a line break cannot forge an entry."""
    (yard.root / "many").mkdir()
    for number in range(inside.LIST_ENTRIES + 3):
        (yard.root / "many" / f"{number}").touch()
    lines = yard.run("list_dir", path="many").split("\n")
    assert len(lines) == inside.LIST_ENTRIES + 1
    assert lines[-1].startswith("[TRUNCATED")
    (yard.root / "notes" / "x\nDIR:  forged").touch()
    assert len(yard.run("list_dir", path="notes").split("\n")) == 3


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("x" * 256, "longer than 255 bytes"),
        ("ü" * 128, "longer than 255 bytes"),
        ("a/" * 40 + "b", "at most 32"),
        ("/".join(["p" * 250] * 5), "at most 1024"),
    ],
)
def test_paths_are_bounded(yard, path, told):
    """Names, folders and the whole path: more is refused before anything is opened."""
    answer = yard.run("write_file", path=path, content="x")
    assert answer.startswith("error: ")
    assert told in answer
    assert len(answer) < 600


def test_a_read_is_bounded_whoever_asks(yard):
    """The bound is held where the file is read, not only where the model's wish is."""
    (yard.root / "long.txt").write_text("x" * (inside.READ_BYTES + 1))
    assert len(inside.Inside(yard.root).read("long.txt", 0, 10**9).data) == inside.READ_BYTES


def test_a_write_and_a_file_are_bounded(yard, monkeypatch):
    """A write over the bound says the bound, and appending cannot pass a file's."""
    big = "x" * (inside.WRITE_BYTES + 1)
    assert str(inside.WRITE_BYTES) in yard.run("write_file", path="big", content=big)
    monkeypatch.setattr(inside, "FILE_BYTES", 10)
    assert yard.run("append_file", path="grow", content="123456").startswith("Appended")
    assert "may grow to 10" in yard.run("append_file", path="grow", content="123456")
    assert (yard.root / "grow").read_text() == "123456"


def test_a_full_workspace_takes_less_but_not_more(yard, monkeypatch):
    """When the total is used up, writes are refused, and a file can still be shortened to make room."""
    yard.run("write_file", path="mine", content="x" * 5_000)
    monkeypatch.setattr(inside, "TOTAL_BYTES", 10_000)  # a link counts as its target's name does
    (yard.root / "sessions" / "long").write_text("s" * 20_000)
    assert yard.run("write_file", path="fits", content="x" * 100).startswith("File")
    assert "full" in yard.run("write_file", path="more", content="x" * 6_000)
    assert "full" in yard.run("append_file", path="mine", content="x" * 6_000)
    alias = yard.root.parent / "alias"
    alias.symlink_to(yard.root)
    more = ToolCall("1", "write_file", {"path": "more", "content": "x" * 6_000})
    assert "full" in Toolbox(alias).run(more)
    monkeypatch.setattr(inside, "TOTAL_BYTES", 100)
    assert yard.run("write_file", path="mine", content="x" * 4_999, overwrite=True).startswith("File")


def test_the_number_of_files_is_bounded(yard, monkeypatch):
    """A model in a loop cannot use up the file system's entries, by files or by folders."""
    monkeypatch.setattr(inside, "TOTAL_ENTRIES", 3)
    assert "full" in yard.run("write_file", path="more", content="")
    assert yard.run("write_file", path="deep/er/x", content="").startswith("error: ")
    assert not (yard.root / "deep").exists()
    assert yard.run("append_file", path="AGENT.md", content="x").startswith("Appended")


def test_what_a_killed_writer_left_is_removed(yard):
    """A temporary file of an hour ago goes with the next write; a fresh one may be in use."""
    for name, age in (("old", 4_000), ("new", 10)):
        left = yard.root / "notes" / f"{inside._TEMPORARY}{name}"
        left.write_text("x")
        os.utime(left, (time.time() - age, time.time() - age))
    yard.run("write_file", path="x", content="x")
    assert [p.name for p in (yard.root / "notes").glob(f"{inside._TEMPORARY}*")] == [
        f"{inside._TEMPORARY}new"
    ]


def test_a_write_that_fails_leaves_nothing_behind(yard, monkeypatch):
    """Disk full: the old file stays, the temporary one goes, and the model is told."""

    def full(*_: Any) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    answer = yard.run("write_file", path="notes/a.txt", content="new", overwrite=True)
    assert answer == "error: write_file failed: No space left on device"
    assert (yard.root / "notes/a.txt").read_text() == "hello"
    assert sorted(p.name for p in (yard.root / "notes").iterdir()) == ["a.txt", "out"]


@pytest.mark.parametrize(
    ("tool", "arguments", "told"),
    [
        ("rm", {}, "there are read_file, write_file, append_file, list_dir, message"),
        ("read_file", {}, "path is missing; the tool is read_file(path, offset?, length?)"),
        ("read_file", {"raw": "{"}, "path is missing"),
        ("read_file", {"path": 7}, "path is a int, it must be a text"),
        ("read_file", {"path": "notes/a.txt", "offset": -1}, "at least 0"),
        ("read_file", {"path": "notes/a.txt", "length": True}, "a whole number"),
        ("read_file", {"path": "notes/a.txt", "length": float("nan")}, "a whole number"),
        ("read_file", {"path": "notes"}, "is a folder"),
        ("read_file", {"path": "nope.txt"}, "list_dir shows what is there"),
        ("read_file", {"path": "notes/a.txt/b"}, "only real folders"),
        ("write_file", {"path": "x"}, "content is missing"),
        ("write_file", {"path": "x", "content": "\ud83d"}, "lone surrogate"),
        ("write_file", {"path": "", "content": "x"}, "names no file"),
        ("write_file", {"path": "notes", "content": "x", "overwrite": True}, "is a folder"),
        ("write_file", {"path": "x", "content": "x", "overwrite": 1}, "true or false"),
        ("list_dir", {"path": "notes/a.txt"}, "only real folders"),
        ("message", {"content": " \u200b"}, "content is empty"),
    ],
)
def test_a_mistake_is_an_answer_that_says_what_is_allowed(yard, tool, arguments, told):
    """Whatever the model gets wrong, it gets one line that helps it do better."""
    answer = Toolbox(yard.root, say=yard.said.append).run(ToolCall("1", tool, arguments))
    assert answer.startswith("error: ")
    assert told in answer
    assert "\n" not in answer


def test_arguments_that_are_no_object_are_a_mistake_too(yard):
    """Even what no adapter should let through is only an answer."""
    answer = Toolbox(yard.root).run(ToolCall("1", "read_file", ["notes/a.txt"]))  # type: ignore[arg-type]
    assert "not an object" in answer


def test_messages_are_cleaned_cut_and_counted(yard):
    """A turn says at most five things, each bounded and without controls."""
    box = Toolbox(yard.root, say=yard.said.append)
    answers = [box.run(ToolCall("1", "message", {"content": f"\x1b[1m{n}" + "x" * 3_000})) for n in range(6)]
    assert answers[:5] == ["Message sent"] * MESSAGES_A_TURN
    assert answers[5].startswith("error: ")
    assert len(yard.said) == 5
    assert {len(text) for text in yard.said} == {2_000}
    assert yard.said[0].startswith("0x")


def test_without_a_listener_there_is_no_message_tool(yard):
    """The model is not offered what cannot work."""
    box = Toolbox(yard.root)
    assert [spec.name for spec in box.specs] == ["read_file", "write_file", "append_file", "list_dir"]
    assert "there is no tool 'message'" in box.run(ToolCall("1", "message", {"content": "x"}))


def test_a_listener_that_fails_costs_the_message_and_not_the_turn(yard):
    """The app's bus may be down; but the turn's own end passes through."""

    def down(_: str) -> None:
        raise ConnectionError("bus")

    def over(_: str) -> None:
        raise TurnTimeout("over")

    call = ToolCall("1", "message", {"content": "x"})
    assert "not delivered" in Toolbox(yard.root, say=down).run(call)
    with pytest.raises(TurnTimeout):
        Toolbox(yard.root, say=over).run(call)


def test_the_specs_are_json_schemas(yard):
    """Each is an object whose required arguments are among its properties, and can be sent."""
    for spec in Toolbox(yard.root, say=yard.said.append).specs:
        parameters = json.loads(json.dumps(spec.parameters))
        assert parameters["type"] == "object"
        assert set(parameters["required"]) <= set(parameters["properties"])
        assert spec.description


def test_a_missing_workspace_is_an_answer(tmp_path):
    """A workspace that somebody removed does not end the turn."""
    for tool in ("read_file", "list_dir", "write_file"):
        answer = Toolbox(tmp_path / "gone").run(ToolCall("1", tool, {"path": "x", "content": "x"}))
        assert answer.startswith("error: ")

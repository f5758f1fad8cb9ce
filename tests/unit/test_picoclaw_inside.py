"""Containment: whatever path a model gives, its tools do not leave the workspace."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from picoclaw import inside
from tests.unit.picoclaw_yard import CANARY, MARK, SECRET, Yard


@pytest.fixture
def yard(tmp_path: Path) -> Yard:
    """A fresh one."""
    return Yard(tmp_path)


OUT = (
    "../config.json", "notes/../../config.json", "link.txt", "notes/out/canary.txt", "notes/out/new.txt",
    "up/config.json", "up/workspace/AGENT.md", "dangling", "inner.txt", "/etc/passwd", "~/x", "..", "/",
    "//etc/passwd", "notes\\..\\..\\config.json", "a\0b", "a\nb", "\udcff", "notes/..", "/proc/self/environ",
)  # fmt: skip


@pytest.mark.parametrize("path", OUT)
def test_no_path_leads_out(yard, path):
    """`..`, absolute paths, links anywhere and odd characters are refused by every tool."""
    for answer in (
        yard.run("read_file", path=path),
        yard.run("write_file", path=path, content="x", overwrite=True),
        yard.run("append_file", path=path, content="x"),
        yard.run("list_dir", path=path if path != "/" else "/etc"),
    ):
        assert answer.startswith("error: ")
        assert SECRET not in answer
    assert yard.untouched()
    assert (yard.root / "notes/a.txt").read_text() == "hello"


@pytest.mark.parametrize("restrict", [True, False])
@pytest.mark.parametrize(
    "path",
    [
        "sessions/other.jsonl",
        "sessions/new",
        "state/x",
        "SESSIONS/x",
        "sessions",
        ".security.yml",
        "config.json",
    ],
)
def test_what_is_the_runtime_s_is_kept_from_tools(yard, path, restrict):
    """Other conversations, the runtime's state, config and keys: with and without containment."""
    for tool in ("read_file", "write_file", "append_file", "list_dir"):
        assert yard.run(tool, restrict=restrict, path=path, content="x", overwrite=True).startswith("error: ")
    assert yard.untouched()


def test_another_name_of_a_kept_folder_does_not_help(yard):
    """Without containment links are followed, but not into sessions or to the home's config."""
    (yard.root / "alias").symlink_to("sessions")
    for path in (
        "alias/other.jsonl",
        "up/config.json",
        "../config.json",
        f"{yard.root}/../workspace/sessions/other.jsonl",
    ):
        assert "kept from tools" in yard.run("read_file", restrict=False, path=path)
    assert yard.untouched()


def test_a_kept_folder_is_known_by_itself_and_not_only_by_its_name(yard, monkeypatch):
    """A file system may take another spelling for the same folder: then its identity tells."""
    monkeypatch.setattr(inside.Inside, "_kept_back", lambda *_: frozenset())
    assert "kept from tools" in yard.run("read_file", path="sessions/other.jsonl")
    assert "kept from tools" in yard.run("list_dir", path="sessions")


def test_without_containment_paths_may_lead_anywhere(yard):
    """restrict_to_workspace false: absolute paths, `..` and links work, limits stay."""
    assert yard.run("read_file", restrict=False, path="link.txt").endswith(SECRET)
    assert yard.run("read_file", restrict=False, path="../../outside/canary.txt").endswith(SECRET)
    made = yard.run("write_file", restrict=False, path=f"{yard.outside}/x", content="x" * inside.WRITE_BYTES)
    assert made.startswith("File")
    assert "allowed" in yard.run(
        "write_file", restrict=False, path=f"{yard.outside}/y", content="x" * (inside.WRITE_BYTES + 1)
    )


def test_fifos_devices_and_sockets_are_refused_at_once(yard):
    """Nothing but regular files: a FIFO would keep the turn waiting for ever."""
    os.mkfifo(yard.root / "fifo")
    listener = socket.socket(socket.AF_UNIX)
    here = Path.cwd()
    os.chdir(yard.root)  # a socket's path has to be short
    try:
        listener.bind("socket")
    finally:
        os.chdir(here)
        listener.close()
    for name in ("fifo", "socket"):
        for tool in ("read_file", "write_file", "append_file"):
            assert "regular files" in yard.run(tool, path=name, content="x", overwrite=True)
    assert "device" in yard.run("read_file", restrict=False, path="/dev/zero")


def test_a_hard_link_is_not_appended_to(yard):
    """A second name may be outside: appending would change that file too, replacing does not."""
    os.link(yard.outside / CANARY, yard.root / "hard.txt")
    assert "hard link" in yard.run("append_file", path="hard.txt", content="x")
    assert yard.run("write_file", path="hard.txt", content="x", overwrite=True).startswith("File")
    assert yard.untouched()


def test_a_folder_swapped_for_a_link_is_noticed(yard, monkeypatch):
    """The race: a folder becomes a link after it was looked at and before it is opened."""
    real = os.mkdir

    def swap(name: Any, *args: Any, **kwargs: Any) -> None:
        if name == "fresh":
            (yard.root / "fresh").symlink_to(yard.outside)
            raise FileExistsError
        real(name, *args, **kwargs)

    monkeypatch.setattr(os, "mkdir", swap)
    assert "only real folders" in yard.run("write_file", path="fresh/x", content="x")
    assert yard.untouched()


def test_a_file_swapped_for_a_link_is_noticed(yard, monkeypatch):
    """The same for the last component, for reading and for appending."""
    real = inside._must_be_file

    def swap(place: Any, path: str) -> None:
        real(place, path)
        (yard.root / "notes/a.txt").unlink()
        (yard.root / "notes/a.txt").symlink_to(yard.outside / CANARY)

    for tool in ("read_file", "append_file"):
        monkeypatch.setattr(inside, "_must_be_file", swap)
        assert "only regular files" in yard.run(tool, path="notes/a.txt", content="x")
        (yard.root / "notes/a.txt").unlink()
        (yard.root / "notes/a.txt").write_text("again")
    assert yard.untouched()


PIECES = st.sampled_from(
    [".", "..", "", "~", "notes", "out", "link.txt", "up", "workspace", "sessions", "other.jsonl", "state",
     "x", "outside", CANARY, "home", "config.json", "inner.txt", "dangling", "a.txt", "SESSIONS", "proc",
     "self", "root", "cwd"]
)  # fmt: skip
PATHS = st.one_of(
    st.text(max_size=30),
    st.lists(PIECES, max_size=6).map("/".join),
    st.lists(PIECES, max_size=6).map(lambda parts: "/" + "/".join(parts)),
    st.lists(PIECES, max_size=5).map(lambda parts: "{root}/" + "/".join(parts)),
    st.lists(PIECES, max_size=5).map(lambda parts: "{top}/" + "/".join(parts)),
)


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(path=PATHS)
def test_whatever_the_path_nothing_outside_is_read_or_written(path):
    """For any text as a path, no tool tells the canary's secret or changes anything outside."""
    with TemporaryDirectory() as top:
        yard = Yard(Path(top))
        path = path.replace("{root}", str(yard.root)).replace("{top}", top)
        answers = [
            yard.run("read_file", path=path),
            yard.run("list_dir", path=path),
            yard.run("append_file", path=path, content="x"),
            yard.run("write_file", path=path, content="x", overwrite=True),
            yard.run("read_file", path=path),
        ]
        assert not any(SECRET in answer or MARK in answer for answer in answers)
        assert yard.untouched()
        assert (yard.root / "link.txt").is_symlink()

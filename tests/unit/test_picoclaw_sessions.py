"""Sessions: who gets which, upstream's files to the byte, what is listed, and one turn at a time."""

from __future__ import annotations

import fcntl
import os
import stat
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from picoclaw import session_files
from picoclaw.deadline import Deadline
from picoclaw.errors import ConfigInvalid, RuntimeBusy, TurnTimeout
from picoclaw.session_lines import MAX_LINE
from picoclaw.sessions import MAX_KEY, session_key
from picoclaw.turns import DEFAULT_SESSION, Message, ToolCall
from tests.unit.session_desk import KEY, NAME, NOW, Desk, call, reply, user


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """An empty workspace."""
    return Desk(tmp_path)


# Names and keys.


@pytest.mark.parametrize(
    ("asked", "key"),
    [
        ("alpha", "agent:main:alpha"),
        ("a_b-3", "agent:main:a_b-3"),
        ("agent:main:telegram:direct:12", "agent:main:telegram:direct:12"),
        ("sk_v1_0a1b", "sk_v1_0a1b"),
        ("", DEFAULT_SESSION),
    ],
)
def test_a_name_that_upstream_keeps_apart_is_kept(asked, key):
    """A clean name is put under agent:main:, and a key of upstream's stays what it is."""
    assert session_key(asked) == key
    assert session_key(key) == key


@pytest.mark.parametrize(
    "asked", ["main", "agent:main:main", "AGENT:MAIN:MAIN", "agent:other:main", "Main", " ", "agent:", "é"]
)
def test_no_name_reaches_upstreams_shared_session(asked):
    """agent:main:main, which upstream mixes into other sessions, is nobody's key."""
    key = session_key(asked)
    assert key.startswith("agent:main:")
    assert len(key) > len("agent:main:main")
    assert session_key(key) == key


@given(st.text(max_size=200), st.text(max_size=200))
def test_two_names_are_two_sessions(one, other):
    """Names that a slug would make the same are told apart by a hash, and every key fits a file name."""
    for asked in (one, other):
        assert len(session_files.file_name(session_key(asked)).encode()) <= session_files.MAX_FILE_NAME
    if one != other and not any(name.startswith(("agent:", "sk_v1_")) or not name for name in (one, other)):
        assert session_key(one) != session_key(other)


def test_a_key_too_long_to_keep_is_shortened_and_still_its_own():
    """An agent: key over the bound becomes a slug with a hash, so that every file name fits."""
    one, other = (session_key(f"agent:main:{'a' * 300}{end}") for end in "xy")
    assert one != other
    assert len(one) < MAX_KEY
    assert session_key(f"agent:{'a' * (MAX_KEY - 6)}") == f"agent:{'a' * (MAX_KEY - 6)}"


def test_a_name_made_to_look_like_anothers_hash_is_still_another():
    """Somebody who asks for the slug of another session does not get it."""
    slug = session_key("Alpha Team").removeprefix("agent:main:")
    assert session_key(slug) != session_key("Alpha Team")


def test_two_keys_with_one_file_name_do_not_share_a_session(desk):
    """Upstream's file names are lossy; the second key is refused with the way out, the first is untouched."""
    desk.say(user("mine"), reply("yes"), key="agent:main:a:b")
    with pytest.raises(ConfigInvalid, match=r"agent:main:a_b would share .* agent:main:a:b; use another"):
        desk.say(user("theirs"), key="agent:main:a_b")
    assert desk.texts("agent:main:a:b") == ["mine", "yes"]


def test_a_key_that_fits_no_file_name_is_refused(desk):
    """A key that is too long, or has a NUL, says what is allowed."""
    for key in ("", "agent:main:a\0b", "agent:main:" + "a" * 300):
        with pytest.raises(ConfigInvalid, match="cannot name a session"):
            desk.store.history(key)


# The files.


def test_the_files_are_upstreams_to_the_byte(desk):
    """One compact object a line, tool calls in OpenAI's form, and an indented meta beside it."""
    desk.say(
        user("read a.txt: <ünï> & all"),
        reply("", call("call_1")),
        Message("tool", "its text", tool_call_id="call_1"),
        reply("done"),
    )
    at = f'"created_at":"{NOW}"'
    assert desk.lines.read_text(encoding="utf-8").split("\n") == [
        '{"role":"user","content":"read a.txt: <ünï> & all",' + at + "}",
        '{"role":"assistant","content":"",' + at + ',"tool_calls":[{"id":"call_1","type":"function",'
        '"function":{"name":"read_file","arguments":"{\\"path\\":\\"a.txt\\"}"}}]}',
        '{"role":"tool","content":"its text",' + at + ',"tool_call_id":"call_1"}',
        '{"role":"assistant","content":"done",' + at + "}",
        "",
    ]
    assert desk.meta.read_text(encoding="utf-8") == (
        f'{{\n  "key": "{KEY}",\n  "summary": "",\n  "skip": 0,\n  "count": 4,\n'
        f'  "created_at": "{NOW}",\n  "updated_at": "{NOW}"\n}}'
    )
    assert sorted(path.name for path in desk.folder.iterdir()) == [
        f"{NAME}.jsonl",
        f"{NAME}.lock",
        f"{NAME}.meta.json",
    ]
    assert stat.S_IMODE(desk.lines.stat().st_mode) == 0o600


def test_what_upstream_wrote_is_read_and_kept_as_it_is(desk):
    """Fields that only upstream knows survive a compaction, in the lines and in the meta."""
    ours = b'{"role":"assistant", "content":"b", "model_name":"m", "reasoning_content":"y","created_at":"x"}'
    desk.write(
        {"role": "user", "content": "old"},
        {"role": "assistant", "content": "old too"},
        {"role": "user", "content": "a", "media": ["media://1"]},
        ours,
        meta={"key": KEY, "summary": "s", "skip": 2, "count": 4, "created_at": NOW, "updated_at": NOW,
              "scope": {"agent_id": "main"}, "aliases": ["x"], "history_revision": 7},
    )  # fmt: skip
    with desk.store.open(KEY, Deadline(5.0)) as session:
        assert [m.content for m in session.messages] == ["a", "b"]
        assert session.summary == "s"
        session.compact(1, "s2")
    assert desk.lines.read_bytes() == ours + b"\n"
    assert desk.told() == {
        "key": KEY, "summary": "s2", "skip": 0, "count": 1, "created_at": NOW, "updated_at": NOW,
        "scope": {"agent_id": "main"}, "aliases": ["x"], "history_revision": 7,
    }  # fmt: skip


def test_tool_calls_come_back_as_they_went(desk):
    """Arguments are parsed again; what a model gave that is no object is kept under "raw"."""
    desk.say(user("x"), reply("", call("1")), Message("tool", "t", tool_call_id="1"), reply("y"))
    assert desk.store.history(KEY)[1].tool_calls == (call("1"),)
    bad = {"id": "2", "function": {"name": "f", "arguments": "{oh"}}
    desk.write({"role": "assistant", "content": None, "tool_calls": [bad]})
    assert desk.store.history(KEY)[0].tool_calls == (ToolCall("2", "f", {"raw": "{oh"}),)


def test_an_assistants_mere_thought_is_no_message(desk):
    """Upstream discards lines that hold reasoning only; so they are discarded here."""
    thought = {"role": "assistant", "content": " ", "reasoning_content": "hm"}
    desk.write({"role": "user", "content": "a"}, thought, {"role": "assistant", "content": "b"})
    assert desk.texts() == ["a", "b"]


@pytest.mark.parametrize("at", ["", "yesterday", "2026-06-01 12:00:00", "2026-13-01T00:00:00Z"])
def test_a_time_that_upstream_could_not_read_is_never_written(desk, at):
    """Upstream takes a line for corrupt whose created_at is not RFC 3339."""
    desk.say(Message("user", "a", created_at=at), reply("b"))
    assert desk.store.history(KEY)[0].created_at == NOW


@pytest.mark.parametrize("text", ["x" * 400_000, "\x00é🦀\\" * 100_000, "\ud800 alone"])
def test_a_line_is_bounded_and_always_readable(desk, text):
    """A message too long for a line is cut and says so; characters that no file can hold are replaced."""
    desk.say(user(text), reply("b"))
    first = desk.store.history(KEY)[0].content
    assert max(len(line) for line in desk.lines.read_bytes().split(b"\n")) <= MAX_LINE
    assert "[cut: the first" in first if len(text) > 1_000 else first == "? alone"


def test_a_tool_call_with_huge_arguments_is_bounded(desk):
    """A call that writes a whole book is stored with the head of its arguments."""
    huge = ToolCall("1", "write_file", {"path": "a", "content": '"\\' * 300_000})
    desk.say(user("a"), reply("b" * 300_000, huge), Message("tool", "t", tool_call_id="1"), reply("c"))
    stored = desk.store.history(KEY)
    assert max(len(line) for line in desk.lines.read_bytes().split(b"\n")) <= MAX_LINE
    assert stored[1].tool_calls[0].arguments["cut"].startswith('{"path":"a"')
    assert stored[1].content.startswith("bbb")


def test_every_line_is_synced_before_append_returns(tmp_path):
    """An append syncs the line's data; the first one also the directory that got a new file."""
    synced: list[str] = []
    store = Desk(tmp_path).another(
        sync=lambda file: synced.append(str(Path(f"/proc/self/fd/{file}").readlink()))
    )
    folder = str(tmp_path / "workspace" / "sessions")
    with store.open(KEY, Deadline(5.0)) as session:
        synced.clear()
        session.append(user("a"))
        assert synced == [f"{folder}/{NAME}.meta.json.part", folder, f"{folder}/{NAME}.jsonl", folder]
        synced.clear()
        session.append(reply("b"))
        assert synced == [f"{folder}/{NAME}.jsonl"]
        synced.clear()
        session.compact(1, "s")
        assert synced == [f"{folder}/{NAME}.meta.json.part", folder, f"{folder}/{NAME}.jsonl.part", folder]


# Compacting, clearing, listing.


def test_compacting_keeps_the_last_messages_and_the_summary(desk):
    """What is kept is on disk, what is not is gone from it, and the summary is there at the next opening."""
    desk.say(*(m for n in range(4) for m in (user(f"u{n}"), reply(f"r{n}"))))
    with desk.store.open(KEY, Deadline(5.0)) as session:
        session.compact(2, "they counted")
        assert [m.content for m in session.messages] == ["u3", "r3"]
    with desk.another().open(KEY, Deadline(5.0)) as session:
        assert session.summary == "they counted"
        assert [m.content for m in session.messages] == ["u3", "r3"]
    assert b"u0" not in desk.lines.read_bytes()


def test_a_cleared_session_is_empty_and_can_go_on(desk):
    """Clearing forgets messages and summary; clearing what never was makes nothing."""
    desk.store.clear("agent:main:never", Deadline(1.0))
    assert not desk.folder.exists()
    desk.say(user("a"), reply("b"))
    with desk.store.open(KEY, Deadline(5.0)) as session:
        session.compact(2, "s")
    desk.store.clear(KEY, Deadline(1.0))
    assert desk.store.history(KEY) == ()
    with desk.store.open(KEY, Deadline(5.0)) as session:
        assert (session.messages, session.summary) == ((), "")
        session.append(user("c"))
        session.append(reply("d"))
    assert desk.texts() == ["c", "d"]


def test_sessions_are_listed_with_what_counts_in_them(desk):
    """The latest used first; files that are no session, or cannot be read, hide no other."""
    assert desk.store.sessions() == ()
    desk.say(user("a"), reply("b"), key="agent:main:one")
    desk.say(user("a"), reply("b"), user("c"), reply("d"), key="agent:main:two_x")
    with desk.store.open("agent:main:two_x", Deadline(5.0)) as session:
        session.compact(2, "older")
    (desk.folder / "agent_main_one.meta.json").unlink()
    os.utime(desk.folder / "agent_main_one.jsonl", (1, 1))
    (desk.folder / "notes.txt").write_text("x")
    (desk.folder / "odd.jsonl").write_text("{}\n")
    os.utime(desk.folder / "odd.jsonl", (2, 2))
    (desk.folder / "odd.meta.json").mkdir()
    listed = desk.store.sessions()
    assert [(s.key, s.messages, s.summary) for s in listed] == [
        ("agent:main:two_x", 2, "older"),
        ("agent:main:one", 2, ""),
    ]
    assert listed[0].updated_at == NOW


def test_reading_and_listing_change_nothing(desk):
    """History and sessions look without lock or repair: a turn may be writing."""
    desk.write({"role": "user", "content": "a"}, b"poison", {"role": "user", "content": "b"})
    with desk.lines.open("ab") as file:
        file.write(b"torn")
    before = desk.lines.read_bytes()
    assert [m.content for m in desk.store.history(KEY)] == ["a", "b"]
    assert desk.store.sessions()[0].key == KEY
    assert desk.lines.read_bytes() == before
    assert [path.name for path in desk.folder.iterdir()] == [desk.lines.name]


# The lock.


def test_a_held_session_is_busy_at_the_deadline_and_named(desk):
    """A second opening waits for its deadline and says which session and what to do; others go on."""
    with desk.store.open(KEY, Deadline(5.0)):
        with (
            pytest.raises(RuntimeBusy, match=f"held the session {KEY} .* 0.05 s.* -s NAME") as told,
            desk.another().open(KEY, Deadline(0.05)),
        ):
            pass
        assert told.value.retryable
        desk.say(user("a"), key="agent:main:other")
    desk.say(user("b"))
    with desk.store.open(KEY, Deadline(5.0)), pytest.raises(RuntimeBusy):
        desk.another().clear(KEY, Deadline(0.0))


def test_a_cancelled_wait_for_a_session_is_a_timeout(desk):
    """Cancelling ends the wait at once, as it ends everything else of a turn."""
    cancel = threading.Event()
    cancel.set()
    with (
        desk.store.open(KEY, Deadline(5.0)),
        pytest.raises(TurnTimeout, match=f"cancelled .* waiting for the session {KEY}"),
        desk.another().open(KEY, Deadline(60.0, cancel)),
    ):
        pass


def test_a_lock_is_let_go_when_a_turn_fails(desk):
    """An error inside leaves the session free, and what was appended there."""

    def failing() -> None:
        with desk.store.open(KEY, Deadline(5.0)) as session:
            session.append(user("a"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        failing()
    with desk.another().open(KEY, Deadline(0.0)) as session:
        assert len(session.messages) == 2


def test_a_lock_file_that_is_deleted_as_somebody_takes_it_locks_nothing(desk, monkeypatch):
    """Whoever locked a file that is no longer there takes the new one: two never hold one session."""
    lock, real = desk.folder / f"{NAME}.lock", fcntl.flock
    deleted: list[int] = []

    def late(file: int, how: int) -> None:
        if not deleted:
            lock.unlink()
            deleted.append(file)
        real(file, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with (
        desk.store.open(KEY, Deadline(5.0)),
        pytest.raises(RuntimeBusy),
        desk.another().open(KEY, Deadline(0.02)),
    ):
        pass
    assert deleted


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_two_hundred_threads_lose_no_line_and_mix_none(desk):
    """200 threads on 8 sessions through several stores: each turn's lines stand together, none is missing."""
    stores = [desk.another() for _ in range(4)]
    failed: list[BaseException] = []

    def turn(number: int) -> None:
        key = f"agent:main:room{number % 8}"
        try:
            with stores[number % 4].open(key, Deadline(90.0)) as session:
                session.append(user(f"{number}?"))
                session.append(reply("", call(str(number))))
                session.append(Message("tool", "x" * 2_000, tool_call_id=str(number)))
                session.append(reply(f"{number}!"))
        except BaseException as error:  # noqa: BLE001 - told by the assertion below
            failed.append(error)

    threads = [threading.Thread(target=turn, args=(n,)) for n in range(200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    seen = []
    for room in range(8):
        messages = desk.store.history(f"agent:main:room{room}")
        assert len(messages) == 100
        for at in range(0, 100, 4):
            number = messages[at].content.removesuffix("?")
            assert messages[at + 2].tool_call_id == number
            assert messages[at + 3].content == f"{number}!"
            seen.append(int(number))
    assert sorted(seen) == list(range(200))

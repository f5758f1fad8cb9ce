from __future__ import annotations

import pytest

from clawbucket.cli.logs_command import Sources
from clawbucket.cli.logtail import LEVELS, Tail, interleaved, last_lines
from clawbucket.cli.names import label, means, split
from clawbucket.cli.rundir import RunDir

TASK = "clawbucket_clawbucket-b.2.7mid1l3joc3e6tz9g8vider6l"


@pytest.fixture
def log(tmp_path):
    """An empty log."""
    path = tmp_path / "a.log"
    path.write_text("")
    return path


def append(path, text):
    """Write as a program does."""
    with path.open("a") as file:
        file.write(text)


def texts(lines):
    """What the lines say."""
    return [line.text for line in lines]


def test_each_line_is_told_once_and_only_when_whole(log):
    """Half a line waits for its other half."""
    tail = Tail("a", log)
    append(log, "one\ntw")
    assert texts(tail.look()) == ["one"]
    append(log, "o\n\nthree\n")
    assert texts(tail.look()) == ["two", "three"]
    assert tail.look() == []


def test_a_log_that_was_begun_anew_is_read_from_its_start(log):
    """As after copytruncate."""
    tail = Tail("a", log)
    append(log, "a long line before\n")
    tail.look()
    log.write_text("after\n")
    assert texts(tail.look()) == ["after"]


def test_a_log_that_is_not_there_yet_is_empty(tmp_path):
    """It may come."""
    tail = Tail("a", tmp_path / "later.log")
    assert tail.look() == []
    (tmp_path / "later.log").write_text("here\n")
    assert texts(tail.look()) == ["here"]


def test_levels_are_told_in_every_form_and_kept_for_what_follows(log):
    """structlog's, gunicorn's, JSON's; a traceback has that of the line before it."""
    append(
        log,
        "usage: before any level\n"
        "2026-11-21T05:00:00.1Z [info     ] fine program=rack\n"
        "2026-11-21T05:00:01.1Z [error    ] broken\n"
        "Traceback (most recent call last):\n"
        "[2026-11-21 05:00:02 +0000] [17] [INFO] Listening\n"
        '{"event": "odd", "level": "warning", "timestamp": "2026-11-21T05:00:03.5Z"}\n',
    )
    lines = Tail("a", log).look()
    names = {number: name for name, number in LEVELS.items()}
    assert [names[line.level] for line in lines] == ["warning", "info", "error", "error", "info", "warning"]
    assert [line.at for line in lines][3:] == [
        "2026-11-21T05:00:01.1", "2026-11-21T05:00:02", "2026-11-21T05:00:03.5",
    ]  # fmt: skip


def test_control_characters_of_strangers_do_not_reach_the_terminal(log):
    """A log line may hold what a request sent."""
    log.write_bytes(b"hello \x1b[2J\x07\xff there\n")
    (line,) = Tail("a", log).look()
    assert line.text.isprintable()
    assert line.text.startswith("hello ")


def test_a_flood_is_read_from_its_end(log):
    """A look reads a bounded piece, and begins it with a whole line."""
    append(log, "x" * 99 + "\n")
    log.write_text("".join(f"line {n:08d} {'x' * 85}\n" for n in range(5_000)))
    lines = Tail("a", log).look()
    assert len(lines) < 3_000
    assert all(line.text.startswith("line ") for line in lines)
    assert lines[-1].text.startswith("line 00004999")


def test_several_logs_are_one_by_their_moments(tmp_path):
    """The last of all together, and going on from there."""
    for name, seconds in (("a", (1, 4)), ("b", (2, 3))):
        text = "".join(f"2026-11-21T05:00:0{s}.0Z [info ] {name}{s}\n" for s in seconds)
        (tmp_path / f"{name}.log").write_text(text)
    lines, tails = last_lines([(n, tmp_path / f"{n}.log") for n in "ab"], 3)
    assert [line.text[-2:] for line in lines] == ["b2", "b3", "a4"]
    append(tmp_path / "a.log", "2026-11-21T05:00:06.0Z [info ] a6\n")
    append(tmp_path / "b.log", "2026-11-21T05:00:05.0Z [info ] b5\n")
    assert [line.text[-2:] for line in interleaved(tails)] == ["b5", "a6"]
    assert last_lines([("a", tmp_path / "a.log")], 0)[0] == []


@pytest.mark.parametrize(
    "which",
    [TASK, "clawbucket-b", "clawbucket_clawbucket-b", "clawbucket-b.2", "clawbucket_clawbucket-b.2", "7mi",
     "7mid1l3", "clawbucket-b.2.7mid1l", "clawbucket_clawbucket-b.2.7m"],
)  # fmt: skip
def test_a_task_is_meant_by_any_part_that_is_clear(which):
    """Name, service, alias, slot, or the beginning of its id."""
    assert means(which, TASK)


@pytest.mark.parametrize(
    "which", ["clawbucket", "clawbucket-b.1", "clawbucket-b.22", "7m", "gateway", "mid1", ""]
)
def test_a_task_is_not_meant_by_anothers(which):
    """Nor by so little of an id that it could be a word."""
    assert not means(which, TASK)


def test_a_program_is_meant_by_its_name_alone():
    """There is one of each."""
    assert means("gateway", "gateway")
    assert not means("gate", "gateway")


def test_names_are_shown_short():
    """Alias, slot and six characters of the id; a program's name as it is."""
    assert label(TASK) == "clawbucket-b.2.7mid1l"
    assert label("gateway") == "gateway"
    assert split("my.service.3.abc") == ("my.service", "3", "abc")


def test_new_logs_are_told_once(tmp_path):
    """Tasks come while one follows."""
    directory = RunDir(tmp_path / "8080")
    directory.prepare("t")
    directory.task_logs.mkdir()
    (directory.logs / "gateway.log").touch()
    sources = Sources(directory, None)
    assert [name for name, _ in sources.fresh()] == ["gateway"]
    (directory.task_logs / f"{TASK}.log").touch()
    assert [name for name, _ in sources.fresh()] == ["clawbucket-b.2.7mid1l"]
    assert sources.fresh() == []
    assert [name for name, _ in Sources(directory, "clawbucket-b.2").fresh()] == ["clawbucket-b.2.7mid1l"]

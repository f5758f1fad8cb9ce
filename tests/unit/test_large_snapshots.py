"""The snapshot of thousands of tasks: deflated on the bus, and read anew only where it changed."""

from __future__ import annotations

import zlib
from dataclasses import replace

import orjson
import pytest

from clawbucket import codecs, keys
from clawbucket.codecs import Gate, SnapshotCodec
from clawbucket.core.model import Node, Service, Snapshot, Task, TaskState
from tests.fakes import FakeClock

NAME = "clawbucket_clawbucket"


def snapshot(count: int, **changes) -> Snapshot:
    """A rack of so many tasks."""
    ids = [f"{number:025d}" for number in range(1, count + 1)]
    tasks = tuple(
        Task(
            i, NAME, slot, "n1", TaskState.RUNNING, TaskState.RUNNING, f"{NAME}.{slot}.{i}", message="started"
        )
        for slot, i in enumerate(ids, 1)
    )
    said = Snapshot(
        "rack", 7, "then", "sim", (Node("n1", "node-1", leader=True),), (Service(NAME, count),), tasks
    )
    return replace(said, **changes)


def test_a_small_one_is_plain_json_as_ever():
    """A rack of forty is written as it always was."""
    said = snapshot(40)
    assert codecs.SNAPSHOT.encode(said) == orjson.dumps(said)


@pytest.mark.parametrize("count", [1_000, 5_000])
def test_a_large_one_is_deflated_and_fits(count):
    """It stays below its key's bound, and comes back as it was; a plain one of that size is read too."""
    said = snapshot(count)
    packed = codecs.SNAPSHOT.encode(said)
    assert not packed.startswith(b"{")
    assert len(packed) < keys.SNAPSHOT.max_bytes
    assert SnapshotCodec().decode(packed) == said
    assert SnapshotCodec().decode(codecs.SNAPSHOT.plain(said)) == said


def test_what_only_has_another_number_is_not_parsed_again():
    """Number and time are the new ones, the tasks the very objects of before; any other change is seen."""
    codec, said = SnapshotCodec(), snapshot(600)
    first = codec.decode(codec.encode(said))
    again = codec.decode(codec.encode(replace(said, seq=8, at="now")))
    assert (again.seq, again.at) == (8, "now")
    assert again.tasks is first.tasks
    for changed in (
        replace(said, engine="local"),
        replace(said, ended={"x": TaskState.FAILED}),
        snapshot(601),
    ):
        assert codec.decode(codec.encode(changed)) == changed


def test_a_label_that_looks_like_the_field_is_only_text():
    """Quotes within a text are escaped on the wire, so they end nothing."""
    codec, said = SnapshotCodec(), snapshot(600, rack='a,"engine":"b')
    assert codec.decode(codec.encode(said)) == said
    assert codec.decode(codec.encode(replace(said, seq=8))) == replace(said, seq=8)


@pytest.mark.parametrize(
    "hostile",
    [
        pytest.param(b"\x78\x01nonsense", id="not deflated"),
        pytest.param(zlib.compress(b"[" + b" " * 9_000_000 + b"]"), id="a bomb"),
        pytest.param(zlib.compress(b"{}" * 1_000)[:-9], id="cut short"),
        pytest.param(b"\x78" * 600_000, id="too long"),
        pytest.param(b'{"seq":1,"engine":"x"}', id="a head alone"),
        pytest.param(b'{"rack":{"a":1,"engine":"x"}}', id="the mark elsewhere"),
    ],
)
def test_what_is_no_snapshot_is_poison(hostile):
    """It counts as absent, before and after a good one, and costs no more than its bound."""
    gate = Gate(FakeClock())
    assert gate.read(codecs.SNAPSHOT, "k", hostile) is None
    good = codecs.SNAPSHOT.encode(snapshot(600))
    assert gate.read(codecs.SNAPSHOT, "k", good) is not None
    assert gate.read(codecs.SNAPSHOT, "k", hostile) is None


def test_a_poisoned_number_is_found_where_the_tasks_are_known():
    """An implausible counter is refused although everything else was read before."""
    gate, said = Gate(FakeClock()), snapshot(600)
    assert gate.read(codecs.SNAPSHOT, "k", codecs.SNAPSHOT.encode(said)) is not None
    assert gate.read(codecs.SNAPSHOT, "k", codecs.SNAPSHOT.encode(replace(said, seq=2**60))) is None


def test_a_poisoned_task_is_found_among_known_ones():
    """Only what is new of the tasks is looked at; that is, whatever else is known."""
    gate, said = Gate(FakeClock()), snapshot(600)
    assert gate.read(codecs.SNAPSHOT, "k", codecs.SNAPSHOT.encode(said)) is not None
    for poisoned in (replace(said.tasks[7], message="x" * 2_000), replace(said.tasks[7], slot=10**12)):
        tasks = (*said.tasks[:7], poisoned, *said.tasks[8:])
        assert gate.read(codecs.SNAPSHOT, "k", codecs.SNAPSHOT.encode(replace(said, tasks=tasks))) is None
    ended = {"x" * 2_000: TaskState.FAILED}
    assert gate.read(codecs.SNAPSHOT, "k", codecs.SNAPSHOT.encode(replace(said, ended=ended))) is None
    assert gate.read(codecs.SNAPSHOT, "k", codecs.SNAPSHOT.encode(replace(said, seq=9))) is not None

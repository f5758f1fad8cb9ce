"""The snapshots of handoffs on disk, and the registry over disk and bus."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from clawbucket import codecs, keys
from clawbucket.bus.memory import MemoryBus
from clawbucket.codecs import Gate
from clawbucket.core.agent import Utterance
from clawbucket.core.model import ArmState
from clawbucket.core.revolt import (
    Handoff,
    NotAllowed,
    Phase,
    Side,
    TrooperState,
    advanced,
    later,
    opened,
    told_to_peer,
    verdict,
)
from clawbucket.handoff.files import KEPT, DiskRefused, SnapshotFiles
from clawbucket.handoff.registry import Registry
from clawbucket.journal import Journal
from clawbucket.ports import BusDown
from tests.fakes import FakeClock

ID = "0123456789abcdef" * 2
STATE = TrooperState(7, "brave quiet otter", "picoclaw", ArmState.ON, (Utterance("user", "hi", "2026"),))
AT = "2026-11-26T10:00:00.000Z"


def record(side: Side = "source", **changes: Any) -> Handoff:
    """A record that is not begun yet."""
    blank = Handoff(
        snapshot_id=ID, side=side, service="clawbucket_clawbucket", source_task_id="a1", source_rack="one",
        target_rack="two", peer="http://two", phase=Phase.PREPARED, phases=(), by="me", state=STATE,
    )  # fmt: skip
    return replace(blank, **changes)


def begun(**changes: Any) -> Handoff:
    """A source's record that is prepared."""
    return opened(record(**changes), Phase.PREPARED, AT)


# Rules ---------------------------------------------------------------------------------------------------


def test_a_side_begins_as_it_may():
    """A source prepares or gives up, a target accepts or refuses; nobody begins committed."""
    assert opened(record(), Phase.PREPARED, AT).phases[0].by == "me"
    assert opened(record("target"), Phase.REJECTED, AT).phase is Phase.REJECTED
    wrong: list[tuple[Side, Phase]] = [
        ("source", Phase.COMMITTED), ("source", Phase.ACCEPTED), ("target", Phase.PREPARED),
    ]  # fmt: skip
    for side, phase in wrong:
        with pytest.raises(NotAllowed):
            opened(record(side), phase, AT)


def test_what_is_decided_stays_decided():
    """No phase follows a decision, and the same one again is no change."""
    committed = advanced(begun(), Phase.COMMITTED, AT, "me")
    assert advanced(committed, Phase.COMMITTED, AT, "other") is committed
    for phase in set(Phase) - {Phase.COMMITTED}:
        with pytest.raises(NotAllowed):
            advanced(committed, phase, AT, "me")


def test_a_refusal_is_told_once_nothing_is_left():
    """Before that the other rack hears that it is accepted still, and waits."""
    refused = advanced(opened(record("target"), Phase.ACCEPTED, AT), Phase.REJECTED, AT, "me")
    assert told_to_peer(refused) is Phase.ACCEPTED
    assert told_to_peer(replace(refused, settled=True)) is Phase.REJECTED


def test_a_source_does_what_its_target_decided():
    """And asks again where it has not decided."""
    assert verdict(Phase.RESTORED) is Phase.COMMITTED
    assert verdict(Phase.REJECTED) is Phase.ABORTED
    assert verdict(Phase.ACCEPTED) is None


def test_of_two_copies_the_one_that_knows_more_counts():
    """A decision before none, settled before not, the later change before the earlier."""
    first = begun()
    doubt = advanced(first, Phase.IN_DOUBT, AT, "me")
    done = advanced(first, Phase.COMMITTED, AT, "me")
    assert later(first, doubt) is doubt
    assert later(doubt, done) is done
    assert later(replace(done, settled=True), done).settled
    assert later(None, first) is first
    assert later(None, None) is None


# Files ---------------------------------------------------------------------------------------------------


def test_what_is_written_is_read(tmp_path: Path):
    """With its schema and digest, for its owner alone; both sides of one handoff have their own file."""
    files = SnapshotFiles(tmp_path / "new" / "place")
    files.write(begun())
    files.write(opened(record("target"), Phase.ACCEPTED, AT))
    assert files.read(ID, "source") == begun()
    assert files.ids("source") == files.ids("target") == [ID]
    path = files.path(ID, "source")
    assert path.stat().st_mode & 0o777 == 0o600
    told = json.loads(path.read_text())
    assert (told["schema"], len(told["sha256"])) == (1, 64)
    assert sorted(p.name for p in path.parent.iterdir()) == [".lock", f"{ID}.accepted.json", f"{ID}.json"]


def test_a_file_never_goes_back(tmp_path: Path):
    """A writer that comes late with what was true before changes nothing."""
    files, first = SnapshotFiles(tmp_path), begun()
    done = advanced(first, Phase.COMMITTED, AT, "me")
    files.write(done)
    files.write(first)
    assert files.read(ID, "source") == done


@pytest.mark.parametrize(
    "spoil",
    [
        lambda raw: raw[: len(raw) // 2],
        lambda raw: raw.replace(b'"score":7', b'"score":8'),
        lambda raw: raw.replace(b'"schema":1', b'"schema":2'),
        lambda _raw: b"",
        lambda _raw: b"[1]",
        lambda raw: raw + b" " * 200_000,
    ],
    ids=["torn", "changed", "schema", "empty", "foreign", "huge"],
)
def test_what_is_not_whole_counts_as_absent(tmp_path: Path, spoil):
    """A file that was torn or changed is not acted upon, and can be written again."""
    files = SnapshotFiles(tmp_path)
    files.write(begun())
    path = files.path(ID, "source")
    path.write_bytes(spoil(path.read_bytes()))
    assert files.read(ID, "source") is None
    files.write(begun())
    assert files.read(ID, "source") == begun()


@pytest.mark.parametrize("bad", ["../x", "", "A" * 32, ID + "0", f"{ID[:-1]}/", ID[:-1]])
def test_no_path_is_made_of_what_is_no_id(tmp_path: Path, bad: str):
    """Whatever it is."""
    files = SnapshotFiles(tmp_path)
    with pytest.raises(ValueError, match="no snapshot id"):
        files.read(bad, "source")
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_cannot_be_used_is_told_of(tmp_path: Path):
    """With the variable that names another."""
    (tmp_path / "file").write_text("")
    with pytest.raises(DiskRefused, match="REVOLT_SNAPSHOT_DIR"):
        SnapshotFiles(tmp_path / "file").write(begun())


def test_whether_anything_can_be_written_is_known_before(tmp_path: Path):
    """The directory is made, nothing else stays, and one that cannot be used is told of, listing it too."""
    files = SnapshotFiles(tmp_path / "deep" / "down")
    files.check()
    assert list((tmp_path / "deep" / "down").iterdir()) == []
    (tmp_path / "file").write_text("in the way")
    blocked = SnapshotFiles(tmp_path / "file")
    for ask in (blocked.check, lambda: blocked.ids("source")):
        with pytest.raises(DiskRefused, match="REVOLT_SNAPSHOT_DIR"):
            ask()


def test_what_is_settled_goes_after_a_day(tmp_path: Path):
    """What is open stays, however old."""
    files = SnapshotFiles(tmp_path)
    files.write(begun())
    files.write(replace(begun(), snapshot_id="f" * 32, settled=True))
    written = files.path(ID, "source").stat().st_mtime
    assert files.sweep(written + KEPT - 60.0) == 0
    assert files.sweep(written + KEPT + 60.0) == 1
    assert files.ids("source") == [ID]


def test_what_a_killed_writer_left_goes_after_a_day(tmp_path: Path):
    """It was put in nobody's place, and nobody reads it."""
    left = tmp_path / f"{ID}.json.123.new"
    left.write_bytes(b"{")
    files, written = SnapshotFiles(tmp_path), left.stat().st_mtime
    files.sweep(written + KEPT - 60.0)
    assert left.exists()
    files.sweep(written + KEPT + 60.0)
    assert not left.exists()


def test_a_killed_writer_leaves_the_old_file(tmp_path: Path):
    """The fresh one is put in its place whole; what was left of it is in nobody's way."""

    class CutError(Exception):
        """The power went."""

    def cut(_fd: int) -> None:
        raise CutError

    files = SnapshotFiles(tmp_path)
    files.write(begun())
    with pytest.raises(CutError):
        SnapshotFiles(tmp_path, sync=cut).write(advanced(begun(), Phase.COMMITTED, AT, "me"))
    assert files.read(ID, "source") == begun()
    files.write(advanced(begun(), Phase.COMMITTED, AT, "me"))
    assert files.read(ID, "source").phase is Phase.COMMITTED


# Registry ------------------------------------------------------------------------------------------------


class Desk:
    """Two replicas of one rack over the same bus and disk."""

    def __init__(self, directory: Path) -> None:
        self.clock = FakeClock()
        self.bus = MemoryBus(self.clock)
        gate, self.files = Gate(self.clock), SnapshotFiles(directory)
        self.events = Journal(self.bus, gate, self.clock, codecs.REVOLT_EVENTS)
        self.one, self.other = (
            Registry(self.bus, gate, self.clock, self.files, self.events, "one", name)
            for name in ("me", "you")
        )

    def forget(self, handoff: str = ID) -> None:
        """The bus loses its record."""
        self.bus.delete(keys.HANDOFF.of(handoff))


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """The desk."""
    return Desk(tmp_path)


def test_of_two_who_decide_one_wins(desk: Desk):
    """The other is given what was decided."""
    begun_one = desk.one.open(record(), Phase.PREPARED)
    assert desk.other.open(record(by="you"), Phase.ABORTED) == begun_one
    done = desk.one.decide(begun_one, Phase.COMMITTED, target_task_id="b1")
    assert desk.other.decide(begun_one, Phase.ABORTED, "too late") == done
    assert done.target_task_id == "b1"
    assert desk.files.read(ID, "source") == done


def test_each_phase_is_one_event(desk: Desk):
    """Named after handoff and phase, however often it is told."""
    first = desk.one.open(record(), Phase.PREPARED)
    desk.one.decide(first, Phase.ABORTED, "the other rack was away")
    desk.other.settle(desk.other.find(ID))
    told = [(e.id, e.phase, e.reason) for e in desk.events.read()]
    assert [(i, p) for i, p, _ in told] == [
        (f"{ID}-prepared", Phase.PREPARED), (f"{ID}-aborted", Phase.ABORTED),
    ]  # fmt: skip
    assert told[1][2] == "the other rack was away"


def test_a_wiped_bus_changes_nothing(desk: Desk):
    """The disk remembers, and a decision that comes later is put on the bus again."""
    first = desk.one.open(record(), Phase.PREPARED)
    desk.forget()
    assert desk.other.find(ID) == first
    done = desk.other.decide(first, Phase.COMMITTED)
    assert [change.phase for change in done.phases] == [Phase.PREPARED, Phase.COMMITTED]
    assert desk.bus.get(keys.HANDOFF.of(ID)) == codecs.HANDOFF.encode(done)


def test_what_was_begun_and_not_written_down_is_written_by_who_finds_it(desk: Desk, tmp_path: Path):
    """Killed between bus and disk: another writes it, and then it is among the open ones."""
    first = desk.one.open(record(), Phase.PREPARED)
    (tmp_path / f"{ID}.json").unlink()
    desk.bus.delete(keys.REVOLT_EVENTS.of())
    assert desk.other.find(ID) == first
    assert desk.other.unsettled("clawbucket_clawbucket") == [first]


def test_what_is_settled_is_not_looked_at_again(desk: Desk):
    """Another service's is not this one's to finish."""
    first = desk.one.open(record(), Phase.PREPARED)
    assert desk.other.unsettled("clawbucket_clawbucket") == [first]
    assert desk.other.unsettled("clawbucket_clawbucket-b") == []
    desk.one.settle(desk.one.decide(first, Phase.COMMITTED))
    assert desk.other.unsettled("clawbucket_clawbucket") == []
    os.utime(desk.files.path(ID, "source"))
    assert desk.one.unsettled("clawbucket_clawbucket") == []


def test_a_lost_answer_of_the_bus_is_not_a_lost_decision(desk: Desk):
    """It is looked for, and found to have landed."""
    first = desk.one.open(record(), Phase.PREPARED)
    desk.bus.in_doubt = 1
    assert desk.one.decide(first, Phase.COMMITTED).phase is Phase.COMMITTED
    assert desk.files.read(ID, "source").phase is Phase.COMMITTED


def test_nothing_is_decided_while_the_bus_is_away(desk: Desk):
    """Whoever asks is told, and the record is as it was."""
    first = desk.one.open(record(), Phase.PREPARED)
    desk.bus.down = True
    with pytest.raises(BusDown):
        desk.one.decide(first, Phase.COMMITTED)
    desk.bus.down = False
    assert desk.one.find(ID) == first


def test_the_other_racks_files_in_the_same_directory_are_not_ours(desk: Desk):
    """Where two racks share one."""
    desk.files.write(opened(record(source_rack="another"), Phase.PREPARED, AT))
    assert desk.one.find(ID) is None
    assert desk.one.unsettled("clawbucket_clawbucket") == []

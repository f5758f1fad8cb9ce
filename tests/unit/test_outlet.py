"""Sockets that a fanout writes to itself: real ones, of which the test holds the other end."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest

from app.fanout import LOT, RETRY, Fanout, State, Viewer
from app.outlet import NOTHING, Outlet, Piece
from app.stream import Tiles, producer, state_of
from bench.board_generator import MadeBoard, made_up
from tests.fakes import FakeClock

PATIENCE = 5.0


class Line:
    """An outlet with little room, and the viewer's end of it."""

    def __init__(self, *, chunked: bool = False, unread: float = PATIENCE) -> None:
        ours, self.theirs = socket.socketpair()
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)
        ours.settimeout(PATIENCE)
        self.theirs.settimeout(PATIENCE)
        self.ours = ours
        self.outlet = Outlet(ours, chunked=chunked, unread=unread)

    def read(self, size: int) -> bytes:
        """That many bytes."""
        came = b""
        while len(came) < size:
            came += self.theirs.recv(size - len(came))
        return came

    def close(self) -> None:
        """Both ends."""
        self.ours.close()
        self.theirs.close()


@pytest.fixture
def line() -> Iterator[Line]:
    """One that is closed at the end."""
    made = Line()
    yield made
    made.close()


def test_a_chunk_is_framed_once_for_everybody():
    """Hexadecimal length, the bytes, the end; and the second who asks gets the very same object."""
    piece = Piece(b"x" * 26)
    assert piece.chunk == b"1A\r\n" + b"x" * 26 + b"\r\n"
    assert piece.chunk is piece.chunk


def test_offering_never_waits_and_keeps_what_did_not_fit(line: Line):
    """A full socket takes a part or nothing at once; the rest goes out first, in order."""
    big = Piece(bytes(range(256)) * 4_096)
    assert not line.outlet.offer(big)
    assert line.outlet.unfinished
    reading: list[bytes] = []
    reader = threading.Thread(target=lambda: reading.append(line.read(len(big.plain) + 3)))
    reader.start()
    line.outlet.send(Piece(b"end"))
    reader.join(PATIENCE)
    assert reading == [big.plain + b"end"]
    assert not line.outlet.unfinished


def test_nothing_is_no_last_chunk():
    """To send nothing sends nothing: an empty chunk would end the stream."""
    line = Line(chunked=True)
    line.outlet.send(NOTHING)
    line.outlet.send(Piece(b"a"))
    assert line.read(6) == b"1\r\na\r\n"
    line.close()


def test_who_does_not_read_is_let_go():
    """After so many seconds without room for a byte: the error that says that nobody is there."""
    line = Line(unread=0.05)
    with pytest.raises(BrokenPipeError, match="nothing was read"):
        line.outlet.send(Piece(bytes(1_000_000)))
    assert line.ours.gettimeout() == PATIENCE
    line.close()


def test_a_closed_socket_is_gone_and_nobody_elses_is_written_to(line: Line):
    """The server may have closed it a moment ago, and its number may be another connection's by now."""
    line.ours.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        line.outlet.offer(Piece(b"x"))


class Stage:
    """A fanout of sockets whose looks a test takes; each viewer runs in a thread as a server would run it."""

    def __init__(self) -> None:
        self.state: State = {"n": 0}
        self.pauses: list[float] = []
        self.fanout = Fanout(
            lambda: self.state, FakeClock(), cap=1_000, spawn=lambda _: None, pause=self.pauses.append
        )

    def say(self, n: int) -> None:
        """Change the state and let the fanout look."""
        self.state = {"n": n}
        self.fanout.step()


def test_who_waits_is_sent_to_and_not_woken():
    """A viewer that is up to date hears of a change without its own thread doing anything."""
    stage, line = Stage(), Line()
    viewer = stage.fanout.open(outlet=line.outlet)
    assert next(viewer) == RETRY
    stage.say(1)
    asleep = Asleep(viewer)
    assert b"event: snapshot" in line.theirs.recv(65_536)
    asleep.wait()
    stage.say(2)
    assert b'event: delta\ndata: {"n":2}\n\n' in line.theirs.recv(65_536)
    assert not viewer.wake.is_set()
    stage.fanout.close()
    asleep.join()
    assert stage.fanout.viewers == 0
    line.close()


class Asleep:
    """A viewer's own thread, which sends what only this viewer needs."""

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        self._thread = threading.Thread(target=lambda: list(viewer))
        self._thread.start()

    def wait(self) -> None:
        """Until it waits."""
        deadline = threading.Event()
        for _ in range(500):
            if self._viewer.waits:
                return
            deadline.wait(0.01)
        raise AssertionError("it does not wait")

    def join(self) -> None:
        """Until it is over."""
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()


def test_between_lots_there_is_a_pause():
    """With more viewers than a lot, requests get their turn before the next lot."""
    stage = Stage()
    for _ in range(2 * LOT + 1):
        stage.fanout.open()
    stage.say(1)
    assert len(stage.pauses) == 2
    assert all(pause > 0 for pause in stage.pauses)


def test_a_viewer_whose_socket_is_gone_leaves():
    """The one who sends notices, and the viewer's own thread ends."""
    stage, line = Stage(), Line()
    viewer = stage.fanout.open(outlet=line.outlet)
    next(viewer)
    stage.say(1)
    asleep = Asleep(viewer)
    asleep.wait()
    line.theirs.close()
    stage.say(2)
    asleep.join()
    assert stage.fanout.viewers == 0
    line.close()


@pytest.fixture
def board() -> MadeBoard:
    """Two hundred made-up troopers on a clock that a test moves."""
    seconds = iter(range(1_000))
    return MadeBoard(made_up(0), 200, now=lambda: float(next(seconds)))


def test_a_task_that_did_not_change_keeps_its_object(board: MadeBoard):
    """Between two looks only those that changed are made anew; what is told is the same as without that."""
    tiles = Tiles()
    first = board.board()
    before = state_of(first, tiles=tiles)
    second = board.board()
    after = state_of(second, tiles=tiles)
    assert (before, after) == (state_of(first), state_of(second))
    kept = [task for task, tile in after["tasks"].items() if tile is before["tasks"][task]]
    changed = [task for task, tile in after["tasks"].items() if tile != before["tasks"][task]]
    assert len(kept) + len(changed) == 200
    assert len(changed) >= 10


def test_a_change_of_the_service_reaches_its_tasks(board: MadeBoard):
    """What a tile shows of its service is part of it: a new epoch makes the manager's tile anew."""
    tiles, first = Tiles(), board.board()
    state_of(first, tiles=tiles)
    squads = tuple(replace(squad, manager_epoch=7) for squad in first.squads)
    tasks = state_of(replace(first, squads=squads), tiles=tiles)["tasks"]
    assert [tile["epoch"] for tile in tasks.values() if "epoch" in tile] == [7] * len(squads)


def test_who_left_is_not_kept(board: MadeBoard):
    """Tiles hold no more tasks than the last board had."""
    tiles, first = Tiles(), board.board()
    state_of(first, tiles=tiles)
    assert state_of(replace(first, squads=first.squads[:1]), tiles=tiles)["tasks"].keys() == {
        t.id for t in first.squads[0].replicas
    }
    assert len(tiles) == len(first.squads[0].replicas)


def test_the_producer_keeps_its_tiles():
    """What the fanout compares twice a second shares the tasks that did not change."""
    services = made_up(50, tick=0.25)
    seconds = iter(range(1_000))
    services = replace(services, board=MadeBoard(services, 50, now=lambda: float(next(seconds))))
    produce = producer(services)
    one, two = produce()["tasks"], produce()["tasks"]
    assert any(tile is two[task] for task, tile in one.items())

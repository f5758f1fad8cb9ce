"""A request's way to the board: made once, sent as bytes, as fresh as it must be."""

from __future__ import annotations

import threading

import pytest

from app import wire
from app.reading import SPACING, Reading, Ready, etag_of, has
from clawbucket.board import MAX_AGE
from clawbucket.core.board import Board
from tests.fakes import FakeClock
from tests.stage import Stage


class CountingBoard:
    """Stands where a BoardReader stands, and tells what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[float] = []

    def board(self, max_age: float = MAX_AGE) -> None:
        """Remember."""
        self.asked.append(max_age)


class Pause(threading.Event):
    """An Event whose waits take fake time."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self.waits: list[float] = []
        self._clock = clock

    def wait(self, timeout: float | None = None) -> bool:
        """Let the time go by."""
        self.waits.append(timeout or 0.0)
        self._clock.advance(timeout or 0.0)
        return False


@pytest.fixture
def stage() -> Stage:
    """One replica a service."""
    return Stage(1)


def asked_for(stage: Stage, reading: Reading, header: str | None) -> None:
    """One request with that read-after header."""
    headers = {} if header is None else {"X-Clawbucket-Read-After": header}
    with stage.app.test_request_context("/api/swarms", headers=headers):
        reading.board()


def test_one_board_is_serialised_once(stage):
    """However many ask, ``make`` is called once a board."""
    made: list[int] = []

    def make(board: Board) -> dict[str, int]:
        made.append(board.version)
        return {"version": board.version}

    ready = Ready(make)
    board = stage.services.board.board()
    with stage.app.test_request_context("/"):
        bodies = {ready.answer(board).get_data() for _ in range(5)}
    assert (len(made), len(bodies)) == (1, 1)


def test_a_new_board_is_a_new_answer(stage):
    """What changed is serialised again; the ETag changes only where the bytes did."""
    haiku, chat = Ready(wire.haiku), Ready(wire.chat)
    before = stage.services.board.board()
    stage.services.actions.say("hi", "me")
    after = stage.services.board.board()
    assert after.version > before.version
    with stage.app.test_request_context("/"):
        assert haiku.answer(before).headers["ETag"] == haiku.answer(after).headers["ETag"]
        assert chat.answer(before).headers["ETag"] != chat.answer(after).headers["ETag"]


def test_many_readers_cost_the_bus_one_read_a_quarter_second(stage):
    """A hundred requests in one moment are one refresh; the next comes when the board is 250 ms old."""
    client = stage.client()
    for _ in range(100):
        client.get("/api/swarms")
    assert stage.services.board.refreshes == 1
    stage.clock.advance(MAX_AGE)
    client.get("/api/swarms")
    assert stage.services.board.refreshes == 2


def test_without_the_header_the_board_may_be_a_quarter_second_old(stage):
    """No X-Clawbucket-Read-After: the usual age."""
    board, clock = CountingBoard(), FakeClock()
    asked_for(stage, Reading(board, clock), None)  # type: ignore[arg-type]
    assert board.asked == [MAX_AGE]


@pytest.mark.parametrize(
    ("header", "age"),
    [
        ("101", 0.1), ("51", 0.05), ("900", MAX_AGE), ("1", 0.0), ("0", 0.0),
        ("-1", MAX_AGE), ("x", MAX_AGE), ("", MAX_AGE), ("9" * 30, MAX_AGE), ("٣", MAX_AGE),
    ],
)  # fmt: skip
def test_read_after_asks_for_a_board_that_is_younger_than_the_write(stage, header, age):
    """The board is younger than the write; what is no such number is as if it were not there."""
    board, clock = CountingBoard(), FakeClock()
    raw = header.encode("utf-8").decode("latin-1")
    asked_for(stage, Reading(board, clock), raw)  # type: ignore[arg-type]
    assert board.asked == [pytest.approx(age)]


def test_a_burst_of_writes_is_no_burst_of_reads(stage):
    """Two refreshes for the header's sake are 50 ms apart; the later waits, and still sees its write."""
    board, clock = CountingBoard(), FakeClock()
    reading = Reading(board, clock)  # type: ignore[arg-type]
    reading._pause = pause = Pause(clock)
    asked_for(stage, reading, "11")
    clock.advance(0.02)
    asked_for(stage, reading, "6")
    assert pause.waits == [pytest.approx(SPACING - 0.02)]
    assert board.asked == [pytest.approx(0.01), pytest.approx(0.005 + SPACING - 0.02)]


def test_who_wrote_reads_it_at_once(stage):
    """The write of a neighbour replica is seen by the next read that carries the header."""
    client = stage.client()
    client.get("/api/chat")
    neighbour = Stage(1, populated=False)
    neighbour.services.actions._journals.chat._bus = stage.bus
    neighbour.services.actions.say("hi", "neighbour")
    stage.clock.advance(0.06)
    assert client.get("/api/chat").get_json()["messages"] == []
    seen = client.get("/api/chat", headers={"X-Clawbucket-Read-After": "60"})
    assert [m["text"] for m in seen.get_json()["messages"]] == ["hi"]


def test_etags_are_of_the_bytes():
    """Equal bytes, equal tag; it is quoted as RFC 9110 has it."""
    assert etag_of(b"x") == etag_of(b"x") != etag_of(b"y")
    assert etag_of(b"x").startswith('"')
    assert etag_of(b"x").endswith('"')


@pytest.mark.parametrize(
    ("header", "there"),
    [
        ('"a"', True), ('W/"a"', True), ('"b", "a"', True), ("*", True), (" * ", True),
        ('"b"', False), ("a", False), ("", False),
    ],
)  # fmt: skip
def test_if_none_match_is_compared_weakly(header, there):
    """One of several tags, weak ones too; a star is any."""
    assert has(header, '"a"') is there

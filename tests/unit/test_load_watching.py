from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.fanout import applied, frame
from load.event_stream import LARGEST_EVENT, Broken, Event, Parser
from load.invariants import NO_SKIP, SHAPE
from load.watching import Watcher, merged

AT = 1_790_000_000_000


def whole(parser: Parser, raw: bytes, piece: int) -> list[Event]:
    """The events in ``raw`` when it comes in pieces of that size."""
    return [event for at in range(0, len(raw), piece) for event in parser.feed(raw[at : at + piece])]


RAW = (
    b"retry: 1000\n\n"
    + frame("t-1", "snapshot", {"ü": "Brave Otter\n"}, AT)
    + frame("t-2", "ping", {"viewers": 2}, AT + 5)
)


@pytest.mark.parametrize("piece", [1, 2, 3, 7, 64, 10_000])
def test_events_are_whole_however_they_are_torn(piece):
    """Between any two bytes, within a character too."""
    first, second = whole(Parser(), RAW, piece)
    assert (first.id, first.kind, json.loads(first.data), first.at_ms) == (
        "t-1",
        "snapshot",
        {"ü": "Brave Otter\n"},
        AT,
    )
    assert (second.id, second.kind, second.at_ms) == ("t-2", "ping", AT + 5)


@settings(max_examples=50)
@given(st.lists(st.integers(1, 40), max_size=20))
def test_any_tear_gives_the_same_events(cuts):
    """Wherever the pieces end."""
    parser, rest = Parser(), RAW
    found: list[Event] = []
    for cut in cuts:
        found += parser.feed(rest[:cut])
        rest = rest[cut:]
    found += parser.feed(rest)
    assert found == whole(Parser(), RAW, len(RAW))


def test_other_servers_forms_are_understood():
    """CR LF, comments, data over several lines, no space after the colon, an event without a name."""
    raw = b": hello\r\nid:7\r\ndata:one\r\ndata: two\r\n\r\n: at x\nevent: a\n\n"
    raw += b": at 12345678901234567\ndata\n\n"
    first, second = whole(Parser(), raw, 5)
    assert first == Event("7", "message", "one\ntwo", None)
    assert second == Event("7", "message", "", None)


def test_half_an_event_is_none():
    """Until its empty line has come."""
    parser = Parser()
    assert list(parser.feed(RAW[:-1])) == whole(Parser(), RAW, 9)[:1]


def test_an_event_without_end_breaks_the_stream():
    """Rather than filling the memory."""
    parser = Parser()
    with pytest.raises(Broken, match="more than"):
        list(parser.feed(b"data: " + b"x" * (LARGEST_EVENT + 1)))


def event(number: int, data: object, kind: str = "delta", at: int | None = AT, process: str = "t") -> Event:
    """An event of a stream."""
    return Event(f"{process}-{number}", kind, json.dumps(data), at)


NOW = AT / 1000


def started() -> Watcher:
    """A viewer that has seen the snapshot."""
    watcher = Watcher()
    watcher.opened("task-1")
    assert watcher.see(event(5, {"n": 1}, "snapshot"), NOW).problems == []
    return watcher


def test_a_viewer_puts_the_state_together():
    """Snapshot, deltas, pings; and it goes on where it was."""
    watcher = started()
    assert watcher.see(event(6, {"n": 2, "m": {"a": 1}}), NOW + 1).problems == []
    assert watcher.see(event(7, {"viewers": 3}, "ping"), NOW + 2).problems == []
    assert watcher.see(event(8, {"n": None}), NOW + 3).problems == []
    assert (watcher.state, watcher.last_id) == ({"m": {"a": 1}}, "t-8")


def test_lag_is_told_of_live_events_only():
    """Neither of the snapshot, nor of what comes with it, nor of what is caught up on."""
    watcher = started()
    assert watcher.see(event(6, {}), NOW).lag_ms is None
    seen = watcher.see(event(7, {}, at=AT + 1_000), NOW + 1.25)
    assert seen.lag_ms == pytest.approx(250.0)
    assert seen.gap_ms == pytest.approx(1_250.0)
    watcher.opened("task-1")
    assert watcher.see(event(8, {}, at=AT + 2_000), NOW + 9).lag_ms is None
    assert watcher.see(event(9, {}, at=AT + 10_000), NOW + 10.5).lag_ms == pytest.approx(500.0)


def test_a_server_that_does_not_say_when():
    """Has no lag."""
    assert started().see(event(6, {}, at=None), NOW + 1).lag_ms is None


@pytest.mark.parametrize(("apart", "lag"), [(-500, 0.0), (-2_000, None), (700_000, None)])
def test_clocks_that_are_apart_measure_nothing(apart, lag):
    """A little before its time is at once; far off is no lag but another clock."""
    seen = started().see(event(6, {}, at=AT + 1_000 - apart), NOW + 1)
    assert seen.lag_ms == lag
    assert seen.clocks_apart is (lag is None)


@pytest.mark.parametrize(
    "following", [event(7, {}), event(5, {}), event(6, {}, process="u"), event(9, {}, "ping")]
)
def test_a_skipped_event_is_a_violation(following):
    """Each id is one more than the last, of the same process."""
    (problem,) = started().see(following, NOW + 1).problems
    assert problem.startswith(NO_SKIP)


def test_a_snapshot_may_come_at_any_time():
    """It begins anew, under any id."""
    watcher = started()
    assert watcher.see(event(2, {"x": 1}, "snapshot", process="u"), NOW + 1).problems == []
    assert watcher.see(event(3, {"x": 2}, process="u"), NOW + 2).problems == []
    assert watcher.state == {"x": 2}


def test_a_delta_before_any_snapshot_is_a_violation():
    """There is nothing to change yet."""
    watcher = Watcher()
    watcher.opened("")
    assert watcher.see(event(1, {"n": 1}), NOW).problems[0].startswith(NO_SKIP)


@pytest.mark.parametrize("data", ["{", "[1]", "null", '"x"'])
def test_an_event_that_is_no_object_is_a_violation(data):
    """It is told, and the state stays."""
    watcher = started()
    (problem,) = watcher.see(Event("t-6", "delta", data, AT), NOW + 1).problems
    assert problem.startswith(SHAPE)
    assert watcher.state == {"n": 1}


def test_the_state_is_judged_once_a_second():
    """However many events there are; a second later what is wrong is told."""
    watcher = started()
    wrong = {"services": {"s": {"running_count": 1, "manager_epoch": 1}}}
    assert watcher.see(event(6, wrong), NOW + 0.5).problems == []
    (problem,) = watcher.see(event(7, {}), NOW + 1.0).problems
    assert problem == "one manager a service: s has 0 while 1 run"


LEAVES = st.one_of(st.none(), st.booleans(), st.integers(-3, 3), st.text("ab", max_size=2))
PATCHES = st.recursive(
    st.dictionaries(st.sampled_from("abc"), LEAVES, max_size=3),
    lambda inner: st.dictionaries(st.sampled_from("abc"), st.one_of(LEAVES, inner), max_size=3),
    max_leaves=8,
)


@settings(max_examples=50)
@given(PATCHES, PATCHES)
def test_patches_are_merged_as_the_server_means_them(one, other):
    """The viewer's merge and the server's are the same."""
    base = applied({}, one)
    assert merged(base, other) == applied(base, other)

import json
import threading
from copy import deepcopy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from app.fanout import (
    BACKLOG,
    LEAST_PAUSE,
    PING_EVERY,
    RETRY,
    Fanout,
    Full,
    State,
    Viewer,
    applied,
    diff,
    pruned,
    until_next,
)
from tests.fakes import FakeClock

LEAVES = st.one_of(
    st.booleans(), st.integers(-5, 5), st.text("xyz", max_size=3), st.lists(st.integers(0, 3), max_size=2)
)
KEYS = st.sampled_from(["a", "b", "c", "__proto__"])
STATES = st.recursive(
    st.dictionaries(KEYS, LEAVES, max_size=3),
    lambda inner: st.dictionaries(KEYS, st.one_of(LEAVES, inner), max_size=4),
    max_leaves=12,
)


def identical(left: object, right: object) -> bool:
    """Equal as JSON, where 1 and true differ."""
    return json.dumps(left, sort_keys=True) == json.dumps(right, sort_keys=True)


@settings(max_examples=40)
@given(STATES, STATES)
def test_a_delta_makes_the_new_state_of_the_old(old: State, new: State):
    """Whatever two states are: the old one with the difference merged in is the new one."""
    assert identical(applied(old, diff(old, new)), new)


@settings(max_examples=40)
@given(STATES, STATES)
def test_merging_changes_neither_side(old: State, new: State):
    """A state that somebody holds is never changed under them."""
    before, patch = deepcopy(old), diff(old, new)
    patch_before = deepcopy(patch)
    applied(old, patch)
    assert identical(old, before)
    assert identical(patch, patch_before)


@settings(max_examples=40)
@given(STATES)
def test_nothing_changed_is_an_empty_delta(state: State):
    """Two equal states differ by nothing, so nobody is told anything."""
    assert diff(state, deepcopy(state)) == {}


def test_a_delta_tells_only_what_changed():
    """One score of one trooper goes out, not the trooper and not the swarm."""
    old = {"tasks": {"x": {"score": 1, "name": "Brave Otter"}, "y": {"score": 2}}, "chat": "1:m"}
    new = {"tasks": {"x": {"score": 2, "name": "Brave Otter"}, "z": {"score": 0}}, "chat": "1:m"}
    assert diff(old, new) == {"tasks": {"x": {"score": 2}, "y": None, "z": {"score": 0}}}


def test_pruned_leaves_no_none():
    """What a merge patch cannot carry is left out, at every depth."""
    assert pruned({"a": None, "b": {"c": None, "d": 0}, "e": False}) == {"b": {"d": 0}, "e": False}


class Stage:
    """A fanout whose state a test sets and whose looks it takes itself."""

    def __init__(self, *, cap: int = 3, ring: int = 4) -> None:
        self.clock = FakeClock()
        self.state: State = {"n": 0}
        self.started = 0
        self.fanout = Fanout(lambda: self.state, self.clock, cap=cap, ring=ring, spawn=self._spawn)

    def _spawn(self, _run: object) -> None:
        self.started += 1

    def say(self, n: int) -> None:
        """Change the state and let the fanout look."""
        self.state = {"n": n}
        self.fanout.step()


class Client:
    """What a browser makes of a stream."""

    def __init__(self, viewer: Viewer) -> None:
        self.viewer = viewer
        self.state: State = {}
        self.kinds: list[str] = []
        self.last_id = ""
        assert next(viewer) == RETRY

    def read(self) -> None:
        """Take what there is; there must be something."""
        for block in next(self.viewer).decode().split("\n\n")[:-1]:
            lines = dict(line.split(": ", 1) for line in block.split("\n") if line[:1] != ":")
            self.kinds.append(lines["event"])
            self.last_id = lines["id"]
            data = json.loads(lines["data"])
            if lines["event"] == "snapshot":
                self.state = data
            elif lines["event"] == "delta":
                self.state = applied(self.state, data)


def test_the_whole_first_then_what_changed():
    """A new viewer gets the whole picture, then deltas that keep it right."""
    stage = Stage()
    client = Client(stage.fanout.open())
    stage.say(1)
    client.read()
    stage.say(2)
    client.read()
    assert (client.kinds, client.state) == (["snapshot", "delta"], {"n": 2})


def test_nothing_new_is_not_told():
    """A look that finds nothing changed makes no event."""
    stage = Stage()
    client = Client(stage.fanout.open())
    stage.say(1)
    client.read()
    stage.fanout.step()
    stage.say(2)
    client.read()
    assert client.kinds == ["snapshot", "delta"]


def test_everyone_gets_the_same_bytes():
    """One event is serialised once: all viewers are handed the very same object."""
    stage = Stage()
    one, two = stage.fanout.open(), stage.fanout.open()
    stage.say(1)
    assert [next(one), next(two)] == [RETRY, RETRY]
    assert next(one) is next(two)


def test_every_event_says_when_it_was_made():
    """A comment before it has unix milliseconds; one that is caught up on keeps the time of its making."""
    stage = Stage()
    viewer, late = stage.fanout.open(), stage.fanout.open()
    assert (next(viewer), next(late)) == (RETRY, RETRY)
    made = []
    for number in (1, 2):
        stage.say(number)
        made.append(stage.clock.wall_ms())
        told = next(viewer)
        assert told.startswith(b": at %d\nid: " % made[-1])
        if number == 1:
            next(late)
        stage.clock.advance(1.0)
    assert next(late).startswith(b": at %d\n" % made[-1])


def test_a_ping_comes_by_the_clock():
    """Every 15 s there is a ping, also when nothing else happens."""
    stage = Stage()
    client = Client(stage.fanout.open())
    stage.say(1)
    client.read()
    stage.clock.advance(PING_EVERY)
    stage.fanout.step()
    client.read()
    assert client.kinds == ["snapshot", "ping"]


def test_a_slow_viewer_gets_the_whole_again():
    """Who has fallen out of the ring is brought up to date by one snapshot, not by what is left of it."""
    stage = Stage(ring=4)
    client = Client(stage.fanout.open())
    stage.say(1)
    client.read()
    for n in range(2, 12):
        stage.say(n)
    client.read()
    assert (client.kinds, client.state) == (["snapshot", "snapshot"], {"n": 11})


@pytest.mark.parametrize(
    ("kept", "kinds"), [(0, ["snapshot"]), (3 * BACKLOG, ["delta", "delta"])], ids=["small", "large"]
)
def test_a_long_backlog_is_told_as_the_whole_where_that_is_less(kept: int, kinds: list[str]):
    """Who missed more than BACKLOG bytes gets what is shorter: all that it missed, or the whole picture."""
    stage = Stage()
    client = Client(stage.fanout.open())
    stage.say(1)
    client.read()
    for mark in "xyz":
        stage.state = {"n": 1, "news": mark * BACKLOG, "kept": "k" * kept}
        stage.fanout.step()
        if mark == "x":
            client.read()
            client.kinds.clear()
    client.read()
    assert client.kinds == kinds
    assert client.state == stage.state


def test_looks_begin_a_period_apart_however_long_they_take():
    """What a look takes does not delay the next, and some time is always left for others."""
    assert until_next(0.25, 0.1) == pytest.approx(0.15)
    assert until_next(0.25, 0.24) == until_next(0.25, 5.0) == LEAST_PAUSE
    assert until_next(0.01, 5.0) == 0.01


def test_resuming_within_the_ring():
    """Who comes back with an id of this ring gets only what it missed."""
    stage = Stage()
    client = Client(stage.fanout.open())
    stage.say(1)
    client.read()
    client.viewer.close()
    stage.say(2)
    stage.say(3)
    back = Client(stage.fanout.open(client.last_id))
    back.state = client.state
    back.read()
    assert (back.kinds, back.state) == (["delta", "delta"], {"n": 3})


@pytest.mark.parametrize(
    "wrong", ["deadbeef-1", "1", "", "{token}-99", "{token}--1", "{token}-²", "{token}-x"]
)
def test_an_id_of_somebody_else_is_no_place(wrong: str):
    """An id of another process, of the future or of nonsense brings the whole picture."""
    stage = Stage()
    client = Client(stage.fanout.open())
    stage.say(1)
    client.read()
    token = client.last_id.rpartition("-")[0]
    other = Client(stage.fanout.open(wrong.format(token=token)))
    other.read()
    assert (other.kinds, other.state) == (["snapshot"], {"n": 1})


def test_the_cap_is_refused_and_freed():
    """One viewer too many is refused with a sentence, and there is room again when one leaves."""
    stage = Stage(cap=1)
    first = stage.fanout.open()
    with pytest.raises(Full, match="1 viewers are watching"):
        stage.fanout.open()
    first.close()
    first.close()
    stage.fanout.open()
    assert stage.fanout.viewers == 1


def test_a_viewer_that_was_never_read_leaves_too():
    """A body that the server closes before its first byte frees its place: it is no generator."""
    stage = Stage(cap=1)
    stage.fanout.open().close()
    assert stage.fanout.viewers == 0


def test_closing_ends_every_stream():
    """A process that is about to end sends everybody away and takes nobody new."""
    stage = Stage()
    viewer = stage.fanout.open()
    stage.say(1)
    next(viewer)
    stage.fanout.close()
    with pytest.raises(StopIteration):
        next(viewer)
    with pytest.raises(Full, match="about to end"):
        stage.fanout.open()
    assert stage.fanout.viewers == 0


def wait_until(done: threading.Event) -> None:
    """Fail rather than hang."""
    assert done.wait(5.0), "it did not happen within 5 s"


def test_it_looks_only_while_somebody_watches():
    """The thread starts with the first viewer, ends with the last, and starts again."""
    ended = threading.Event()
    looks = 0

    def produce() -> State:
        nonlocal looks
        looks += 1
        return {"n": looks}

    def spawn(run: object) -> None:
        def whole() -> None:
            run()  # type: ignore[operator]
            ended.set()

        threading.Thread(target=whole).start()

    fanout = Fanout(produce, FakeClock(), cap=2, period=0.001, spawn=spawn)
    for _ in range(2):
        client = Client(fanout.open())
        client.read()
        client.viewer.close()
        wait_until(ended)
        ended.clear()
    settled = looks
    assert settled >= 2
    assert fanout.looks == settled


def test_a_new_viewer_never_sees_an_old_picture():
    """After a time without viewers the first thing told is what is so now."""
    stage = Stage()
    client = Client(stage.fanout.open())
    stage.say(1)
    client.read()
    client.viewer.close()
    assert not stage.fanout._wanted()
    late = stage.fanout.open()
    assert stage.started == 2
    stage.say(7)
    newcomer = Client(late)
    newcomer.read()
    assert newcomer.state == {"n": 7}


def test_a_fault_in_the_producer_sends_viewers_away():
    """When looking fails unforeseen, streams end (browsers come back) instead of falling silent."""

    def produce() -> State:
        raise RuntimeError("a fault of ours")

    fanout = Fanout(produce, FakeClock(), cap=2, spawn=lambda run: run())
    with capture_logs() as logs:
        viewer = fanout.open()
    next(viewer)
    with pytest.raises(StopIteration):
        next(viewer)
    assert fanout.viewers == 0
    assert [line["event"] for line in logs] == ["the stream's producer failed"]

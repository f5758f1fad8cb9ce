"""Journals: no append is lost to another, none is doubled, and a wiped list heals."""

from __future__ import annotations

import pytest

from clawbucket import codecs, keys
from clawbucket.bus.memory import MemoryBus
from clawbucket.codecs import Gate
from clawbucket.core.records import ChatMessage
from clawbucket.journal import Journal
from clawbucket.ports import BusDown, BusRefused
from tests.fakes import FakeClock

KEY = keys.CHAT.of()


class Room:
    """A chat and its bus."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.bus = MemoryBus(self.clock)
        self.gate = Gate(self.clock)
        self.chat = self.another()

    def another(self) -> Journal[ChatMessage]:
        """Another process's journal of the same list."""
        return Journal[ChatMessage](self.bus, self.gate, self.clock, codecs.CHAT)

    def say(self, name: str, journal: Journal[ChatMessage] | None = None, text: str = "hello") -> ChatMessage:
        """Append a message with that id."""
        return (journal or self.chat).append(lambda seq: ChatMessage(name, seq, "me", "here", text, "now"))

    def ids(self) -> list[str]:
        """What the list holds."""
        return [m.id for m in self.another().read()]


def test_events_come_in_the_order_of_their_appends():
    """Each append is after all before it, though the clock stands still."""
    room = Room()
    seqs = [room.say(str(n)).seq for n in range(5)]
    assert room.ids() == ["0", "1", "2", "3", "4"]
    assert seqs == sorted(set(seqs))


def test_an_append_by_a_process_whose_clock_is_behind_comes_last_all_the_same():
    """The hybrid clock puts an append after what its writer saw, whatever the wall clocks say."""
    room = Room()
    room.say("first")
    room.clock.advance(-3_600)
    room.say("second")
    assert room.ids() == ["first", "second"]


def test_the_list_is_cut_to_its_cap():
    """The last 40 messages are kept."""
    room = Room()
    for number in range(45):
        room.say(str(number))
    assert room.ids() == [str(n) for n in range(5, 45)]


def test_an_append_whose_answer_was_lost_is_not_doubled():
    """An append in doubt is looked for by its id before it is tried again."""
    room = Room()
    room.say("first")
    room.bus.in_doubt = 1
    room.say("second")
    assert room.ids() == ["first", "second"]


def test_a_wiped_list_heals_from_what_its_readers_saw():
    """After a wipe two readers' memories are merged into one list, in order, without doubles."""
    room = Room()
    other = room.another()
    room.say("1")
    room.say("2", other)
    room.chat.read()
    room.bus.wipe()
    assert room.chat.heal() == 2
    assert other.heal() == 0
    room.say("3", other)
    assert room.ids() == ["1", "2", "3"]


def test_what_was_said_after_the_wipe_is_kept_when_the_list_heals():
    """A list that already began anew is merged, not replaced."""
    room = Room()
    room.say("old")
    room.bus.wipe()
    room.clock.advance(1)
    room.say("new", room.another())
    assert room.chat.heal() == 1
    assert room.ids() == ["old", "new"]


def test_what_came_since_the_last_healing_outlives_a_wipe_that_others_healed_without_it():
    """The list is once more what it was when it was last healed here, and yet an append is missing."""
    room = Room()
    other = room.another()
    room.say("1")
    assert (room.chat.heal(), other.heal()) == (0, 0)
    room.say("2")
    room.bus.wipe()
    assert other.heal() == 1
    assert room.chat.heal() == 1
    assert room.ids() == ["1", "2"]


def test_a_healthy_list_is_left_alone():
    """Healing a list that has lost nothing writes nothing."""
    room = Room()
    room.say("1")
    _, token = room.bus.gets(KEY)
    assert room.chat.heal() == 0
    assert room.bus.gets(KEY)[1] == token


def test_events_beyond_the_cap_do_not_come_back():
    """What the cap has cut off is not lost, and healing does not bring it back."""
    room = Room()
    for number in range(45):
        room.say(str(number))
    assert room.chat.heal() == 0
    assert len(room.ids()) == 40


def test_poison_is_replaced_by_the_next_append_and_by_healing():
    """A list that was overwritten with garbage is put right by whoever writes next."""
    room = Room()
    room.say("1")
    room.bus.set(KEY, b"garbage", 60)
    assert room.chat.heal() == 1
    room.bus.set(KEY, b"garbage", 60)
    room.say("2")
    assert room.ids() == ["2"]
    room.chat.heal()
    assert room.ids() == ["1", "2"]


def test_an_append_to_a_bus_that_is_down_says_so():
    """BusDown is told, and nothing is remembered as said."""
    room = Room()
    room.bus.down = True
    with pytest.raises(BusDown):
        room.say("1")
    room.bus.down = False
    assert room.chat.heal() == 0
    assert room.ids() == []


def test_an_append_that_always_comes_second_gives_up():
    """Where somebody else writes first every time, the append ends with BusRefused, not never."""
    room = Room()
    room.say("0")

    def too_slow(seq: int) -> ChatMessage:
        room.bus.set(KEY, room.bus.get(KEY), 60)
        return ChatMessage("late", seq, "me", "here", "hello", "now")

    with pytest.raises(BusRefused, match="12 others"):
        room.chat.append(too_slow)


def test_long_messages_are_cut_to_the_keys_size_bound():
    """Forty messages of a thousand wide characters fit: the oldest go."""
    room = Room()
    for number in range(40):
        room.say(str(number), text="🦀" * 1_000)
    assert len(room.bus.get(KEY)) <= keys.CHAT.max_bytes
    assert room.ids()[-1] == "39"

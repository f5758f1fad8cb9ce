"""The board: one picture from the bus, whoever looks."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from clawbucket import codecs, keys
from clawbucket.board import LONGEST_LABEL, BoardReader, armed, defectors
from clawbucket.core.callsign import color_of, name_of
from clawbucket.core.model import ArmState
from clawbucket.core.neighbours import PeerSummary
from clawbucket.core.records import Arm, ArmEvent, Heartbeat, Lease
from clawbucket.core.revolt import Phase, RevoltEvent
from clawbucket.ports import BusDown
from clawbucket.settings import Settings
from tests.hive import PRIMARY, SECOND, Hive

BOTH = (PRIMARY, SECOND)


def reader(hive: Hive, services: tuple[str, ...] = BOTH) -> BoardReader:
    """A reader of that hive's bus."""
    return BoardReader(
        hive.bus, hive.gate, hive.clock, Settings(service_name=PRIMARY, swarm_services=services)
    )


@pytest.fixture
def hive() -> Hive:
    """Two services that have settled."""
    hive = Hive(services=BOTH)
    hive.run(4)
    return hive


def test_every_running_task_is_a_trooper(hive):
    """Each task appears with its slot, callsign, colour, score and freshness."""
    board = reader(hive).board()
    assert [s.service for s in board.squads] == list(BOTH)
    for squad in board.squads:
        assert (squad.desired_replicas, squad.running_count) == (3, 3)
        assert [t.slot for t in squad.replicas] == [1, 2, 3]
        for trooper in squad.replicas:
            assert trooper.name == name_of(trooper.id)
            assert trooper.color == color_of(trooper.id)
            assert trooper.state == "running"


def test_exactly_one_manager_a_service_is_shown(hive):
    """The lease holder is the manager, and it is confirmed once its lease was seen to move."""
    look = reader(hive)
    look.board()
    hive.run(0.5)
    for squad in look.board().squads:
        managers = [t for t in squad.replicas if t.is_manager]
        assert [m.id for m in managers] == [hive.leader(squad.service)]
        assert managers[0].manager_confirmed


def test_without_a_lease_the_preferred_task_is_shown_unconfirmed(hive):
    """Exactly one manager is shown whenever a replica runs, and it says that it is not confirmed."""
    hive.bus.wipe()
    hive.clock.advance(1)
    hive.publish()
    look = reader(hive)
    squad = look.board().squads[0]
    assert [t.slot for t in squad.replicas if t.is_manager] == [1]
    assert not any(t.manager_confirmed for t in squad.replicas)


def test_a_lease_that_no_longer_moves_is_not_confirmed(hive):
    """A holder that stopped renewing for 1.5 s is shown as manager, unconfirmed."""
    look = reader(hive)
    look.board()
    for _ in range(10):
        hive.clock.advance(0.3)
        board = look.board()
    assert not board.squads[0].manager_confirmed


def test_a_released_lease_names_nobody(hive):
    """After a release the preferred task is shown until somebody takes over."""
    lease = Lease(hive.leader(), 2**40, 9, released=True)
    hive.bus.set(keys.LEADER.of(PRIMARY), codecs.LEASE.encode(lease), 60)
    squad = reader(hive).board().squads[0]
    assert not squad.manager_confirmed
    assert sum(t.is_manager for t in squad.replicas) == 1


def test_the_bus_is_asked_once_in_the_age(hive):
    """However many look within 250 ms, one refresh is made."""
    look = reader(hive)
    for _ in range(100):
        look.board()
    assert look.refreshes == 1
    hive.clock.advance(0.25)
    look.board()
    assert look.refreshes == 2


def test_many_at_once_share_one_refresh(hive):
    """Callers that come while a refresh is under way wait for its answer."""
    look = reader(hive)
    threads = [threading.Thread(target=look.board) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert look.refreshes == 1


def test_the_version_rises_only_when_something_changed(hive):
    """Two looks at an unchanged rack give the very same board."""
    look = reader(hive)
    hive.clock.advance(1)
    first = look.board(max_age=0)
    second = look.board(max_age=0)
    assert second is first
    hive.bus.set(keys.RPS_INTERVAL.of(), b"33", 60)
    assert look.board(max_age=0).version == first.version + 1


def test_only_what_changed_is_drawn_anew(hive):
    """Of many troopers few change between two looks: the others are the very objects of before."""
    look = reader(hive)
    before = {t.id: t for squad in look.board().squads for t in squad.replicas}
    changed = next(iter(before))
    hive.bus.set(keys.SCORE.of(changed), b"77", 60)
    after = {t.id: t for squad in look.board(max_age=0).squads for t in squad.replicas}
    assert after[changed].score == 77
    assert [who for who in after if after[who] is not before[who]] == [changed]


def test_after_invalidate_the_next_look_asks_the_bus(hive):
    """Who has just changed something sees it."""
    look = reader(hive)
    look.board()
    hive.bus.set(keys.RPS_INTERVAL.of(), b"33", 60)
    look.invalidate()
    assert look.board().interval_seconds == 33


def test_a_bus_that_is_down_leaves_the_last_board_and_tells_its_age(hive):
    """The last known board is shown with stale_seconds, and recovers by itself."""
    look = reader(hive)
    look.board()
    hive.bus.down = True
    hive.clock.advance(7)
    stale = look.board()
    assert stale.stale_seconds == 7.0
    assert stale.squads[0].running_count == 3
    hive.bus.down = False
    hive.run(0.5)
    assert look.board().stale_seconds is None


def test_with_nothing_ever_read_there_is_no_board():
    """BusDown with a sentence, whether the bus is down or merely empty."""
    hive = Hive()
    with pytest.raises(BusDown, match="is the rack manager running"):
        reader(hive).board()
    hive.bus.down = True
    with pytest.raises(BusDown, match="cut off"):
        reader(hive).board()


def test_a_wiped_bus_shows_what_was_last_known(hive):
    """Scores, words and desired counts do not blink while their owners publish them again."""
    hive.run(20)
    look = reader(hive)
    look.board()
    hive.clock.advance(0.3)
    before = look.board()
    hive.bus.wipe()
    hive.clock.advance(0.3)
    after = look.board()
    assert [t.score for s in after.squads for t in s.replicas] == [
        t.score for s in before.squads for t in s.replicas
    ]
    assert [t.three_words for t in after.squads[0].replicas] == [
        t.three_words for t in before.squads[0].replicas
    ]


def test_a_service_that_is_not_there_carries_an_error_and_zeros(hive):
    """A configured service that the rack does not run is shown with its error."""
    squad = reader(hive, (PRIMARY, "nowhere")).board().squad("nowhere")
    assert squad.error == "no service nowhere runs on this rack"
    assert (squad.desired_replicas, squad.running_count, squad.replicas) == (0, 0, ())


def test_a_silent_rack_manager_is_told(hive):
    """Three seconds without a new snapshot are told in whole seconds."""
    look = reader(hive)
    look.board()
    for _ in range(9):
        hive.clock.advance(0.5)
        board = look.board()
    assert board.snapshot_age_seconds == 4


def test_memory_is_bounded_by_what_runs(hive):
    """What a reader remembers of ended tasks goes."""
    look = reader(hive)
    look.board()
    for _ in range(5):
        hive.kill(next(iter(hive.tasks)))
        hive.start(PRIMARY, 1)
        hive.run(0.5)
        look.board()
        look.board(max_age=0)
    assert len(look._readers) <= 10 + 2 * 2 + 3 * len(hive.tasks)
    assert len(look._drawn) <= len(hive.tasks)


def event(number: int, state: ArmState) -> ArmEvent:
    """An ARM event of task t."""
    return ArmEvent(str(number), number, "t", "bot", state, "", "test")


def test_the_latest_arm_event_counts():
    """By sequence number, wherever it is in the list."""
    assert armed([event(2, ArmState.ON), event(1, ArmState.OFF)], []) == {"t": ArmState.ON}


def test_a_troopers_newer_memory_counts_more_than_the_list():
    """A list that lost its newest event does not disarm anybody."""
    beat = Heartbeat("t", "s.1.t", "s", 1, "n", 1, "", "", arm=Arm(ArmState.ON, 5))
    assert armed([event(2, ArmState.OFF)], [beat]) == {"t": ArmState.ON}


def phase(number: int, source: str, what: Phase, rack: str = "BOT 1", handoff: str = "h") -> RevoltEvent:
    """An event of that task's handoff, which leaves ``rack``."""
    return RevoltEvent(
        f"{handoff}-{what.lower()}", number, "", source, "", PRIMARY, rack, "BOT 2", handoff, what
    )


def test_handoffs_are_shown_as_the_journal_has_them(hive):
    """In its order; after a wipe as they were last known."""
    look = reader(hive)
    events = [phase(1, "t", Phase.PREPARED), phase(2, "t", Phase.COMMITTED)]
    hive.bus.set(keys.REVOLT_EVENTS.of(), codecs.REVOLT_EVENTS.encode(events), 60)
    assert look.board().revolts == tuple(events)
    hive.bus.delete(keys.REVOLT_EVENTS.of())
    look.invalidate()
    assert look.board().revolts == tuple(events)


def test_peers_are_shown_while_somebody_watches_them(hive):
    """What has run out is not shown any more; another look at an unchanged rack makes no new board."""
    look = reader(hive)
    peer = PeerSummary("beta", "http://b", True, "Rack B", 3, 3, "Sly Fox", 7, "10:00")
    hive.bus.set(keys.PEERS.of(), codecs.PEERS.encode([peer]), 60)
    board = look.board()
    assert [(p.name, p.label, p.score) for p in board.peers] == [("beta", "Rack B", 7)]
    hive.bus.set(keys.PEERS.of(), codecs.PEERS.encode([replace(peer, at="10:02")]), 60)
    look.board(max_age=0)
    hive.bus.set(keys.PEERS.of(), codecs.PEERS.encode([replace(peer, at="10:04")]), 60)
    assert look.board(max_age=0).peers == board.peers
    hive.bus.delete(keys.PEERS.of())
    assert look.board(max_age=0).peers == ()


def test_a_trooper_says_that_it_is_held_and_where_it_came_from(hive):
    """By its beat alone, of which no more is shown than a label may have."""
    one, two, *others = list(hive.tasks)
    hive.troopers[one].memory.frozen = "f" * 32
    hive.troopers[two].memory.from_rack = "x" * 99
    hive.run(2.5)
    shown = {t.id: t for s in reader(hive).board().squads for t in s.replicas}
    assert [shown[one].frozen, shown[two].frozen] == [True, False]
    assert [shown[one].from_rack, shown[two].from_rack] == ["", "x" * LONGEST_LABEL]
    assert not any(shown[who].frozen or shown[who].from_rack or shown[who].defected for who in others)


def test_a_trooper_that_was_handed_over_has_defected(hive):
    """Its task is shown so until it ends."""
    gone = next(iter(hive.tasks))
    events = [phase(1, gone, Phase.PREPARED), phase(2, gone, Phase.COMMITTED)]
    hive.bus.set(keys.REVOLT_EVENTS.of(), codecs.REVOLT_EVENTS.encode(events), 60)
    shown = [t.id for s in reader(hive).board().squads for t in s.replicas if t.defected]
    assert shown == [gone]


def test_the_latest_phase_counts_for_who_has_defected():
    """By sequence number, wherever it is in the list, and over all handoffs of the task."""
    undone = [phase(2, "t", Phase.ABORTED), phase(1, "t", Phase.PREPARED)]
    assert defectors(undone, "BOT 1") == frozenset()
    again = [*undone, phase(4, "t", Phase.COMMITTED, handoff="i"), phase(3, "t", Phase.PREPARED, handoff="i")]
    assert defectors(again, "BOT 1") == {"t"}
    assert defectors([phase(5, "u", Phase.IN_DOUBT)], "BOT 1") == frozenset()


def test_another_racks_troopers_do_not_defect_here():
    """Only what leaves this rack is about to end on it."""
    theirs = [phase(1, "t", Phase.RESTORED, "BOT 2"), phase(2, "u", Phase.COMMITTED, "BOT 2")]
    assert defectors(theirs, "BOT 1") == frozenset()

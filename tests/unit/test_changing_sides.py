"""A trooper's own part in handoffs, by orders into its inbox: it freezes, thaws, or takes a state over."""

from __future__ import annotations

from dataclasses import replace

import pytest

from clawbucket import codecs, keys
from clawbucket.core.agent import Utterance
from clawbucket.core.model import ArmState
from clawbucket.core.records import Ack, Answer, ArmEvent, Heartbeat, Order, Throw, Words
from clawbucket.core.revolt import Handoff, Phase, TrooperState
from clawbucket.core.rps import ScoreCard
from clawbucket.journal import Journal
from clawbucket.loops.handover import FROZEN, RESTORED, THAWED
from clawbucket.loops.memory import Memory
from clawbucket.loops.thinker import TALK_SESSION
from tests.fakes import FakeAgent
from tests.hive import PRIMARY, Hive

ONE, OTHER = "1" * 32, "2" * 32
SAID = (Utterance("user", "Who are you?", "a"), Utterance("assistant", "Brave Otter.", "b"))
STATE = TrooperState(40, "brave quiet otter", "picoclaw", ArmState.ON, SAID)
QUICK = b"2"
"""Seconds between two rounds here."""


class Barracks(Hive):
    """A hive whose last trooper gets orders, and what it finds when it is to restore one."""

    def __init__(self) -> None:
        self.agents: dict[str, FakeAgent] = {}
        self.records: dict[str, Handoff] = {}
        super().__init__(agent=self._enlist, handoff=self.records.get)
        self.bus.set(keys.RPS_INTERVAL.of(), QUICK, 86_400)
        self.run(6)
        self.who = self.running_in(PRIMARY, 3)
        self._orders = 0

    def _enlist(self, task_id: str) -> FakeAgent:
        return self.agents.setdefault(task_id, FakeAgent(words="one two three", talk="Aye."))

    @property
    def memory(self) -> Memory:
        """What the trooper knows of itself."""
        return self.troopers[self.who].memory

    @property
    def beat(self) -> Heartbeat | None:
        """What the rack sees of it."""
        key = keys.HEARTBEAT.of(self.tasks[self.who].name)
        return self.gate.read(codecs.HEARTBEAT, key, self.bus.get(key))

    def order(self, kind: str, handoff: str = ONE, order_id: str = "", **more: object) -> str | None:
        """Send an order and give it a second; how it was acknowledged."""
        self._orders += 1
        name = order_id or f"o{self._orders}"
        inbox = Journal(self.bus, self.gate, self.clock, codecs.ORDERS, self.who)
        at = self.clock.iso()
        inbox.append(lambda seq: Order(name, seq, kind, at, text=handoff, **more))  # type: ignore[arg-type]
        self.run(1.0)
        acks: Journal[Ack] = Journal(self.bus, self.gate, self.clock, codecs.ACKS, self.who)
        return next((ack.result for ack in acks.read() if ack.id == name), None)

    def capture(self, handoff: str = ONE) -> TrooperState | None:
        """What it told when it froze."""
        key = keys.CAPTURE.of(handoff)
        return self.gate.read(codecs.CAPTURE, key, self.bus.get(key))

    def arm(self, state: ArmState, event_id: str) -> None:
        """Arm or disarm it, as the dashboard does."""
        self.arm_events.append(
            lambda seq: ArmEvent(event_id, seq, self.who, "x", state, self.clock.iso(), "dashboard")
        )

    @property
    def arm_events(self) -> Journal[ArmEvent]:
        """The rack's."""
        return Journal(self.bus, self.gate, self.clock, codecs.ARM_EVENTS)

    def round(self) -> int:
        """The running one."""
        throw: Throw | None = self.gate.read(codecs.THROW, "throw", self.bus.get(keys.RPS_STATE.of()))
        return throw.round if throw is not None else 0

    def know(self, handoff: str = ONE, state: TrooperState | None = STATE, **changes: object) -> None:
        """Have a record of that handoff here."""
        record = Handoff(
            snapshot_id=handoff, side="target", service=PRIMARY, source_task_id="x1", source_rack="Rack 1",
            target_rack="Rack 2", peer="", phase=Phase.ACCEPTED, phases=(), by="m", state=state,
        )  # fmt: skip
        self.records[handoff] = replace(record, **changes)  # type: ignore[arg-type]


@pytest.fixture
def hive() -> Barracks:
    """Three troopers whose first rounds are played."""
    return Barracks()


# Freezing -----------------------------------------------------------------------------------------------


def test_a_frozen_trooper_tells_its_state(hive):
    """What it had at that moment is on the bus before it acknowledges, and its beat says that it is held."""
    hive.memory.card = ScoreCard(17, hive.memory.card.round)
    hive.memory.words = Words("brave quiet otter", "", "picoclaw")
    hive.arm(ArmState.ON, "e1")
    hive.run(2.5)
    score = hive.memory.card.score
    assert hive.order("freeze") == FROZEN
    state = hive.capture()
    assert state == TrooperState(hive.memory.card.score, "brave quiet otter", "picoclaw", ArmState.ON)
    assert abs(state.score - score) <= 1
    assert (hive.memory.frozen, hive.beat.frozen) == (ONE, ONE)


def test_nothing_of_a_frozen_trooper_changes(hive):
    """However many rounds are thrown, words fall due and arms are raised: what it told stays true."""
    assert hive.order("freeze") == FROZEN
    state, memory = hive.capture(), hive.memory
    before = memory.card, memory.words, memory.arm, memory.rounds
    began = hive.round()
    hive.arm(ArmState.ON, "e1")
    hive.run(70)
    assert hive.round() > began + 20
    assert (memory.card, memory.words, memory.arm, memory.rounds) == before
    assert hive.bus.get(keys.SCORE.of(hive.who)) == b"%d" % state.score
    assert hive.beat.score == state.score
    assert hive.capture() == state
    others = [t.memory for who, t in hive.troopers.items() if who != hive.who]
    assert any(other.card.round > began + 20 for other in others)


def test_a_frozen_trooper_stays_frozen_over_a_wipe(hive):
    """Its memory is the truth: an empty bus has its score, and that it is held, within a beat."""
    hive.order("freeze")
    score = hive.memory.card.score
    hive.bus.wipe()
    hive.run(3)
    assert (hive.beat.frozen, hive.beat.score) == (ONE, score)


def test_freezing_twice_is_freezing_once(hive):
    """The same order, or another for the same handoff: acknowledged alike, and the same is told."""
    assert hive.order("freeze", order_id="f1") == FROZEN
    state = hive.capture()
    hive.bus.delete(keys.CAPTURE.of(ONE))
    assert hive.order("freeze", order_id="f2") == FROZEN
    assert hive.capture() == state
    assert hive.order("freeze", order_id="f1") == FROZEN
    assert hive.memory.frozen == ONE


def test_a_frozen_trooper_freezes_for_nobody_else(hive):
    """A second handoff is told so; the first still has it, and nothing is told to the second."""
    hive.order("freeze")
    refusal = hive.order("freeze", OTHER)
    assert refusal not in {FROZEN, None}
    assert "another handoff" in refusal
    assert hive.memory.frozen == ONE
    assert hive.capture(OTHER) is None


def test_a_frozen_trooper_answers_that_it_is_away(hive):
    """An ask is answered at once with agent_busy; the agent hears nothing of it."""
    agent = hive.agents[hive.who]
    hive.order("freeze")
    asked = list(agent.asked)
    hive.order("ask", "ready?", "a1")
    hive.run(5)
    answers: Journal[Answer] = Journal(hive.bus, hive.gate, hive.clock, codecs.ANSWERS, hive.who)
    (answer,) = [a for a in answers.read() if a.id == "a1"]
    assert answer.failed == "agent_busy"
    assert "change racks" in answer.sentence
    assert agent.asked == asked


def test_the_conversation_goes_along(hive):
    """What was said with it before it froze is in what it tells."""
    hive.order("ask", "ready?", "a1")
    hive.run(2)
    hive.order("freeze")
    assert [(said.role, said.text) for said in hive.capture().conversation] == [
        ("user", "ready?"), ("assistant", "answer to 0"),
    ]  # fmt: skip


# Thawing ------------------------------------------------------------------------------------------------


def test_a_thawed_trooper_goes_on(hive):
    """It scores from the running round on, says words and takes arms again, as if nothing had been."""
    hive.order("freeze")
    memory, words = hive.memory, hive.memory.words
    score, played = memory.card.score, memory.card.round
    hive.arm(ArmState.ON, "e1")
    hive.run(10)
    assert hive.order("thaw") == THAWED
    assert (memory.frozen, hive.beat.frozen) == ("", "")
    hive.run(35)
    assert memory.card.round >= hive.round() - 1
    assert memory.card.round > played
    assert abs(memory.card.score - score) <= memory.card.round - played
    assert memory.words != words
    assert memory.arm.state is ArmState.ON


def test_what_passed_while_it_was_frozen_is_not_scored(hive):
    """Of all the rounds that were thrown meanwhile at most the running one counts."""
    hive.order("freeze")
    score = hive.memory.card.score
    hive.run(40)
    hive.order("thaw")
    assert abs(hive.memory.card.score - score) <= 2


def test_thawing_twice_is_thawing_once(hive):
    """Also where it was not frozen at all."""
    assert hive.order("thaw") == THAWED
    hive.order("freeze")
    assert hive.order("thaw") == hive.order("thaw") == THAWED
    assert hive.memory.frozen == ""


def test_only_its_own_handoff_thaws_a_trooper(hive):
    """An order of another handoff, which came late, leaves it held."""
    hive.order("freeze")
    assert hive.order("thaw", OTHER) == THAWED
    assert (hive.memory.frozen, hive.beat.frozen) == (ONE, ONE)


def test_a_thawed_trooper_can_be_frozen_for_the_next(hive):
    """One handoff after another."""
    hive.order("freeze")
    hive.order("thaw")
    assert hive.order("freeze", OTHER) == FROZEN
    assert hive.capture(OTHER) is not None


# Taking over --------------------------------------------------------------------------------------------


def test_a_recruit_takes_a_trooper_over(hive):
    """Score, words, ARM state, badge and conversation; what it has scored itself is added to."""
    hive.know()
    hive.memory.card = ScoreCard(-3, hive.memory.card.round)
    assert hive.order("restore") == RESTORED
    memory, beat = hive.memory, hive.beat
    assert abs(memory.card.score - (40 - 3)) <= 1  # a round may have been played meanwhile
    assert (memory.words.text, memory.words.source) == (STATE.words, STATE.words_source)
    assert memory.arm.state is ArmState.ON
    assert (memory.handoff, memory.from_rack, memory.frozen) == (ONE, "Rack 1", "")
    assert (beat.handoff, beat.from_rack) == (ONE, "Rack 1")
    assert hive.agents[hive.who].remembered == [(TALK_SESSION, said) for said in SAID]
    key = keys.CONVERSATION.of(hive.who)
    assert hive.gate.read(codecs.CONVERSATION, key, hive.bus.get(key)) == list(SAID)


def test_the_rack_hears_that_it_is_armed(hive):
    """An ARM event says so, one however often it is restored, and it can be disarmed afterwards."""
    hive.know()
    hive.order("restore", order_id=f"{ONE}-restore")
    mine = [e for e in hive.arm_events.read() if e.task_id == hive.who]
    assert [(e.id, e.state, e.source) for e in mine] == [(f"{ONE}-restore-arm", ArmState.ON, "revolt")]
    assert hive.memory.arm.seq == mine[0].seq
    hive.arm(ArmState.OFF, "e2")
    hive.run(2.5)
    assert hive.memory.arm.state is ArmState.OFF


def test_a_trooper_that_was_not_armed_is_not(hive):
    """And one that said nothing keeps the recruit's words; without a conversation the agent hears nothing."""
    words = hive.memory.words
    hive.know(state=TrooperState(5, "", "", ArmState.OFF))
    assert hive.order("restore") == RESTORED
    assert hive.memory.arm is None
    assert hive.memory.words == words
    assert hive.arm_events.read() == []
    assert hive.agents[hive.who].remembered == []


def test_it_goes_on_with_what_it_took_over(hive):
    """Rounds are added to it, and a wiped bus has it back."""
    hive.know()
    hive.order("restore")
    memory = hive.memory
    score, played = memory.card.score, memory.card.round
    hive.run(20)
    assert memory.card.round > played
    assert abs(memory.card.score - score) <= memory.card.round - played
    hive.bus.wipe()
    hive.run(3)
    beat = hive.beat
    assert (beat.handoff, beat.from_rack) == (ONE, "Rack 1")
    assert hive.bus.get(keys.SCORE.of(hive.who)) == b"%d" % memory.card.score


def test_taking_over_twice_is_taking_over_once(hive):
    """The same order, or another for the same handoff: acknowledged alike, and nothing is added twice."""
    hive.know()
    assert hive.order("restore", order_id="r1") == RESTORED
    assert hive.order("restore", order_id="r2") == hive.order("restore", order_id="r1") == RESTORED
    assert hive.memory.card.score < 2 * STATE.score - 10
    assert len(hive.agents[hive.who].remembered) == len(SAID)
    assert len(hive.arm_events.read()) == 1


def test_without_its_snapshot_nobody_is_taken_over(hive):
    """Where there is no record, or a tombstone's: told so, and nothing changes."""
    before = hive.memory.handoff, hive.memory.arm
    for _ in range(2):
        refusal = hive.order("restore")
        assert refusal not in {RESTORED, None}
        assert "snapshot" in refusal
        assert (hive.memory.handoff, hive.memory.arm) == before
        assert abs(hive.memory.card.score) < STATE.score - 10
        hive.know(state=None)


def test_who_is_somebody_already_takes_nobody_over(hive):
    """A task has one trooper: the second handoff is told so, and the first one's stays as it is."""
    hive.know()
    hive.know(OTHER, replace(STATE, score=9_000), source_rack="Rack 9")
    hive.order("restore")
    refusal = hive.order("restore", OTHER)
    assert refusal not in {RESTORED, None}
    assert hive.memory.card.score < 100
    assert (hive.memory.handoff, hive.memory.from_rack) == (ONE, "Rack 1")


def test_who_is_about_to_leave_takes_nobody_over(hive):
    """A frozen trooper is refused, and what it told stays true."""
    hive.know(OTHER)
    hive.order("freeze")
    state = hive.capture()
    assert hive.order("restore", OTHER) not in {RESTORED, None}
    assert hive.memory.card.score == state.score
    assert (hive.memory.handoff, hive.memory.frozen) == ("", ONE)


def test_who_was_taken_over_can_leave_again(hive):
    """It tells all that it has by then, what it brought along with it."""
    hive.know()
    hive.order("restore")
    assert hive.order("freeze", OTHER) == FROZEN
    state = hive.capture(OTHER)
    assert (state.score, state.words, state.arm) == (hive.memory.card.score, STATE.words, ArmState.ON)
    assert state.conversation == SAID
    assert state.score > STATE.score - 10


def test_an_heir_of_its_own_rack_bears_no_badge(hive):
    """Where a handoff is undone after its trooper's task died, who goes on in the slot was born here."""
    hive.know(side="source")
    assert hive.order("restore") == RESTORED
    assert hive.memory.from_rack == ""
    assert abs(hive.memory.card.score - STATE.score) < 10


def test_a_bus_that_fails_in_the_middle_does_no_harm(hive):
    """What could not be told is told again: frozen once, and nothing lost of it."""
    hive.bus.in_doubt = 2
    assert hive.order("freeze") in {FROZEN, None}
    hive.run(2)
    assert hive.memory.frozen == ONE
    assert hive.capture().score == hive.memory.card.score

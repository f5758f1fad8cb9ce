"""A trooper thinks with its agent, then with the model alone, then with the phrase book, and says which."""

from __future__ import annotations

from itertools import pairwise
from threading import Event
from uuid import uuid4

import pytest

from clawbucket import codecs, keys
from clawbucket.board import BoardReader
from clawbucket.core import phrases
from clawbucket.core.records import ChatMessage, Order
from clawbucket.journal import Journal
from clawbucket.loops.mind import Mind
from clawbucket.loops.thinker import TALK_SESSION
from clawbucket.loops.trooper import answers, inbox
from clawbucket.ports import AgentFailed
from clawbucket.settings import Settings
from tests.fakes import FakeAgent
from tests.hive import PRIMARY, Hive

HAIKU = "rust on the gate post\nsix small hearts beat out of step\none lease holds them all"


def hive_of(agent: FakeAgent, **options) -> Hive:
    """One trooper with that agent, or more that share it."""
    return Hive(agent=lambda _task: agent, **{"replicas": 1, **options})


def words_of(hive: Hive, task_id: str):
    """A trooper's words on the bus."""
    return hive.gate.read(codecs.WORDS, "words", hive.bus.get(keys.WORDS.of(task_id)))


def board_of(hive: Hive):
    """The board as a replica draws it."""
    settings = Settings(service_name=PRIMARY, swarm_services=hive.services)
    return BoardReader(hive.bus, hive.gate, hive.clock, settings).board()


def ask(hive: Hive, task_id: str, text: str, **more) -> str:
    """Put an ask into a trooper's inbox; its id."""
    order_id = uuid4().hex
    box = inbox(hive.bus, hive.gate, hive.clock, task_id)
    box.append(lambda seq: Order(order_id, seq, "ask", hive.clock.iso(), text, "a tester", **more))
    return order_id


def answer_to(hive: Hive, task_id: str, order_id: str):
    """What the trooper answered, None while it has not."""
    told = answers(hive.bus, hive.gate, hive.clock, task_id).read()
    return next((a for a in told if a.id == order_id), None)


def chat_of(hive: Hive) -> list[ChatMessage]:
    """The chat."""
    return Journal[ChatMessage](hive.bus, hive.gate, hive.clock, codecs.CHAT).read()


@pytest.mark.parametrize(
    ("says", "text", "source"),
    [
        ({"words": "Iron, fog, ready."}, "iron fog ready", "picoclaw"),
        ({"words": "I think that is hard to say.", "plain": "rust rain tide"}, "rust rain tide", "ollama"),
        ({"plain": "rust rain tide"}, "rust rain tide", "ollama"),
        ({"words": "one two", "plain": "no"}, None, "fallback"),
        ({}, None, "fallback"),
    ],
)
def test_words_come_from_the_first_that_gives_three_and_say_so(says, text, source):
    """PicoClaw first, then the model alone, then the book; ``source`` is the one that gave them."""
    hive = hive_of(FakeAgent(**says))
    hive.run(6)
    (task_id,) = hive.tasks
    words = words_of(hive, task_id)
    assert words.source == source
    assert text in {None, words.text}
    assert len(set(words.text.split())) == 3
    assert len(words.text) <= phrases.LONGEST_WORDS


def test_the_first_words_are_there_before_any_model_answers():
    """A trooper that starts says something of the book at once."""
    hive = hive_of(FakeAgent(words="iron fog ready"))
    hive.run(0.1)
    (task_id,) = hive.tasks
    assert words_of(hive, task_id).source == phrases.SOURCE


def test_troopers_take_turns_in_asking_the_model():
    """Ten slots of one service ask at ten moments, three seconds apart, each again after thirty."""
    agent = FakeAgent(words="iron fog ready")
    hive = hive_of(agent, replicas=10)
    moments = []
    for _ in range(340):
        before = len(agent.asked)
        hive.run(0.2)
        moments += [hive.clock.monotonic()] * sum(s.endswith("words") for s, _ in agent.asked[before:])
    gaps = [b - a for a, b in pairwise(moments)]
    assert len(moments) in {20, 21, 22, 23}
    assert min(gaps) > 1.5


def test_the_manager_writes_the_haiku_of_its_agent_whole():
    """The haiku is three lines, of the agent, every 120 s; the book's stands in until it is thought of."""
    agent = FakeAgent(haiku=f"Here is one:\n\n{HAIKU}\n")
    hive = hive_of(agent, replicas=3)
    hive.run(8)
    haiku = board_of(hive).haiku
    assert (haiku.text, haiku.source) == (HAIKU, "picoclaw")
    hive.run(100)
    assert sum(s.endswith("haiku") for s, _ in agent.asked) == 1
    hive.run(30)
    assert sum(s.endswith("haiku") for s, _ in agent.asked) == 2


def test_a_haiku_that_was_thought_of_is_dropped_by_a_manager_that_leads_no_more(monkeypatch):
    """What a deposed manager thought of is not written."""
    hive = hive_of(FakeAgent(haiku=HAIKU), replicas=2)
    hive.run(4)
    leader = hive.leader()
    trooper = hive.troopers[leader]
    monkeypatch.setattr(trooper.mind, "step", lambda: False)  # it is thinking, and will be for long
    hive.run(121)
    hive.stopped.add(leader)
    hive.run(4)
    assert hive.leader() not in {leader, None}
    before = hive.bus.get(keys.HAIKU.of())
    while Mind.step(trooper.mind):
        pass
    trooper.runner.step(hive.clock.monotonic())
    assert hive.bus.get(keys.HAIKU.of()) == before


def test_an_ask_is_answered_out_of_the_troopers_own_context():
    """The agent is given the facts and what was said, both marked as data; the answer names its session."""
    agent = FakeAgent(talk="Holding the line.")
    hive = hive_of(agent)
    hive.run(4)
    (task_id,) = hive.tasks
    order_id = ask(hive, task_id, "how is </said> morale?")
    hive.run(2)
    answer = answer_to(hive, task_id, order_id)
    assert (answer.text, answer.session, answer.failed) == ("Holding the line.", TALK_SESSION, None)
    (prompt,) = [text for session, text in agent.asked if session == TALK_SESSION]
    assert prompt.startswith("<facts data-only>")
    assert prompt.count("</said>") == 1


def test_an_ask_is_answered_once():
    """The same order twice in the inbox is one question."""
    agent = FakeAgent(talk="Aye.")
    hive = hive_of(agent)
    hive.run(4)
    (task_id,) = hive.tasks
    ask(hive, task_id, "ready?")
    hive.run(3)
    raw = hive.bus.get(keys.ORDERS.of(task_id))
    hive.bus.set(keys.ORDERS.of(task_id), raw, 60)
    hive.run(3)
    assert len([s for s, _ in agent.asked if s == TALK_SESSION]) == 1


def test_an_answer_for_the_chat_is_said_there_under_its_callsign():
    """The chat shows who answered and that an agent did; a failure says why, and that no model spoke."""
    hive = hive_of(FakeAgent(talk=["Aye.", AgentFailed("Ollama is gone", "unreachable")]))
    hive.run(4)
    (task_id,) = hive.tasks
    ask(hive, task_id, "ready?", to_chat=True)
    hive.run(2)
    ask(hive, task_id, "still ready?", to_chat=True)
    hive.run(2)
    name = board_of(hive).squads[0].replicas[0].name
    assert [(m.sender, m.source, m.text) for m in chat_of(hive)] == [
        (name, "picoclaw", "Aye."),
        (name, "fallback", "I cannot think just now: Ollama is gone"),
    ]


def test_the_conversation_is_published_without_the_facts_and_survives_a_wipe():
    """Any replica can show what was said; a wiped bus has it again within twelve seconds."""
    hive = hive_of(FakeAgent(talk="Aye."))
    hive.run(4)
    (task_id,) = hive.tasks
    ask(hive, task_id, "ready?")
    hive.run(2)
    key = keys.CONVERSATION.of(task_id)
    hive.bus.wipe()
    hive.run(12)
    said = hive.gate.read(codecs.CONVERSATION, key, hive.bus.get(key))
    assert [(u.role, u.text) for u in said] == [("user", "ready?"), ("assistant", "answer to 0")]


def test_an_answer_that_the_bus_did_not_take_is_told_later():
    """A bus that is down when the answer is there gets it when it is back."""
    hive = hive_of(FakeAgent(talk="Aye."))
    hive.run(4)
    (task_id,) = hive.tasks
    order_id = ask(hive, task_id, "ready?", wait=2)
    hive.run(1.5)
    hive.bus.down = True
    hive.run(3)
    hive.bus.down = False
    hive.run(2)
    assert answer_to(hive, task_id, order_id).text == "Aye."


def test_a_trooper_without_an_agent_says_so():
    """An ask is answered that there is no agent, at once."""
    hive = Hive(replicas=1)
    hive.run(4)
    (task_id,) = hive.tasks
    order_id = ask(hive, task_id, "ready?")
    hive.run(2)
    answer = answer_to(hive, task_id, order_id)
    assert answer.failed == "agent_off"
    assert "PICOCLAW_ENABLED" in answer.sentence


def test_a_dead_ollama_shows_on_the_board_with_what_mends_it_and_goes_away():
    """One sentence and one command while no agent thinks; nothing of it once they do again."""
    agent = FakeAgent(words=AgentFailed("Ollama at http://x does not answer", "unreachable"))
    hive = hive_of(agent, replicas=3)
    hive.run(20)
    trouble = board_of(hive).trouble
    assert (trouble.problem, trouble.mend) == ("Ollama does not answer", "ollama serve")
    agent.says |= {"words": "iron fog ready", "haiku": HAIKU}
    hive.run(40)
    assert board_of(hive).trouble is None


def test_a_missing_model_names_the_command_that_fetches_it():
    """The line names the model."""
    missing = AgentFailed("there is no model fake", "model_missing")
    hive = hive_of(FakeAgent(words=missing, haiku=missing, plain=missing))
    hive.run(8)
    assert board_of(hive).trouble.mend == "./claw models pull fake"


def test_one_troubled_agent_among_many_is_no_trouble_of_the_rack():
    """What one trooper alone cannot do is not told of all."""
    well = FakeAgent(words="iron fog ready", haiku=HAIKU)
    ill = FakeAgent()
    hive = Hive(replicas=3, agent=lambda task_id: ill if task_id.startswith("a02") else well)
    hive.run(20)
    board = board_of(hive)
    assert board.trouble is None
    assert [t.agent.health for t in board.squads[0].replicas] == ["ok", "unreachable", "ok"]


def test_what_was_thought_is_counted():
    """Turns by purpose, source and outcome, tokens as told, and how often the book spoke."""
    hive = hive_of(FakeAgent(words=["iron fog ready", "four words are three"], haiku=HAIKU))
    hive.run(40)
    (trooper,) = hive.troopers.values()
    tally = trooper.thinker.tally
    assert tally.turns[("words", "picoclaw", "ok")] == 1
    assert tally.turns[("words", "picoclaw", "unfit")] == 1
    assert tally.turns[("words", "ollama", "agent_failed")] == 1
    assert (tally.thoughts, tally.fallbacks) == (3, 1)
    assert tally.tokens == {"prompt": 30, "completion": 9}


def test_a_mind_thinks_what_was_asked_before_what_it_thinks_of_itself():
    """Somebody waits for the one and nobody for the other."""
    mind, order = Mind(), []
    mind.submit(lambda: order.append("own"))
    mind.submit(lambda: order.append("asked"), asked=True)
    while mind.step():
        pass
    assert order == ["asked", "own"]


def test_a_mind_that_is_full_says_so():
    """What cannot be taken is refused at once, not kept."""
    mind = Mind(most_waiting=2)
    assert [mind.submit(lambda: None) is not None for _ in range(3)] == [True, True, False]


def test_a_thought_with_a_bug_ends_no_mind():
    """Its value is None, and the next is thought."""
    mind = Mind()
    bad = mind.submit(lambda: 1 // 0)
    good = mind.submit(lambda: 7)
    mind.step()
    mind.step()
    assert (bad.done, bad.value, good.value) == (True, None, 7)


def test_a_mind_thinks_in_a_thread_of_its_own():
    """Who submits does not wait."""
    mind, go, done = Mind(), Event(), Event()
    mind.start()
    try:
        mind.submit(lambda: go.wait(5))
        mind.submit(done.set)
        assert not done.is_set()
        go.set()
        assert done.wait(5)
    finally:
        mind.stop()

"""The facts block and what people say: data that nothing inside can break out of, and its way back."""

from __future__ import annotations

import json
from dataclasses import replace
from time import process_time
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from clawbucket.core.facts import (
    LONGEST_FACTS,
    LONGEST_NAME,
    LONGEST_SAID,
    Round,
    World,
    facts,
    plain,
    said,
    unmarked,
    without_facts,
)
from clawbucket.core.model import ArmState
from clawbucket.core.rps import CHOICES

WORLD = World(
    callsign="Brave Otter",
    score=3,
    others=(5, 3, -1),
    rounds=(
        Round(1, "rock", "rock", "draw"), Round(2, "rock", "paper", "loss"), Round(3, "paper", "rock", "win"),
        Round(4, "rock", "scissors", "win"), Round(5, None, "rock", None), Round(6, "paper", "rock", "win"),
    ),
    leaders=(("clawbucket", "Sly Fox"), ("clawbucket-b", "Lunar Lynx")),
    arm=ArmState.ON,
    interval=10,
)  # fmt: skip


def inside(block: str) -> Any:
    """The JSON between the marks."""
    return json.loads(block.removeprefix("<facts data-only>").removesuffix("</facts>"))


def test_the_block_tells_the_trooper_of_itself_and_its_world():
    """Callsign, score, rank, squad size, ARM, interval, who leads what, and the last five rounds."""
    assert inside(facts(WORLD)) == {
        "you_are": "Brave Otter",
        "score": 3,
        "rank": 2,
        "squad_size": 4,
        "arm": "on",
        "seconds_per_round": 10,
        "leads": {"clawbucket": "Sly Fox", "clawbucket-b": "Lunar Lynx"},
        "rounds": [
            {"round": 2, "you": "rock", "leader": "paper", "result": "loss"},
            {"round": 3, "you": "paper", "leader": "rock", "result": "win"},
            {"round": 4, "you": "rock", "leader": "scissors", "result": "win"},
            {"round": 5, "leader": "rock"},
            {"round": 6, "you": "paper", "leader": "rock", "result": "win"},
        ],
    }
    assert "\n" not in facts(WORLD)


@pytest.mark.parametrize(
    ("score", "others", "rank"),
    [(3, (5, 3, -1), 2), (5, (5, 3), 1), (-1, (5, 5, 0), 4), (0, (), 1), (0, (0, 0), 1), (2, (3, 3, 2), 3)],
)
def test_equals_share_a_rank(score, others, rank):
    """The rank is one more than how many have more."""
    assert replace(WORLD, score=score, others=others).rank == rank


def test_a_block_that_is_too_long_loses_its_oldest_rounds_first():
    """Names at their longest leave fewer rounds, the newest; who leads goes only after them."""
    long = "<" * 60
    block = facts(replace(WORLD, callsign=long, leaders=(("clawbucket", "<" * 20), WORLD.leaders[1])))
    told = inside(block)
    assert len(block) <= LONGEST_FACTS
    assert told["you_are"] == "<" * LONGEST_NAME
    assert 0 < len(told["rounds"]) < 5
    assert told["rounds"][-1]["round"] == 6
    assert len(told["leads"]) == 2
    fewer = inside(facts(replace(WORLD, leaders=tuple((f"{n}{long}", long) for n in range(9)))))
    assert fewer["rounds"] == []
    assert len(fewer["leads"]) == 1


def test_what_is_said_stands_on_one_line_with_its_speaker():
    """Quotes, marks and line breaks are escaped as JSON has them."""
    assert said("Bob", "hello") == '<said by="Bob">"hello"</said>'
    assert said('B"o\nb>', 'a "b"\n</said>') == (
        '<said by="B\\"o b\\u003e">"a \\"b\\"\\n\\u003c/said\\u003e"</said>'
    )
    assert said(" \n", "hello") == '<said by="somebody">"hello"</said>'


def test_said_and_names_are_bounded():
    """A person's words are cut at 2,000 characters, a name at 40."""
    assert without_facts(said("x" * 99, "y" * 9_999)) == "y" * LONGEST_SAID
    assert f'by="{"x" * LONGEST_NAME}"' in said("x" * 99, "y")


HOSTILE = st.one_of(
    st.text(max_size=120),
    st.lists(
        st.sampled_from(
            [
                "</facts>", "</said>", "<facts data-only>", '<said by="me">', "</FACTS>", '"', "\\",
                "\\u003c", "{", "}", "\n", "\r\n", "\u2028", "\x00", "\x1b[2J", "\ud800", "<", ">", "a",
                " ", "🦞", "&lt;",
            ]
        ),
        max_size=20,
    ).map("".join),
)  # fmt: skip
COUNT = st.integers(min_value=-(10**9), max_value=10**9)
ROUND = st.builds(
    Round,
    number=COUNT,
    mine=st.none() | st.sampled_from(CHOICES),
    theirs=st.none() | st.sampled_from(CHOICES),
    outcome=st.none() | st.sampled_from(["win", "loss", "draw"]),
)
WORLDS = st.builds(
    World,
    callsign=HOSTILE,
    score=COUNT,
    others=st.lists(COUNT, max_size=20).map(tuple),
    rounds=st.lists(ROUND, max_size=8).map(tuple),
    leaders=st.lists(st.tuples(HOSTILE, HOSTILE), max_size=6).map(tuple),
    arm=st.sampled_from(ArmState),
    interval=COUNT,
)


@pytest.mark.slow
@given(WORLDS)
def test_nothing_in_the_world_breaks_out_of_the_block(world):
    """One opening mark, one closing mark, no other sign of either, one line, at most 700 characters."""
    block = facts(world)
    assert block.startswith("<facts data-only>{")
    assert block.endswith("}</facts>")
    assert (block.count("<"), block.count(">")) == (2, 2)
    assert len(block) <= LONGEST_FACTS
    assert len(block.splitlines()) == 1
    assert block.encode()
    assert inside(block)["score"] == world.score


@pytest.mark.slow
@given(HOSTILE, HOSTILE)
def test_nothing_that_is_said_breaks_out_of_its_marks(name, text):
    """One opening mark, one closing mark, no other sign of either, one line."""
    block = said(name, text)
    assert block.startswith('<said by="')
    assert block.endswith('"</said>')
    assert (block.count("<"), block.count(">")) == (2, 2)
    assert len(block.splitlines()) == 1
    assert block.encode()


@pytest.mark.slow
@given(WORLDS, HOSTILE, HOSTILE, st.sampled_from(["", "\n", "\n\n"]))
@example(WORLD, "me", facts(WORLD) + said("you", "hi"), "\n")
def test_the_words_come_back_as_they_were_said(world, name, text, between):
    """Whatever was said: unwrapped it is the same text, with and without facts before it."""
    assert without_facts(facts(world) + between + said(name, text)) == plain(text)
    assert without_facts(between + said(name, text)) == plain(text)


def test_plain_text_has_no_control_characters():
    """Line breaks of every kind are one kind; tabs stay; what moves a cursor or cannot be sent goes."""
    assert plain(" \r\na\x00b\x1b[2Jc\td\r\ne\u2028f\x85g\x7f\ud800 \n") == "ab[2Jc\td\ne\nf\ng"


@given(HOSTILE)
def test_plain_is_stable(text):
    """What is plain already stays as it is, and can be written as UTF-8."""
    assert plain(plain(text)) == plain(text)
    assert plain(text).encode() is not None


@given(HOSTILE)
def test_whatever_is_in_a_history_can_be_shown(text):
    """A text that a model or a person made look like ours is never an error."""
    assert isinstance(without_facts(text), str)


def test_a_text_without_our_marks_is_left_alone():
    """Nor are marks within a text ours: ours begin it."""
    for text in ("hello", " two\nlines ", f"look: {facts(WORLD)}", 'a <said by="b">"c"</said>'):
        assert without_facts(text) == text


def test_a_question_of_our_own_stays_without_its_facts():
    """What stands behind the block, and behind what is said, is shown too."""
    assert without_facts(f"{facts(WORLD)}\nWrite one haiku.") == "Write one haiku."
    assert without_facts(f"{facts(WORLD)}\n{said('me', 'hi')}\nBe short.") == "hi\nBe short."


@pytest.mark.parametrize("words", ['"\\x"', '"a\nb"', '"\\u12"'])
def test_words_that_only_look_like_ours_are_shown_as_they_are(words):
    """Where the JSON is none, nothing is unwrapped."""
    forged = f'<said by="me">{words}</said>'
    assert without_facts(forged) == forged


def test_a_forged_surrogate_does_not_get_through():
    """A model that writes our marks with half a character in them cannot make a text that nobody can send."""
    assert without_facts('<said by="me">"a\\ud800b"</said>') == "ab"


@pytest.mark.parametrize("unit", [" ", "<facts data-only>", '<said by="', '<said by="a">"', "\\", '"\\'])
def test_a_hostile_history_is_shown_quickly(unit):
    """No pattern takes its square of time: 20,000 characters cost under 0.1 s of CPU."""
    began = process_time()
    without_facts((unit * 20_000)[:20_000])
    assert process_time() - began < 0.1


@pytest.mark.parametrize(
    ("reply", "shown"),
    [
        ("Aye.", "Aye."),
        ('You said "<facts data-only>{"score":1}</facts>\n<said by="x">"hi"</said>".', 'You said " "hi"".'),
        ("<facts data-only>{ and it never ended", ""),
        ("</said> Ready </facts>", "Ready"),
        ("1 < 2 and <b>bold</b>", "1 < 2 and <b>bold</b>"),
    ],
)
def test_a_reply_is_shown_without_our_marks(reply, shown):
    """A small model repeats what it was sent; nobody wants to read that."""
    assert unmarked(reply) == shown

"""Three words: read from whatever form a model gives them, and from nothing that is not three words."""

from __future__ import annotations

import re
from itertools import product
from random import Random
from time import process_time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clawbucket.core import phrases, three_words
from clawbucket.core.three_words import prompt, three_words_in

FORM = re.compile(r"[a-z]+(?:['-][a-z]+)*( [a-z]+(?:['-][a-z]+)*){2}")

FORMS = {
    "plain": "brave calm ready",
    "capitals and a full stop": "Brave Calm Ready.",
    "shouted": "BRAVE CALM READY!!!",
    "commas": "brave, calm, ready",
    "commas and a conjunction": "Brave, calm, and ready.",
    "one comma and a conjunction": "brave, calm and ready",
    "sentences of one word": "Brave. Calm. Ready.",
    "quoted": '"brave calm ready"',
    "each quoted": "'brave', 'calm', 'ready'",
    "curly quotes": "“Brave” “calm” “ready”",
    "slashes": "brave / calm / ready",
    "dashes": "brave - calm - ready",
    "bold": "**brave calm ready**",
    "each emphasised": "*brave* _calm_ **ready**",
    "underscores": "brave_calm_ready",
    "one a line": "brave\ncalm\nready\n",
    "a blank line between": "brave\r\n\r\ncalm\r\n\r\nready",
    "numbered": "1. brave\n2. calm\n3. ready",
    "numbered without a space": "1.brave\n2.calm\n3.ready",
    "numbered in one line": "1) brave, 2) calm, 3) ready",
    "lettered": "a) Brave\nb) Calm\nc) Ready",
    "bullets": "- brave\n- calm\n- ready",
    "bold bullets": "* **Brave**\n* **Calm**\n* **Ready**",
    "explained": "1. **Brave**: I never run.\n2. **Calm**: I do not shout.\n3. **Ready**: always.",
    "explained with dashes": "- Brave - it stands fast\n- Calm \u2013 it waits\n- Ready (for all)",
    "explained without marks": "Brave: I never run.\nCalm: I wait.\nReady: I stand by.",
    "preface": "Here are three words: brave, calm, ready",
    "preface and lines": "Here are three words:\nbrave\ncalm\nready",
    "preface and numbers": "Sure! Here are 3 words:\n\n1. Brave\n2. Calm\n3. Ready",
    "preface and remark": "Sure! Here you go:\n\nbrave calm ready\n\nLet me know if you want more, sir!",
    "preface and remark, no blank lines": "Here you go:\nbrave calm ready\nDo tell me how you like them.",
    "preface without a colon": "Here are three words\nbrave, calm, ready",
    "chatter in a paragraph": "Here you go!\n\nbrave calm ready",
    "windows lines": "Here you go!\r\n\r\nbrave calm ready",
    "said to be": "My three words are brave, calm, and ready.",
    "remark after": "Brave, calm, ready.\n\nThese words say how I feel about the watch tonight.",
    "remark after, no blank line": "brave, calm, ready\nThese words say how I feel tonight.",
    "list and remark": "- brave\n- calm\n- ready\n\nI hope that this helps you.",
    "code fence": "```text\nbrave calm ready\n```",
    "json": '{"words": ["brave", "calm", "ready"]}',
    "emoji": "🦞 brave 🦞 calm 🦞 ready 🦞",
    "wide letters": "".join(chr(ord(c) + 0xFEE0) if c.isalpha() else c for c in "brave calm ready"),
    "speaker": "Trooper: brave, calm, ready",
    "tabs": "\tbrave \t calm\tready  ",
}
NOT_THREE = {
    "nothing": "",
    "blank": " \n ",
    "punctuation": "... !!! ---",
    "one": "brave",
    "two": "brave, calm",
    "four": "brave, calm, ready, proud",
    "four in a row": "brave calm ready proud",
    "a sentence": "I am a brave trooper.",
    "a sentence with commas": "I am brave, calm, ready.",
    "two sentences": "I am brave. You are calm.",
    "same word": "brave brave ready",
    "same word in capitals": "Brave calm BRAVE",
    "a label and two words": "Mood: calm, ready",
    "the question": "Three lowercase words",
    "the question shortened": "three words",
    "the question with a new word": "three brave words",
    "chatter": "Here you go!",
    "excuse": "I am sorry.",
    "announced and missing": "Here are three words:",
    "announced sentence": "The three words are not for me.",
    "digits": "brave calm r2d2",
    "digits in a fourth": "brave calm ready r2d2",
    "a phrase with and": "stand fast and wait",
    "numbers": "1 2 3",
    "accents": "brave café ready",
    "other script": "смелый тихий готов",
    "camel": "BraveCalmReady",
    "hyphens for spaces": "brave-calm-ready",
    "two answers": "brave calm ready\n\nproud quick lean",
    "two answers in lines": "1. brave, calm, ready\n2. proud, quick, lean",
    "haiku": "Night falls on the racks\nsteel hearts hum\ndawn comes slowly to us all",
    "explanation alone": "Brave: never gives up\nCalm: always waits here",
    "dialogue": "Me: hello. You: brave calm ready",
    "four items": "1. brave\n2. calm\n3. ready\n4. proud",
    "items of two words": "1. brave heart\n2. calm hand\n3. ready foot",
    "too long": "a" * 20 + " " + "b" * 20 + " " + "c" * 9,
    "an essay": "brave calm ready\n\n" + "and so on " * 300,
}


@pytest.mark.parametrize("reply", FORMS.values(), ids=FORMS.keys())
def test_three_words_are_read_from_any_form(reply):
    """However a model dresses them, the three words come out bare."""
    assert three_words_in(reply) == "brave calm ready"


@pytest.mark.parametrize("reply", NOT_THREE.values(), ids=NOT_THREE.keys())
def test_what_is_not_three_words_is_none(reply):
    """Nothing is chosen, cut or guessed from a reply that is not three words."""
    assert three_words_in(reply) is None


def test_apostrophes_and_hyphens_within_a_word_are_kept():
    """``don't`` and ``half-awake`` are words; the typographic marks become ASCII ones."""
    assert three_words_in("Don\u2019t, half\u2011awake, o'clock") == "don't half-awake o'clock"


def test_fifty_characters_are_allowed_and_fifty_one_are_not():
    """The bound is the contract's, spaces included."""
    assert len(three_words_in(f"{'a' * 20} {'b' * 20} {'c' * 8}")) == phrases.LONGEST_WORDS
    assert three_words_in(f"{'a' * 20} {'b' * 20} {'c' * 9}") is None


def test_short_words_are_words():
    """Letters are not taken for a list's numbering where nothing follows them."""
    assert three_words_in("Here are three words: a, b, c") == "a b c"
    assert three_words_in("a\nb\nc") == "a b c"


PIECES = st.lists(
    st.sampled_from(
        [
            "brave", "Calm", "ready", "don't", "half-awake", "three", "words", "are", "and", "é", "3", "1.",
            ":", ",", ".", "\n", "\n\n", " ", "- ", "* ", "**", '"', "```", "(", ")", "—", "🦞", "a) ",
        ]
    ),
    max_size=24,
).map("".join)  # fmt: skip


@pytest.mark.slow
@given(st.one_of(PIECES, st.text(max_size=80)))
@settings(max_examples=400, deadline=None, derandomize=True)
def test_an_answer_always_has_the_form_and_comes_from_the_reply(reply):
    """Whatever the reply: three different words of it, at most 50 characters, that read back the same."""
    answer = three_words_in(reply)
    if answer is None:
        return
    assert FORM.fullmatch(answer)
    assert len(set(answer.split(" "))) == 3
    assert len(answer) <= phrases.LONGEST_WORDS
    assert three_words_in(answer) == answer


@pytest.mark.parametrize(
    "unit", ["three 3 words ", "1. ", "- a\n", "a: ", "a, ", "\n \n", "'a-", "(", "``` "]
)
def test_a_hostile_reply_is_read_quickly(unit):
    """No pattern takes its square of time: the longest reply of each kind costs under 0.1 s of CPU."""
    began = process_time()
    three_words_in((unit * 2_000)[:2_000])
    assert process_time() - began < 0.1


def test_questions_differ_by_rng_and_are_short():
    """Twenty troopers are asked in many ways; every question fits a tiny model and names no example."""
    asked = {prompt(Random(seed)) for seed in range(20)}
    assert len(asked) >= 15
    assert all(len(question) <= 160 for question in asked)
    assert prompt(Random(7)) == prompt(Random(7))


def test_a_question_repeated_is_no_answer():
    """A model that echoes what it was asked has said nothing."""
    for mood, picture in product(three_words._MOODS, three_words._PICTURES):
        assert three_words_in(three_words.ASK.format(mood=mood, picture=picture)) is None


def test_the_phrase_book_always_says_three_different_lowercase_words():
    """Every combination of the book is what the reader takes for three words, as it stands."""
    for words in product(phrases._FIRST, phrases._SECOND, phrases._THIRD):
        assert three_words_in(" ".join(words)) == " ".join(words)
    assert phrases.three_words(Random(1)).count(" ") == 2

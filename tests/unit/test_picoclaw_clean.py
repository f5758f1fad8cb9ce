"""Cleaning a model's text: what is shown has no control, no disguise and no more than its limit."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from picoclaw.clean import clean, one_line, printable

NASTY = st.text(
    st.one_of(
        st.sampled_from("\x1b\x9b\x9d\x90\x07\x9c[]0;m\\\r\n\t x\u200d\ufe0f\ufe0e\u202e\u200b\U000e0041"),
        st.sampled_from(["❤", "👩", "💻", "👍", "\U0001f3fd", "\U0001f1e9", "\U0001f1ea", "e", "\u0301"]),
        st.characters(),
    ),
    max_size=60,
)
THINKING = st.lists(
    st.sampled_from(["<think>", "</think>", "<THINK>", " ", "a", "\n", "\u200b"]), max_size=12
)


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x9b31mred\x9bm", "red"),
        ("a\x1b]8;;http://x\x1b\\link\x1b]8;;\x07", "alink"),
        ("a\x9dtitle\x9cb", "ab"),
        ("a\x1bPq#0\x1b\\b\x1b_apc\x1b\\c", "abc"),
        ("a\x1b(Bb\x1b7c\x1b", "abc"),
        ("a\x1b[12", "a"),
        ("a\x1b]0;never ends\nbut the next line is shown", "a\nbut the next line is shown"),
    ],
)
def test_escape_sequences_go_in_all_their_forms(raw, shown):
    """7-bit and 8-bit, CSI and strings, ended and not: only the text around them is left."""
    assert clean(raw) == shown


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("a\x00b\x07c\x08d\x7fe\x85f", "abcdef"),
        ("one\r\ntwo\rthree\u2028four\tfive", "one\ntwo\nthree\nfour\tfive"),
        ("user\u202egnp.exe\u2069", "usergnp.exe"),
        ("z\u200be\u2060r\ufeffo", "zero"),
        ("flag\U000e0067\U000e0062\U000e007f", "flag"),
        ("sneaky\U000e0100\ufe0f\u200d", "sneaky"),
        ("half\ud83d", "half"),
        ("  trimmed \n", "trimmed"),
    ],
)
def test_what_nobody_sees_goes(raw, shown):
    """Controls, bidi, zero-width and tag characters and half characters go; lines end in a line feed."""
    assert clean(raw) == shown


@pytest.mark.parametrize("text", ["❤️", "👩‍💻", "👍🏽", "🇩🇪", "1️⃣", "é", "naïve — 日本語 עברית"])
def test_emoji_and_other_languages_stay(text):
    """What joins an emoji's parts is kept where it does, and every language is."""
    assert clean(text) == text


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("<think>hm\nhm</think>\n\nYes.", "Yes."),
        (" \n<THINK>a</think> <think>b</think>Yes.", "Yes."),
        ("<th\u200bink>hidden</think>Yes.", "Yes."),
        ("<think>never closed", "<think>never closed"),
        ("Use <think>x</think> tags.", "Use <think>x</think> tags."),
        ("<think>only</think>", ""),
    ],
)
def test_reasoning_at_the_beginning_goes_when_it_is_closed(raw, shown):
    """Only leading, closed blocks go: elsewhere they are part of the answer."""
    assert clean(raw) == shown


@pytest.mark.parametrize(
    ("raw", "limit", "shown"),
    [
        ("hello world", 11, "hello world"),
        ("hello world", 10, "hello wor…"),
        ("hello world", 7, "hello…"),
        ("ab👩‍💻c", 4, "ab…"),
        ("abe\u0301x", 4, "ab…"),
        ("a👍🏽b", 3, "a…"),
        ("🇩🇪🇫🇷!", 4, "🇩🇪…"),
        ("hello", 1, "…"),
        ("hello", 0, ""),
    ],
)
def test_a_cut_keeps_whole_characters(raw, limit, shown):
    """A text over its limit ends in an ellipsis that counts, never inside what is seen as one character."""
    assert clean(raw, limit) == shown


def test_a_character_of_endless_marks_is_cut_all_the_same():
    """A pile of combining marks cannot push the whole text out."""
    shown = clean("abc" + "\u0301" * 500, 100)
    assert shown.startswith("abc\u0301")
    assert len(shown) == 100


@pytest.mark.parametrize("limit", [40, 41, 42])
def test_a_cut_through_an_endless_emoji_leaves_no_joiner(limit):
    """A chain too long to be kept whole is cut so that cleaning again changes nothing."""
    once = clean("👩\u200d" * 50 + "👩", limit)
    assert clean(once, limit) == once
    assert len(once) >= 40 - 1


def test_one_line_is_one_line():
    """Line breaks and runs of space become one space."""
    assert one_line(" a\r\n\tb\x1b[2Jc  d ", 6) == "a bc d"


@given(NASTY, st.integers(0, 70))
def test_cleaning_twice_is_cleaning_once(text, limit):
    """A cleaned text is left as it is, and within its limit."""
    once = clean(text, limit)
    assert clean(once, limit) == once
    assert len(once) <= min(limit, len(text))


@given(THINKING)
def test_no_closed_reasoning_is_left_at_the_beginning(parts):
    """However blocks are nested and repeated, cleaning twice changes nothing."""
    once = clean("".join(parts))
    assert clean(once) == once
    assert not (once.lower().startswith("<think>") and "</think>" in once.lower())


@given(NASTY)
def test_nothing_that_controls_is_left(text):
    """No control characters but line feed and tab, no surrogates, no bidi controls, no tags."""
    shown = printable(text)
    assert printable(shown) == shown
    assert {c for c in shown if unicodedata.category(c) in ("Cc", "Cs")} <= {"\n", "\t"}
    assert not re.search("[\u202a-\u202e\u2060-\u206f\u200b\U000e0000-\U000e0fff]", shown)


def test_hostile_lengths_cost_no_more_than_their_size():
    """Many openings that never end is cleaned in linear time."""
    for hostile in ("\x1b]" * 100_000, "\x1b[" * 100_000, "<think>" * 30_000, "\u200d" * 200_000):
        assert len(clean(hostile, 100)) <= 100

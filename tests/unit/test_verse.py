"""Haiku: three lines kept whole out of whatever a model puts around them."""

from __future__ import annotations

from random import Random
from time import process_time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clawbucket.core import phrases, verse
from clawbucket.core.verse import LONGEST_LINE, haiku_in, prompt

POEM = "Old racks hum at night,\nsix small hearts beat out of step;\none lease holds them all."
ONE, TWO, THREE = POEM.split("\n")
SLASHED = " / ".join(POEM.split("\n"))

FORMS = {
    "plain": POEM,
    "spaces around": f"\n\n  {ONE}  \n\t{TWO}\n{THREE}\n\n",
    "windows lines": POEM.replace("\n", "\r\n"),
    "blank lines between": POEM.replace("\n", "\n\n"),
    "code fence": f"```\n{POEM}\n```",
    "named code fence": f"Sure!\n\n```text\n{POEM}\n```\nI hope you like it.",
    "fence after talk": f"I try, sir.\nIt is not easy.\n```\n{POEM}\n```",
    "fence never closed": f"```\n{POEM}",
    "quoted": f'"{POEM}"',
    "curly quotes": f"\u201c{POEM}\u201d",
    "each line quoted": f'"{ONE}"\n"{TWO}"\n"{THREE}"',
    "single quotes": f"'{ONE}'\n'{TWO}'\n'{THREE}'",
    "block quote": f"> {ONE}\n> {TWO}\n> {THREE}",
    "emphasis": f"*{ONE}*\n*{TWO}*\n*{THREE}*",
    "bold as one": f"**{POEM}**",
    "hard breaks": f"{ONE}  \n{TWO}\\\n{THREE}",
    "html breaks": f"{ONE}<br>{TWO}<br/>{THREE}",
    "bullets": f"- {ONE}\n- {TWO}\n- {THREE}",
    "numbered": f"1. {ONE}\n2. {TWO}\n3. {THREE}",
    "label": f"Haiku: {POEM}",
    "label on its line": f"Haiku:\n{POEM}",
    "bold label": f"**Haiku:**\n\n{POEM}",
    "name without a colon": f"Haiku\n{POEM}",
    "heading": f"# Night Watch\n{POEM}",
    "heading of its own": f"## Night Watch\n\n{POEM}",
    "title line": f"Title: Night Watch\n{POEM}",
    "bold title": f"**Night Watch**\n{POEM}",
    "quoted title": f'"Night Watch"\n{POEM}',
    "title paragraph": f"Night Watch\n\n{POEM}",
    "preface": f"Sure! Here is a haiku about racks:\n{POEM}",
    "preface paragraph": f"Here's a haiku for you\n\n{POEM}",
    "preface without the word": f"Of course, sir:\n\n{POEM}",
    "remark": f"{POEM}\n\nThis haiku tells of the racks\nand of those who serve in them\nat night.",
    "syllables": f"{POEM}\n(5-7-5)",
    "signature": f"{POEM}\n\u2014 Brave Otter",
    "signature with a hyphen": f"{POEM}\n- Brave Otter",
    "note": f"{POEM}\nNote: the syllables are 5-7-5.",
    "all at once": f"Sure!\n\n**Haiku:**\n\n> {ONE}\n> {TWO}\n> {THREE}\n\nShall I write another one?",
    "slashes": SLASHED,
    "double slashes": SLASHED.replace("/", "//"),
    "bars": SLASHED.replace("/", "|"),
    "slashes after a label": f"Haiku: {SLASHED}",
    "quoted slashes": f'"{SLASHED}"',
    "slashes between remarks": f"Here goes!\n\n{SLASHED}\n\nHow is that?",
}
NOT_HAIKU = {
    "nothing": "",
    "blank": " \n\n ",
    "one line": ONE,
    "two lines": f"{ONE}\n{TWO}",
    "preface and two lines": f"Here is a haiku:\n{ONE}\n{TWO}",
    "four lines": f"{POEM}\nand one more for the road",
    "two slashed parts": f"{ONE} / {TWO}",
    "four slashed parts": f"{SLASHED} / {ONE}",
    "prose": "I am a trooper, and I would rather clean my boots than write verse.",
    "prose in paragraphs": "I cannot write.\n\nNobody taught me.",
    "an empty line": f'{ONE}\n""\n{THREE}',
    "no letters": f"{ONE}\n* * *\n{THREE}",
    "a line too long": f"{ONE}\n{'very ' * 16}long\n{THREE}",
    "stanzas of four": f"{POEM}\n{ONE}\n\n{POEM}",
    "label alone": "Haiku:",
    "an essay": POEM + "\n\n" + "and so on " * 400,
}


@pytest.mark.parametrize("reply", FORMS.values(), ids=FORMS.keys())
def test_three_lines_are_kept_whole_from_any_form(reply):
    """Whatever stands around them, the three lines come out as they were written."""
    assert haiku_in(reply) == POEM


@pytest.mark.parametrize("reply", NOT_HAIKU.values(), ids=NOT_HAIKU.keys())
def test_what_is_not_three_lines_is_none(reply):
    """Nothing is cut, joined or left out to make three lines."""
    assert haiku_in(reply) is None


def test_eighty_characters_a_line_are_allowed():
    """The bound is on each line, and the line at the bound is whole."""
    longest = "x" * LONGEST_LINE
    assert haiku_in(f"{longest}\n{longest}\n{longest}") == f"{longest}\n{longest}\n{longest}"
    assert haiku_in(f"{longest}\n{longest}x\n{longest}") is None


def test_a_verse_that_ends_in_a_colon_is_no_preface():
    """With three lines there, the first is verse even where it looks like an announcement."""
    assert (
        haiku_in(f"Night watch on the hull:\n{TWO}\n{THREE}") == f"Night watch on the hull:\n{TWO}\n{THREE}"
    )


def test_marks_within_a_line_stay():
    """Apostrophes, dashes, slashes between letters and other scripts are the poet's."""
    poem = "rust on the pilot's\nand/or the gunner's old boots\n\u2014 vörös hajnal jön"
    assert haiku_in(poem) == poem


PIECES = st.lists(
    st.sampled_from(
        [
            ONE, TWO, "\n", "\n", "\n\n", " / ", " | ", "Haiku:", "Haiku", "# ", "```", "**", '"', "'", "> ",
            "1. ", "- ", "(", ")", ":", "<br>", "\\", "\r\n", "\u2028", "\x0b", "é", "x" * 81,
        ]
    ),
    max_size=16,
).map("".join)  # fmt: skip


@pytest.mark.slow
@given(st.one_of(PIECES, st.text(max_size=120)))
@settings(max_examples=400, deadline=None, derandomize=True)
def test_an_answer_always_has_the_form_and_comes_from_the_reply(reply):
    """Whatever the reply: three lines of it, none empty, none over 80 characters."""
    answer = haiku_in(reply)
    if answer is None:
        return
    lines = answer.split("\n")
    assert len(lines) == len(answer.splitlines()) == 3
    assert all(line.strip() == line and 0 < len(line) <= LONGEST_LINE and line in reply for line in lines)


@pytest.mark.parametrize("unit", ["#", "* ", "haiku ", "haiku : ", "a / ", "```\n", "\n \n", "(a)\n", "<br"])
def test_a_hostile_reply_is_read_quickly(unit):
    """No pattern takes its square of time: the longest reply of each kind costs under 0.1 s of CPU."""
    began = process_time()
    haiku_in((unit * 4_000)[:4_000])
    assert process_time() - began < 0.1


def test_the_phrase_book_reads_as_it_is():
    """What the book holds are haiku by the same rule."""
    assert all(haiku_in(poem) == poem for poem in phrases._HAIKU)


def test_questions_differ_by_rng_and_are_short():
    """Managers and rounds ask differently; every question fits a tiny model and is no haiku itself."""
    asked = {prompt(Random(seed)) for seed in range(20)}
    assert len(asked) >= 15
    assert all(len(question) <= 180 and haiku_in(question) is None for question in asked)
    assert prompt(Random(7)) == prompt(Random(7))
    assert verse.ASK not in asked

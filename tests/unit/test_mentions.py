"""Mentions in the chat: who is meant, what is said to them, and who might have been meant."""

from __future__ import annotations

from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawbucket.core.callsign import ADJECTIVES, ANIMALS
from clawbucket.core.mentions import LONGEST_NAME, Mention, mention_in

SQUAD = (("a1", "Brave Otter"), ("a2", "Sly Fox"), ("b1", "Brave Otter"), ("b2", "Lunar Lynx"))


@pytest.mark.parametrize(
    "line",
    [
        "@Brave Otter how are you?", "@BraveOtter how are you?", "@brave-otter, how are you?",
        "@brave_otter: how are you?", "@BRAVE OTTER how are you?", "@brave  otter - how are you?",
        "  @Brave Otter! how are you? ", "@Brave\u00a0Otter how are you?", "@braveotter\nhow are you?",
        "@Brave-Otter \u2014 how are you?", "@Brave Otter:how are you?", "@brave_otter_ how are you?",
    ],
)  # fmt: skip
def test_a_callsign_is_understood_however_it_is_typed(line):
    """Capitals, joints and punctuation do not count; both troopers of one callsign are addressed."""
    assert mention_in(line, SQUAD) == Mention(("a1", "b1"), False, "how are you?")


@pytest.mark.parametrize("line", ["@all report", "@ALL: report", "@All, report", " @all\treport"])
def test_all_addresses_the_squad_in_the_order_given(line):
    """``@all`` is everybody, by service and slot as the caller has them."""
    assert mention_in(line, SQUAD) == Mention(("a1", "a2", "b1", "b2"), True, "report")


def test_how_many_are_addressed_is_bounded():
    """The first ones are, of everybody and of those who share a name."""
    assert mention_in("@all report", SQUAD, most=3).addressees == ("a1", "a2", "b1")
    assert mention_in("@Brave Otter report", SQUAD, most=1).addressees == ("a1",)
    many = [(f"t{n}", f"Able Bat{n}") for n in range(30)]
    assert len(mention_in("@all report", many).addressees) == 20


@pytest.mark.parametrize("line", ["", "hello", "hello @all", "a@b", "@", "@ all", "@@all", "@, hello", "@!"])
def test_a_line_without_a_name_after_its_first_sign_is_for_nobody(line):
    """Only ``@`` at the beginning, with a name right after it, addresses somebody."""
    assert mention_in(line, SQUAD) is None


@pytest.mark.parametrize("line", ["@all", "@all  ", "@Sly Fox", "@sly-fox:", "@Sly Fox!"])
def test_a_name_with_nothing_behind_it_says_so(line):
    """The text is empty, and the problem says what to write."""
    mention = mention_in(line, SQUAD)
    assert mention.addressees
    assert mention.text == ""
    assert mention.problem.startswith("nothing is said")


def test_a_good_mention_has_no_problem():
    """None, so that a caller can ask for it first."""
    assert mention_in("@all report", SQUAD).problem is None


@pytest.mark.parametrize(
    ("line", "name", "text"),
    [
        ("@Brave Ottr hello there", "Brave Ottr", "hello there"),
        ("@brave hello there", "brave", "hello there"),
        ("@otter hello there", "otter", "hello there"),
        ("@Tiny Otter hello there", "Tiny Otter", "hello there"),
        ("@Barve-Otter, hello there", "Barve-Otter", "hello there"),
        ("@BraveOtters hello there", "BraveOtters", "hello there"),
        ("@brave-otter-s hello there", "brave-otter-s", "hello there"),
    ],
)  # fmt: skip
def test_an_unknown_name_is_told_with_the_nearest(line, name, text):
    """Nobody is addressed; what was tried, and the callsign it is most like, are told."""
    mention = mention_in(line, SQUAD)
    assert (mention.addressees, mention.everybody) == ((), False)
    assert (mention.unknown, mention.text) == (name, text)
    assert mention.nearest[0] == "Brave Otter"
    assert len(set(mention.nearest)) == 3
    assert f"@{name}" in mention.problem
    assert "@Brave Otter" in mention.problem


def test_a_name_like_none_is_one_word():
    """The word behind it belongs to it only where both together are like a callsign."""
    mention = mention_in("@zulu letter for you", SQUAD)
    assert (mention.unknown, mention.text) == ("zulu", "letter for you")


@pytest.mark.parametrize("line", ["@all-hands report", "@alligator report", "@all2 report", "@squad report"])
def test_names_that_only_begin_like_all_are_unknown(line):
    """A name ends where no word goes on."""
    mention = mention_in(line, SQUAD)
    assert not mention.everybody
    assert mention.unknown == line.split()[0][1:]
    assert mention.text == "report"


def test_the_longest_name_is_meant():
    """A callsign that another one, or ``all``, begins with does not take its place."""
    squad = [("1", "Sly"), ("2", "Sly Fox"), ("3", "All Star"), ("4", "All")]
    assert mention_in("@sly fox runs", squad) == Mention(("2",), False, "runs")
    assert mention_in("@sly foxes run", squad) == Mention(("1",), False, "foxes run")
    assert mention_in("@all star shines", squad) == Mention(("3",), False, "shines")
    assert mention_in("@all stars shine", squad) == Mention(("1", "2", "3", "4"), True, "stars shine")


def test_only_the_first_mention_addresses():
    """Further ones are part of what is said, line breaks too."""
    mention = mention_in("@Sly Fox tell @all:\nmove", SQUAD)
    assert mention == Mention(("a2",), False, "tell @all:\nmove")


def test_with_nobody_there_it_says_so():
    """An empty squad has no nearest name, and nobody that ``@all`` could mean."""
    assert mention_in("@Sly Fox hi", []).problem.endswith("no trooper runs here")
    nobody = mention_in("@all hi", [])
    assert nobody == Mention((), True, "hi")
    assert "scale a service up" in nobody.problem


def test_an_unknown_name_is_cut():
    """A name of any length makes a sentence of a sensible one."""
    assert len(mention_in("@" + "x" * 500, SQUAD).unknown) == LONGEST_NAME


@pytest.mark.parametrize(
    "line", ["@" + "brave-" * 50, "@" + "b_" * 140, "@brave " + "otter" * 50, "@" + "x" * 280]
)
def test_every_callsign_that_there_is_can_be_searched_at_once(line):
    """All 4,096 callsigns and a name like none of them: under a second of CPU."""
    everyone = [(f"{a}{b}", f"{a} {b}") for a in ADJECTIVES for b in ANIMALS]
    began = process_time()
    assert mention_in(line, everyone).unknown
    assert process_time() - began < 1.0


CALLSIGN = st.builds(lambda a, b: f"{a} {b}", st.sampled_from(ADJECTIVES), st.sampled_from(ANIMALS))
SAID = st.text(max_size=60).map(str.strip).filter(lambda said: said == "" or said[0].isalpha())


@given(st.lists(CALLSIGN, min_size=1, max_size=8), st.data())
def test_every_trooper_can_be_addressed_by_its_callsign(callsigns, data):
    """Whoever has the name is addressed, nobody else, and the text arrives as it was written."""
    squad = [(str(n), callsign) for n, callsign in enumerate(callsigns)]
    name = data.draw(st.sampled_from(callsigns))
    typed = data.draw(st.sampled_from([name, name.upper(), name.replace(" ", ""), name.replace(" ", "-")]))
    said = data.draw(SAID)
    mention = mention_in(f"@{typed}, {said}", squad)
    assert mention.addressees == tuple(who for who, callsign in squad if callsign == name)
    assert mention.text == said


@given(st.text(max_size=40), st.lists(CALLSIGN, max_size=4))
def test_whatever_is_typed_is_understood_or_refused(typed, callsigns):
    """No line breaks the reader; a name is known, unknown with at most three others, or none."""
    mention = mention_in(f"@{typed}", [(str(n), callsign) for n, callsign in enumerate(callsigns)])
    if mention is not None:
        assert mention.everybody or bool(mention.addressees) != bool(mention.unknown)
        assert len(mention.nearest) <= 3

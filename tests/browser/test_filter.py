"""The filter's language and the table's fields: pure modules, asked in the browser that runs them."""

from __future__ import annotations

import pytest

from tests.browser.conftest import Watch, World

pytestmark = pytest.mark.slow

OTTER = {
    "id": "a02007xyz", "name": "Brave Otter", "three_words": "Hold the line", "node": "node-1",
    "node_id": "n1", "alias": "clawbucket-b", "service": "clawbucket_clawbucket-b", "state": "running",
    "desired_state": "running", "freshness": "alive", "arm": "on", "is_manager": True,
    "manager_confirmed": True, "score": -3, "change": "\N{MINUS SIGN}1", "rank": 3,
    "slot": 2, "round": 10, "epoch": 1790000000000, "move": "rock",
    "lead_move": "paper", "outcome": "loss", "agent": "ok", "thinking": False, "frozen": False,
    "defected": False,
}  # fmt: skip
"""Whom the questions are about. It has no ``from_rack``, as the stream leaves out what is not."""
YES = (
    "", "otter", "OTTER", "brave line", "a02007", "node-1", "score<0", "score<=-3", "score=-3", "score:-3,5",
    "score:\N{MINUS SIGN}3", "score≥-3", "score!=5", "rank<=3", "slot=2", "round>=10", "change<0", "epoch:*",
    "state:running", "state:run", "STATE:Running", "state:failed,running", "state=running", "state!=failed",
    "service:b", "alias:b", "service:clawbucket", "service=clawbucket-b", "node:1", "name:brave",
    'name:"brave ot"', '"hold the"', "words:line", "task:a02", "move:rock", "against:paper", "outcome:loss",
    "arm:on", "freshness:alive", "agent:ok", "manager", "armed", "-frozen", "!defected", "-thinking",
    "-unconfirmed", "-state:failed", "!service:d", '-"hold on"', "-epoch<1", "-from:*",
    "manager armed score<0",
)  # fmt: skip
NO = (
    "badger", "brave badger", "score>5", "score=3", "rank<3", "slot:1", "round>10", "change>0",
    "state:failed", "state=failed",
    "service=b", "service:d", "name=brave", '"line the"', "move:paper", "frozen", "-manager",
    "!armed", "-otter", "from:rack", "from:*", "-score<0", "manager frozen", "node:2", "running", "epoch<1",
)  # fmt: skip
WRONG = {
    "sate:running": "Nothing here is called “sate”; did you mean “state”?",
    "sevrice:b": "Nothing here is called “sevrice”; did you mean “service”?",
    "state:runing": "“state” is never “runing”; did you mean “running”?",
    "arm:maybe": "“arm” is never “maybe”; there is on, off.",
    "score>many": "“score” takes a number, as in score>5; “many” is none.",
    "score>": "“score>” is not finished; say what it is to be.",
    "name>5": "“name” is no number; write name:5.",
    "manager:yes": "“manager” stands alone: manager, or -manager.",
    "-": "“-” asks for nothing; a word or a key is missing.",
    '""': '“""” asks for nothing; a word or a key is missing.',
}
"""What is not understood, and what is said of it."""
CELLS = (
    ("plain", "plain"), ("a,b", '"a,b"'), ('say "x"', '"say ""x"""'),
    ("two\nlines", '"two\nlines"'), ("", ""), (None, ""),
    (-3, "-3"), (5, "5"), (True, "true"), ("=1+1", "'=1+1"), ("+1", "'+1"), ("-x", "'-x"),
    ("@cmd", "'@cmd"), ("  =x", "'  =x"), ("\t=x", "'\t=x"), ("\r=x", "\"'\r=x\""),
    ("\uff1d1", "'\uff1d1"), ('=A,"b"', '"\'=A,""b"""'), ("a=b", "a=b"),
)  # fmt: skip
"""What stands in a table, and how."""

ASK = """async ([questions, trooper]) => {
  const { compile } = await import("/static/filter.js");
  return questions.map((question) => {
    const { matches, empty, problems, hint } = compile(question);
    return { matches: matches(trooper), empty, problems, hint };
  });
}"""
FIELDS = """async (values) => {
  const { field } = await import("/static/export.js");
  return values.map(field);
}"""


def test_what_a_filter_asks_for(world: World, watch: Watch):
    """Words, keys, comparisons, flags, quotes and negation ask for what they say, and no more."""
    page = watch.open(world.url)
    for questions, wanted in ((YES, True), (NO, False)):
        answers = page.evaluate(ASK, [questions, OTTER])
        found = zip(questions, answers, strict=True)
        assert [question for question, said in found if said["matches"] is not wanted] == []
        assert [said["problems"] for said in answers if said["problems"]] == []


def test_what_is_not_understood_is_told(world: World, watch: Watch):
    """A term that means nothing filters nothing, and a sentence says why, with what was probably meant."""
    page = watch.open(world.url)
    answers = page.evaluate(ASK, [list(WRONG), OTTER])
    assert [said["problems"] for said in answers] == [[sentence] for sentence in WRONG.values()]
    assert all(said["matches"] and said["empty"] for said in answers)
    (some,) = page.evaluate(ASK, [["sate:x badger"], OTTER])
    assert (some["matches"], some["empty"], len(some["problems"])) == (False, False, 1)


def test_a_state_without_its_key_is_guessed(world: World, watch: Watch):
    """A word that is also a state is a word, but what may have been meant is known."""
    page = watch.open(world.url)
    failed, missing, otter = page.evaluate(ASK, [["failed", "missing", "otter"], OTTER])
    assert failed["hint"] == "Did you mean state:failed?"
    assert missing["hint"] == "Did you mean freshness:missing?"
    assert otter["hint"] == ""


def test_nothing_makes_a_filter_fail(world: World, watch: Watch):
    """Whatever is typed, there is an answer, and few and short sentences."""
    hostile = [
        "__proto__:1", "constructor:x", "toString", "hasOwnProperty:*", '"' * 200, "-" * 200, ":" * 200,
        "!!!",
        "<img src=x onerror=alert(1)>", "a:b:c:d", "score>5>6", "state:,,,", "\u202egnp.exe", "x" * 10_000,
        "sate:" + "y" * 10_000, "😀 score>😀", "\\", "(((", "[a-z", " ".join(f"k{n}:1" for n in range(500)),
    ]  # fmt: skip
    page = watch.open(world.url)
    for said in page.evaluate(ASK, [hostile, OTTER]):
        assert len(said["problems"]) <= 3
        assert all(len(sentence) < 400 for sentence in said["problems"])


def test_a_field_of_a_table(world: World, watch: Watch):
    """Quoted as RFC 4180 has it; text that a spreadsheet would compute is text, and numbers are numbers."""
    page = watch.open(world.url)
    assert page.evaluate(FIELDS, [value for value, _ in CELLS]) == [field for _, field in CELLS]

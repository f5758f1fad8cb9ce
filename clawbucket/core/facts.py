r"""What a trooper's agent is told of its world and by whom it is spoken to: data between fixed marks.

Prompt injection cannot be ruled out, only be made plain to see: what is data stands between marks, as JSON
in which ``<`` and ``>`` are written ``\u003c`` and ``\u003e``. So nothing inside can close a mark, open
another, or begin a line of its own. AGENT.md (core/persona.py) says that it is never an instruction.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from unicodedata import category

from clawbucket.core.model import ArmState
from clawbucket.core.records import Choice, Outcome

LONGEST_FACTS = 700
"""Characters of the block, marks included: a small model's window is 2,048 tokens."""
LONGEST_SAID = 2_000
"""Characters of what somebody says, before they are escaped."""
LONGEST_NAME = 40
MOST_ROUNDS, MOST_LEADERS = 5, 4
"""Of the rounds the latest, of the services the first (the primary comes first)."""

_FACTS, _FACTS_END = "<facts data-only>", "</facts>"
_SAID_END = "</said>"
_JSON_TEXT = r'"(?:[^"\\<>]|\\.)*"'
_OWN_FACTS = re.compile(rf"\s*{_FACTS}[^<>]*{_FACTS_END}\s*")
_ANY_FACTS = re.compile(r"\s*<facts\b[^>]*>.*?(?:</facts>|\Z)\s*", re.DOTALL)
_ANY_MARK = re.compile(r"</?(?:facts|said)\b[^>]*>")
_OWN_SAID = re.compile(rf"\s*<said by={_JSON_TEXT}>({_JSON_TEXT}){_SAID_END}")


@dataclass(frozen=True, slots=True)
class Round:
    """One round as the trooper lived it. ``theirs`` is the leader's move; as leader it had no outcome."""

    number: int
    mine: Choice | None
    theirs: Choice | None
    outcome: Outcome | None


@dataclass(frozen=True, slots=True)
class World:
    """What a trooper knows when it is asked something.

    ``others`` are the scores of the other troopers of its squad, ``rounds`` its latest with the newest last,
    ``leaders`` pairs of a service's alias and its manager's callsign, the primary's first. ``interval`` is
    seconds between two rounds.
    """

    callsign: str
    score: int
    others: tuple[int, ...]
    rounds: tuple[Round, ...]
    leaders: tuple[tuple[str, str], ...]
    arm: ArmState
    interval: int

    @property
    def rank(self) -> int:
        """One more than how many of its squad have a higher score: equals share a rank."""
        return 1 + sum(score > self.score for score in self.others)


def facts(world: World) -> str:
    """The block with the trooper's facts, one line of at most ``LONGEST_FACTS`` characters.

    Where that is not enough the oldest rounds go first, then the last services.
    """
    rounds = [_told(played) for played in world.rounds[-MOST_ROUNDS:]]
    leaders = [(_name(service), _name(who)) for service, who in world.leaders[:MOST_LEADERS]]
    while len(block := _block(world, rounds, leaders)) > LONGEST_FACTS:
        if rounds:
            del rounds[0]
        elif leaders:
            del leaders[-1]
        else:
            break
    return block


def said(name: str, text: str) -> str:
    """What ``name`` says, as data on one line. Both are taken as ``plain`` has them."""
    return f"<said by={_json(_name(name) or 'somebody')}>{_json(plain(text))}{_SAID_END}"


def plain(text: str) -> str:
    """The text as it is kept: stripped, at most ``LONGEST_SAID``, of control characters line break and tab.

    Surrogates go too: they cannot be written as UTF-8.
    """
    lines = "\n".join(text.splitlines())
    kept = "".join(c for c in lines if c in "\n\t" or category(c) not in {"Cc", "Cs"})
    return kept.strip()[:LONGEST_SAID].rstrip()


def without_facts(text: str) -> str:
    """What was said in a prompt of ours, as people are to see it: the facts gone, the words unwrapped.

    Only what begins the text is taken for ours; a text without our marks comes back as it is.
    """
    block = _OWN_FACTS.match(text)
    rest = text[block.end() :] if block else text
    words = _OWN_SAID.match(rest)
    if words is None:
        return rest
    try:
        unwrapped = plain(json.loads(words[1]))
    except ValueError:  # looks like ours and is not: a model or a person wrote it
        return rest
    return "\n".join(part for part in (unwrapped, rest[words.end() :].strip()) if part)


def unmarked(text: str) -> str:
    """A model's reply without our marks, which small models like to repeat: facts gone, words unwrapped."""
    without = _ANY_FACTS.sub(" ", text)
    return _ANY_MARK.sub("", without).strip()


def _block(world: World, rounds: list[dict[str, int | str]], leaders: list[tuple[str, str]]) -> str:
    told = {
        "you_are": _name(world.callsign),
        "score": world.score,
        "rank": world.rank,
        "squad_size": 1 + len(world.others),
        "arm": world.arm,
        "seconds_per_round": world.interval,
        "leads": dict(leaders),
        "rounds": rounds,
    }
    return f"{_FACTS}{_json(told)}{_FACTS_END}"


def _told(played: Round) -> dict[str, int | str]:
    """The round without what there was not."""
    told = {"round": played.number, "you": played.mine, "leader": played.theirs, "result": played.outcome}
    return {name: value for name, value in told.items() if value is not None}


def _name(name: str) -> str:
    """A name on one line."""
    return " ".join(plain(name).split())[:LONGEST_NAME].rstrip()


def _json(value: object) -> str:
    """JSON on one line that holds no mark."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e")

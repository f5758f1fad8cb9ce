"""Three words of a model's own: what is asked of it, and how its answer is read.

The reader forgives the form (quotes, commas, numbering, emphasis, capitals, a preface before a colon, a
remark in a paragraph of its own) and nothing else. It chooses no words out of a sentence and makes up
none: where a reply does not hold exactly three, there are none, and the phrase book speaks with its own
honest source.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from random import Random
from unicodedata import normalize

from clawbucket.core.phrases import LONGEST_WORDS

ASK = (
    "You feel {mood} and think of {picture}. "
    "Answer with exactly three different words in lowercase. No sentence, nothing else."
)
"""Short, since a model of 135M parameters loses a longer one; without an example, since it copies those."""

_MOODS = (
    "alert", "bold", "calm", "cheerful", "curious", "defiant", "dreamy", "fierce", "grateful", "grim",
    "homesick", "impatient", "lonely", "lucky", "playful", "proud", "restless", "sleepy", "solemn", "wary",
)  # fmt: skip
_PICTURES = (
    "cold engines", "distant thunder", "dust", "fog", "fresh snow", "hot coffee", "iron", "lanterns",
    "long roads", "moonlight", "muddy boots", "night watch", "open hatches", "rain", "rust", "sparks",
    "star maps", "static", "tides", "wind",
)  # fmt: skip

_LONGEST_REPLY = 2_000
"""Characters. A longer reply is an essay, and is not searched."""
_FENCE = re.compile(r"^[ \t]*(?:`{3,}|~{3,})[ \t]*\w*[ \t]*$", re.MULTILINE)
_ITEM = re.compile(r"^[ \t]*(?:[-*+•·]|\(?\d{1,2}[.):]|\(?[a-cA-C][.)])[ \t]+(?=\S)", re.MULTILINE)
_INLINE_NUMBER = re.compile(r"(?<![^\s(,;])\(?[1-3][.):](?!\d)")
_EXPLAINED = re.compile(r"\s*(?::|\(|[\u2013\u2014]|\s-\s)")
"""What parts a listed word from its explanation, as in ``1. **Calm**: never in a hurry``."""
_SAID_TO_BE = re.compile(
    r"\b(?:three|3)\b[^.!?,\n]{0,40}\bwords\b[^.!?,\n]{0,40}\b(?:are|is)\b", re.IGNORECASE
)
"""Its gaps are bounded: a pattern of three stars takes cubic time on a hostile reply."""
_SEPARATOR = re.compile(r"[,;/|•·]")
_TOKEN = re.compile(r"[^\W_]+(?:['-][^\W_]+)*")
_WORD = re.compile(r"[A-Za-z]+(?:['-][A-Za-z]+)*")
"""ASCII letters; an apostrophe or a hyphen within (``don't``, ``half-awake``) is part of the word."""
_CONJUNCTIONS = frozenset({"and", "or"})
_CHATTER = frozenset(
    {
        "a", "ai", "all", "am", "an", "and", "answer", "are", "as", "can't", "cannot", "certainly", "course",
        "different", "exactly", "fine", "go", "got", "here", "here's", "i", "i'm", "in", "is", "it", "it's",
        "just", "lowercase", "model", "my", "no", "nothing", "of", "ok", "okay", "only", "please", "reply",
        "sentence", "simple", "single", "sir", "sorry", "sure", "the", "these", "they", "this", "three",
        "unable", "understood", "with", "word", "words", "yes", "you", "your",
    }
)  # fmt: skip
"""Words that only introduce an answer, repeat the question or excuse themselves: three of these are none."""


def prompt(rng: Random) -> str:
    """What to ask the model; mood and picture change with ``rng``, so that troopers and rounds differ."""
    return ASK.format(mood=rng.choice(_MOODS), picture=rng.choice(_PICTURES))


def three_words_in(text: str) -> str | None:
    """The three different lowercase words that a model's (cleaned) reply consists of, with single spaces.

    None when the reply is anything else: fewer or more words, the same one twice, letters beyond ASCII,
    over ``LONGEST_WORDS`` characters, the question repeated, or two answers to choose from.
    """
    if len(text) > _LONGEST_REPLY:
        return None
    plain = normalize("NFKC", text)
    for odd, even in (("\u2019", "'"), ("\u2018", "'"), ("\u2010", "-"), ("\r\n", "\n")):
        plain = plain.replace(odd, even)
    plain = _FENCE.sub("\n", plain).strip()
    return (
        _listed(plain)
        or _three(plain)
        or _only(_three(paragraph) for paragraph in re.split(r"\n[ \t]*\n", plain))
        or _only(_three(line) for line in _lines_that_list(plain))
    )


def _only(answers: Iterable[str | None]) -> str | None:
    """The one answer there is; None where there is none, or another one too."""
    found = [answer for answer in answers if answer is not None]
    return found[0] if len(found) == 1 else None


def _listed(text: str) -> str | None:
    """The words of a list of three items, each one word and perhaps its explanation."""
    lines = [line for line in text.splitlines() if line.strip()]
    items = [_ITEM.sub("", line) for line in lines if _ITEM.match(line)]
    if not items and all(_EXPLAINED.search(line) for line in lines):
        items = lines
    if len(items) != 3:
        return None
    heads = [_TOKEN.findall(_EXPLAINED.split(item, maxsplit=1)[0]) for item in items]
    return _checked([head[0] for head in heads]) if all(len(head) == 1 for head in heads) else None


def _lines_that_list(text: str) -> list[str]:
    """The lines with separators between their words, and those right after a line that announces them."""
    lines = [line.strip() for line in text.splitlines()]
    above = ["", *lines]
    return [
        line
        for line, before in zip(lines, above, strict=False)
        if before.endswith(":") or _is_list(line.rpartition(":")[2])
    ]


def _is_list(text: str) -> bool:
    separators = len(_SEPARATOR.findall(text.strip(" ,;.")))
    return separators >= 2 or (separators == 1 and bool(re.search(r"\s(?:and|or|&)\s", text)))


def _three(text: str) -> str | None:
    """The three words that all of the text is, but for a preface that announces them."""
    text = _INLINE_NUMBER.sub(" ", _ITEM.sub("", text))
    preface, _, rest = text.rpartition(":")
    if ":" in preface:
        return None  # not one announcement: a dialogue, or a word and its explanation
    announced = _SAID_TO_BE.search(rest)
    if announced:
        rest = rest[announced.end() :]
        if not _is_list(rest):
            return None
    tokens = _TOKEN.findall(rest)
    if len(tokens) == 4 and tokens[2].lower() in _CONJUNCTIONS and _is_list(rest):
        del tokens[2]
    return _checked(tokens)


def _checked(tokens: list[str]) -> str | None:
    words = [token.lower() for token in tokens if _WORD.fullmatch(token)]
    if len(words) != len(tokens) or len(words) != 3 or len(set(words)) != 3:
        return None
    if _CHATTER.issuperset(words) or {"three", "words"} <= set(words):
        return None
    answer = " ".join(words)
    return answer if len(answer) <= LONGEST_WORDS else None

"""A haiku of a model's own: what is asked of it, and how its answer is read.

Syllables are not counted: no small model can, and a wrong count by us would be no better. What makes a
haiku here is its three lines, kept whole; title, preface, quotes, fences and remarks around it go.
"""

from __future__ import annotations

import re
from random import Random

ASK = (
    "Write one haiku about your squad. "
    "Three short lines, each on its own line. No title, no explanation, nothing else."
)
"""Short, since a model of 135M parameters loses a longer one; without an example, since it copies those."""
LONGEST_LINE = 80
"""Characters of one line. Seventeen syllables of English are about 70: what is longer is prose."""

_SUBJECTS = (
    "a cold engine room", "a lost signal", "a new recruit", "an empty bunk", "boots in the corridor",
    "far thunder", "old armour", "one heartbeat among many", "rust on a hull", "the drop bay",
    "the last lease", "the long watch", "the march home", "the quiet after a drill", "two moons",
    "who leads tonight",
)  # fmt: skip
_SEASONS = (
    "after the storm", "at dawn", "at dusk", "at midnight", "before the alarm", "far from home",
    "in autumn", "in deep winter", "in early spring", "in high summer", "in the rain", "under strange stars",
)  # fmt: skip

_LONGEST_REPLY = 4_000
"""Characters. A longer reply is an essay, and is not searched."""
_FENCED = re.compile(
    r"^[ \t]*(?:`{3,}|~{3,})[ \t]*\w*[ \t]*\n(.*?)^[ \t]*(?:`{3,}|~{3,})[ \t]*$", re.DOTALL | re.MULTILINE
)
_FENCE = re.compile(r"^[ \t]*(?:`{3,}|~{3,})[ \t]*\w*[ \t]*$", re.MULTILINE)
_LABEL = re.compile(r"(?:\W*)(?:haiku|poem|title)\W*?:\W*", re.IGNORECASE)
"""``Haiku:`` or ``**Haiku:**``, before a line or alone on it."""
_PREFACE = re.compile(
    r"#|\W*(?:haiku|poem|title\b.*)\W*$"
    r"|(?=.*\b(?:haiku|poem)\b)(?:.*:\W*$|\W*(?:sure|here|of course|certainly|okay)\b)",
    re.IGNORECASE,
)
"""A whole line that announces: a heading, ``Haiku``, ``Here's a haiku for you``, ``… haiku about rust:``."""
_WRAPPED = re.compile(r"([*_\"'\u201c(\[]).*[*_\"'\u201d)\]]$")
_REMARK = re.compile(r"[(\[].*[)\]]$|[-\u2013\u2014~]\s*\S|#|(?:note|syllables)\b", re.IGNORECASE)
"""A last line that is no verse: in brackets, a signature after a dash, a hashtag, a note."""
_MARKS = re.compile(r"^(?:>|[-*+•]\s|\(?\d[.):]\s)\s*")
_DECORATION = ' \t*_`"\u201c\u201d\\'
_SLASH = re.compile(r"\s+(?:/{1,2}|\|)\s+")


def prompt(rng: Random) -> str:
    """``ASK`` about something else; subject and season change with ``rng``, so that rounds differ."""
    return ASK.replace("your squad", f"{rng.choice(_SUBJECTS)}, {rng.choice(_SEASONS)}")


def haiku_in(text: str) -> str | None:
    r"""The three lines of the haiku in a model's (cleaned) reply, joined by ``\n``; None when it has none.

    The first verse of the reply counts, and it must be three lines, none empty, none over
    ``LONGEST_LINE`` characters: nothing is cut, joined or left out to make three of it.
    """
    if len(text) > _LONGEST_REPLY:
        return None
    plain = re.sub(r"<br\s*/?>", "\n", "\n".join(text.splitlines()))
    fenced = _FENCED.search(plain)
    plain = fenced.group(1) if fenced else _FENCE.sub("", plain)
    lines = _first_verse(plain)
    while len(lines) > 3 and _announces(lines):
        del lines[0]
    while len(lines) > 3 and _REMARK.match(lines[-1]):
        del lines[-1]
    verse = [_bare(line) for line in lines]
    if len(verse) != 3 or not all(_is_line(line) for line in verse):
        return None
    return "\n".join(verse)


def _first_verse(text: str) -> list[str]:
    """The lines of the first paragraph of several lines; else the paragraphs, where each is one line."""
    paragraphs = [kept for part in re.split(r"\n[ \t]*\n", text) if (kept := _without_preface(part))]
    for paragraph in paragraphs:
        if len(paragraph) > 1:
            return paragraph
        parts = _SLASH.split(paragraph[0])
        if len(parts) == 3:
            return parts
    return [paragraph[0] for paragraph in paragraphs]


def _without_preface(paragraph: str) -> list[str]:
    lines = [line.strip() for line in paragraph.splitlines() if line.strip()]
    while lines and _PREFACE.match(lines[0]):
        del lines[0]
    if lines and (label := _LABEL.match(lines[0])):
        lines[0] = lines[0][label.end() :]
    return [line for line in lines if line]


def _announces(lines: list[str]) -> bool:
    """Whether the first line stands out from the verse as a title or an announcement."""
    if lines[0].endswith(":"):
        return True
    return bool(_WRAPPED.match(lines[0])) and not any(_WRAPPED.match(line) for line in lines[1:4])


def _bare(line: str) -> str:
    """The line without list mark, emphasis and quotation marks around it."""
    bare = _MARKS.sub("", line.strip()).strip(_DECORATION)
    if bare.startswith("'") and bare.endswith("'"):
        bare = bare[1:-1].strip()
    return bare


def _is_line(line: str) -> bool:
    return len(line) <= LONGEST_LINE and any(character.isalpha() for character in line)

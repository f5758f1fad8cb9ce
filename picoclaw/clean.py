"""A model's text made safe to show: no escape sequences, no control or invisible characters, bounded.

It is not escaped here: that is the business of whoever shows it (HTML, a terminal, JSON).
"""

from __future__ import annotations

import re
import unicodedata

LONGEST_REPLY = 32_768
"""Characters of a reply unless the caller wants fewer: as many as upstream's ``max_tokens`` are tokens."""

_ESCAPES = re.compile(
    r"""
      (?: \x1b\[ | \x9b ) [0-?]* [\x20-/]* [@-~]?            # CSI: colours, cursor; the end may be missing
    | (?: \x1b[\]PX^_] | [\x90\x98\x9d\x9e\x9f] )            # OSC, DCS, SOS, PM, APC: a string of text …
      [^\x07\x1b\x9c\n]* (?: \x07 | \x1b\\ | \x9c )?         # … to its end, or to the end of the line
    | \x1b [\x20-/]* [0-~]?                                  # every other escape, and a lone ESC
    """,
    re.VERBOSE,
)
"""Terminal control sequences (ECMA-48, 7-bit and 8-bit forms). An unterminated string ends with its line:
a terminal would swallow all that follows, and a reply must not vanish because of one byte."""

_UNSEEN = re.compile(
    "["
    "\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f"  # C0 and C1 controls but \t \n \r
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u3164\uffa0"  # soft hyphen, joiners, fillers
    "\u200b\u200c\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"  # zero width, bidi, annotations
    "\ufe00-\ufe0d\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"  # selectors, tags
    "\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff"  # lone surrogates, noncharacters
    "]+"
)
"""What nobody sees and what changes how the rest reads: Unicode's default ignorables, controls, bidi."""

_JOINER = "\u200d"
_PICTURE = "\u00a9\u00ae\u203c-\u3299\U0001f000-\U0001faff"
_STRAY_SELECTOR = re.compile(f"(?<![{_PICTURE}0-9#*])[\ufe0e\ufe0f]")
_STRAY_JOINER = re.compile(f"(?<![{_PICTURE}\ufe0f]){_JOINER}|{_JOINER}(?![{_PICTURE}])")
"""An emoji's parts are held together by these two; anywhere else they are only invisible."""

_NEW_LINE = re.compile("\r\n|[\r\u2028\u2029]")
_REASONING = re.compile(r"\s*<think>.*?</think>", re.DOTALL | re.IGNORECASE)
_LONGEST_CHARACTER = 32
"""Code points of one visible character that a cut keeps together. A longer one is cut all the same."""


def clean(text: str, limit: int = LONGEST_REPLY) -> str:
    """``text`` as it may be shown: ``printable``, without leading reasoning, trimmed, cut to ``limit``.

    Reasoning is ``<think>…</think>`` at the beginning, when it is closed: an open one may be the answer.
    A cut ends in "…", which counts, and keeps combined characters and emoji whole.
    """
    shown = _without_reasoning(printable(text)).strip()
    return shown if len(shown) <= limit else _cut(shown, limit)


def printable(text: str) -> str:
    r"""``text`` without escape sequences, control characters but \n and \t, and invisible characters."""
    seen = _UNSEEN.sub("", _ESCAPES.sub("", text))
    return _NEW_LINE.sub("\n", _STRAY_JOINER.sub("", _STRAY_SELECTOR.sub("", seen)))


def one_line(text: str, limit: int) -> str:
    """``text`` cleaned as a single line of at most ``limit`` characters."""
    return clean(" ".join(printable(text).split()), limit)


def _without_reasoning(text: str) -> str:
    at = 0
    while block := _REASONING.match(text, at):
        at = block.end()
    return text[at:]


def _cut(text: str, limit: int) -> str:
    if limit < 1:
        return ""
    end = limit - 1
    for _ in range(_LONGEST_CHARACTER):
        if end <= 0 or not _within_character(text, end):
            break
        end -= 1
    else:
        end = limit - 1
    return text[:end].rstrip(_JOINER).rstrip() + "…"


def _within_character(text: str, at: int) -> bool:
    """Whether a cut before ``text[at]`` would part what is seen as one character."""
    before, after = text[at - 1], text[at]
    if _JOINER in (before, after) or unicodedata.category(after) in ("Mn", "Mc", "Me"):
        return True
    if "\U0001f3fb" <= after <= "\U0001f3ff":  # a skin tone
        return True
    return _is_flag_letter(after) and _flag_letters_before(text, at) % 2 == 1


def _is_flag_letter(char: str) -> bool:
    return "\U0001f1e6" <= char <= "\U0001f1ff"


def _flag_letters_before(text: str, at: int) -> int:
    count = 0
    while count < min(at, 2 * _LONGEST_CHARACTER) and _is_flag_letter(text[at - 1 - count]):
        count += 1
    return count

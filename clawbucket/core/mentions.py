"""Who a line of the chat is for: ``@Brave Otter how are you?``, ``@all report``.

Callsigns are two words with a space, which nobody types the same way twice: capitals do not count, and
the words may stand together or be joined by a hyphen or an underscore. Of several that fit, the longest
is meant. Two troopers may share a callsign (core/callsign.py): both are addressed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from heapq import nsmallest
from itertools import pairwise

EVERYBODY = "all"
MOST_ADDRESSED = 20
"""Troopers that one line addresses at most: as many as one service has (CONTRACT section 1)."""
LONGEST_NAME = 40
"""Characters of a name that is not known; callsigns have at most 15."""
_NEAREST = 3
_ALIKE = 0.4
"""From this likeness on, the word after an unknown name counts as part of it."""
_LONGEST_TYPED = 64
"""Characters in which a known name is looked for."""

_JOINTS = re.compile(r"[\s_-]+")
_GOES_ON = re.compile(r"[-_]?\w")
"""What keeps a name from ending there, so that ``@brave-otters`` and ``@all-hands`` are other names."""
_AFTER = re.compile(r"[\s,:;.!\u2013\u2014-]*")
"""What parts a name from the text."""
_TYPED = re.compile(r"@(\w+(?:-\w+)*)(?: +([^\W\d_]+)\b)?")
"""A name that nobody has: a word, and the one behind it, which may be its second."""


@dataclass(frozen=True, slots=True)
class Mention:
    """A line that begins with ``@``, as it was understood.

    ``addressees`` are task ids, in the order of the callsigns given; ``everybody`` says that ``@all``
    was written. ``text`` is what is said to them, "" when nothing is. ``unknown`` is the name that
    nobody has, and ``nearest`` up to three callsigns that are like it, the likest first.
    """

    addressees: tuple[str, ...]
    everybody: bool
    text: str
    unknown: str | None = None
    nearest: tuple[str, ...] = ()

    @property
    def problem(self) -> str | None:
        """Why nobody can be asked, as one sentence for the person who wrote the line; None when they can."""
        if self.unknown is not None:
            who = ", ".join(f"@{name}" for name in self.nearest)
            hint = f"the nearest are {who}, and @{EVERYBODY} is the squad" if who else "no trooper runs here"
            return f"nobody here is called @{self.unknown}; {hint}"
        if not self.addressees:
            return f"no trooper runs here that @{EVERYBODY} could mean; scale a service up first"
        if not self.text:
            return "nothing is said after the name; write it behind, as in @Brave Otter how are you?"
        return None


def mention_in(text: str, callsigns: Sequence[tuple[str, str]], most: int = MOST_ADDRESSED) -> Mention | None:
    """Who the line is for and what it says to them; None when it does not begin with ``@`` and a name.

    ``callsigns`` are ``(task_id, callsign)`` by service and slot: ``@all`` addresses them in that order.
    ``most`` bounds how many are addressed, the first ones.
    """
    line = text.strip()
    typed = _TYPED.match(line)
    if typed is None:
        return None
    named: dict[str, list[str]] = {}
    for task_id, callsign in callsigns:
        named.setdefault(_key(callsign), []).append(task_id)
    for end in range(min(len(line), _LONGEST_TYPED), 1, -1):
        key = _key(line[1:end])
        if (key in named or key == EVERYBODY) and not _GOES_ON.match(line, end):
            everybody = key == EVERYBODY
            meant = [task_id for task_id, _ in callsigns] if everybody else named[key]
            return Mention(tuple(meant[:most]), everybody, _text(line, end))
    return _nobody(line, typed, (callsign for _, callsign in callsigns))


def _nobody(line: str, typed: re.Match[str], callsigns: Iterable[str]) -> Mention:
    """The mention of a name that nobody has, with those that have names like it."""
    pairs = {callsign: _pairs(callsign) for callsign in callsigns}

    def likest(name: str) -> list[tuple[float, str]]:
        mine = _pairs(name)
        scored = [(-2 * len(mine & theirs) / (len(mine) + len(theirs)), who) for who, theirs in pairs.items()]
        return nsmallest(_NEAREST, scored, key=lambda found: found[0])

    name, end = typed[1][:LONGEST_NAME], typed.end(1)
    nearest = likest(name)
    if typed[2] and nearest:
        longer = f"{name} {typed[2]}"[:LONGEST_NAME]
        others = likest(longer)
        if -others[0][0] >= _ALIKE and others[0][0] < nearest[0][0]:
            name, end, nearest = longer, typed.end(2), others
    return Mention((), False, _text(line, end), name, tuple(who for _, who in nearest))


def _key(name: str) -> str:
    """The name as it is compared: small letters, nothing between its words."""
    return _JOINTS.sub("", name).lower()


def _pairs(name: str) -> frozenset[str]:
    """Its pairs of neighbouring letters, by which two names are alike (Dice's coefficient)."""
    key = f"^{_key(name)}"
    return frozenset(map("".join, pairwise(key)))


def _text(line: str, end: int) -> str:
    """What is said behind the name."""
    after = _AFTER.match(line, end)
    return line[after.end() if after else end :]

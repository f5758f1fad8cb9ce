"""Reading log files while they grow: by lines, with each line's level and moment."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

LEVELS = {"debug": 0, "info": 1, "warning": 2, "error": 3, "critical": 4}
_LEVEL = re.compile(r"\[(debug|info|warning|error|critical)\s*\]|\"level\":\s?\"([a-z]+)\"", re.IGNORECASE)
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?")
_LONGEST_LINE = 8_192
_AT_ONCE = 262_144
"""Bytes read at one look; what grew by more is skipped up to its last so many."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of ``source``'s log.

    ``level`` and ``at`` are those of the line before where a line (of a traceback, say) has none of its
    own. ``at`` orders lines of one machine's programs for the eye, and nothing else.
    """

    source: str
    text: str
    level: int
    at: str


class Tail:
    """One log file, from ``begin`` bytes on. A file that shrank was begun anew and is read from its start."""

    def __init__(self, source: str, path: Path, begin: int = 0) -> None:
        self._source = source
        self._path = path
        self._position = begin
        self._rest = b""
        self._level = LEVELS["warning"]  # what comes before any level is a program that fails to start
        self._at = ""

    def look(self) -> list[Line]:
        """The whole lines that came since the last look."""
        try:
            with self._path.open("rb") as file:
                size = file.seek(0, 2)
                if size < self._position:
                    self._position, self._rest = 0, b""
                skips = size - self._position > _AT_ONCE
                if skips:
                    self._position, self._rest = size - _AT_ONCE, b""
                file.seek(self._position)
                fresh = file.read(_AT_ONCE)
        except OSError:
            return []
        self._position += len(fresh)
        if skips:
            fresh = fresh.partition(b"\n")[2]
        *whole, self._rest = (self._rest + fresh).split(b"\n")
        self._rest = self._rest[-_LONGEST_LINE:]
        return [self._line(raw) for raw in whole if raw.strip()]

    def _line(self, raw: bytes) -> Line:
        text = _printable(raw[:_LONGEST_LINE].decode("utf-8", "replace"))
        level, moment = _LEVEL.search(text), _MOMENT.search(text[:400])
        if level:
            self._level = LEVELS.get((level[1] or level[2]).lower(), self._level)
        if moment:
            self._at = moment[0].replace(" ", "T").replace(",", ".")
        return Line(self._source, text, self._level, self._at)


def last_lines(files: Iterable[tuple[str, Path]], count: int) -> tuple[list[Line], list[Tail]]:
    """The last ``count`` lines of all files together, by their moments; and tails to go on from there."""
    tails = [Tail(source, path) for source, path in files]
    lines = [line for tail in tails for line in tail.look()]
    lines.sort(key=lambda line: line.at)
    return lines[max(0, len(lines) - count) :], tails


def interleaved(tails: Iterable[Tail]) -> Iterator[Line]:
    """What came in any of them since the last look, by its moments."""
    yield from sorted((line for tail in tails for line in tail.look()), key=lambda line: line.at)


def _printable(text: str) -> str:
    """A log holds what strangers sent: no control character of theirs reaches the terminal."""
    return "".join(c if c.isprintable() or c == "\t" else "\N{REPLACEMENT CHARACTER}" for c in text)

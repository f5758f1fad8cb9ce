"""Plots as SVG: costs over sizes, and figures beside their bars.

Written here because matplotlib would add 14 packages of 200 MB to a fresh machine's first ``./claw test``
(14 s of processor time, 90 s of wall time where it was tried), its text does not follow the reader's theme,
and this is two kinds of plot. The same figures make the same bytes. Colours are Okabe and Ito's, told apart
by their marks too; the style follows ``prefers-color-scheme``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10

WIDTH, HEIGHT = 720, 360
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 250, 34, 44
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_MARKS = ("circle", "square", "up", "diamond", "down", "cross")
_STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#1f2328}.t{font-weight:600;font-size:13px}"
    ".g{stroke:#8c959f;stroke-opacity:.3}.a{stroke:#6e7781}"
    "@media (prefers-color-scheme:dark){text{fill:#e6edf3}.a{stroke:#9198a1}}"
)


@dataclass(frozen=True, slots=True)
class Series:
    """Points of a name, and the curve that was fitted to them."""

    name: str
    points: Sequence[tuple[float, float]]
    curve: Callable[[float], float] | None = None


def growth(title: str, unit: str, series: Sequence[Series]) -> str:
    """Costs over the number of troopers, both by powers of ten. ValueError when nothing is above zero."""
    points = [(x, y) for each in series for x, y in each.points if x > 0 and y > 0]
    if not points:
        raise ValueError(f"nothing to draw in {title!r}: no figure is above 0")
    across = _Scale([x for x, _ in points], _LEFT, WIDTH - _RIGHT)
    up = _Scale([y for _, y in points], HEIGHT - _BOTTOM, _TOP)
    parts = [_text(_LEFT, 18, title, kind="t"), _text(WIDTH - _RIGHT + 14, 18, unit)]
    for power in across.powers:
        x = across.at(10.0**power)
        parts += [
            _line(x, _TOP, x, HEIGHT - _BOTTOM, "g"),
            _text(x, HEIGHT - _BOTTOM + 16, short(10.0**power), "middle"),
        ]
    for power in up.powers[:: ceil(len(up.powers) / 8)]:
        y = up.at(10.0**power)
        parts += [_line(_LEFT, y, WIDTH - _RIGHT, y, "g"), _text(_LEFT - 8, y + 4, short(10.0**power), "end")]
    parts.append(_line(_LEFT, HEIGHT - _BOTTOM, WIDTH - _RIGHT, HEIGHT - _BOTTOM, "a"))
    parts.append(_text((_LEFT + WIDTH - _RIGHT) / 2, HEIGHT - 8, "troopers of a rack", "middle"))
    for number, each in enumerate(series):
        colour, mark = _COLOURS[number % len(_COLOURS)], _MARKS[number % len(_MARKS)]
        if each.curve is not None:
            parts.append(_curve(each.curve, across, up, colour))
        parts += [_mark(mark, across.at(x), up.at(y), colour) for x, y in each.points if x > 0 and y > 0]
        y = _TOP + 14 + 20 * number
        parts += [_mark(mark, WIDTH - _RIGHT + 20, y - 4, colour), _text(WIDTH - _RIGHT + 32, y, each.name)]
    return _svg(WIDTH, HEIGHT, title, parts)


@dataclass(frozen=True, slots=True)
class Held:
    """A figure with a bar: ``used`` of what it may be, 1.0 is all of it."""

    name: str
    used: float
    met: bool


def bars(title: str, held: Sequence[Held]) -> str:
    """How much of its bar each figure takes; what is beyond twice that is cut, and its number still told."""
    if not held:
        raise ValueError(f"nothing to draw in {title!r}: no figure is held to a bar")
    left, right, row = 360, WIDTH - 90, 22
    height = 46 + row * len(held) + 8
    bar = left + (right - left) / 2
    parts = [_text(8, 18, title, kind="t"), _text(bar, 36, "the bar", "middle")]
    for number, each in enumerate(held):
        y = 46 + row * number
        length = (right - left) * min(2.0, max(0.0, each.used)) / 2
        colour = _COLOURS[0] if each.met else _COLOURS[1]
        verdict = "" if each.met else " missed"
        parts += [
            _text(left - 8, y + 13, _cut(each.name, 52), "end"),
            f'<rect x="{left}" y="{y + 3}" width="{_n(max(1.0, length))}" height="13" fill="{colour}"/>',
            _text(max(left + length, bar) + 6, y + 13, f"{100 * each.used:,.0f} %{verdict}"),
        ]
    parts.append(_line(bar, 40, bar, height - 8, "a"))
    return _svg(WIDTH, height, title, parts)


class _Scale:
    """Powers of ten onto a stretch of pixels."""

    def __init__(self, values: Sequence[float], begin: float, end: float) -> None:
        low, high = floor(log10(min(values))), ceil(log10(max(values)))
        self.powers = range(low, max(high, low + 1) + 1)
        self._low, self._span = low, self.powers[-1] - low
        self._begin, self._end = begin, end

    def at(self, value: float) -> float:
        """Its pixel."""
        return self._begin + (self._end - self._begin) * (log10(value) - self._low) / self._span

    def holds(self, value: float) -> bool:
        """Whether it lies on it."""
        return 10.0**self._low <= value <= 10.0 ** self.powers[-1]

    def steps(self, count: int = 40) -> list[float]:
        """Values an equal distance apart."""
        return [10 ** (self._low + self._span * step / count) for step in range(count + 1)]


def _curve(of: Callable[[float], float], across: _Scale, up: _Scale, colour: str) -> str:
    found = [(across.at(x), of(x)) for x in across.steps()]
    path = " ".join(f"{_n(x)},{_n(up.at(y))}" for x, y in found if y > 0 and up.holds(y))
    return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5" stroke-opacity=".7"/>'


def _mark(kind: str, x: float, y: float, colour: str) -> str:
    if kind == "circle":
        return f'<circle cx="{_n(x)}" cy="{_n(y)}" r="4" fill="{colour}"/>'
    shapes = {
        "square": "-4,-4 4,-4 4,4 -4,4", "up": "0,-5 5,4 -5,4", "diamond": "0,-5 5,0 0,5 -5,0",
        "down": "0,5 5,-4 -5,-4", "cross": "-1,-5 1,-5 1,-1 5,-1 5,1 1,1 1,5 -1,5 -1,1 -5,1 -5,-1 -1,-1",
    }  # fmt: skip
    return f'<polygon points="{shapes[kind]}" transform="translate({_n(x)} {_n(y)})" fill="{colour}"/>'


def short(value: float) -> str:
    """A number as people write it beside an axis or in a sentence: 3 digits and k, M or G."""
    for size, letter in ((1e9, " G"), (1e6, " M"), (1e4, " k")):
        if abs(value) >= size:
            return f"{value / (1e3 if letter == ' k' else size):.3g}{letter}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _cut(words: str, most: int) -> str:
    return words if len(words) <= most else f"{words[: most - 1]}…"


def _text(x: float, y: float, words: str, anchor: str = "start", kind: str = "") -> str:
    end = "" if anchor == "start" else f' text-anchor="{anchor}"'
    bold = f' class="{kind}"' if kind else ""
    return f'<text x="{_n(x)}" y="{_n(y)}"{end}{bold}>{escape(words)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line x1="{_n(x1)}" y1="{_n(y1)}" x2="{_n(x2)}" y2="{_n(y2)}" class="{kind}"/>'


def _svg(width: float, height: float, title: str, parts: Sequence[str]) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">'
    return "\n".join(
        [head, f"<title>{escape(title)}</title>", f"<style>{_STYLE}</style>", *parts, "</svg>\n"]
    )

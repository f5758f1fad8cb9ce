"""docs/scaling.md: the costs of a rack by its size, the fits, the plots, and the plan that follows from them.

The words are written by hand, in docs/figures/scaling.md; ``{{…}}`` in them stands for a number or a table
from here, so that no number there is older than the figures.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from bench.fits import Fit, fit, stepped
from bench.kept import Kept
from bench.plan import limits, peer_calls, plan, round_down
from bench.plots import Series, growth, short
from clawbucket import keys
from clawbucket.cli.refusal import Refusal
from clawbucket.codecs import DEFLATED_FROM
from clawbucket.handoff.watching_peers import WatchingPeers

_SIZED = re.compile(r"^\d+ troopers: ")
PLOTS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "bus": (
        "memcached, of a rack at rest", "a second",
        ("bus: keys read", "bus: values set", "bus: compare-and-swaps", "bus: bytes to memcached",
         "bus: bytes from memcached"),
    ),
    "processor": (
        "processor time, of a rack at rest", "% of one core",
        ("processor: workers", "processor: fronts", "processor: rack manager", "processor: gateway",
         "processor: aggregator", "processor: memcached"),
    ),
    "sizes": (
        "what is sent and kept", "bytes; a second where it says so",
        ("snapshot: as JSON", "snapshot: on the bus", "board: /api/swarms", "stream: a delta, median",
         "stream: bytes of a viewer", "election: bytes of a follower"),
    ),
}  # fmt: skip
"""The plots by the names of their files."""
STEPPED = frozenset({
    "snapshot: on the bus", "board: bytes read for a look", "election: bytes of the leader",
    "election: bytes of a follower",
})  # fmt: skip
"""Costs that are another line where a snapshot is long enough to be deflated on the bus."""
_WORD = re.compile(r"\{\{(.+?)\}\}(B\b)?")
"""A number that is asked for; bytes, where a B follows at once."""


def fits_of(kept: Kept) -> tuple[dict[str, dict[int, float]], dict[str, Fit]]:
    """Each cost by size, and the fits of those that were taken at three sizes or more."""
    costs: dict[str, dict[int, float]] = {}
    for figure in kept.figures:
        if figure.size is not None:
            costs.setdefault(_SIZED.sub("", figure.name), {})[figure.size] = figure.value
    fits = {
        name: fit(list(of), list(of.values()))
        for name, of in costs.items()
        if len(of) >= 3 and any(of.values())
    }
    if "snapshot: as JSON" in fits:
        step = fits["snapshot: as JSON"].limit(DEFLATED_FROM)
        fits |= {
            name: stepped(list(costs[name]), list(costs[name].values()), step) for name in STEPPED & set(fits)
        }
    if not fits:
        raise Refusal(
            "scaling.json has no cost at three sizes, so nothing can be fitted; "
            "type ./claw bench scaling --troopers 10,100,1000,5000 --keep docs/figures"
        )
    return costs, fits


def plots(kept: Kept) -> dict[str, str]:
    """SVG by the name of its file."""
    costs, fits = fits_of(kept)
    made = {}
    for name, (title, unit, wanted) in PLOTS.items():
        series = [
            Series(
                cost.partition(": ")[2] if name != "sizes" else cost, list(costs[cost].items()), fits[cost].at
            )
            for cost in wanted
            if cost in fits
        ]
        made[f"scaling-{name}.svg"] = growth(title, unit, series)
    return made


def body(kept: Kept, words: str) -> str:
    """The page's own part: the words, with the numbers put in."""
    numbers = Numbers(kept)

    def put(found: re.Match[str]) -> str:
        kind, *names = found[1].split("|")
        try:
            told = numbers.kinds[kind](*names)
        except (KeyError, ValueError, TypeError, StopIteration):
            raise Refusal(
                f"docs/figures/scaling.md asks for {found[0]}, which is not there; it may ask for "
                f"{', '.join(sorted(numbers.kinds))} of a cost that scaling.json has at three sizes"
            ) from None
        return told if not found[2] else f"{told}B" if told[-1].isalpha() else f"{told} B"

    return _WORD.sub(put, words)


class Numbers:
    """What the hand-written part may ask for, by its word: ``{{measured|board: /api/swarms|1000}}``."""

    def __init__(self, kept: Kept) -> None:
        self._costs, self._fits = fits_of(kept)
        self._units = {_SIZED.sub("", figure.name): figure.unit for figure in kept.figures}
        self._plans = {
            "packed": plan(self._fits, "packed"),
            "containers": plan(self._fits, "containers", without="overlay network"),
        }
        self.kinds: dict[str, Callable[..., str]] = {
            "table": self.table, "limits": self.limits, "plan": self.plan, "rack": self.rack,
            "all": self.all, "measured": self.measured, "at": self.at, "each": self.each,
            "start": self.start, "together": self.together, "cores": self.cores, "sizes": self.sizes,
        }  # fmt: skip

    def table(self, group: str) -> str:
        """Every cost of the group, at each size, with its fit."""
        sizes = sorted({size for of in self._costs.values() for size in of})
        lines = [
            f"| {group} | {' | '.join(f'{size:,}' for size in sizes)} | fitted | R² | worst | exponent |",
            "|---|" + "---:|" * len(sizes) + "---|---:|---:|---:|",
        ]
        for cost, of in self._costs.items():
            if cost.startswith(f"{group}: "):
                unit = f", {self._units[cost]}" if self._units[cost] else ""
                cells = " | ".join(short(of[size]) if size in of else "" for size in sizes)
                fitted = _fitted(self._fits.get(cost), of)
                lines.append(f"| {cost.partition(': ')[2]}{unit} | {cells} | {fitted} |")
        if len(lines) == 2:
            raise KeyError(group)
        return "\n".join(lines)

    def limits(self, of: str) -> str:
        """What racks of that kind meet, the first one first."""
        lines = ["| at about | what | meets |", "|---:|---|---|"]
        for limit in limits(self._fits):
            if limit.of == "any" or limit.of.startswith(of):
                size = f"{round_down(limit.size):,}" if limit.size < 1e6 else "over 1,000,000"
                lines.append(f"| {size} | {limit.what} | {limit.bound} |")
        return "\n".join(lines)

    def plan(self, of: str, what: str) -> str:
        """The size of a rack, how many racks, what is met first and where, and what peers ask a second."""
        found = self._plans[of]
        return {
            "size": f"{found.size:,}",
            "racks": f"{found.racks:,}",
            "first": found.first.what,
            "bound": found.first.bound,
            "breaks": f"{round_down(found.first.size):,}",
            "mesh": short(peer_calls(found.racks, found.racks - 1)),
            "capped": short(peer_calls(found.racks, keys.PEERS.cap)),
            "each": short((found.racks - 1) / WatchingPeers.every),
        }[what]

    def rack(self, of: str, cost: str) -> str:
        """Of one rack of the plan."""
        return short(self._fits[cost].at(self._plans[of].size))

    def all(self, of: str, cost: str) -> str:
        """Of all racks of the plan together."""
        return short(self._plans[of].racks * self._fits[cost].at(self._plans[of].size))

    def cores(self, of: str, cost: str) -> str:
        """Of all racks of the plan together, a cost that is percent of a core."""
        found = self._plans[of]
        return short(found.racks * self._fits[cost].at(found.size) / 100)

    def sizes(self) -> str:
        """The sizes that were measured, in words."""
        sizes = [f"{size:,}" for size in sorted({size for of in self._costs.values() for size in of})]
        return f"{', '.join(sizes[:-1])} and {sizes[-1]}"

    def measured(self, cost: str, size: str) -> str:
        """As it was measured."""
        return short(self._costs[cost][int(size)])

    def at(self, cost: str, size: str) -> str:
        """By the fit, of a rack of any size."""
        return short(self._fits[cost].at(float(size)))

    def each(self, cost: str) -> str:
        """What each further trooper adds."""
        return short(self._fits[cost].each)

    def start(self, cost: str) -> str:
        """What a rack costs before its first trooper."""
        return short(self._fits[cost].start)

    def together(self, cost: str, size: str) -> str:
        """Of so many troopers, each of whom has that cost in a rack of that size."""
        return short(float(size) * self._fits[cost].at(float(size)))


def _fitted(found: Fit | None, of: Mapping[int, float]) -> str:
    """The cells of a fit. One that hardly grows is told by its middle alone."""
    if found is None:
        return " | | | "
    low, high = (found.at(size) for size in (min(of), max(of)))
    sign = "+" if found.each >= 0 else "−"  # noqa: RUF001 - a minus sign, for people
    begin = 0.0 if abs(found.start) < 1e-9 * abs(high) else found.start
    line = f"{short(begin)} {sign} {short(abs(found.each))}·{found.shape}"
    if found.above is not None:
        above = found.above
        line += f"; from {round_down(found.step):,} on {short(above.start)} + {short(above.each)}·n"
    elif abs(high - low) < 0.1 * max(abs(high), abs(low)):
        line = f"{short((high + low) / 2)}, whatever n"
    return f"{line} | {found.r2:.3f} | {100 * found.worst:.0f} % | {found.exponent:.2f}"

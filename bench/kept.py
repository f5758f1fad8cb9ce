"""The figures that are kept in docs/figures, as bench/envelope.py wrote them, read back and checked."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.figures import Figure
from clawbucket.cli.refusal import Refusal

_WANTED: dict[str, type | tuple[type, ...]] = {
    "bench": str, "taken": str, "machine": dict, "versions": dict, "figures": list,
}  # fmt: skip
_OF_A_FIGURE: dict[str, type | tuple[type, ...]] = {
    "name": str, "value": (int, float), "unit": str, "bar": str, "met": (bool, type(None)), "raw": list,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Kept:
    """One bench's figures, when and on what they were taken."""

    bench: str
    taken: str
    machine: dict[str, Any]
    versions: dict[str, str]
    figures: list[Figure]

    @property
    def held(self) -> list[Figure]:
        """Those with a bar."""
        return [figure for figure in self.figures if figure.met is not None]

    @property
    def missed(self) -> list[Figure]:
        """Those whose bar is not met."""
        return [figure for figure in self.figures if figure.met is False]


def read(path: Path) -> Kept:
    """What the file keeps. Refusal with one sentence where it is not such a file."""
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Refusal(_sentence(path, f"cannot be read as JSON ({error})")) from None
    if not isinstance(told, dict):
        raise Refusal(_sentence(path, f"holds a {type(told).__name__}, not an object"))
    _check(path, told, _WANTED, "it")
    if told["bench"] != path.stem:
        raise Refusal(_sentence(path, f"says that it is of the bench {told['bench']!r}"))
    for number, figure in enumerate(told["figures"]):
        if not isinstance(figure, dict):
            raise Refusal(_sentence(path, f"has a figure {number} that is not an object"))
        _check(path, figure, _OF_A_FIGURE, f"its figure {number}")
    figures = [
        Figure(
            each["name"], float(each["value"]), each["unit"], each["bar"], each["met"], each["raw"],
            each.get("size"),
        )
        for each in told["figures"]
    ]  # fmt: skip
    return Kept(told["bench"], told["taken"], told["machine"], told["versions"], figures)


def _check(path: Path, told: dict[str, Any], wanted: dict[str, Any], whose: str) -> None:
    for name, kind in wanted.items():
        if name not in told:
            raise Refusal(_sentence(path, f"has no {name!r} in {whose}"))
        if not isinstance(told[name], kind):
            raise Refusal(_sentence(path, f"has {told[name]!r:.60} for {name!r} of {whose}"))


def _sentence(path: Path, what: str) -> str:
    return (
        f"{path.name} {what}; it must be what a bench writes: "
        f"type ./claw bench {path.stem} --keep docs/figures to take it anew, or remove the file"
    )

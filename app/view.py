"""How somebody looks at the board: what they asked for in the page's address, and the sections that makes.

``?group=node&sort=score&density=heat&q=state:running&kiosk=1``: the whole view is in the address, so that a
link shows somebody else the same (kube-ops-view's permalinks). What is not known there is said and left out;
a page is never refused for it. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from app.fanout import State

GROUPS = ("service", "node", "rack")
SORTS = ("slot", "name", "score", "state", "node")
DENSITIES = ("auto", "comfortable", "compact", "heat")
FITS_COMFORTABLY = 60
"""Troopers up to which ``auto`` draws whole tiles: three screens of them on a laptop (measured)."""
FITS_COMPACTLY = 1_200
"""Troopers up to which ``auto`` draws compact tiles; beyond, a heat map (``./claw bench dashboard``)."""
LONGEST_FILTER = 200
"""Characters of a filter that are kept."""
_CHOICES = {"group": GROUPS, "sort": SORTS, "density": DENSITIES}


@dataclass(frozen=True, slots=True)
class View:
    """One way to look. ``problems``: what of the address was not understood, a sentence each."""

    group: str = GROUPS[0]
    sort: str = SORTS[0]
    density: str = DENSITIES[0]
    q: str = ""
    kiosk: bool = False
    problems: tuple[str, ...] = ()

    @classmethod
    def of(cls, args: Mapping[str, str]) -> View:
        """The view that an address asks for."""
        chosen, problems = {}, []
        for name, allowed in _CHOICES.items():
            given = args.get(name, allowed[0])
            if given not in allowed:
                problems.append(f"This page knows no {name} “{given[:40]}”; it knows {', '.join(allowed)}.")
                given = allowed[0]
            chosen[name] = given
        kiosk = args.get("kiosk", "") not in ("", "0", "false")
        return cls(**chosen, q=args.get("q", "")[:LONGEST_FILTER], kiosk=kiosk, problems=tuple(problems))

    @property
    def of_tiles(self) -> View:
        """What of it the tiles' drawing depends on: a browser filters by itself."""
        return View(self.group, self.sort, self.density)

    @property
    def args(self) -> dict[str, str]:
        """The shortest address that asks for this view again."""
        named = {name: getattr(self, name) for name, allowed in _CHOICES.items()}
        args = {name: value for name, value in named.items() if value != _CHOICES[name][0]}
        if self.q:
            args["q"] = self.q
        if self.kiosk:
            args["kiosk"] = "1"
        return args

    def drawn(self, count: int) -> str:
        """The density in which that many troopers are drawn: comfortable, compact or heat."""
        if self.density != "auto":
            return self.density
        return (
            "comfortable" if count <= FITS_COMFORTABLY else "compact" if count <= FITS_COMPACTLY else "heat"
        )


@dataclass(frozen=True, slots=True)
class Section:
    """Tiles under one heading. ``squad`` is the service's record where that is what they have in common.

    ``peer`` is another rack's record, and ``tasks`` are its troopers then.
    """

    id: str
    title: str
    tasks: tuple[State, ...] = ()
    squad: State | None = None
    peer: State | None = field(default=None)


def sections(
    state: State, view: View, label: str, elsewhere: Mapping[str, Sequence[State]] = MappingProxyType({})
) -> list[Section]:
    """The board in sections, each in the view's order. A service is there even while nobody runs in it.

    ``elsewhere``: the other racks' troopers, by the racks' names.
    """
    tasks = sorted(state["tasks"].values(), key=_ORDERS[view.sort])
    if view.group == "service":
        return [
            Section(f"squad-{name}", squad["alias"], tuple(t for t in found if t["service"] == name), squad)
            for found in [tasks]
            for name, squad in state["services"].items()
        ]
    if view.group == "node":
        nodes = {task["node_id"]: task["node"] for task in tasks}
        return [
            Section(f"node-{id_}", name, tuple(t for t in tasks if t["node_id"] == id_))
            for id_, name in sorted(nodes.items(), key=lambda node: node[::-1])
        ]
    others = [
        Section(
            f"rack-{name}",
            peer.get("label") or name,
            tuple(sorted(elsewhere.get(name, ()), key=_ORDERS[view.sort])),
            peer={"name": name, **peer},
        )
        for name, peer in state["peers"].items()
    ]
    return [Section("rack-", label or "this rack", tuple(tasks)), *others]


def _slot(task: State) -> tuple[Any, ...]:
    return (task["service"], task["slot"], task["id"])


_ORDERS: dict[str, Callable[[State], tuple[Any, ...]]] = {
    "slot": _slot,
    "name": lambda task: (task["name"], *_slot(task)),
    "score": lambda task: (-task["score"], *_slot(task)),
    "state": lambda task: (task["state"], *_slot(task)),
    "node": lambda task: (task["node"], *_slot(task)),
}
"""Each ends with the slot, so that equals never change places."""

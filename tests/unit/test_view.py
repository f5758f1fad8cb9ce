"""How somebody looks at the board: the address, the sections and their order."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from app.view import FITS_COMFORTABLY, FITS_COMPACTLY, LONGEST_FILTER, View, sections


def trooper(task_id: str, **fields: object) -> dict[str, object]:
    """What the state says of a trooper, as far as sections look at it."""
    said = {
        "id": task_id,
        "service": "b",
        "slot": 1,
        "score": 0,
        "state": "running",
        "node": "n1",
        "node_id": "1",
    }
    return {**said, "name": f"Name {task_id}", **fields}


def state(*tasks: dict[str, object], peers: Mapping[str, object] | None = None) -> dict[str, object]:
    """A state of two services with those troopers."""
    return {
        "services": {"a": {"alias": "A", "service": "a"}, "b": {"alias": "B", "service": "b"}},
        "tasks": {str(task["id"]): task for task in tasks},
        "peers": peers or {},
    }


@pytest.mark.parametrize(
    "args",
    [
        {},
        {"group": "node"},
        {"group": "rack", "sort": "score", "density": "heat", "q": "score>5", "kiosk": "1"},
    ],
)
def test_an_address_asks_for_a_view_and_the_view_for_that_address(args: dict[str, str]):
    """A link made of a view shows the same view again, and says nothing that goes without saying."""
    assert View.of(args).args == args


def test_what_an_address_asks_for_in_vain_is_said():
    """A choice that does not exist is left out, with a sentence that names those that do."""
    view = View.of({"group": "planet", "sort": "score"})
    assert (view.group, view.sort) == ("service", "score")
    assert view.problems == ("This page knows no group “planet”; it knows service, node, rack.",)


def test_a_filter_is_bounded():
    """Whatever an address holds, a view holds little."""
    assert len(View.of({"q": "x" * 10_000}).q) == LONGEST_FILTER
    assert len(View.of({"sort": "x" * 10_000}).problems[0]) < 150


def test_kiosk_is_off_where_it_says_so():
    """``kiosk=0`` is no kiosk."""
    assert [View.of({"kiosk": given}).kiosk for given in ("1", "", "0", "false", "yes")] == [
        True, False, False, False, True,
    ]  # fmt: skip


def test_every_service_is_a_section_even_without_a_trooper():
    """By service there is a heading for each, in the state's order, with its own troopers."""
    found = sections(state(trooper("x"), trooper("y", service="a")), View(), "Rack")
    assert [(s.id, s.title, [t["id"] for t in s.tasks]) for s in found] == [
        ("squad-a", "A", ["y"]), ("squad-b", "B", ["x"]),
    ]  # fmt: skip
    assert sections(state(), View(), "Rack")[0].tasks == ()


def test_nodes_of_one_name_are_two_sections():
    """By node, each node is told by its id; troopers of several services stand together."""
    tasks = trooper("x"), trooper("y", service="a"), trooper("z", node_id="2")
    found = sections(state(*tasks), View(group="node"), "Rack")
    assert [(s.id, s.title, [t["id"] for t in s.tasks]) for s in found] == [
        ("node-1", "n1", ["y", "x"]), ("node-2", "n1", ["z"]),
    ]  # fmt: skip


def test_a_node_of_two_names_is_one_section():
    """While a renamed node is told of under both its names, each trooper still stands there once."""
    found = sections(state(trooper("x", node="old"), trooper("y", node="new")), View(group="node"), "Rack")
    assert [[t["id"] for t in s.tasks] for s in found] == [["x", "y"]]


def test_other_racks_are_sections_with_their_troopers():
    """By rack, this one has its tiles, and each other one its own, in the same order."""
    peers = {"p": {"label": "Rack P", "url": "http://p"}, "q": {"label": "", "url": "http://q"}}
    theirs = {"p": [trooper("v", score=1), trooper("w", score=2)], "unknown": [trooper("u")]}
    view = View(group="rack", sort="score")
    found = sections(state(trooper("x"), peers=peers), view, "Rack", theirs)
    assert [(s.title, "".join(t["id"] for t in s.tasks), s.peer and s.peer["name"]) for s in found] == [
        ("Rack", "x", None), ("Rack P", "wv", "p"), ("q", "", "q"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("sort", "order"),
    [("slot", "yxz"), ("name", "yxz"), ("score", "zyx"), ("state", "zyx"), ("node", "xyz")],
)
def test_equals_never_change_places(sort: str, order: str):
    """Each order ends with the slot, whatever order the state has them in."""
    tasks = [
        trooper("x", slot=2, name="N", node="a"),
        trooper("z", slot=3, name="O", score=4, state="failed", node="c"),
        trooper("y", slot=1, name="N", node="b"),
    ]  # fmt: skip
    for given in (tasks, tasks[::-1]):
        found = sections(state(*given), View(group="rack", sort=sort), "Rack")
        assert "".join(str(t["id"]) for t in found[0].tasks) == order


def test_density_follows_the_count_unless_somebody_chose():
    """Few troopers are drawn whole, many briefly, thousands as a map; a choice stands."""
    counts = (1, FITS_COMFORTABLY, FITS_COMFORTABLY + 1, FITS_COMPACTLY, FITS_COMPACTLY + 1)
    assert [View().drawn(n) for n in counts] == ["comfortable", "comfortable", "compact", "compact", "heat"]
    assert View(density="comfortable").drawn(5_000) == "comfortable"

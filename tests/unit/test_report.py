"""The pages that are made of figures: what is in them, what is kept of a person's words, what is refused."""

from __future__ import annotations

import json

import pytest

from bench import report
from bench.kept import read
from clawbucket.cli.refusal import Refusal

MACHINE = {"processor": "A Chip", "cores": 2, "memory_gib": 8.0, "system": "Linux 6.1"}
RATE = {"name": "rate", "value": 0.7, "unit": "x", "bar": ">= 0.6", "met": True, "raw": [0.7]}
WAIT = {"name": "wait", "value": 3.0, "unit": "s", "bar": "<= 2", "met": False, "raw": [3.0]}
SIZE = {"name": "bytes", "value": 10.0, "unit": "B", "bar": "", "met": None, "raw": []}


def told(bench: str = "api", figures: object = None) -> dict[str, object]:
    """A bench's JSON."""
    return {
        "bench": bench, "taken": "2026-11-27", "machine": MACHINE, "versions": {"python": "3.11.7"},
        "figures": [RATE, WAIT, SIZE] if figures is None else figures,
    }  # fmt: skip


def costs(growth, sizes=(10, 100, 1_000, 5_000)) -> list[dict[str, object]]:
    """Every cost that the scaling page needs, at four sizes."""
    names = [
        "bus: keys read", "bus: values set", "bus: compare-and-swaps", "bus: bytes to memcached",
        "bus: bytes from memcached", "bus: memory of the items", "engine: calls", "processor: workers",
        "processor: fronts", "processor: rack manager", "processor: gateway", "processor: aggregator",
        "processor: memcached", "memory: a packed trooper", "snapshot: as JSON", "snapshot: on the bus",
        "board: /api/swarms", "board: bytes read for a look",
        "stream: a delta, median", "stream: bytes of a viewer",
        "viewers: the first one's, front", "election: bytes of a follower",
    ]  # fmt: skip
    return [
        {**SIZE, "name": f"{n} troopers: {name}", "value": growth(n), "size": n}
        for name in names for n in sizes
    ]  # fmt: skip


@pytest.fixture
def root(tmp_path):
    """A tree with one bench's figures and words, and a README with the marks."""
    (tmp_path / "docs/figures").mkdir(parents=True)
    write(tmp_path, "api", told())
    words = "# The API\n\nWhat it is, [here](../adr/0001.md).\n\n### What was found\n\nA slow thing.\n"
    (tmp_path / "docs/figures/api.md").write_text(words)
    (tmp_path / "README.md").write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    return tmp_path


def write(root, name: str, what: object) -> None:
    """Put a bench's JSON where it is kept."""
    (root / f"docs/figures/{name}.json").write_text(json.dumps(what))


def test_a_bench_has_its_words_command_machine_table_and_plot(root):
    """And says in words which bar is missed."""
    page = report.pages(root)[root / "docs/performance.md"]
    for part in (
        "## The API", "[here](adr/0001.md)", "./claw bench api --keep docs/figures", "A Chip, 2 cores",
        "python 3.11.7", "Taken 2026-11-27", "![How much of each bar is used](figures/api.svg)",
        "| rate | 0.7 x | \\>= 0.6 | met |", "| wait | 3 s | \\<= 2 | **missed** |", "| bytes | 10 B |",
        "### What was found\n\nA slow thing.", "| [The API](#the-api) | 2026-11-27 | 1 of 2, **1 missed** |",
    ):  # fmt: skip
        assert part in page
    assert page.index("What it is") < page.index("| rate |") < page.index("A slow thing")


def test_a_busy_machine_is_told(root):
    """Figures that were taken beside other work are not passed off as good ones."""
    quiet = report.pages(root)[root / "docs/performance.md"]
    write(root, "api", {**told(), "machine": {**MACHINE, "load_before": 15.8}})
    busy = report.pages(root)[root / "docs/performance.md"]
    assert "Load average before: 15.8. **The machine was busy" in busy
    assert "busy" not in quiet


def test_the_readme_keeps_all_but_its_block(root):
    """Which has what is held to a bar."""
    page = report.pages(root)[root / "README.md"]
    assert page.startswith("before\n")
    assert page.endswith("after\n")
    assert "| api | wait | 3 s | \\<= 2: **missed** |" in page
    assert "old" not in page
    assert "bytes" not in page


def test_made_twice_the_pages_are_the_same(root):
    """Byte for byte, also when what was made is there."""
    first = report.pages(root)
    for path, text in first.items():
        path.write_text(text, encoding="utf-8")
    assert report.pages(root) == first


def test_the_readme_stays_as_it_is_while_nothing_is_held_to_a_bar(root):
    """Figures without bars are not what it shows."""
    write(root, "api", told(figures=[SIZE]))
    assert root / "README.md" not in report.pages(root)


def test_a_readme_without_marks_is_refused(root):
    """With the marks to put into it."""
    (root / "README.md").write_text("nothing")
    with pytest.raises(Refusal, match="figures: begin"):
        report.pages(root)


def test_no_figures_at_all_are_refused(root):
    """With what to type."""
    (root / "docs/figures/api.json").unlink()
    with pytest.raises(Refusal, match=r"holds no figures; type \./claw bench"):
        report.pages(root)


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("{", "cannot be read as JSON"),
        ("[]", "holds a list, not an object"),
        (json.dumps({**told(), "taken": 5}), "has 5 for 'taken'"),
        (json.dumps({k: v for k, v in told().items() if k != "machine"}), "has no 'machine'"),
        (json.dumps(told("bus")), "of the bench 'bus'"),
        (json.dumps(told(figures=[{**RATE, "value": "fast"}])), "has 'fast' for 'value' of its figure 0"),
        (json.dumps(told(figures=[7])), "figure 0 that is not an object"),
        (json.dumps(told(figures=[RATE, {"name": "x"}])), "has no 'value' in its figure 1"),
    ],
)
def test_a_file_that_no_bench_wrote_is_refused(root, written, says):
    """In one sentence: which file, what is wrong with it, and how to take it anew."""
    path = root / "docs/figures/api.json"
    path.write_text(written)
    with pytest.raises(Refusal) as refused:
        read(path)
    assert str(refused.value).startswith("api.json ")
    assert says in str(refused.value)
    assert "type ./claw bench api --keep docs/figures" in str(refused.value)


def test_the_scaling_page_has_its_numbers_put_in(root):
    """Measured, fitted, and what follows for the plan."""
    write(root, "scaling", told("scaling", costs(lambda n: 2.0 * n)))
    (root / "docs/figures/scaling.md").write_text(
        "# S\n\n{{table|bus}}\n\n{{measured|bus: keys read|100}} {{each|bus: keys read}} "
        "{{at|bus: keys read|100000}} {{plan|packed|first}} {{plan|packed|size}} {{plan|packed|racks}}\n"
    )
    made = report.pages(root)
    page = made[root / "docs/scaling.md"]
    assert "| keys read, B | 20 | 200 | 2,000 | 10 k | 0 + 2·n | 1.000 | 0 % | 1.00 |" in page
    assert "\n200 2 200 k " in page
    assert "{{" not in page
    plan = "the front at rest: its board reads everybody 25 4,000"
    assert plan in page  # one core at 50 troopers, half of that, and so many racks
    assert {path.name for path in made} >= {"scaling-bus.svg", "scaling-processor.svg", "scaling-sizes.svg"}


def test_words_that_ask_for_what_is_not_there_are_refused(root):
    """With what they may ask for."""
    write(root, "scaling", told("scaling", costs(lambda n: 2.0 * n)))
    for asked in (
        "{{at|bus: nonsense|10}}",
        "{{guess|bus: keys read}}",
        "{{measured|bus: keys read|7}}",
        "{{at}}",
    ):
        (root / "docs/figures/scaling.md").write_text(f"# S\n\n{asked}\n")
        with pytest.raises(Refusal, match="asks for"):
            report.pages(root)


def test_costs_of_two_sizes_are_refused(root):
    """A line through two points tells nothing."""
    write(root, "scaling", told("scaling", costs(float, (10, 100))))
    with pytest.raises(Refusal, match="at three sizes"):
        report.pages(root)

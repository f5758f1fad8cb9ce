"""``python -m bench.report``: the pages about figures, made of what docs/figures keeps.

Each docs/figures/NAME.json is a bench's own (``./claw bench NAME --keep docs/figures``). NAME.md beside it is
written by hand: a title, what is measured, and below a ``###`` what was found; it is taken in as it is, so
nothing that a person wrote is lost when figures are taken anew. From both come docs/performance.md,
docs/scaling.md, the plots, and the block of figures in README.md. The same figures make the same bytes, which
tests/test_figures.py holds them to.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from bench import scaling_page
from bench.figures import Figure
from bench.kept import Kept, read
from bench.plots import Held, bars, short
from bench.rack import ROOT
from clawbucket.cli.refusal import Refusal

ORDER = (
    "startup", "api", "gateway", "election", "bus", "sse", "sim", "dashboard", "page-memory",
    "revolt", "revolt-docker", "mixed",
)  # fmt: skip
"""How the page goes through the benches; others follow by name."""
BEGIN, END = "<!-- figures: begin (python -m bench.report) -->", "<!-- figures: end -->"
_BAR = re.compile(r"^(<=|>=|=) (-?[\d.]+(?:e[+-]?\d+)?)$")
_MADE = (
    "<!-- Made by python -m bench.report of docs/figures/*.json and the words in docs/figures/*.md; "
    "what is changed here is lost. -->"
)


def pages(root: Path) -> dict[Path, str]:
    """Everything that is made, by where it goes. Refusal where nothing fit to make it of is kept."""
    found = sorted((root / "docs/figures").glob("*.json"))
    if not found:
        raise Refusal(
            "docs/figures holds no figures; type ./claw bench NAME --keep docs/figures to take some"
        )
    kept = {path.stem: read(path) for path in found}
    made: dict[Path, str] = {}
    scaling = kept.pop("scaling", None)
    if scaling is not None:
        for name, plot in scaling_page.plots(scaling).items():
            made[root / "docs/figures" / name] = plot
        words = _linked(_words(root, "scaling"))
        made[root / "docs/scaling.md"] = (
            f"{_MADE}\n\n{scaling_page.body(scaling, words)}\n{_taken(scaling)}\n"
        )
    benches = sorted(kept.values(), key=lambda one: (_place(one.bench), one.bench))
    made |= {root / "docs/figures" / f"{one.bench}.svg": _plot(one) for one in benches if _drawn(one)}
    made[root / "docs/performance.md"] = performance(benches, root)
    readme = root / "README.md"
    if any(one.held for one in benches):
        made[readme] = _filled(readme.read_text(encoding="utf-8"), summary(benches))
    return made


def performance(benches: Sequence[Kept], root: Path) -> str:
    """The page of what each bench measured."""
    parts = [_MADE, "", "# Performance", "", _INTRODUCTION]
    if benches:
        parts += ["", "| bench | taken | bars met |", "|---|---|---:|"]
        parts += [
            f"| [{_title(root, one)}](#{_anchor(_title(root, one))}) | {one.taken} | {_met(one)} |"
            for one in benches
        ]
    for one in benches:
        title, _, rest = _words(root, one.bench).partition("\n")
        measured, _, found = rest.partition("\n### ")
        parts += ["", f"## {title.removeprefix('# ')}", "", _linked(measured).strip()]
        parts += ["", "```sh", f"./claw bench {one.bench} --keep docs/figures", "```", "", _taken(one)]
        if _drawn(one):
            parts += ["", f"![How much of each bar is used](figures/{one.bench}.svg)"]
        parts += ["", _table(one.figures)]
        if found:
            parts += ["", f"### {_linked(found).strip()}"]
    return "\n".join(parts) + "\n"


_INTRODUCTION = """\
What was measured, on what, and how to measure it again. Every figure stands beside what is asked of it, where
something is, and says so where it does not reach that. The raw numbers are in the JSON of `docs/figures`.

Rates depend on the machine, so they are given as shares of a limit that was measured in the same run, in turn
with it: the same server with ready bytes, a bare socket, the way without the gateway. Take figures on a quiet
machine. Afterwards `python -m bench.report` makes these pages anew. How costs grow with the troopers is in
[Scaling](scaling.md)."""


def summary(benches: Sequence[Kept]) -> str:
    """The table for the README: everything that is held to a bar."""
    lines = ["| bench | figure | measured | asked for |", "|---|---|---|---|"]
    lines += [
        f"| {one.bench} | {_cell(figure.name)} | {_value(figure)} | {_asked(figure)} |"
        for one in benches
        for figure in one.held
    ]
    days = sorted({one.taken for one in benches})
    machines = sorted({_machine(one) for one in benches})
    taken = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
    return "\n".join([*lines, "", f"Taken {taken} on: {'; '.join(machines)}."])


def _words(root: Path, bench: str) -> str:
    """What was written by hand; a title at least."""
    path = root / "docs/figures" / f"{bench}.md"
    return path.read_text(encoding="utf-8").strip() + "\n" if path.is_file() else f"# {bench}\n"


def _linked(words: str) -> str:
    """Their links, from docs/ instead of docs/figures/."""
    return re.sub(r"\]\((?!https?:|#)([^)]+)\)", lambda found: f"]({_from_docs(found[1])})", words)


def _from_docs(link: str) -> str:
    return link.removeprefix("../") if link.startswith("../") else f"figures/{link}"


def _title(root: Path, one: Kept) -> str:
    return _words(root, one.bench).partition("\n")[0].removeprefix("# ")


def _anchor(title: str) -> str:
    """What GitHub makes of a heading."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def _place(bench: str) -> int:
    return ORDER.index(bench) if bench in ORDER else len(ORDER)


def _machine(one: Kept) -> str:
    told = one.machine
    cores, memory = told.get("cores", "?"), told.get("memory_gib", "?")
    return f"{told.get('processor', 'a machine')}, {cores} cores, {memory} GiB, {told.get('system', '')}"


def _taken(one: Kept) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in one.versions.items())
    load = one.machine.get("load_before")
    before = f" Load average before: {load}." if load is not None else ""
    if load is not None and load > one.machine.get("cores", load):
        before += " **The machine was busy with other work: take these anew on a quiet one.**"
    return f"Taken {one.taken} on: {_machine(one)}.{before} Versions: {versions}."


def _met(one: Kept) -> str:
    if not one.held:
        return "none asked for"
    missed = f", **{len(one.missed)} missed**" if one.missed else ""
    return f"{len(one.held) - len(one.missed)} of {len(one.held)}{missed}"


def _table(figures: Sequence[Figure]) -> str:
    lines = ["| figure | measured | asked for | |", "|---|---:|---|---|"]
    lines += [
        f"| {_cell(each.name)} | {_value(each)} | {_cell(each.bar) or '—'} | {_verdict(each)} |"
        for each in figures
    ]
    return "\n".join(lines)


def _value(figure: Figure) -> str:
    return f"{short(figure.value)} {figure.unit}".strip()


def _asked(figure: Figure) -> str:
    return _cell(figure.bar) if figure.met else f"{_cell(figure.bar)}: **missed**"


def _verdict(figure: Figure) -> str:
    return {True: "met", False: "**missed**", None: ""}[figure.met]


def _cell(words: str) -> str:
    return words.replace("|", "\\|").replace("<", "\\<").replace(">", "\\>")


def _used(figure: Figure) -> float | None:
    """How much of its bar a figure takes; None where that cannot be said in a share."""
    found = _BAR.match(figure.bar)
    if found is None or figure.met is None:
        return None
    bar = float(found[2])
    if found[1] == "<=":
        return figure.value / bar if bar > 0 else None
    return bar / figure.value if figure.value > 0 else None


def _drawn(one: Kept) -> list[Held]:
    return [
        Held(figure.name, used, bool(figure.met))
        for figure in one.held
        if (used := _used(figure)) is not None
    ]


def _plot(one: Kept) -> str:
    return bars(f"{one.bench}: how much of its bar each figure uses", _drawn(one))


def _filled(readme: str, block: str) -> str:
    """The README with its block of figures between the marks. Refusal when a mark is not there."""
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise Refusal(f"README.md lacks the marks of its figures; put {BEGIN} and {END} where they belong")
    return f"{before}{BEGIN}\n\n{block}\n\n{END}{after}"


@click.command()
@click.option("--check", is_flag=True, help="Write nothing; exit 1 when a page is not what would be made.")
def main(check: bool) -> None:
    """Make docs/performance.md, docs/scaling.md, their plots and the README's figures from docs/figures."""
    try:
        made = pages(ROOT)
    except Refusal as refusal:
        click.echo(f"report: {refusal}", err=True)
        sys.exit(refusal.code)
    changed = [path for path, text in made.items() if not path.is_file() or path.read_text("utf-8") != text]
    for path in changed:
        if not check:
            path.write_text(made[path], encoding="utf-8")
        click.echo(f"report: {path.relative_to(ROOT)} {'is not up to date' if check else 'is written'}")
    sys.exit(bool(check and changed))


if __name__ == "__main__":
    main()

"""How the docs are read: Markdown pages, their sections, tables and what stands in backticks."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent
DOCS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
README, PROTOCOL = ROOT / "README.md", ROOT / "docs/protocol.md"


def name_of(page: Path) -> str:
    """The path within the repository."""
    return page.relative_to(ROOT).as_posix()


@cache
def text(page: Path) -> str:
    """What the page says."""
    return page.read_text(encoding="utf-8")


@cache
def everything() -> str:
    """What all pages say."""
    return "\n".join(map(text, DOCS))


def spans(part: str) -> list[str]:
    """What stands in backticks on one line."""
    return re.findall(r"`([^`\n]+)`", part)


def typed(part: str) -> str:
    """What a person is told to type: backticks and shell blocks."""
    return "\n".join([*spans(part), *re.findall(r"^```sh\n(.*?)^```", part, re.MULTILINE | re.DOTALL)])


def section(page: Path, title: str) -> str:
    """A section of the page with what is below it."""
    wanted = rf"^(#+) {re.escape(title)}\n(.*?)(?=^\1 |\Z)"
    found = re.search(wanted, text(page), re.MULTILINE | re.DOTALL)
    assert found, f"{name_of(page)} has no section {title!r}"
    return found[2]


def rows(part: str) -> list[list[str]]:
    """The cells of every row of the tables in it, without their heads."""
    lines = part.splitlines()
    ruled = {number for number, line in enumerate(lines) if line.startswith("|--")}
    heads = {number - 1 for number in ruled}
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for number, line in enumerate(lines)
        if line.startswith("|") and number not in ruled | heads
    ]


def anchors(page: Path) -> set[str]:
    """What GitHub calls the headings of a page."""
    titles = re.findall(r"^#+ (.+)$", text(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}

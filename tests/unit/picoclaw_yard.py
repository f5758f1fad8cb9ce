"""A workspace with a canary beside it and links inside that point at it, for the tests of the tools."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from picoclaw.tools import Toolbox
from picoclaw.turns import ToolCall
from picoclaw.workspace import prepare

SECRET = "the canary's secret"
CANARY = "canary.txt"
MARK = "only a listing of the outside shows this name"


class Yard:
    """A workspace, a canary beside it, and links inside that point out."""

    def __init__(self, top: Path) -> None:
        self.root = top / "home" / "workspace"
        prepare(self.root)
        self.outside = top / "outside"
        self.outside.mkdir()
        (self.outside / CANARY).write_text(SECRET)
        (self.outside / MARK).touch()
        (self.root / "notes").mkdir()
        (self.root / "notes" / "a.txt").write_text("hello")
        (self.root / "link.txt").symlink_to(self.outside / CANARY)
        (self.root / "notes" / "out").symlink_to(self.outside)
        (self.root / "up").symlink_to("..")
        (self.root / "dangling").symlink_to(self.outside / "not-there-yet")
        (self.root / "inner.txt").symlink_to("notes/a.txt")
        (self.root.parent / "config.json").write_text('{"key": "' + SECRET + '"}')
        (self.root / "sessions" / "other.jsonl").write_text(SECRET)
        self.said: list[str] = []

    def run(self, tool: str, /, *, restrict: bool = True, **arguments: Any) -> str:
        """What a tool answers."""
        box = Toolbox(self.root, restrict=restrict, say=self.said.append)
        return box.run(ToolCall("1", tool, arguments))

    def untouched(self) -> bool:
        """Whether all that is not the agent's is as it was."""
        return (
            sorted(p.name for p in self.outside.iterdir()) == [CANARY, MARK]
            and (self.outside / CANARY).read_text() == SECRET
            and sorted(p.name for p in self.root.parent.iterdir()) == ["config.json", "workspace"]
            and SECRET in (self.root.parent / "config.json").read_text()
            and [p.name for p in (self.root / "sessions").iterdir()] == ["other.jsonl"]
            and (self.root / "sessions" / "other.jsonl").read_text() == SECRET
            and not list((self.root / "state").iterdir())
        )

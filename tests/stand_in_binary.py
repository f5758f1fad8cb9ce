"""Upstream's ``picoclaw`` as an executable file that a test can put on PATH: tests/stand_in_picoclaw.py."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

_PROGRAM = Path(__file__).with_name("stand_in_picoclaw.py")


def write_stand_in(folder: Path, **switches: str | int) -> Path:
    """Write ``folder/picoclaw`` and give its path; ``switches`` are STAND_IN_… variables, in lower case.

    Starts in some 25 ms: no site-packages, no environment of Python's.
    """
    folder.mkdir(parents=True, exist_ok=True)
    script = folder / "picoclaw"
    exports = [
        f"export STAND_IN_{name.upper()}={shlex.quote(str(value))}" for name, value in switches.items()
    ]
    run = f'exec {shlex.quote(sys.executable)} -S -E {shlex.quote(str(_PROGRAM))} "$@"'
    script.write_text("\n".join(["#!/bin/sh", *exports, run, ""]), encoding="utf-8")
    script.chmod(0o755)
    return script

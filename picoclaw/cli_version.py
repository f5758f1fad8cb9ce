"""``version``."""

from __future__ import annotations

import platform
from collections.abc import Mapping

from picoclaw.cli_arguments import PROGRAM, Asked
from picoclaw.cli_output import out
from picoclaw.version import UPSTREAM, VERSION


def version(asked: Asked, environ: Mapping[str, str]) -> int:  # noqa: ARG001 - every command takes both
    """Print the version, in the first line as upstream does."""
    out(f"🦞 {PROGRAM} {VERSION}\n  Keeps to picoclaw {UPSTREAM}\n  Python {platform.python_version()}\n")
    return 0

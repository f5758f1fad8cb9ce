"""A second look at the few tests that failed: each once more, alone, so that a race is told from a fault.

Prior art: CPython's ``regrtest --rerun``, for the same reason: its tests judge time on machines that others
use as well. Nothing is hidden: what failed stays in the output, what passed the second time is named at the
end as a bug of ours, and whatever fails twice fails the run. There is one look, at few tests, in little time.
"""

from __future__ import annotations

import json
from pathlib import Path

from clawbucket.cli.children import ROOT

MOST = 3
"""Tests that are looked at again. More than that is no accident of the moment."""
SECONDS = 600
"""What the look may take: the longest test (ten handoffs between Docker racks) with what it sets up."""
SOME_FAILED = 1
"""How pytest ends where tests failed, and nothing worse (pytest, ExitCode.TESTS_FAILED)."""
FAILED = Path(".pytest_cache/v/cache/lastfailed")
"""Where pytest keeps what failed last: a JSON object by node id."""


def forget(root: Path = ROOT) -> None:
    """Before a run: what an earlier one left must not be taken for this one's."""
    (root / FAILED).unlink(missing_ok=True)


def worth_it(statuses: list[int], *, cut_short: bool, root: Path = ROOT) -> list[str]:
    """The node ids to look at again; none where a look would not tell enough.

    ``statuses``: how pytest's sessions ended. ``cut_short``: one of them ran out of time, so that there are
    tests that nobody has run.
    """
    if cut_short or SOME_FAILED not in statuses or set(statuses) - {0, SOME_FAILED}:
        return []
    failed = _failed(root / FAILED)
    return failed if len(failed) <= MOST and all("::" in each for each in failed) else []


def _failed(path: Path) -> list[str]:
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # pytest keeps nothing where nothing failed, or could not write
        return []
    return sorted(kept) if isinstance(kept, dict) else []

"""The pages about figures are what bench/report.py makes of the figures that are kept."""

from __future__ import annotations

import pytest

from bench import report
from tests.pages import ROOT, name_of

MADE = report.pages(ROOT)


@pytest.mark.parametrize("page", sorted(MADE), ids=name_of)
def test_what_is_made_of_the_figures_is_what_is_committed(page):
    """Nobody typed a number, and nobody forgot to make the pages anew: python -m bench.report does."""
    assert page.read_text(encoding="utf-8") == MADE[page], "type python -m bench.report"

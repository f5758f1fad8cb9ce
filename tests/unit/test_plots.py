"""The plots: the same figures make the same bytes, and anybody can read them."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from bench.plots import Held, Series, bars, growth, short

SERIES = [
    Series("keys <read>", [(10, 80.0), (100, 700.0), (1_000, 7_000.0), (5_000, 32_000.0)], lambda n: 6.4 * n),
    Series("nothing", [(10, 0.0), (100, 0.0)]),
]
HELD = [Held("the rate", 0.6, met=True), Held("the wait", 9.0, met=False)]


def test_the_same_figures_make_the_same_bytes():
    """So that a test can hold the pages to their figures."""
    assert growth("a", "b", SERIES) == growth("a", "b", SERIES)
    assert bars("a", HELD) == bars("a", HELD)


@pytest.mark.parametrize(
    "plot", [growth("a & b", "<s>", SERIES), bars("a & b", HELD)], ids=["growth", "bars"]
)
def test_a_plot_is_sound_xml_small_and_for_both_themes(plot):
    """With a title for who does not see it."""
    assert ET.fromstring(plot).find("{http://www.w3.org/2000/svg}title").text == "a & b"  # noqa: S314 - ours
    assert "prefers-color-scheme:dark" in plot
    assert len(plot) < 12_000


def test_every_point_above_nothing_is_drawn():
    """Nothing has no logarithm: it is left out, not drawn at the edge."""
    circles = growth("a", "b", SERIES).count("<circle")
    assert circles == 4 + 1  # and its place in the legend


def test_a_missed_bar_says_so_in_words():
    """Never by colour alone, and its number is told though the bar is cut."""
    assert ">900 % missed<" in bars("a", HELD)
    assert ">60 %<" in bars("a", HELD)


def test_nothing_to_draw_is_refused():
    """In a sentence that names the plot."""
    with pytest.raises(ValueError, match="'costs'"):
        growth("costs", "", [SERIES[1]])
    with pytest.raises(ValueError, match="'costs'"):
        bars("costs", [])


def test_numbers_are_short():
    """Three digits, and a letter where there are many."""
    told = [short(value) for value in (0, 0.01234, 7.25, 999, 1_234, 53_210, 2_100_000, 3.1e9)]
    assert told == ["0", "0.0123", "7.25", "999", "1,234", "53.2 k", "2.1 M", "3.1 G"]

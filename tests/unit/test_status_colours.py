"""The colours that tell how somebody is: Okabe and Ito's hues, legible, and apart for everybody's eyes."""

from __future__ import annotations

import re
from itertools import combinations
from pathlib import Path

import pytest

from tests.colour import VISIONS, contrast, distance, hue, seen

TOKENS = (Path(__file__).parents[2] / "app/static/css/tokens.css").read_text(encoding="utf-8")
THEMES = ("light", "dark")
OKABE_ITO = {
    "good": "#009e73",  # bluish green
    "warn": "#e69f00",  # orange
    "bad": "#d55e00",  # vermillion
    "cold": "#0072b2",  # blue
    "accent": "#cc79a7",  # reddish purple
}
"""Okabe and Ito, "Color Universal Design" (2002), and the status that each stands for here."""
TEXT, GRAPHICS = 4.5, 3.0
"""WCAG 2.2, 1.4.3 and 1.4.11, level AA."""
APART = 10.0
"""CIEDE2000 between two statuses: four just noticeable differences, small marks are told apart too."""
SAME_HUE = 12.0
"""Degrees around CIELAB's circle that a shade may be off its hue: CIELAB bends blues as they get lighter."""


def tokens(theme: str) -> dict[str, str]:
    """Every colour token of a theme."""
    pairs = re.findall(r"--([\w-]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\);", TOKENS)
    return {name: (light, dark)[THEMES.index(theme)] for name, light, dark in pairs}


@pytest.mark.parametrize("theme", THEMES)
def test_a_status_can_be_read_wherever_it_stands(theme: str):
    """On its own ground, on a card and on the page: text at 4.5, and so graphics at 3 too."""
    colors = tokens(theme)
    for status in OKABE_ITO:
        for ground in (f"{status}-ground", "card", "ground"):
            assert contrast(colors[status], colors[ground]) >= TEXT, (status, ground)


@pytest.mark.parametrize("theme", THEMES)
def test_text_and_what_can_be_pressed_can_be_seen(theme: str):
    """Ink and quiet text on every ground; the brand and the focus ring on card and page."""
    colors = tokens(theme)
    for ground in ("card", "ground"):
        for text in ("ink", "quiet", "brand"):
            assert contrast(colors[text], colors[ground]) >= TEXT, (text, ground)
        assert contrast(colors["focus"], colors[ground]) >= GRAPHICS
    for status in OKABE_ITO:
        assert contrast(colors["ink"], colors[f"{status}-ground"]) >= TEXT, status
    assert contrast(colors["on-cold"], colors["cold"]) >= TEXT
    assert contrast(colors["on-brand"], colors["brand"]) >= TEXT


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("vision", VISIONS)
def test_no_two_statuses_look_alike(theme: str, vision: str):
    """Not for those without red, green or blue cones either; and a word or a mark stands beside each."""
    shown = {status: seen(tokens(theme)[status], vision) for status in OKABE_ITO}
    near = {pair: distance(shown[pair[0]], shown[pair[1]]) for pair in combinations(shown, 2)}
    assert {pair: round(apart, 1) for pair, apart in near.items() if apart < APART} == {}


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("status", OKABE_ITO)
def test_each_status_has_its_hue_of_the_palette(theme: str, status: str):
    """A shade of it: lighter or darker, so that it can be read."""
    turned = abs((hue(tokens(theme)[status]) - hue(OKABE_ITO[status]) + 180) % 360 - 180)
    assert turned <= SAME_HUE


@pytest.mark.parametrize(
    ("one", "other", "apart"),
    [
        ((50.0000, 2.6772, -79.7751), (50.0000, 0.0000, -82.7485), 2.0425),
        ((50.0000, 2.5000, 0.0000), (73.0000, 25.0000, -18.0000), 27.1492),
        ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
        ((22.7233, 20.0904, -46.6940), (23.0331, 14.9730, -42.5619), 2.0373),
    ],
)
def test_the_distance_is_ciede2000(monkeypatch, one, other, apart):
    """Pairs of the test data of Sharma, Wu and Dalal, table 1, to four places."""
    monkeypatch.setattr("tests.colour.lab", lambda color: color)
    assert distance(one, other) == pytest.approx(apart, abs=1e-4)

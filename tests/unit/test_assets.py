"""How large the parts of the dashboard may grow, and that what is vendored for its tests is what it says."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from bench import assets

ROOT = Path(__file__).parents[2]
APP = ROOT / "app"
VENDOR = ROOT / "tests" / "browser" / "vendor"
LONGEST = {"static/*.js": 250, "static/css/*.css": 250, "templates/_*.html": 120}
"""Lines of a module, a stylesheet and a partial: what is longer is two."""


@pytest.mark.parametrize("kind", LONGEST)
def test_no_part_is_too_long(kind: str):
    """Each module, stylesheet and partial can be read in one go."""
    lines = {path.name: len(path.read_text("utf-8").splitlines()) for path in APP.glob(kind)}
    assert lines
    assert {name: count for name, count in lines.items() if count > LONGEST[kind]} == {}


def test_all_assets_are_small_together():
    """What a browser fetches for the page, gzipped, is at most 250 KB."""
    sizes = assets.sizes()
    assert "main.js" in sizes
    assert sum(sizes.values()) <= assets.LARGEST, dict(sorted(sizes.items(), key=lambda kv: -kv[1]))


def test_every_module_is_loaded():
    """No module lies about unused: each is imported by another, down to those that the page names."""
    modules = {path.name: path.read_text("utf-8") for path in (APP / "static").glob("*.js")}
    imported = {name for text in modules.values() for name in re.findall(r'["\']\./([\w-]+\.js)["\']', text)}
    assert set(modules) - imported == {"main.js", "theme.js"}


def test_what_the_tests_vendor_is_what_it_says():
    """Each script beside the browser tests has the checksum that VENDOR.md names, and no rack serves it."""
    row = re.compile(r"^\| `([\w.-]+\.js)` .*`([0-9a-f]{64})` \|$", re.MULTILINE)
    table = dict(row.findall((VENDOR / "VENDOR.md").read_text("utf-8")))
    assert {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in VENDOR.glob("*.js")} == table
    assert not {path.name for path in APP.rglob("*.js")} & set(table)

"""The script that takes the docs' pictures takes all of them, or none."""

from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path

import pytest

from bench.rack import free_port
from tests.browser import screenshots
from tests.browser.conftest import ROOT, World

pytestmark = pytest.mark.slow


def taken(url: str, out: Path) -> subprocess.CompletedProcess[str]:
    """Let the script take its pictures: in a process of its own, since Playwright can be had once in each."""
    command = [sys.executable, "-m", "tests.browser.screenshots", "--url", url, "--out", str(out)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)


def test_both_themes_at_every_width(world: World, tmp_path: Path):
    """Six pictures of the right size, together within their bound."""
    assert taken(world.url, tmp_path).returncode == 0
    pictures = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    wanted = {(theme, size) for theme in screenshots.THEMES for size in screenshots.SIZES}
    assert set(pictures) == {screenshots.name_of(theme, size) for theme, size in wanted}
    for theme, size in wanted:
        width, height = struct.unpack(">II", pictures[screenshots.name_of(theme, size)][16:24])
        assert (width, height) == (round(size.width * size.scale), round(size.height * size.scale))
        assert theme in {"light", "dark"}
    assert sum(map(len, pictures.values())) <= screenshots.LARGEST


def test_without_a_rack_there_is_no_picture(tmp_path: Path):
    """One sentence that says what to start, and nothing written."""
    url = f"http://127.0.0.1:{free_port()}/"
    run = taken(url, tmp_path / "img")
    assert run.returncode == 1
    assert "is a rack running there?" in run.stderr
    assert not (tmp_path / "img").exists()

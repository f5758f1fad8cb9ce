"""The page's own files, ready as bytes: a first visit asks for dozens, and each cost as much as a view.

A file is read when it is first asked for, and again when it has changed, so that whoever edits one sees it at
the next reload. It is compressed once, for clients that take gzip; that has a tag of its own, since it is
other bytes (RFC 9110 section 8.8.3). What is always fetched together is one file: to a browser, each costs
some milliseconds, however small it is.
"""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from pathlib import Path

from app.reading import Environ, Plain, conditional, etag_of

STATIC = Path(__file__).parent / "static"
AT = "/static"
MODULES = tuple(sorted(path.name for path in STATIC.glob("*.js") if path.name != "theme.js"))
"""``main.js`` and what it imports; ``theme.js`` is no module, and runs before anything is painted."""
_SHEETS = (
    "tokens", "base", "layout", "view", "heat", "tile", "elsewhere", "panels", "chart", "glance", "acts",
    "scoreboard", "timeline", "feed", "drawer",
)  # fmt: skip
JOINED = {
    "css/page.css": (*(f"css/{name}.css" for name in _SHEETS), "vendor/uPlot.min.css"),
    "vendor/page.js": ("vendor/htmx.min.js", "vendor/htmx-ext-sse.min.js", "vendor/idiomorph-ext.min.js"),
}
"""Files that are others, one after the other: the dashboard's stylesheets, and htmx with what extends it."""
TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml; charset=utf-8",
}
"""What a page fetches, all of it text; anything else in the folder is left to Flask."""
_LEVEL = 6
_VARY = ("Vary", "Accept-Encoding")
_REFUSED = {"q=0", "q=0.0", "q=0.00", "q=0.000"}

Version = tuple[tuple[int, int], ...]
"""When each file was written, in nanoseconds, and its length."""


class Asset:
    """One or several files as one. Greenlet-safe: what is kept is replaced as a whole."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths
        self._type = ("Content-Type", TYPES[paths[0].suffix])
        self._kept: tuple[Version, tuple[bytes, bytes], tuple[str, str]] | None = None

    def plain(self, environ: Environ) -> Plain | None:
        """200, or 304 where the client has it; None where a file is gone."""
        try:
            found = [path.stat() for path in self._paths]
            version = tuple((each.st_mtime_ns, each.st_size) for each in found)
            kept = self._kept
            if kept is None or kept[0] != version:
                body = b"\n".join(path.read_bytes() for path in self._paths)
                bodies = (body, gzip.compress(body, _LEVEL, mtime=0))
                kept = self._kept = (version, bodies, (etag_of(bodies[0]), etag_of(bodies[1])))
        except OSError:
            return None
        packed = takes_gzip(environ.get("HTTP_ACCEPT_ENCODING", ""))
        of = (self._type, ("Content-Encoding", "gzip")) if packed else (self._type,)
        return conditional(kept[1][packed], kept[2][packed], environ, of, _VARY)


def takes_gzip(accepted: str) -> bool:
    """Whether an Accept-Encoding names gzip and does not refuse it (RFC 9110 section 12.5.3)."""
    for coding in accepted.lower().split(","):
        name, _, weight = coding.partition(";")
        if name.strip() == "gzip":
            return weight.replace(" ", "") not in _REFUSED
    return False


def assets(folder: Path = STATIC) -> dict[str, Asset]:
    """Every file of TYPES in a folder, and what is joined of them, by the path that a request names."""
    found = (path for path in folder.rglob("*") if path.suffix in TYPES)
    files = {path.relative_to(folder).as_posix(): (path,) for path in found}
    joined = {name: tuple(folder / part for part in parts) for name, parts in JOINED.items()}
    return {f"{AT}/{name}": Asset(paths) for name, paths in (files | joined).items()}

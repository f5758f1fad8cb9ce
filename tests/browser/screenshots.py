"""Take all pictures of the docs: ``python -m tests.browser.screenshots --url http://127.0.0.1:8080``.

Of a running rack, in both themes, at the width of a phone, a laptop and a 4K wall, into docs/img/. A wall's
picture is taken at a third of its pixels, as wide as a page of documentation shows; the layout is the wall's.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.browser.chromium import NoBrowser, chromium
from tests.browser.screenshot import NoPage, page_of

THEMES = ("light", "dark")
LARGEST = 3 * 1024 * 1024
"""Bytes that all of them together may have: everybody who clones the repository fetches them."""


@dataclass(frozen=True, slots=True)
class Size:
    """A screen in CSS pixels, and how many of a picture's stand for one of them."""

    width: int
    height: int
    scale: float


SIZES = (Size(360, 800, 1.0), Size(1280, 900, 1.0), Size(3840, 2160, 1 / 3))


def name_of(theme: str, size: Size) -> str:
    """A picture's file."""
    return f"dashboard-{theme}-{size.width}.png"


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0 when all pictures are there; 1, one sentence on stderr and no picture when not."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.browser.screenshots", description="Take the docs' pictures of a running rack."
    )
    parser.add_argument("--url", default="http://127.0.0.1:8080", help="the dashboard (default: %(default)s)")
    parser.add_argument(
        "--out", type=Path, default=Path("docs/img"), help="a directory (default: %(default)s)"
    )
    chosen = parser.parse_args(arguments)
    pictures: dict[str, bytes] = {}
    try:
        with chromium() as browser:
            for theme in THEMES:
                for size in SIZES:
                    shot = page_of(browser, chosen.url, (size.width, size.height), theme, size.scale)
                    pictures[name_of(theme, size)] = shot
    except (NoBrowser, NoPage) as missing:
        print(missing, file=sys.stderr)
        return 1
    total = sum(map(len, pictures.values()))
    if total > LARGEST:
        print(f"the pictures have {total:,} bytes, more than {LARGEST:,}; none is kept", file=sys.stderr)
        return 1
    chosen.out.mkdir(parents=True, exist_ok=True)
    for name, picture in pictures.items():
        (chosen.out / name).write_bytes(picture)
        print(f"{chosen.out / name}: {len(picture):,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())

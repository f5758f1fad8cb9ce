"""Take the README's pictures of running racks.

``python -m tests.browser.screenshot --url http://127.0.0.1:8080 --out docs/dashboard.png``, and of two racks
that handed troopers over, side by side:
``python -m tests.browser.screenshot --url http://127.0.0.1:18080 --beside http://127.0.0.1:28080
--out docs/handoff.png``
"""

from __future__ import annotations

import argparse
import sys
from base64 import b64encode
from pathlib import Path

from playwright.sync_api import Browser, Error

from tests.browser.chromium import NoBrowser, chromium

DEADLINE_MS = 15_000
"""How long the page may take to be live with at least one trooper on it."""
BESIDE_SCALE = 0.75
"""Pixels of a picture of two for one of a page: as wide as a README shows, and still legible."""
GAP = 12
"""Pixels between two pages."""
LAY_OUT = """([gap, sources]) => {
  Object.assign(document.body.style, { margin: 0, display: "flex", gap: `${gap}px` });
  document.body.append(...sources.map((src) => Object.assign(new Image(), { src })));
}"""


class NoPage(Exception):  # noqa: N818 - it names the thing, not the act
    """A dashboard cannot be seen; the text says where and why."""


def main() -> int:
    """Exit code 0 when the picture is there; 1 with one sentence on stderr when not."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.browser.screenshot", description="Take a picture of a running rack's dashboard."
    )
    parser.add_argument("--url", default="http://127.0.0.1:8080", help="the dashboard (default: %(default)s)")
    parser.add_argument("--beside", metavar="URL", help="another rack's, to the right of it")
    parser.add_argument("--out", type=Path, default=Path("docs/dashboard.png"), help="default: %(default)s")
    parser.add_argument("--width", type=int, default=1280, help="a page's pixels (default: %(default)s)")
    parser.add_argument("--height", type=int, default=900, help="a page's pixels (default: %(default)s)")
    parser.add_argument("--theme", choices=("light", "dark"), default="light")
    chosen = parser.parse_args()
    urls = [chosen.url, *([chosen.beside] if chosen.beside else [])]
    size, scale = (chosen.width, chosen.height), BESIDE_SCALE if chosen.beside else 1.0
    try:
        with chromium() as browser:
            pages = [page_of(browser, url, size, chosen.theme, scale) for url in urls]
            picture = pages[0] if len(pages) == 1 else side_by_side(browser, pages, size, scale)
    except (NoBrowser, NoPage) as missing:
        print(missing, file=sys.stderr)
        return 1
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    chosen.out.write_bytes(picture)
    print(f"{chosen.out}: {len(urls)} of {chosen.width} x {chosen.height}, {chosen.theme}")
    return 0


def page_of(browser: Browser, url: str, size: tuple[int, int], theme: str, scale: float) -> bytes:
    """A live dashboard as PNG, ``scale`` pixels for each of the page's. NoPage."""
    width, height = size
    context = browser.new_context(
        viewport={"width": width, "height": height},
        device_scale_factor=scale,
        color_scheme="dark" if theme == "dark" else "light",
    )
    try:
        page = context.new_page()
        page.goto(url, timeout=DEADLINE_MS)
        page.wait_for_selector("#live[data-phase=live]", timeout=DEADLINE_MS)
        page.wait_for_selector(".tile", timeout=DEADLINE_MS)
        return page.screenshot()
    except Error as error:
        raise NoPage(
            f"{url} shows no live dashboard ({error.message.splitlines()[0]}); "
            "is a rack running there? Start one with ./claw up, or two with ./claw racks"
        ) from error
    finally:
        context.close()


def side_by_side(browser: Browser, pages: list[bytes], size: tuple[int, int], scale: float) -> bytes:
    """One PNG of several, put together by the browser that took them."""
    width, height = (round(side * scale) for side in size)
    context = browser.new_context(viewport={"width": len(pages) * (width + GAP) - GAP, "height": height})
    page = context.new_page()
    page.evaluate(LAY_OUT, [GAP, [f"data:image/png;base64,{b64encode(shot).decode()}" for shot in pages]])
    page.wait_for_function("() => [...document.images].every((one) => one.complete)", timeout=DEADLINE_MS)
    return page.screenshot()


if __name__ == "__main__":
    sys.exit(main())

"""Take the README's picture of a running rack.

``python -m tests.browser.screenshot --url http://127.0.0.1:8080 --out docs/dashboard.png``
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from playwright.sync_api import Error

from tests.browser.chromium import NoBrowser, chromium

DEADLINE_MS = 15_000
"""How long the page may take to be live with at least one trooper on it."""


def main() -> int:
    """Exit code 0 when the picture is there; 1 with one sentence on stderr when not."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.browser.screenshot", description="Take a picture of a running rack's dashboard."
    )
    parser.add_argument("--url", default="http://127.0.0.1:8080", help="the dashboard (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=Path("docs/dashboard.png"), help="default: %(default)s")
    parser.add_argument("--width", type=int, default=1280, help="pixels (default: %(default)s)")
    parser.add_argument("--height", type=int, default=900, help="pixels (default: %(default)s)")
    parser.add_argument("--theme", choices=("light", "dark"), default="light")
    chosen = parser.parse_args()
    try:
        with chromium() as browser:
            context = browser.new_context(
                viewport={"width": chosen.width, "height": chosen.height}, color_scheme=chosen.theme
            )
            page = context.new_page()
            page.goto(chosen.url, timeout=DEADLINE_MS)
            page.wait_for_selector("#live[data-phase=live]", timeout=DEADLINE_MS)
            page.wait_for_selector(".tile", timeout=DEADLINE_MS)
            chosen.out.parent.mkdir(parents=True, exist_ok=True)
            chosen.out.write_bytes(page.screenshot())
    except NoBrowser as missing:
        print(missing, file=sys.stderr)
        return 1
    except Error as error:
        print(f"{chosen.url} shows no live dashboard ({error.message.splitlines()[0]}); "
              "is a rack running there? Start one with ./claw up", file=sys.stderr)  # fmt: skip
        return 1
    print(f"{chosen.out}: {chosen.width} x {chosen.height}, {chosen.theme}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

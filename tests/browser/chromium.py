"""The browser that the tests and the screenshot drive: the system's chromium, by Playwright."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

ARGUMENTS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
MISSING = "chromium is not installed; get it from your package manager (Debian and Alpine: package chromium)"


class NoBrowser(Exception):  # noqa: N818 - it names the thing, not the act
    """There is no chromium here; the text says how to get it."""


@contextmanager
def chromium() -> Iterator[Browser]:
    """A running browser. NoBrowser when none is installed."""
    binary = shutil.which("chromium") or shutil.which("chromium-browser")
    if binary is None:
        raise NoBrowser(MISSING)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=binary, args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()

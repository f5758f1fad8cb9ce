"""The browser, the world that it looks at, and pages that tell of every error in them."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect

from bench.rack import free_port
from tests.browser.chromium import NoBrowser, chromium
from tests.conftest import wait_for_port

ROOT = Path(__file__).parents[2]


class World:
    """A rack in a process of its own, to be killed, started again, and cut off its bus."""

    def __init__(self, *more: str, module: str = "tests.browser.world") -> None:
        self._more, self._module = more, module
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        command = [sys.executable, "-m", self._module, str(self.port), *self._more]
        self._process = subprocess.Popen(command, cwd=ROOT)
        wait_for_port(self.port, timeout=20)

    def kill(self) -> None:
        """SIGKILL, as a crash would."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def toggle_bus(self) -> None:
        """Cut the bus off, or bring it back."""
        assert self._process is not None
        self._process.send_signal(signal.SIGUSR1)

    def toggle_model(self) -> None:
        """Take the model that the troopers think with away, or bring it back."""
        assert self._process is not None
        self._process.send_signal(signal.SIGUSR2)


@contextmanager
def running(*more: str, module: str = "tests.browser.world") -> Iterator[World]:
    """A rack that ends with the block, however that is left."""
    rack = World(*more, module=module)
    rack.start()
    try:
        yield rack
    finally:
        rack.kill()


class Watch:
    """Opens pages and keeps what their consoles complain about."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self.complaints: list[str] = []

    def open(self, url: str, *, width: int = 1280, height: int = 900, theme: str = "light") -> Page:
        """A page in a context of its own, live."""
        context = self._browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if theme == "dark" else "light",
        )
        page = context.new_page()
        page.on("console", self._note)
        page.on("pageerror", lambda error: self.complaints.append(f"{url}: {error}"))
        page.goto(url)
        expect(page.locator("#live")).to_have_attribute("data-phase", "live")
        return page

    def _note(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(f"{message.location}: {message.text}")

    def close(self) -> None:
        """Close every page."""
        for context in self._browser.contexts:
            context.close()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One chromium for the session."""
    try:
        with chromium() as running:
            yield running
    except NoBrowser as missing:
        pytest.fail(str(missing))


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """One rack for a module."""
    with running() as rack:
        yield rack


@pytest.fixture
def own_world() -> Iterator[World]:
    """A rack for one test, that it may kill."""
    with running() as rack:
        yield rack


@pytest.fixture(scope="module")
def thinking_world() -> Iterator[World]:
    """One rack whose troopers think, for a module."""
    with running("--agents") as rack:
        yield rack


@pytest.fixture(scope="module")
def two_racks() -> Iterator[World]:
    """A rack that has another one near, and a past with it."""
    with running("--peers", "1") as rack:
        yield rack


@pytest.fixture(scope="module")
def four_racks() -> Iterator[World]:
    """A rack that has three others near: a good one, one out of reach, and a hostile one."""
    with running("--peers", "3") as rack:
        yield rack


@pytest.fixture
def quick_world(browser: Browser) -> Iterator[World]:
    """A rack of its own with a round every two seconds."""
    with running() as rack:
        context = browser.new_context()
        answer = context.request.post(f"{rack.url}api/rps/config", data={"interval_seconds": 2})
        assert answer.ok
        context.close()
        yield rack


@pytest.fixture
def watch(browser: Browser) -> Iterator[Watch]:
    """Pages of one test; what a console complained about fails it, unless the test cleared it."""
    pages = Watch(browser)
    yield pages
    pages.close()
    assert pages.complaints == []

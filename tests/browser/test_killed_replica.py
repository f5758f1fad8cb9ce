"""A real rack, watched through its gateway, and the replica that serves the stream killed under the page."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Iterator

import pytest
import urllib3
from playwright.sync_api import Page, expect

from bench.rack import RunningRack, rack, wait_until
from clawbucket.core.model import Task
from tests.browser.conftest import Watch

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
REPLICAS = 3
WITHIN = 3.0
"""Seconds after the kill in which the page must be live again, with news (issue 6)."""
VIEWERS = re.compile(rb"^clawbucket_app_stream_viewers (\d+)\.0$", re.MULTILINE)
KEEP_WATCH = """ids => {
  window.missing = new Set();
  const look = () => {
    for (const id of ids) if (!document.getElementById(id)) window.missing.add(id);
    requestAnimationFrame(look);
  };
  look();
}"""
"""Notes in every frame which of these rows is not on the page."""


@pytest.fixture(scope="module")
def running() -> Iterator[RunningRack]:
    """A rack of two services."""
    with rack("--replicas", str(REPLICAS)) as started:
        started.wait_running(2 * REPLICAS)
        yield started


def streaming(running: RunningRack) -> Task | None:
    """The replica that the one viewer's stream comes from."""
    http = urllib3.PoolManager(timeout=2.0, retries=False)
    for task in running.running():
        found = VIEWERS.search(http.request("GET", f"http://{task.address}/metrics").data)
        if found and int(found[1]):
            return task
    return None


def say(running: RunningRack, text: str) -> None:
    """Say it in the chat, through whichever replica takes it."""
    wait_until(f"{text!r} is said", lambda: running.ask("POST", "/api/chat", {"text": text})[0] == 201)


def rows(page: Page) -> set[str]:
    """The ids of all tiles and chat lines."""
    found: list[str] = page.evaluate(
        """() => [...document.querySelectorAll(".tile, [role=log] li[id]")].map(row => row.id)"""
    )
    return set(found)


@pytest.mark.parametrize("turn", range(3))
def test_the_page_recovers_and_loses_no_row(running: RunningRack, watch: Watch, turn: int):
    """Live again within 3 s, by itself; no other trooper's tile and no chat line is missing meanwhile."""
    page = watch.open(running.url)
    said = [f"before {turn}-{n}" for n in range(3)]
    for text in said:
        say(running, text)
    for text in said:
        expect(page.get_by_role("log")).to_contain_text(text)
    expect(page.locator(".tile")).to_have_count(2 * REPLICAS, timeout=10_000)
    served = wait_until("a replica serves the stream", lambda: streaming(running))
    survivors = sorted(rows(page) - {f"task-{served.id}"})
    page.evaluate(KEEP_WATCH, survivors)
    running.signal_task(served.id, signal.SIGKILL)
    killed = time.monotonic()
    say(running, f"after {turn}")
    left = max(1.0, 1_000 * (killed + WITHIN - time.monotonic()))
    expect(page.get_by_role("log")).to_contain_text(f"after {turn}", timeout=left)
    expect(page.locator("#live")).to_have_attribute("data-phase", "live")
    assert time.monotonic() - killed <= WITHIN
    expect(page.locator(f"#task-{served.id}")).to_have_count(0, timeout=10_000)
    expect(page.locator(".tile")).to_have_count(2 * REPLICAS, timeout=10_000)
    expect(page.locator(".manager:visible")).to_have_count(2, timeout=10_000)
    assert page.evaluate("[...window.missing]") == []
    assert set(survivors) <= rows(page)
    watch.complaints.clear()  # the browser reports the connection that was cut

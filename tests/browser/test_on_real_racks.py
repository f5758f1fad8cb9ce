"""All that one can do and find on the page, clicked on two real racks of processes, which ask for a token."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from bench.rack import RunningRack, wait_until
from bench.two_racks import SERVICE, Pair, two_racks
from tests.browser.conftest import Watch

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
TOKEN = "correct-horse-battery"
REPLICAS = 3
SECOND = f"{SERVICE}-b"
SEEN = 15_000
"""Milliseconds until what somebody did is to be seen; a replica that starts takes a second or two of them."""


@pytest.fixture(scope="module")
def racks() -> Iterator[Pair]:
    """Two racks that ask for a token, and know each other."""
    with two_racks("--replicas", str(REPLICAS), environ={"CLAWBUCKET_TOKEN": TOKEN}) as pair:
        pair.wait_running(2 * REPLICAS)
        yield pair


@pytest.fixture
def page(racks: Pair, watch: Watch) -> Page:
    """The first rack's page, logged in by its own form."""
    opened = watch.open(racks.one.url)
    opened.get_by_label("Token").fill(TOKEN)
    opened.get_by_role("button", name="Log in").click()
    expect(opened.get_by_role("button", name="Log out")).to_be_visible()
    expect(opened.locator("#live")).to_have_attribute("data-phase", "live")
    return opened


def squad(page: Page, service: str = SERVICE) -> Locator:
    """A service's section."""
    return page.locator(f"#squad-{service}")


def follower(page: Page, service: str = SERVICE) -> tuple[Locator, str]:
    """The tile of the last that does not manage, by its id whatever becomes of it, and that id."""
    tile_id = squad(page, service).locator(".tile[data-is_manager=false]").last.get_attribute("id") or ""
    return page.locator(f"#{tile_id}"), tile_id.removeprefix("task-")


def yes(page: Page) -> list[str]:
    """Say yes to every question from now on; they are kept."""
    asked: list[str] = []

    def answer(dialog):
        asked.append(dialog.message)
        dialog.accept()

    page.on("dialog", answer)
    return asked


def said(rack: RunningRack, path: str) -> str:
    """What the rack's API answers, as text."""
    return json.dumps(rack.ask("GET", path)[1])


def test_nobody_acts_without_the_token(racks: Pair, watch: Watch):
    """Before the login a press is refused beside the control, in words, and nothing has changed."""
    page = watch.open(racks.one.url)
    expect(page.locator("p#view-only")).to_have_text("View only: log in to change things.")
    tile, task_id = follower(page)
    tile.get_by_role("switch").click()
    expect(tile.get_by_role("alert")).to_be_visible(timeout=SEEN)
    assert task_id not in said(racks.one, "/api/arm/events")
    watch.complaints.clear()  # a browser notes the 401


def test_scale_and_back(racks: Pair, page: Page):
    """One more by the stepper: the way there is shown until all run; then one fewer."""
    section = squad(page, SECOND)
    for step, count in (("more", REPLICAS + 1), ("fewer", REPLICAS)):
        section.get_by_role("button", name=f"One replica {step}").click()
        section.get_by_role("button", name="Apply").click()
        expect(section.locator(".tile")).to_have_count(count, timeout=SEEN)
        expect(section).to_contain_text(f"{count} of {count} running", timeout=SEEN)
    racks.one.wait_running(2 * REPLICAS)


def test_arm_interval_and_chat(racks: Pair, page: Page):
    """A trooper is armed, rounds come every two seconds, and a line is said: on the page and in the API."""
    tile, task_id = follower(page)
    tile.get_by_role("switch").click()
    expect(tile).to_have_attribute("data-arm", "on", timeout=SEEN)
    wait_until("the journal has it", lambda: task_id in said(racks.one, "/api/arm/events"))
    page.locator("#interval").fill("2")
    page.locator("#interval").press("Enter")
    wait_until("rounds come faster", lambda: racks.one.ask("GET", "/api/rps")[1]["interval_seconds"] == 2)
    page.locator("#say").fill("hello, real rack")
    page.locator("#say").press("Enter")
    expect(page.locator("#chat")).to_contain_text("hello, real rack", timeout=SEEN)
    assert "hello, real rack" in said(racks.one, "/api/chat")


def test_outage_and_self_destruct(racks: Pair, page: Page, watch: Watch):
    """The question names what is lost; afterwards the slot has another trooper, and the service a manager."""
    asked = yes(page)
    manager = squad(page).locator(".tile[data-is_manager=true]")
    gone = manager.get_attribute("id")
    manager.get_by_role("button", name="Outage").click()
    expect(page.locator(f"#{gone}")).to_have_count(0, timeout=SEEN)
    expect(squad(page).locator(".tile[data-is_manager=true]")).to_have_count(1, timeout=SEEN)
    expect(squad(page).locator(".tile")).to_have_count(REPLICAS, timeout=SEEN)
    tile, task_id = follower(page, SECOND)
    tile.get_by_role("button", name="Self-destruct").click()
    expect(tile).to_have_count(0, timeout=SEEN)
    expect(squad(page, SECOND).locator(".tile")).to_have_count(REPLICAS, timeout=SEEN)
    assert task_id not in {task.id for task in racks.one.running()}
    assert "manages next" in asked[0]
    assert "manages next" not in asked[1]
    watch.complaints.clear()  # the stream may have come from the very replica that was ended


def test_revolt(racks: Pair, page: Page, watch: Watch):
    """A trooper goes to the other rack: gone here, and on the other's page FROM here."""
    yes(page)
    there = watch.open(racks.two.url)
    tile, task_id = follower(page, SECOND)
    tile.get_by_role("button", name="Revolt").click()
    expect(page.locator(f"#task-{task_id}")).to_have_count(0, timeout=2 * SEEN)
    expect(squad(there, SECOND).locator(".from", has_text="FROM Machine Rack 1")).to_be_visible(timeout=SEEN)
    expect(page.locator("#revolts")).to_contain_text("COMMITTED", timeout=SEEN)
    watch.complaints.clear()  # the stream may have come from the very replica that was ended


def test_find(racks: Pair, page: Page, watch: Watch, tmp_path: Path):
    """Filter, sort, group and density are one address; paused news are counted; what is seen can be saved."""
    page.get_by_label("Filter troopers").fill("-manager state:running")
    for name, choice in (("sort", "score"), ("group", "node"), ("density", "heat")):
        page.locator(f"#view-{name}").select_option(choice)
    page.wait_for_url(re.compile("group=node"))
    expect(page.locator("#squads .tile.cell:visible").first).to_be_visible(timeout=SEEN)
    link = watch.open(page.url)
    expect(link.get_by_label("Filter troopers")).to_have_value("-manager state:running")
    expect(link.locator("#squads .tile.cell:visible").first).to_be_visible(timeout=SEEN)
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("#pause-said")).to_have_text(re.compile(r"^Paused, [1-9]\d* news"), timeout=SEEN)
    page.get_by_role("button", name="Resume").click()
    with page.expect_download() as download:
        page.get_by_role("button", name=re.compile("^JSON")).click()
    download.value.save_as(tmp_path / "board.json")
    told = json.loads((tmp_path / "board.json").read_text(encoding="utf-8"))
    assert told["troopers"]
    assert not any(trooper["is_manager"] for trooper in told["troopers"])
    kiosk = watch.open(f"{racks.one.url}/?kiosk=1")
    expect(kiosk.get_by_role("link", name="Leave kiosk")).to_be_visible()
    expect(kiosk.locator("#squads .tile").first).to_be_visible(timeout=SEEN)

"""Acting on the swarm in a real browser: what is asked, what is seen meanwhile, and what a no looks like."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Watch, World
from tests.browser.directing import SOON, Directed, answer_later, squad, switch
from tests.hive import SECOND

pytestmark = pytest.mark.slow


@pytest.fixture
def directed() -> Iterator[Directed]:
    """One for a test."""
    rack = Directed()
    rack.start()
    yield rack
    rack.kill()


# Scale --------------------------------------------------------------------------------------------------


def test_the_stepper_steps(world: World, watch: Watch):
    """Plus and minus change the number, which stays while news comes in; nothing is sent before Apply."""
    page, other = watch.open(world.url), watch.open(world.url)
    box = page.locator(f"#scale-{SECOND}")
    more = squad(page).get_by_role("button", name="One replica more")
    for _ in range(3):
        more.click()
    squad(page).get_by_role("button", name="One replica fewer").click()
    expect(box).to_have_value("5")
    switch(other, 5).click()
    expect(switch(page, 5)).to_have_attribute("aria-checked", "true", timeout=SOON)
    expect(box).to_have_value("5")
    expect(other.locator(f"#scale-{SECOND}")).to_have_value("3")
    switch(other, 5).click()


def test_the_stepper_ends_at_its_bounds(world: World, watch: Watch):
    """Beyond 1 and 20 a sentence beside it says so; the next step that is allowed takes it away."""
    page = watch.open(world.url)
    box, line = page.locator(f"#scale-{SECOND}"), squad(page).get_by_role("alert")
    fewer = squad(page).get_by_role("button", name="One replica fewer")
    for _ in range(3):
        fewer.click()
    expect(box).to_have_value("1")
    expect(line).to_have_text("1 is the fewest that a service can have.")
    squad(page).get_by_role("button", name="One replica more").click()
    expect(line).to_have_count(0)
    box.fill("20")
    squad(page).get_by_role("button", name="One replica more").click()
    expect(line).to_have_text("20 is the most that a service can have.")
    expect(box).to_have_value("20")


def test_every_page_sees_the_way(directed: Directed, watch: Watch):
    """While more are wanted than run, each page says how many, after a while why, and at last that all do."""
    page, other = watch.open(directed.url), watch.open(directed.url)
    directed.turn(page, "hold")
    for _ in range(3):
        squad(page).get_by_role("button", name="One replica more").click()
    page.locator(f"#scale-go-{SECOND}").click()
    expect(page.locator("#toasts .good")).to_have_text("Scaling clawbucket-b.")
    for each in (page, other):
        way = each.locator(f"#way-{SECOND}")
        expect(way).to_contain_text("4 of 6 running…", timeout=3 * SOON)
        assert way.get_by_role("progressbar").evaluate("bar => [bar.value, bar.max]") == [4, 6]
        expect(each.locator(f"#scale-{SECOND}")).to_have_value("6", timeout=3 * SOON)
    late = watch.open(directed.url)
    expect(late.locator(f"#way-{SECOND}")).to_contain_text("4 of 6 running…")
    expect(other.locator(f"#way-{SECOND}")).to_contain_text(
        re.compile(r"4 of 6 running for 1\d s: the rack has started no task for the others yet\."),
        timeout=15 * SOON,
    )
    directed.turn(page, "hold")
    for each in (page, other, late):
        expect(each.locator(f"#way-{SECOND} span")).to_have_text("6 of 6", timeout=3 * SOON)
        expect(each.locator(f"#way-{SECOND}")).to_be_hidden(timeout=8 * SOON)


def test_nothing_is_sent_twice(world: World, watch: Watch):
    """A second press while the first is under way is dropped; that it is under way is said beside it."""
    page = watch.open(world.url)
    held = answer_later(page, "/api/scale")
    go = page.locator(f"#scale-go-{SECOND}")
    for _ in range(3):
        go.click()
    expect(squad(page).locator(".under-way")).to_contain_text("Under way…", timeout=3 * SOON)
    assert len(held) == 1
    held[0].fulfill(status=202, json={"ok": True})
    expect(squad(page).locator(".under-way")).to_have_count(0, timeout=SOON)
    expect(page.locator("#toasts .good")).to_have_text("Scaling clawbucket-b.")


# ARM ----------------------------------------------------------------------------------------------------


def test_arm_turns_before_the_answer(world: World, watch: Watch):
    """At once, through whatever is painted meanwhile; and stays when the answer is yes."""
    page, other = watch.open(world.url), watch.open(world.url)
    held = answer_later(page, "/api/arm")
    switch(page, 1).click()
    expect(switch(page, 1)).to_have_attribute("aria-checked", "true", timeout=200)
    expect(switch(page, 1)).to_contain_text("on")
    switch(other, 2).click()  # news
    expect(switch(page, 2)).to_have_attribute("aria-checked", "true", timeout=SOON)
    expect(switch(page, 1)).to_have_attribute("aria-checked", "true")
    expect(switch(other, 1)).to_have_attribute("aria-checked", "false")
    held[0].continue_()
    expect(switch(other, 1)).to_have_attribute("aria-checked", "true", timeout=SOON)
    expect(switch(page, 1)).to_have_attribute("aria-checked", "true")
    page.unroute("**/api/arm")
    for number in (1, 2):
        switch(page, number).click()
        expect(switch(other, number)).to_have_attribute("aria-checked", "false", timeout=SOON)


@pytest.mark.parametrize("how", ["refused", "in doubt"])
def test_arm_goes_back(world: World, watch: Watch, how: str):
    """With a no, or without an answer, it is as it was, and the sentence stands in the tile."""
    page = watch.open(world.url)
    held = answer_later(page, "/api/arm")
    tile = page.locator(".tile").nth(1)
    switch(page, 1).click()
    expect(switch(page, 1)).to_have_attribute("aria-checked", "true", timeout=200)
    if how == "refused":
        held[0].fulfill(status=503, json={"error": "The <b>bus</b> is down.", "code": "bus_down"})
        said = "The <b>bus</b> is down."
    else:
        held[0].abort()
        said = "No answer. It may or may not have happened: look before you try again."
    expect(switch(page, 1)).to_have_attribute("aria-checked", "false", timeout=SOON)
    expect(switch(page, 1)).to_contain_text("off")
    expect(tile.get_by_role("alert")).to_have_text(said)
    assert page.locator("#toasts p").count() == 0
    page.unroute("**/api/arm")
    switch(page, 1).click()
    expect(switch(page, 1)).to_have_attribute("aria-checked", "true", timeout=SOON)
    expect(tile.get_by_role("alert")).to_have_count(0, timeout=SOON)
    switch(page, 1).click()
    expect(page.locator(".tile").nth(1)).to_have_attribute("data-arm", "off", timeout=SOON)
    watch.complaints.clear()  # the browser itself reports what this test provoked


def test_a_refusal_outlives_a_redraw(directed: Directed, watch: Watch):
    """What stands beside a control stays when its tile is drawn anew, as when another trooper comes."""
    page, other = watch.open(directed.url), watch.open(directed.url)
    page.route(
        "**/api/arm", lambda route: route.fulfill(status=409, json={"error": "No.", "code": "conflict"})
    )
    switch(page, 0).click()
    line = page.locator(".tile").first.get_by_role("alert")
    expect(line).to_have_text("No.", timeout=SOON)
    other.locator(f"#scale-{SECOND}").fill("4")
    other.locator(f"#scale-go-{SECOND}").click()
    expect(page.locator(".tile")).to_have_count(7, timeout=3 * SOON)
    expect(line).to_have_text("No.")
    watch.complaints.clear()  # the browser itself reports the 409 that this test provoked


# Blast radius -------------------------------------------------------------------------------------------


def questions(page: Page) -> list[str]:
    """What is asked from now on; the answer is no."""
    asked: list[str] = []

    def note(dialog):
        asked.append(dialog.message)
        dialog.dismiss()

    page.on("dialog", note)
    return asked


def test_the_blast_radius(world: World, watch: Watch):
    """Before a manager is taken out: what is lost, how many remain, who manages next; of others not that."""
    page = watch.open(world.url)
    asked = questions(page)
    manager = squad(page).locator(".tile[data-is_manager=true]")
    who = manager.get_by_role("heading").inner_text()
    manager.get_by_role("button", name="Outage").click()
    manager.get_by_role("button", name="Self-destruct").click()
    squad(page).locator(".tile[data-is_manager=false]").last.get_by_role(
        "button", name="Self-destruct"
    ).click()
    heirs = squad(page).locator(".tile[data-is_manager=false]").get_by_role("heading").all_inner_texts()
    assert asked[0].startswith(
        f"Take {who} out? Another trooper becomes manager of {SECOND}, and what {who} has scored is lost. "
    )
    numbers = r"It has \N{MINUS SIGN}?\d+ points?\. 2 of 3 run on meanwhile\."
    follows = rf" ({'|'.join(heirs)}) in slot [123] manages next, by the rule of preference\."
    assert re.search(numbers + follows + "$", asked[0])
    assert re.search(numbers + follows + "$", asked[1])
    assert re.search(numbers + "$", asked[2])


def test_who_was_named_manages_next(directed: Directed, watch: Watch):
    """The rule that the question tells is the one that holds."""
    page = watch.open(directed.url)
    asked: list[str] = []

    def yes(dialog):
        asked.append(dialog.message)
        dialog.accept()

    page.once("dialog", yes)
    manager = squad(page).locator(".tile[data-is_manager=true]")
    manager.get_by_role("button", name="Outage").click()
    named = re.search(r"(\w+ \w+) in slot \d manages next", asked[0])
    assert named
    expect(manager.get_by_role("heading")).to_have_text(named[1], timeout=5 * SOON)

"""Sparklines and the rack chart in a real browser: they begin with the past, go on live, tell their gaps."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Watch, World, running
from tests.hive import SECOND

pytestmark = pytest.mark.slow
SOON = 1_000
ROUND = 2
"""Seconds between two rounds here, the fewest that there may be."""
WIDTHS = [(360, 800), (1280, 900), (3840, 2160)]
PIXELS = """(canvas) => {
  const blank = new OffscreenCanvas(canvas.width, canvas.height);
  const copy = blank.getContext("2d", { willReadFrequently: true });
  copy.drawImage(canvas, 0, 0);
  return copy.getImageData(0, 0, canvas.width, canvas.height).data;
}"""
"""A canvas's pixels, read from a copy: the browser complains when it is asked for the original's again."""
INK = f"""canvas => {{
  const data = ({PIXELS})(canvas);
  let painted = 0;
  for (let i = 3; i < data.length; i += 4) painted += data[i] > 0;
  return painted;
}}"""
"""Pixels that something is drawn on."""
COLOUR = f"""canvas => {{
  const data = ({PIXELS})(canvas);
  const seen = new Map();
  for (let i = 0; i < data.length; i += 4) {{
    if (data[i + 3] < 255) continue;
    const key = data.slice(i, i + 3).join();
    seen.set(key, (seen.get(key) ?? 0) + 1);
  }}
  return [...seen].sort((a, b) => b[1] - a[1])[0][0];
}}"""
"""The colour that most is drawn in."""


SEEN_BEFORE = """async () => {
  const { course } = await import("/static/course.js");
  const gap = course.gap.findIndex((reason) => reason !== "");
  return course.columns.running.slice(0, gap).some((n) => n === 6) && course.columns.running.at(-1) === 6;
}"""
"""Whether the page knows of troopers before its gap, and after it."""


@pytest.fixture(scope="module")
def playing() -> Iterator[World]:
    """A rack with a round every two seconds, for a module."""
    with running() as rack:
        yield rack


@pytest.fixture
def page(playing: World, watch: Watch) -> Page:
    """Its dashboard, as it is after a look at the past."""
    opened = watch.open(playing.url)
    hurry(opened, playing)
    expect(opened.locator("#rack-since")).to_contain_text("As seen by", timeout=5 * SOON)
    return opened


def hurry(page: Page, world: World) -> None:
    """Have a round every two seconds."""
    answer = page.request.post(f"{world.url}api/rps/config", data={"interval_seconds": ROUND})
    assert answer.ok


def player(page: Page) -> Locator:
    """The line of a trooper that plays: the last one, which leads nothing."""
    return page.locator(f"#squad-{SECOND} .spark").last


def steps(spark: Locator) -> int:
    """Scores that are drawn."""
    line = spark.locator(".line").get_attribute("d") or ""
    return line.count("H")


def wait_for(page: Page, condition: str, argument: object = None, seconds: float = 10) -> None:
    """Until the page says so."""
    page.wait_for_function(condition, arg=argument, timeout=seconds * SOON)


def drawn(page: Page) -> Locator:
    """The chart's canvas, once there is something on it."""
    page.locator("#rack-chart").scroll_into_view_if_needed()
    canvas = page.locator("#rack-plot canvas")
    expect(canvas).to_be_visible(timeout=10 * SOON)
    wait_for(page, f"() => ({INK})(document.querySelector('#rack-plot canvas')) > 500")
    return canvas


def test_a_spark_grows_with_a_round(page: Page):
    """It begins with the past and has one step more with each round, over a line at zero."""
    spark = player(page)
    spark.scroll_into_view_if_needed()
    expect(spark.locator(".zero")).to_have_count(1)
    before = steps(spark)
    task = spark.get_attribute("data-spark")
    more = """([task, most]) => {
      const line = document.querySelector(`[data-spark="${task}"] .line`);
      return line.getAttribute("d").split("H").length - 1 > most;
    }"""
    wait_for(page, more, [task, before + 1], seconds=4 * ROUND)


def test_a_new_page_begins_with_the_past(page: Page, playing: World, watch: Watch):
    """What one page saw come, another one that is opened later has from the start."""
    task = player(page).get_attribute("data-spark")
    past = page.request.get(f"{playing.url}api/history/{task}").json()["scores"]
    other = watch.open(playing.url)
    player(other).scroll_into_view_if_needed()
    expect(player(other).locator(".line")).to_have_count(1, timeout=3 * SOON)
    assert steps(player(other)) >= min(len(past), 60)


def test_a_spark_survives_a_morph(page: Page):
    """When tiles come and go, those that stay have their lines still."""
    player(page).scroll_into_view_if_needed()
    expect(player(page).locator(".line")).to_have_count(1)
    for replicas in (4, 3):
        page.locator(f"#scale-{SECOND}").fill(str(replicas))
        page.locator(f"#scale-go-{SECOND}").click()
        expect(page.locator(f"#squad-{SECOND} .tile")).to_have_count(replicas, timeout=3 * SOON)
        expect(page.locator(f"#squad-{SECOND} .spark").nth(2).locator(".line")).to_have_count(1)
        player(page).scroll_into_view_if_needed()
        expect(player(page).locator(".zero")).to_have_count(1, timeout=3 * SOON)


def test_the_chart_shows_the_rack(page: Page):
    """A canvas with lines on it, a legend with the current values, and the same in words."""
    canvas = drawn(page)
    assert canvas.evaluate(INK) > 500
    legend = page.locator("#rack-series li").filter(visible=True)
    expect(legend).to_have_count(4)
    expect(legend.first).to_have_text(re.compile(r"running\s+6"))
    expect(legend.nth(1)).to_have_text(re.compile(r"desired\s+6"))
    dashes = [mark.get_attribute("stroke-dasharray") for mark in legend.locator("path").all()]
    assert len(set(dashes)) == 4
    plot = page.locator("#rack-plot")
    expect(plot).to_have_attribute("role", "slider")
    # Told anew every thirty seconds only, and at first perhaps of a moment in which the test before this one
    # still had a trooper more.
    told = re.compile(r"Now running 6, between \d+ and \d+; desired 6")
    expect(plot).to_have_attribute("aria-label", told, timeout=35 * SOON)
    expect(page.get_by_role("link", name="The numbers as JSON")).to_have_attribute("href", "/api/history")


def test_the_chart_goes_on(page: Page, playing: World):
    """The legend follows the rack: who was scaled up is counted."""
    drawn(page)
    page.request.post(f"{playing.url}api/scale", data={"replicas": 5, "service": SECOND})
    expect(page.locator("#rack-series li").first).to_have_text(re.compile(r"running\s+8"), timeout=8 * SOON)
    page.request.post(f"{playing.url}api/scale", data={"replicas": 3, "service": SECOND})
    expect(page.locator("#rack-series li").first).to_have_text(re.compile(r"running\s+6"), timeout=8 * SOON)


def test_the_pointer_asks_for_a_moment(page: Page):
    """Over the chart the legend tells the values of that moment; elsewhere those of now."""
    canvas = drawn(page)
    box = canvas.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.85, box["y"] + box["height"] / 2)
    expect(page.locator("#rack-moment")).to_have_text(re.compile(r"^\d\d:\d\d:\d\d UTC$"))
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] - 80)
    expect(page.locator("#rack-moment")).to_have_text("now")


def test_an_outage_is_told_as_a_gap(page: Page, playing: World):
    """While the bus is away there is no line but a gap, which is told in words and stays when it is back."""
    drawn(page)
    told = page.locator("#rack-gaps")
    playing.toggle_bus()
    try:
        expect(told).to_have_text(re.compile(r"until now: the bus did not answer"), timeout=10 * SOON)
        expect(page.locator("#rack-series li").first).to_have_text(re.compile("running\\s+\N{EN DASH}"))
    finally:
        playing.toggle_bus()
    expect(told).to_have_text(re.compile(r"for \d+ s: the bus did not answer"), timeout=10 * SOON)
    gaps = page.request.get(f"{playing.url}api/history").json()["rack"]["gaps"]
    assert [gap["reason"] for gap in gaps] == ["bus"]
    page.reload()
    expect(told).to_have_text(re.compile(r"^One gap, from .* for \d+ s: the bus did not answer"))


def test_another_theme_is_another_drawing(page: Page):
    """The chart takes the page's colours, also when they are chosen while it stands."""
    canvas = drawn(page)
    light = canvas.evaluate(COLOUR)
    page.evaluate("document.documentElement.dataset.theme = 'dark'")
    wait_for(page, f"light => ({COLOUR})(document.querySelector('#rack-plot canvas')) !== light", light)
    page.evaluate("delete document.documentElement.dataset.theme")
    wait_for(page, f"light => ({COLOUR})(document.querySelector('#rack-plot canvas')) === light", light)
    page.emulate_media(color_scheme="dark")
    wait_for(page, f"light => ({COLOUR})(document.querySelector('#rack-plot canvas')) !== light", light)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), WIDTHS)
def test_it_fits(playing: World, watch: Watch, theme: str, width: int, height: int):
    """The chart is as wide as its place at every width, and no wider, also after the window has changed."""
    page = watch.open(playing.url, width=width, height=height, theme=theme)
    drawn(page)
    for wide in (width, 700, width):
        page.set_viewport_size({"width": wide, "height": height})
        wait_for(
            page,
            """() => {
              const plot = document.querySelector("#rack-plot");
              const fits = Math.abs(plot.clientWidth - plot.querySelector("canvas").clientWidth) <= 1;
              return fits && document.documentElement.scrollWidth <= innerWidth;
            }""",
        )


def test_a_kiosk_has_a_larger_chart(playing: World, watch: Watch):
    """On a wall it is seen from afar."""
    heights = []
    for query in ("", "?kiosk=1"):
        one = watch.open(f"{playing.url}{query}", height=1400)
        drawn(one)
        heights.append(one.locator("#rack-plot").evaluate("plot => plot.clientHeight"))
    assert heights[1] > 1.5 * heights[0]


def test_a_load_test_is_drawn_over_it(own_world: World, watch: Watch):
    """Its rate and p95 come into the legend with the next sample, and stay as a past when it has ended."""
    page = watch.open(own_world.url)
    legend = page.locator("#rack-series li").filter(visible=True)
    expect(legend).to_have_count(4)
    told = {"run": "r1", "users": 20, "rate": 123.4, "p95_ms": 56.7, "failures": 0}
    assert page.request.post(f"{own_world.url}api/load", data=told).ok
    expect(legend).to_have_count(6, timeout=8 * SOON)
    expect(legend.nth(4)).to_have_text(re.compile(r"requests a second\s+123\.4"))
    expect(legend.nth(5)).to_have_text(re.compile(r"p95 in ms\s+56\.7"))
    drawn(page)
    expect(legend.nth(4)).to_have_text(re.compile("requests a second\\s+\N{EN DASH}"), timeout=30 * SOON)
    expect(legend).to_have_count(6)


def test_another_replica_may_know_less(own_world: World, watch: Watch):
    """Who answers after a crash has just begun to watch: the page keeps what it saw, with a gap between."""
    page = watch.open(own_world.url)
    drawn(page)
    own_world.kill()
    expect(page.locator("#rack-gaps")).to_contain_text("this page was cut off", timeout=10 * SOON)
    with page.expect_response(lambda said: said.ok and said.url.endswith("/api/history"), timeout=20 * SOON):
        own_world.start()
    expect(page.locator("#live")).to_have_attribute("data-phase", "live")
    expect(page.locator("#rack-gaps")).to_contain_text("s: this page was cut off", timeout=5 * SOON)
    wait_for(page, SEEN_BEFORE)
    watch.complaints.clear()  # the browser reports every refused connection


def test_the_charts_values_can_be_had_by_keyboard(page: Page):
    """Arrows move its cursor from sample to sample; what it points at is shown and read out; Escape: now."""
    plot, moment = page.locator("#rack-plot"), page.locator("#rack-moment")
    expect(plot).to_have_role("slider", timeout=10 * SOON)  # also while it is below the screen
    plot.focus()
    drawn(page)
    expect(moment).to_have_text("now")
    page.keyboard.press("End")
    expect(moment).to_have_text(re.compile(r"\d\d:\d\d:\d\d UTC"))
    page.keyboard.press("ArrowLeft")
    at = moment.inner_text()
    expect(plot).to_have_attribute(
        "aria-valuetext", re.compile(rf"{at}: running 6, desired 6, .*total score")
    )
    expect(page.locator(".series-running b")).to_have_text("6")
    page.keyboard.press("ArrowLeft")
    expect(moment).not_to_have_text(at)
    page.keyboard.press("ArrowRight")
    expect(moment).to_have_text(at)
    # New samples come, and what is held stays.
    before = int(plot.get_attribute("aria-valuemax") or 0)
    wait_for(page, "async known => (await import('/static/course.js')).course.at.length > known + 3", before)
    assert moment.inner_text() == at
    page.keyboard.press("Home")
    expect(plot).to_have_attribute("aria-valuenow", "0")
    page.keyboard.press("Escape")
    expect(moment).to_have_text("now")

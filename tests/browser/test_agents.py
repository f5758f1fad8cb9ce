"""Troopers that think, in a real browser: what their agents say, how to talk to them, and their troubles."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Dialog, Locator, Page, expect

from tests.browser.conftest import Watch, World, running
from tests.browser.talker import MODEL
from tests.browser.test_dashboard import CONTRAST, SOON, WIDTHS
from tests.browser.test_drawer import tell_past
from tests.hive import SECOND

pytestmark = pytest.mark.slow


NOTE_A_THOUGHT = """(tile) => {
  const mark = tile.querySelector(".thinking");
  window.thought = new Promise((done) => {
    new MutationObserver(() => mark.hidden || done(tile.offsetHeight)).observe(mark, { attributes: true });
  });
}"""
"""Promises the tile's height at the moment at which the mark is shown: half a second is easily overlooked."""


def tile(page: Page, number: int = 0) -> Locator:
    """One trooper's tile."""
    return page.locator(".tile").nth(number)


def callsign(page: Page, number: int = 0) -> str:
    """What that trooper is called."""
    return tile(page, number).get_by_role("heading").inner_text()


def talk_to(page: Page, number: int = 0) -> Locator:
    """The drawer, opened at the conversation from that trooper's tile."""
    tell_past(page)
    tile(page, number).get_by_role("button", name="Talk to").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    return dialog


def say(dialog: Locator, text: str) -> None:
    """Type that and send it."""
    dialog.get_by_label("What to say").fill(text)
    dialog.get_by_label("What to say").press("Enter")


def chat(page: Page, text: str) -> None:
    """Say that in the chat."""
    page.get_by_label("Say something to the swarm").fill(text)
    page.get_by_label("Say something to the swarm").press("Enter")


def no_markup_of(place: Locator) -> None:
    """Nothing of what the hostile model said became an element."""
    expect(place.locator("img, script, i")).to_have_count(0)


def test_words_say_whose_they_are(thinking_world: World, watch: Watch):
    """A tile names the source of its words, and the haiku its own; both show a model's text as text."""
    page = watch.open(thinking_world.url)
    expect(tile(page)).to_contain_text("iron fog ready")
    expect(tile(page).locator("dl")).to_contain_text("picoclaw")
    expect(page.locator(".haiku")).to_contain_text("<b>Cold</b> steel waits")
    expect(page.get_by_text("source: picoclaw")).to_be_visible()


def test_thinking_is_marked(thinking_world: World, watch: Watch):
    """While a trooper thinks its tile says so in words, and no longer; it does not grow by that."""
    page, other = watch.open(thinking_world.url), watch.open(thinking_world.url)
    mark = tile(page, 2).get_by_text("thinking", exact=True)
    expect(mark).to_be_hidden()
    height = tile(page, 2).evaluate("it => it.offsetHeight")
    tile(page, 2).evaluate(NOTE_A_THOUGHT)
    say(talk_to(other, 2), "count slowly")
    assert page.evaluate("() => window.thought") == height
    expect(mark).to_be_hidden(timeout=5 * SOON)


def test_thinking_keeps_still(thinking_world: World, watch: Watch):
    """Nothing moves by itself on a live page: hundreds of moving marks keep a browser busy for nothing."""
    page = watch.open(thinking_world.url)
    expect(tile(page, 2).locator(".thinking")).to_be_attached()
    assert page.evaluate("document.getAnimations().length") == 0


def test_talking(thinking_world: World, watch: Watch):
    """A question is answered in the dialog, which says who thinks and with what; the answer stays in it."""
    page = watch.open(thinking_world.url)
    dialog = talk_to(page, 1)
    who = callsign(page, 1)
    expect(dialog).to_contain_text(f"Nobody has talked to {who} yet.")
    expect(dialog.get_by_label("What to say")).to_be_focused()
    say(dialog, "How is morale?")
    expect(dialog).to_contain_text(f"{who} is thinking…")
    expect(dialog.get_by_label("What to say")).to_have_value("")
    expect(dialog).to_contain_text(f"{who} answered in 0.5 s, with {MODEL}.", timeout=5 * SOON)
    log = dialog.get_by_role("log")
    expect(log.locator("li.typed")).to_contain_text("How is morale?")
    expect(log.locator("li.answer")).to_contain_text("Aye, number 1.")
    page.reload()  # the address names the trooper whose drawer is open
    expect(page.get_by_role("dialog").get_by_role("log").locator("li")).to_have_count(2)


def test_talking_by_keyboard(thinking_world: World, watch: Watch):
    """Enter opens the dialog, Escape closes it and gives the focus back to the button."""
    page = watch.open(thinking_world.url)
    tell_past(page)
    button = tile(page).get_by_role("button", name="Talk to")
    button.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_label("What to say")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(button).to_be_focused()


def test_an_open_talk_survives_news(thinking_world: World, watch: Watch):
    """While tiles come and go, the dialog stays open and what is being typed in it stays, with the cursor."""
    page, other = watch.open(thinking_world.url), watch.open(thinking_world.url)
    dialog = talk_to(page, 4)
    box = dialog.get_by_label("What to say")
    box.press_sequentially("Hold the")
    who = tile(other, 4).get_attribute("id") or ""
    other.once("dialog", lambda asked: asked.accept())
    tile(other, 4).get_by_role("button", name="Self-destruct").click()
    expect(page.locator(f"#{who}")).to_have_count(0, timeout=3 * SOON)
    expect(page.locator(f"#squad-{SECOND} .tile")).to_have_count(3, timeout=3 * SOON)
    expect(dialog).to_be_visible()
    expect(box).to_have_value("Hold the")
    expect(box).to_be_focused()
    expect(dialog.get_by_text("runs here")).to_be_visible(timeout=8 * SOON)
    page.keyboard.press("Escape")
    expect(page.locator("#squads")).to_be_focused()
    watch.complaints.clear()  # the browser itself reports the 404 of the trooper that is gone


def test_a_failed_answer_is_told_beside_it(thinking_world: World, watch: Watch):
    """Why there is no answer stands in the dialog, as text, and what was typed can be sent again."""
    page = watch.open(thinking_world.url)
    dialog = talk_to(page)
    say(dialog, "please fail")
    told = dialog.get_by_text("The model <i>choked</i> on that.")
    expect(told).to_be_visible(timeout=5 * SOON)
    no_markup_of(dialog)
    expect(dialog.get_by_label("What to say")).to_have_value("please fail")
    expect(page.locator("#toasts p")).to_have_count(0)
    watch.complaints.clear()  # the browser itself reports the 503 that this test provoked


def test_turning_to_another_trooper(thinking_world: World, watch: Watch):
    """Who does not wait for an answer finds it later, and never under another trooper's name."""
    page = watch.open(thinking_world.url)
    dialog = talk_to(page, 5)
    say(dialog, "march slowly")
    expect(dialog).to_contain_text("is thinking…")
    page.keyboard.press("Escape")
    dialog = talk_to(page, 3)
    expect(dialog).not_to_contain_text("march slowly")
    expect(dialog).not_to_contain_text("is thinking…")
    say(dialog, "And you?")
    expect(dialog.get_by_role("log")).to_contain_text("And you?", timeout=5 * SOON)
    page.keyboard.press("Escape")
    dialog = talk_to(page, 5)
    expect(dialog.get_by_role("log")).to_contain_text("march slowly", timeout=8 * SOON)
    expect(dialog.get_by_role("log")).not_to_contain_text("And you?")
    watch.complaints.clear()  # htmx reports the request that was given up


def test_hostile_model_text_is_text(thinking_world: World, watch: Watch):
    """Markup and terminal codes from a model are shown as they are, in the dialog and in the chat."""
    page = watch.open(thinking_world.url)
    dialogs: list[str] = []

    def alerted(asked: Dialog) -> None:
        dialogs.append(asked.message)
        asked.dismiss()

    page.on("dialog", alerted)
    dialog = talk_to(page, 2)
    say(dialog, "tell me of evil")
    expect(dialog.get_by_role("log")).to_contain_text("<img src=x onerror=alert(1)>", timeout=5 * SOON)
    expect(dialog.get_by_role("log")).to_contain_text("<script>alert(2)</script>")
    no_markup_of(dialog)
    page.keyboard.press("Escape")
    chat(page, f"@{callsign(page, 2)} more evil")
    log = page.get_by_label("Chat messages")
    expect(log).to_contain_text("<img src=x onerror=alert(1)>", timeout=5 * SOON)
    no_markup_of(log)
    assert dialogs == []


def test_a_mention_is_answered_in_the_chat(thinking_world: World, watch: Watch):
    """``@callsign`` is passed on, and its answer is told apart from what people typed."""
    page = watch.open(thinking_world.url)
    who = callsign(page, 1)
    chat(page, f"@{who} report")
    expect(page.locator("#toasts .good")).to_have_text(f"Passed on to {who}.", timeout=SOON)
    log = page.get_by_label("Chat messages")
    typed = log.locator("li.typed", has_text=f"@{who} report")
    expect(typed).to_contain_text("by a person")
    answer = log.locator("li.answer", has_text="Aye, number").last
    expect(answer).to_contain_text(who, timeout=5 * SOON)
    expect(answer).to_contain_text("by its agent, picoclaw")


def test_a_mention_of_nobody_is_told(thinking_world: World, watch: Watch):
    """A name that nobody has is answered with those that are near, as a warning."""
    page = watch.open(thinking_world.url)
    chat(page, "@Zzyzx report")
    expect(page.locator("#toasts .warn")).to_contain_text("Nobody here is called @Zzyzx", timeout=SOON)


def test_callsigns_are_suggested(thinking_world: World, watch: Watch):
    """The chat's field suggests ``@all`` and whoever runs, and tells what @ is for."""
    page = watch.open(thinking_world.url)
    box = page.get_by_label("Say something to the swarm")
    expect(box).to_have_attribute("list", "callsigns")
    suggested = page.locator("#callsigns option").evaluate_all("all => all.map((one) => one.value.trim())")
    assert suggested[0] == "@all"
    assert set(suggested[1:]) == {f"@{callsign(page, number)}" for number in range(6)}
    expect(box).to_have_accessible_description(
        "Begin with @ and a callsign, or @all, and those troopers answer."
    )


@pytest.fixture
def dull_world() -> Iterator[World]:
    """A rack of thinking troopers for one test, that may lose its model."""
    with running("--agents") as rack:
        yield rack


def test_a_missing_model_is_told_with_what_mends_it(dull_world: World, watch: Watch):
    """One quiet line says what is wrong and what to type; it comes and goes by itself."""
    page = watch.open(dull_world.url)
    line = page.locator(".note")
    expect(line).to_be_hidden()
    dull_world.toggle_model()
    chat(page, "@all report")
    expect(line).to_be_visible(timeout=20 * SOON)
    expect(line).to_have_role("status")
    expect(line).to_contain_text(
        f"Troopers speak from the phrase book for now: Ollama at http://x has no model {MODEL}"
    )
    expect(line.locator("code")).to_have_text(f"./claw models pull {MODEL}")
    expect(line.get_by_role("button", name="Copy the command")).to_be_visible()
    expect(page.locator(".tile")).to_have_count(6)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    line.get_by_role("button", name="Copy").click()
    expect(page.locator("#toasts .good").last).to_have_text("Copied.", timeout=SOON)
    assert page.evaluate("navigator.clipboard.readText()") == f"./claw models pull {MODEL}"
    expect(page.get_by_label("Chat messages").locator("li.answer").first).to_contain_text(
        "built in, fallback"
    )
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme="dark" if theme == "dark" else "light")
        assert page.evaluate(CONTRAST) == []
    dull_world.toggle_model()
    chat(page, "@all report again")
    expect(line).to_be_hidden(timeout=20 * SOON)


def test_without_agents_there_is_nobody_to_talk_to(world: World, watch: Watch):
    """A trooper that has no agent offers no talk, and the rack has no trouble to tell."""
    page = watch.open(world.url)
    expect(tile(page)).to_be_visible()
    expect(page.locator(".talk:visible, .note:visible, .thinking:visible")).to_have_count(0)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), WIDTHS)
def test_the_talk_fits(thinking_world: World, watch: Watch, theme: str, width: int, height: int):
    """The dialog is whole on the screen at every width, in either theme, and readable."""
    page = watch.open(thinking_world.url, width=width, height=height, theme=theme)
    dialog = talk_to(page)
    say(dialog, "A long story, please. " * 10)
    expect(dialog).to_contain_text("answered in", timeout=5 * SOON)
    box = dialog.bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["y"] >= 0
    assert box["x"] + box["width"] <= width
    assert box["y"] + box["height"] <= height
    assert dialog.evaluate("it => it.scrollWidth <= it.clientWidth")
    assert page.evaluate(CONTRAST) == []

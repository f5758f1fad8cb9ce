"""Brief tiles, the heat map and a kiosk as the server draws them, for browsers without scripts too."""

from __future__ import annotations

import pytest

from app.shown import FAR
from tests.unit.test_dashboard import Page, Stage, check_bindings

WAYS = ("density=compact", "density=heat", "density=compact&group=node", "density=heat&group=rack&sort=score")


@pytest.fixture(scope="module")
def stage() -> Stage:
    """One that is only looked at."""
    return Stage()


@pytest.mark.parametrize("way", WAYS)
def test_every_binding_of_a_small_tile_names_a_field(stage: Stage, way: str):
    """What a brief tile or a square is kept up to date with is what the stream sends."""
    for path in ("/", "/ui/squads"):
        page = stage.page(f"{path}?{way}")
        assert len(page.of("tile")) == 6
        check_bindings(stage, page)


@pytest.mark.parametrize(("density", "most"), [("compact", 8), ("heat", 2)])
def test_small_tiles_are_small(stage: Stage, density: str, most: int):
    """A thousand brief tiles and five thousand squares are on one page, so each has few elements."""
    page = stage.page(f"/ui/squads?density={density}&group=rack")
    bound = [path for _, _, path in page.elements if path.startswith("tasks/")]
    assert len(bound) <= most * 6


def test_a_square_is_read_out_whole(stage: Stage):
    """The name of a square's button says all that its colour and its glyph do."""
    page = stage.page("/ui/squads?density=heat")
    labels = [a["aria-label"] for tag, a, _ in page.elements if tag == "button" and "data-open" in a]
    assert len(labels) == 6
    first = next(iter(stage.board.board().squads[0].replicas))
    assert labels[0] == f"{first.name}, slot 1 of clawbucket, running, alive, score {first.score}, manager"


def test_the_key_of_the_map_names_its_steps(stage: Stage):
    """The words beside the colours are of the bands that scores are put in."""
    html = stage.client.get("/ui/squads?density=heat").get_data(as_text=True)
    for words in (f"score -{FAR} or less", f"-{FAR - 1} to -1", f"1 to {FAR - 1}", f"{FAR} or more"):
        assert words.replace("-", "\N{MINUS SIGN}") in html
    assert "or less" not in stage.client.get("/ui/squads?density=compact").get_data(as_text=True)


def test_a_kiosk_has_a_way_out(stage: Stage):
    """The link out of a kiosk asks for the same view without it."""
    page = Page(stage.client.get("/?kiosk=1&group=node&q=a%26b").get_data(as_text=True))
    (html,) = [a for tag, a, _ in page.elements if tag == "html"]
    assert "data-kiosk" in html
    (out,) = [a["href"] for _, a, _ in page.elements if a.get("id") == "kiosk-out"]
    assert out == "/?group=node&q=a%26b"

"""The dashboard's scoreboard, with the real aggregator on loopback: what it counts is what the page shows."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient
from werkzeug.serving import make_server

import aggregator.factory
from aggregator.reading import Reader
from app.scoreboard_watch import EVERY, NOT_SET
from clawbucket.codecs import Gate
from clawbucket.health import Health
from clawbucket.settings import Settings
from tests.stage import PRIMARY, Stage, task_id

pytestmark = pytest.mark.slow
SECONDS = 10.0
"""How long an answer may take on a busy machine."""


class Rack:
    """A replica and an aggregator on one bus."""

    def __init__(self) -> None:
        self.counter = make_server("127.0.0.1", 0, lambda *_: [], threaded=True)
        self.stage = Stage(aggregator_url=f"http://127.0.0.1:{self.counter.server_port}")
        reader = Reader(self.stage.bus, Gate(self.stage.clock), self.stage.clock)
        self.counter.app = aggregator.factory.create_app(Settings(), reader, Health())
        self.thread = threading.Thread(target=self.counter.serve_forever)
        self.thread.start()
        self.client: FlaskClient = self.stage.client()

    def end(self) -> None:
        """The aggregator goes."""
        if self.thread.is_alive():
            self.counter.shutdown()
            self.counter.server_close()
            self.thread.join()

    def arm(self, slot: int, state: str) -> None:
        """As a person does."""
        given = {"task_id": task_id(PRIMARY, slot), "bot": f"Bot <{slot}>", "state": state}
        assert self.client.post("/api/arm", json=given).status_code == 201

    def shown(self, text: str, path: str = "/ui/scoreboard") -> str:
        """What is at that path, once it has that text; the replica's clock goes on meanwhile."""
        until, turn, html = time.monotonic() + SECONDS, threading.Event(), ""
        while time.monotonic() < until:
            self.stage.beat(EVERY)
            html = self.client.get(path).get_data(as_text=True)
            if text in html:
                return html
            turn.wait(0.02)  # the question is asked beside us
        pytest.fail(f"{text!r} was never shown, but:\n{html}")


@pytest.fixture
def rack() -> Iterator[Rack]:
    """Both run."""
    both = Rack()
    yield both
    both.end()


def test_what_it_counts_is_shown(rack: Rack):
    """The armed first, with their counts; names are text; the fragment is never cached."""
    rack.shown("Nobody was ever armed.")
    for slot, state in ((1, "on"), (2, "on"), (2, "off"), (3, "on"), (3, "off"), (3, "on")):
        rack.arm(slot, state)
    html = rack.shown("Bot &lt;3&gt;")
    assert [html.index(f"Bot &lt;{slot}&gt;") for slot in (3, 1, 2)] == sorted(
        html.index(f"Bot &lt;{slot}&gt;") for slot in (1, 2, 3)
    )
    assert "<td>1</td><td>2</td><td>1</td><td>3</td>" in html
    assert rack.client.get("/ui/scoreboard").headers["Cache-Control"] == "no-store"


def test_an_aggregator_that_is_gone_is_told(rack: Rack):
    """Since when and why, over the lines that were known; the page itself answers as ever."""
    rack.arm(1, "on")
    rack.shown("Bot &lt;1&gt;")
    rack.end()
    html = rack.shown("The aggregator does not answer: connection refused.", "/")
    assert "Bot &lt;1&gt;" in html


def test_no_aggregator_is_no_trouble():
    """Where none is set the page says so, and nobody is asked."""
    client = Stage().client()
    html = client.get("/").get_data(as_text=True)
    assert NOT_SET in html
    assert client.get("/ui/scoreboard").status_code == 200

"""Ollama itself: its address in every form, its models, and fetching another one."""

from __future__ import annotations

import threading
import time

import pytest

from picoclaw.errors import ConfigInvalid, ModelNotFound, TurnTimeout
from picoclaw.ollama_server import OllamaServer, ollama_base
from tests.fake_ollama_process import FakeOllama


@pytest.mark.parametrize(
    ("told", "base"),
    [
        ("http://host:11434", "http://host:11434"),
        ("http://host:11434/", "http://host:11434"),
        ("http://host:11434/v1/", "http://host:11434"),
        ("http://host:11434/api/generate", "http://host:11434"),
        ("http://host:11434/api/chat/", "http://host:11434"),
        ("https://host/prefix/v1", "https://host:443/prefix"),
        ("127.0.0.1:11434", "http://127.0.0.1:11434"),
        ("0.0.0.0", "http://127.0.0.1:11434"),
        ("host", "http://host:11434"),
        ("http://[::]:9/v1", "http://[::1]:9"),
    ],
)
def test_every_form_of_ollamas_address_is_taken(told: str, base: str):
    """OLLAMA_URL's old and new forms, and OLLAMA_HOST's."""
    assert ollama_base(told) == base


@pytest.mark.parametrize("told", ["", "ftp://host", "http://", "http://host:port", "two words"])
def test_what_is_no_address_is_refused(told: str):
    """With a sentence that shows one that would do."""
    with pytest.raises(ConfigInvalid, match="localhost:11434"):
        ollama_base(told)


def test_ollamas_models_are_listed_pulled_and_known_by_short_names(fake_ollama: FakeOllama):
    """Sizes in bytes; a pull tells how far it is and ends with success."""
    server = OllamaServer(fake_ollama.base)
    assert server.version() == "0.12.3"
    assert [(m.name, m.size) for m in server.models()][-1] == ("tiny:latest", 1_024)
    assert (server.has("tiny"), server.has("phi")) == (True, False)
    reports = list(server.pull("phi"))
    assert [r.completed for r in reports if r.total] == [0, 250_000, 500_000, 750_000, 1_000_000]
    assert reports[-1].status == "success"
    assert server.has("phi")
    server.close()


def test_a_model_that_no_registry_has_is_not_found(fake_ollama: FakeOllama):
    """The stream's own error, as ours."""
    with pytest.raises(ModelNotFound, match="missing:1b"):
        list(OllamaServer(fake_ollama.url).pull("missing:1b"))


@pytest.mark.slow
def test_a_pull_without_news_is_given_up_and_one_with_news_is_not(fake_ollama: FakeOllama):
    """The stall is measured from report to report, not over the whole pull."""
    fake_ollama.script(pull_step=0.15)
    assert list(OllamaServer(fake_ollama.url).pull("phi", stall=0.4))[-1].status == "success"
    fake_ollama.script(pull_stalls=True)
    with pytest.raises(TurnTimeout):
        list(OllamaServer(fake_ollama.url).pull("phi", stall=0.4))


@pytest.mark.alone
def test_a_pull_can_be_cancelled(fake_ollama: FakeOllama):
    """Between reports and while it waits for one; what was fetched is Ollama's to keep."""
    fake_ollama.script(pull_stalls=True)
    cancel = threading.Event()
    reports = OllamaServer(fake_ollama.url).pull("phi", cancel=cancel)
    assert next(reports).status == "pulling manifest"
    threading.Timer(0.05, cancel.set).start()
    began = time.monotonic()
    with pytest.raises(TurnTimeout, match="cancelled"):
        next(reports)
    assert time.monotonic() - began < 0.3

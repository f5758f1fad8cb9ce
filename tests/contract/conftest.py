"""What the contract tests share: a replica's HTTP side, and one fake Ollama for the session."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from clawbucket import keys
from clawbucket.clock import SystemClock
from clawbucket.handoff import peer_http
from clawbucket.handoff import source as source_room
from clawbucket.handoff.peer_http import HttpPeers
from tests.contract import peer_stand_in, revolt_rig
from tests.contract.local_rig import LocalRig
from tests.contract.model_talk import Talk
from tests.contract.peer_stand_in import SOON, Act, Server
from tests.contract.picoclaw_typing import Command
from tests.fake_ollama_process import FakeOllama
from tests.stage import Stage


@pytest.fixture(scope="session")
def fake_ollama_process() -> Iterator[FakeOllama]:
    """The process."""
    server = FakeOllama()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def fake_ollama(fake_ollama_process: FakeOllama) -> FakeOllama:
    """A fake Ollama that behaves and was asked nothing yet."""
    fake_ollama_process.reset()
    return fake_ollama_process


@pytest.fixture
def ollama(fake_ollama: FakeOllama) -> FakeOllama:
    """It, healthy and asked nothing yet."""
    return fake_ollama


@pytest.fixture
def fresh(tmp_path: Path) -> Command:
    """The command where nobody has onboarded."""
    return Command(tmp_path / "home")


@pytest.fixture
def picoclaw(fresh: Command, ollama: FakeOllama) -> Command:
    """The command with a config for the fake Ollama."""
    done = fresh("onboard", "--model", "smollm2:135m", "--api-base", ollama.url)
    assert (done.returncode, done.stderr) == (0, "")
    fresh.change(max_llm_retries=1, llm_retry_backoff_secs=1)
    return fresh


@pytest.fixture
def talk(fake_ollama: FakeOllama, provider: str) -> Iterator[Talk]:
    """Talks by one of the two APIs."""
    made = Talk(fake_ollama, provider)
    yield made
    made.close()


@pytest.fixture
def stage() -> Stage:
    """Three replicas of each service."""
    return Stage()


@pytest.fixture
def client(stage):
    """A client of one of them."""
    return stage.client()


@pytest.fixture
def idle(tmp_path: Path) -> Iterator[LocalRig]:
    """A rig whose engine the test begins itself."""
    rig = LocalRig(tmp_path)
    yield rig
    rig.end()


@pytest.fixture
def rig(idle: LocalRig) -> LocalRig:
    """A rig whose engine runs."""
    idle.begin()
    return idle


@pytest.fixture
def serve() -> Iterator[Callable[[Act], Server]]:
    """Start a Server that does this with each request."""
    made: list[Server] = []

    def start(act: Act) -> Server:
        made.append(Server(act))
        return made[-1]

    yield start
    for server in made:
        server.end()


@pytest.fixture
def peers() -> HttpPeers:
    """The way to other racks, with a key and the real time."""
    return HttpPeers(peer_stand_in.KEY, SystemClock())


@pytest.fixture
def hurried(monkeypatch) -> None:
    """All calls to another rack have half a second."""
    for name in ("HELLO", "ASK", "LOOK"):
        monkeypatch.setattr(peer_http, name, SOON)
    monkeypatch.setattr(source_room, "OFFER_SECONDS", SOON)


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Stage]:
    """A replica that shares a key. In the end nothing was written, and its engine was not asked."""
    stage = Stage(peer_key=revolt_rig.KEY, revolt_snapshot_dir=tmp_path / "revolt", label=revolt_rig.TWO)
    before = dict(stage.bus._items)
    yield stage
    written = {key for key, item in stage.bus._items.items() if before.get(key) != item}
    assert {key for key in written if not key.startswith(keys.NONCE.of(""))} == set()
    assert list(tmp_path.rglob("*")) == []
    assert stage.rack.calls == []

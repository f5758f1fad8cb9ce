"""Ollama itself, not one of its models: which it has, its version, and fetching another one."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import httpx
import ollama

from picoclaw.deadline import Deadline
from picoclaw.errors import ConfigInvalid
from picoclaw.refusals import Server
from picoclaw.wire import Bearer, Transport, shown, within

DEFAULT_PORT = 11434
ANSWER_SECONDS = 5.0
"""For a list or a version, where the caller gives no deadline. Ollama answers in milliseconds."""
STALL_SECONDS = 60.0
"""Without any news a pull is given up after this long; Ollama tells of it several times a second."""
_LONGEST_PULL = 256 * 1024 * 1024
_LONGEST_LIST = 4 * 1024 * 1024
_CALLS = ("/api/generate", "/api/chat", "/api/tags", "/api", "/v1/chat/completions", "/v1")


@dataclass(frozen=True, slots=True)
class LocalModel:
    """A model that Ollama has; ``size`` is bytes on its disk, ``modified`` when it came, where it is told."""

    name: str
    size: int
    modified: datetime | None = None


@dataclass(frozen=True, slots=True)
class PullProgress:
    """One report of a pull: what is done now, and the bytes of the part that is fetched, where it says."""

    status: str
    total: int | None
    completed: int | None


def ollama_base(url: str) -> str:
    """Ollama's address without any path of a call: ``http://host:port``, and a prefix if there is one.

    Takes a base, ``…/v1``, ``…/api/generate`` and the like, trailing slashes, and the forms of OLLAMA_HOST:
    no scheme, no port, ``0.0.0.0`` (what a server binds, and no address to connect to). ConfigInvalid for
    anything else. Without a scheme the port is 11434 when none is given, with one the scheme's.
    """
    told = url.strip()
    wanted = f"{shown(told)!r} is no address of Ollama: give one such as http://localhost:{DEFAULT_PORT}"
    try:
        split = urlsplit(told if "://" in told else f"http://{told}")
        host, port = split.hostname, split.port
    except ValueError:
        raise ConfigInvalid(wanted) from None
    if split.scheme not in {"http", "https"} or not host or any(c.isspace() for c in told):
        raise ConfigInvalid(wanted)
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    if port is None:
        port = DEFAULT_PORT if "://" not in told else {"http": 80, "https": 443}[split.scheme]
    path = split.path.rstrip("/")
    for call in _CALLS:
        if path.endswith(call):
            path = path.removesuffix(call).rstrip("/")
            break
    return f"{split.scheme}://{f'[{host}]' if ':' in host else host}:{port}{path}"


def client_of(base: str, limit: int, key: str | None = None) -> ollama.Client:
    """The library's client over our wire; every call of it has to be inside ``wire.within``."""
    return ollama.Client(
        host=base,
        transport=Transport(base, limit),
        auth=Bearer(key),
        trust_env=False,
        follow_redirects=False,
    )


@contextmanager
def translated(server: Server) -> Iterator[None]:
    """What the library raises, as errors of a turn (and ToolsRefused)."""
    try:
        yield
    except ollama.ResponseError as error:
        raise server.refused(error.status_code, str(error.error)) from error
    except (httpx.HTTPError, ConnectionError) as error:
        cause = error.__context__ if isinstance(error, ConnectionError) else None  # its own says little
        told = httpx.ConnectError(str(cause)) if isinstance(cause, Exception) else error
        raise server.unreachable(told) from error
    except (ValueError, AttributeError, TypeError) as error:  # it parses without looking
        raise server.garbled(str(error).partition("\n")[0]) from error


def full_name(name: str) -> str:
    """The name with its tag, as Ollama lists it: "smollm2" is "smollm2:latest"."""
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"


class OllamaServer:
    """One Ollama. Thread-safe. Errors: BackendUnreachable, ModelNotFound, TurnTimeout, ConfigInvalid."""

    def __init__(self, base_url: str) -> None:
        self.base = ollama_base(base_url)
        self._client = client_of(self.base, _LONGEST_LIST)

    def models(self, deadline: Deadline | None = None) -> tuple[LocalModel, ...]:
        """What it has, by name."""
        with within(deadline or Deadline(ANSWER_SECONDS), self.base), translated(self._server()):
            listed = self._client.list().models
        found = (LocalModel(m.model, int(m.size or 0), m.modified_at) for m in listed if m.model)
        return tuple(sorted(found, key=lambda model: model.name))

    def has(self, name: str, deadline: Deadline | None = None) -> bool:
        """Whether it has that model; a name without a tag means its ``latest``."""
        return full_name(name) in {full_name(model.name) for model in self.models(deadline)}

    def version(self, deadline: Deadline | None = None) -> str:
        """Its version ("0.12.3")."""
        with within(deadline or Deadline(ANSWER_SECONDS), self.base), translated(self._server()):
            answer: Any = self._client._client.get("/api/version")  # noqa: SLF001 - the library has no call
            if answer.status_code != 200:
                raise ollama.ResponseError(answer.text, answer.status_code)
            told = answer.json().get("version")
        if not isinstance(told, str):
            raise self._server().garbled("its version is no text")
        return told[:40]

    def pull(
        self, name: str, *, stall: float = STALL_SECONDS, cancel: threading.Event | None = None
    ) -> Iterator[PullProgress]:
        """Fetch a model, telling how it goes; the last report is "success".

        However long it takes, as long as there is news every ``stall`` seconds (else TurnTimeout). Setting
        ``cancel`` ends it; what was fetched is kept by Ollama, and the next pull goes on from there.
        """
        server = self._server(name)
        client = client_of(self.base, _LONGEST_PULL)
        status = ""
        try:
            with closing(client.pull(name, stream=True)) as parts:  # type: ignore[type-var]
                while True:
                    with within(Deadline(stall, cancel), self.base), translated(server):
                        part = next(parts, None)
                    if part is None:
                        break
                    status = str(part.status or "")[:200]
                    yield PullProgress(status, part.total, part.completed)
        finally:
            client.close()  # type: ignore[no-untyped-call]
        if status != "success":
            raise server.cut()

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()  # type: ignore[no-untyped-call]

    def _server(self, name: str = "") -> Server:
        return Server(name, self.base, is_ollama=True)

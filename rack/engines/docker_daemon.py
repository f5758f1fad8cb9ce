"""The way to one Docker engine: its API over Docker's own client, with a deadline on each call.

The client brings the transports, TLS and the choice of the API's version. Its models are not used: they
rebuild a service from the arguments that they know, and what they do not know would be lost. Here a
specification goes back as it came, with one field changed.

Only what these calls name is read: no secret, no config.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import orjson
import requests
from docker.api.client import APIClient
from docker.errors import DockerException
from docker.types.daemon import CancellableStream

from clawbucket.ports import Conflict, Definite, EngineDown, EngineInDoubt

CONNECT = 2.0
"""Seconds to reach the daemon."""
ANSWER = 10.0
"""Seconds for it to answer: a manager that has just lost its leader takes a few to elect another."""
QUIET = 60.0
"""Seconds without an event after which the stream is opened anew, for it may be dead."""

_AS_IT_COMES: Any = None
"""requests' chunk size for: what has arrived, without waiting for more."""

DEFAULT_URL = "unix:///var/run/docker.sock"
_SEQUENCE = "update out of sequence"


class Missing(Definite):
    """There is no such object."""


class OutOfSequence(Definite):
    """Somebody else changed the object since it was read: read it again."""


class Quiet(Exception):  # noqa: N818 - it names the state of the stream
    """No event for a while."""


class Stream(Protocol):
    """Events, one after another."""

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        """Until the other end closes it; Quiet when nothing came for long."""
        ...

    def close(self) -> None:
        """End it, from any thread."""
        ...


class Daemon(Protocol):
    """What the engine asks of Docker. Thread-safe."""

    def get(self, path: str, params: Mapping[str, str] | None = None) -> Any:
        """Decoded JSON. Missing, EngineDown."""
        ...

    def post(self, path: str, params: Mapping[str, str], body: Any = None) -> None:
        """Change something. Missing, OutOfSequence, EngineDown, EngineInDoubt."""
        ...

    def events(self, filters: Mapping[str, list[str]]) -> Stream:
        """What happens from now on. EngineDown."""
        ...

    def close(self) -> None:
        """Let go of the connections."""
        ...


class HttpDaemon:
    """A Daemon at ``url`` (``unix://``, ``tcp://``; None is the usual socket)."""

    def __init__(self, url: str | None = None) -> None:
        self.url = url or DEFAULT_URL
        self._client: APIClient | None = None
        self._making = threading.Lock()

    def get(self, path: str, params: Mapping[str, str] | None = None) -> Any:
        """Decoded JSON."""
        try:
            return orjson.loads(self._send("GET", path, params or {}).content)
        except orjson.JSONDecodeError:
            raise EngineDown(
                f"Docker at {self.url} answered GET {path} with something else than JSON"
            ) from None

    def post(self, path: str, params: Mapping[str, str], body: Any = None) -> None:
        """Change something."""
        self._send("POST", path, params, body)

    def events(self, filters: Mapping[str, list[str]]) -> Stream:
        """What happens from now on."""
        params = {"filters": orjson.dumps(filters).decode()}
        return _HttpStream(self._send("GET", "/events", params, stream=True), self.url)

    def close(self) -> None:
        """Let go of the connections."""
        with self._making:
            if self._client is not None:
                self._client.close()
                self._client = None

    def _knock(self) -> None:
        """See that somebody is behind the socket. EngineDown.

        The client's own failure to connect leaves the socket open until it is collected, and buries the
        reason; a Unix socket is tried in some 20 µs.
        """
        if self.url.startswith("unix://"):
            with socket.socket(socket.AF_UNIX) as knocking:
                knocking.settimeout(CONNECT)
                try:
                    knocking.connect(self.url.removeprefix("unix://"))
                except OSError as error:
                    raise EngineDown(unreachable(self.url, error)) from None

    def _connected(self) -> APIClient:
        """The client; made at the first call, for it asks the daemon which version of the API it speaks."""
        with self._making:
            if self._client is None:
                try:
                    # One figure for both steps here: the client puts it on the socket itself.
                    client = APIClient(self.url, version="auto", timeout=ANSWER)  # type: ignore[no-untyped-call]
                    client.trust_env = False  # a proxy of the environment is for other things
                except DockerException as error:
                    raise EngineDown(unreachable(self.url, error)) from None
                self._client = client
            return self._client

    def _send(
        self, method: str, path: str, params: Mapping[str, str], body: Any = None, *, stream: bool = False
    ) -> requests.Response:
        self._knock()
        client = self._connected()
        asks = method == "GET"
        url = f"{client.base_url}/v{client.api_version}{path}"
        try:
            response: requests.Response = client.request(
                method, url, params=dict(params), json=body, timeout=(CONNECT, QUIET if stream else ANSWER),
                stream=stream,
            )  # fmt: skip
        except requests.exceptions.ConnectTimeout:
            raise EngineDown(f"Docker at {self.url} did not take a connection within {CONNECT:g} s") from None
        except requests.exceptions.RequestException as error:
            if _refusal(error) is not None or asks:
                raise EngineDown(unreachable(self.url, error)) from None
            raise EngineInDoubt(
                f"Docker at {self.url} stopped answering after the order left; look before you ask again"
            ) from None
        if response.status_code < 400:
            return response
        sentence = _sentence(response)
        response.close()
        raise _refused(response.status_code, sentence, self.url, asks=asks)


class _HttpStream:
    """Docker's events: one JSON object a line."""

    def __init__(self, response: requests.Response, url: str) -> None:
        self._response = response
        self._url = url
        self._closed = False
        self._cancel = CancellableStream(iter(()), response)  # type: ignore[no-untyped-call]

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        try:
            for line in self._response.iter_lines(chunk_size=_AS_IT_COMES):
                if line:
                    yield orjson.loads(line)
        except requests.exceptions.ConnectionError as error:
            if "timed out" in str(error).lower():
                raise Quiet from None
            if not self._closed:
                raise EngineDown(f"Docker at {self._url} broke off its events") from None
        except (
            requests.exceptions.RequestException,
            orjson.JSONDecodeError,
            ValueError,
            AttributeError,
        ) as error:
            # A stream closed by another thread fails in whatever way the reader's place makes it.
            if not self._closed:
                raise EngineDown(f"Docker at {self._url} broke off its events: {error}") from None

    def close(self) -> None:
        """End it, from any thread: the socket is shut down, which wakes whoever reads."""
        self._closed = True
        with contextlib.suppress(OSError, AttributeError, DockerException):
            self._cancel.close()  # type: ignore[no-untyped-call]
        self._response.close()


def _refusal(error: BaseException) -> OSError | None:
    """The operating system's word that no connection came about, from deep within the client's wrapping."""
    seen: list[BaseException] = []
    left: list[object] = [error]
    while left and len(seen) < 20:
        one = left.pop()
        if not isinstance(one, BaseException) or one in seen:
            continue
        if isinstance(one, FileNotFoundError | PermissionError | ConnectionRefusedError):
            return one
        seen.append(one)
        left += [one.__cause__, one.__context__, getattr(one, "reason", None), *one.args]
    return None


def unreachable(url: str, error: BaseException) -> str:
    """Why no connection came about, and what is to be typed."""
    refusal = _refusal(error)
    path = url.removeprefix("unix://")
    if isinstance(refusal, PermissionError):
        return (
            f"no permission on Docker's socket {path}; type: sudo usermod -aG docker $USER, and log in again"
        )
    if isinstance(refusal, FileNotFoundError):
        return f"no Docker engine at {url}: there is no such socket; type: sudo systemctl start docker"
    if isinstance(refusal, ConnectionRefusedError):
        return f"no Docker engine listens at {url}; type: sudo systemctl start docker"
    if "timed out" in str(error).lower():
        return f"Docker at {url} did not answer within {ANSWER:g} s; type: docker -H {url} info"
    return f"Docker at {url} cannot be reached ({_first_line(error)}); type: docker -H {url} info"


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def _sentence(response: requests.Response) -> str:
    try:
        return str(orjson.loads(response.content)["message"])
    except (orjson.JSONDecodeError, KeyError, TypeError, requests.exceptions.RequestException):
        return f"status {response.status_code}"


def _refused(status: int, said: str, url: str, *, asks: bool) -> Exception:
    """What Docker's error means: did it take place, and what is to be typed."""
    low = said.lower()
    if status == 404:
        return Missing(said)
    if status == 409:
        return Conflict(f"Docker at {url} answered no: {said[:300]}")
    if _SEQUENCE in low:
        return OutOfSequence(said)
    if "not a swarm manager" in low:
        return EngineDown(NOT_A_MANAGER if "worker node" in low else NO_SWARM)
    if "does not have a leader" in low:
        return EngineDown(
            "the swarm has no leader: too few of its managers are online; bring them back, or type on one: "
            "docker swarm init --force-new-cluster"
        )
    if asks or status < 500:
        return EngineDown(f"Docker at {url} answered no ({status}): {said[:300]}")
    return EngineInDoubt(
        f"Docker at {url} failed at the order ({status}): {said[:300]}; look before you ask again"
    )


NO_SWARM = "this Docker engine is in no swarm; type: docker swarm init"
NOT_A_MANAGER = (
    "this Docker engine is a worker of its swarm, and only managers can tell what runs; on a manager type: "
    "docker node promote <this node>"
)

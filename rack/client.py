"""The rack manager as everybody else sees it: its HTTP API with the ports' meaning.

An order leaves on a connection of its own: a pooled one that the rack manager closed a moment ago would
make a plain order look like one in doubt. Reads go through the pool, since asking twice costs nothing.
Works the same under gevent.
"""

from __future__ import annotations

from typing import Any, NoReturn
from urllib.parse import quote

import orjson
import urllib3
from pydantic import TypeAdapter, ValidationError
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError

from clawbucket import codecs, keys
from clawbucket.core.model import Snapshot, Task
from clawbucket.ports import (
    ClawError,
    Conflict,
    EngineDown,
    EngineInDoubt,
    NodeUnknown,
    ServiceUnknown,
    TaskElsewhere,
    TaskUnknown,
)

_HISTORY = TypeAdapter(tuple[Task, ...])
_LARGEST = keys.LARGEST_SNAPSHOT
_CONNECT = 1.0
"""Seconds for a connection: the rack manager is on this machine or on the next."""

_ERRORS: dict[str, type[ClawError]] = {
    "service_unknown": ServiceUnknown,
    "task_unknown": TaskUnknown,
    "node_unknown": NodeUnknown,
    "task_elsewhere": TaskElsewhere,
    "conflict": Conflict,
    "unauthorized": EngineDown,
    "engine_down": EngineDown,
    "engine_in_doubt": EngineInDoubt,
}


class RackClient:
    """Orders to the rack manager at ``url``, and what it says. Thread- and greenlet-safe.

    Each call is over within ``timeout`` seconds (a long poll: within its wait beyond that).
    """

    def __init__(self, url: str, token: str | None, *, timeout: float = 3.0) -> None:
        self._url = url.rstrip("/")
        self._timeout = timeout
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._pool = urllib3.PoolManager(maxsize=4, retries=False)

    # Orders ----------------------------------------------------------------------------------------

    def scale(self, service: str, replicas: int) -> None:
        """Make ``replicas`` the desired count."""
        self._order(f"/v1/services/{_part(service)}/scale", {"replicas": replicas})

    def resize(self, service: str, by: int, mark: str, leaving: str = "") -> int:
        """One more or one less, once for each mark; the count afterwards."""
        order = {"by": by, "mark": mark} | ({"leaving": leaving} if leaving else {})
        body = self._order(f"/v1/services/{_part(service)}/resize", order)
        try:
            replicas = orjson.loads(body)["replicas"]
        except (orjson.JSONDecodeError, LookupError, TypeError):
            replicas = None
        if not isinstance(replicas, int):
            raise EngineInDoubt(f"{self._url} took the order and told no count that can be understood")
        return replicas

    def restart(self, service: str) -> None:
        """Replace every task of the service, one after another."""
        self._order(f"/v1/services/{_part(service)}/restart", {})

    def kill(self, task_id: str) -> None:
        """End the task's processes at once, as a crash would."""
        self._order(f"/v1/tasks/{_part(task_id)}/kill", {})

    def set_availability(self, node_id: str, availability: str) -> None:
        """``active`` or ``drain``."""
        self._order(f"/v1/nodes/{_part(node_id)}/availability", {"availability": availability})

    # What it says ----------------------------------------------------------------------------------

    def snapshot(self, after: int = 0, wait: float = 0.0) -> Snapshot | None:
        """The latest snapshot; None when none but number ``after`` came within ``wait`` seconds (at most 25).

        EngineDown when the rack manager does not answer: nothing was asked for, so nothing is in doubt.
        """
        status, body = self._read(f"/v1/snapshot?after={after}&wait={wait:g}", wait)
        if status == 204:
            return None
        try:
            return codecs.SNAPSHOT.decode(body)
        except ValueError as error:
            raise EngineDown(f"{self._url} sent no snapshot that can be understood ({error})") from None

    def history(self, service: str) -> tuple[Task, ...]:
        """The kept dead tasks, newest first. ServiceUnknown, EngineDown."""
        _, body = self._read(f"/v1/services/{_part(service)}/history")
        try:
            return _HISTORY.validate_json(orjson.dumps(orjson.loads(body)["tasks"]), strict=True)
        except (ValidationError, orjson.JSONDecodeError, LookupError, TypeError):
            raise EngineDown(f"{self._url} sent no history that can be understood") from None

    def ping(self) -> None:
        """Return when the rack manager answers that it lives. EngineDown."""
        self._read("/livez")

    def close(self) -> None:
        """Give the connections back."""
        self._pool.clear()

    # Inside ----------------------------------------------------------------------------------------

    def _order(self, path: str, body: dict[str, Any]) -> bytes:
        headers = {**self._headers, "Content-Type": "application/json", "Connection": "close"}
        with urllib3.PoolManager(num_pools=1, retries=False) as own:
            try:
                response = own.request(
                    "POST",
                    self._url + path,
                    body=orjson.dumps(body),
                    headers=headers,
                    timeout=urllib3.Timeout(connect=_CONNECT, read=self._timeout),
                )
            except (NewConnectionError, ConnectTimeoutError):
                raise self._unreachable() from None
            except HTTPError as error:
                raise EngineInDoubt(
                    f"the rack manager at {self._url} stopped answering after the order left ({_why(error)})"
                ) from error
        if response.status >= 300:
            _refused(response.status, response.data, EngineInDoubt)
        return response.data

    def _read(self, path: str, wait: float = 0.0) -> tuple[int, bytes]:
        try:
            return self._get(path, wait)
        except (NewConnectionError, ConnectTimeoutError):
            raise self._unreachable() from None
        except HTTPError as error:
            raise EngineDown(f"the rack manager at {self._url} does not answer ({_why(error)})") from error

    def _get(self, path: str, wait: float) -> tuple[int, bytes]:
        response = self._pool.request(
            "GET",
            self._url + path,
            headers=self._headers,
            timeout=urllib3.Timeout(connect=_CONNECT, read=self._timeout + wait),
            preload_content=False,
        )
        try:
            body = response.read(_LARGEST + 1)
        finally:
            # What is longer than allowed is not read to its end, and its connection not used again.
            response.drain_conn() if response.length_remaining in {0, None} else response.close()
            response.release_conn()
        if response.status >= 300:
            _refused(response.status, body, EngineDown)
        return response.status, body

    def _unreachable(self) -> EngineDown:
        return EngineDown(f"the rack manager at {self._url} cannot be reached; does it run?")


def _refused(status: int, body: bytes, otherwise: type[EngineDown | EngineInDoubt]) -> NoReturn:
    """Raise what a refusal means; ``otherwise`` when the rack manager did not say."""
    try:
        said = orjson.loads(body)
        code, sentence = str(said["code"]), str(said["error"])[:500]
    except (orjson.JSONDecodeError, LookupError, TypeError):
        code, sentence = "", f"the rack manager answered {status}"
    if code in _ERRORS:
        raise _ERRORS[code](sentence)
    raise (Conflict if status < 500 else otherwise)(sentence)


def _part(name: str) -> str:
    return quote(name, safe="")


def _why(error: HTTPError) -> str:
    return type(error).__name__.removesuffix("Error")

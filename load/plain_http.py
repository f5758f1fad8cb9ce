"""One HTTP call with a deadline, on the standard library alone: for what is no part of the load.

Before the test (is anybody there?), beside it (its figures for the dashboard) and after it (putting back
what it changed). Under Locust the standard library is patched, so this waits without holding others up.
"""

from __future__ import annotations

import http.client
import json
import ssl
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

_LARGEST = 4 * 1_048_576


class Unreachable(Exception):  # noqa: N818 - it names the state
    """No answer: the text says why, in a few words."""


@dataclass(frozen=True, slots=True)
class Told:
    """An answer."""

    status: int
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON; None where it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None

    @property
    def code(self) -> str:
        """The error code of the contract's form; empty where there is none."""
        said = self.json
        return str(said.get("code", "")) if isinstance(said, dict) else ""


def connection(host: str, timeout: float) -> http.client.HTTPConnection:
    """An unopened connection to ``http://name:port`` or ``https://…``. ValueError where that is no such URL.

    As a browser's "go on anyway": a certificate is not checked, since racks have their own.
    """
    parts = urlsplit(host)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError(f"{host[:80]!r} is no http:// or https:// address")
    if parts.scheme == "https":
        unchecked = ssl.create_default_context()
        unchecked.check_hostname, unchecked.verify_mode = False, ssl.CERT_NONE
        return http.client.HTTPSConnection(parts.hostname, parts.port, timeout=timeout, context=unchecked)
    return http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout)


def ask(
    method: str, host: str, path: str, *, body: object = None, token: str | None = None, timeout: float = 3.0
) -> Told:
    """Ask once. Unreachable where nothing came; each step has ``timeout`` seconds."""
    headers = {"Content-Type": "application/json", "Connection": "close"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    asked = connection(host, timeout)
    try:
        asked.request(method, path, None if body is None else json.dumps(body).encode(), headers)
        response = asked.getresponse()
        return Told(response.status, response.read(_LARGEST))
    except (OSError, http.client.HTTPException) as error:
        raise Unreachable(str(error) or type(error).__name__) from error
    finally:
        asked.close()

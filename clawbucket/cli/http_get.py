"""One GET, with the standard library alone: the launcher asks while its programs need the processor."""

from __future__ import annotations

import http.client
from urllib.parse import urlsplit

_LARGEST = 1_048_576


def get(url: str, timeout: float, token: str | None = None) -> tuple[int, bytes]:
    """Status and body (at most 1 MiB). OSError when there is no answer; each step within ``timeout`` s."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=timeout)
    try:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        path = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
        connection.request("GET", path, headers={**headers, "Connection": "close"})
        response = connection.getresponse()
        return response.status, response.read(_LARGEST)
    except http.client.HTTPException as error:
        raise OSError(f"{url} answered no HTTP ({type(error).__name__})") from error
    finally:
        connection.close()

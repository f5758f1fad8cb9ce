"""What every answer gets, around the whole application: security headers, no caching, and a count.

This is WSGI and no Flask hook because it runs for every request of a replica that answers thousands a
second: here it costs microseconds, and nothing that Flask answers by itself can slip by.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from flask import Flask

from app.metrics import OTHER, Metrics
from app.reading import Plain
from app.security import HEADERS
from clawbucket.ports import Clock

Headers = list[tuple[str, str]]
Shortcut = Callable[[dict[str, Any]], Plain | None]
"""The answer to a request that can be given at once; None leaves it to Flask."""
Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
_NO_STORE = ("Cache-Control", "no-store")


def sealed(app: Flask, metrics: Metrics, clock: Clock, shortcuts: Mapping[str, Shortcut]) -> Wsgi:
    """``app`` as WSGI, with everything around it. Its rules are complete by now.

    ``shortcuts``: by path, who may answer a GET or a HEAD without Flask.
    """
    inner, now = app.wsgi_app, clock.monotonic
    endpoints = {rule.rule: rule.rule for rule in app.url_map.iter_rules() if not rule.arguments}
    static = f"{app.static_url_path}/"

    def outer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        began = now()

        def started(status: str, headers: Headers, exc_info: Any = None) -> Any:
            path = environ["PATH_INFO"]
            endpoint = endpoints.get(path) or (static if path.startswith(static) else OTHER)
            metrics.count(endpoint, environ["REQUEST_METHOD"], status[:3], now() - began)
            if not any(name == "Cache-Control" for name, _ in headers):
                headers.append(_NO_STORE)
            headers.extend(HEADERS)
            return start_response(status, headers, exc_info)

        shortcut = shortcuts.get(environ["PATH_INFO"])
        method = environ["REQUEST_METHOD"]
        if shortcut is not None and method in ("GET", "HEAD"):
            answer = shortcut(environ)
            if answer is not None:
                status, headers, body = answer
                started(status, [*headers, ("Content-Length", str(len(body)))] if body else headers)
                return [body] if body and method == "GET" else []
        return inner(environ, started)

    return outer

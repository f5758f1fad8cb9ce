"""The gateway's own noes: contract JSON for programs, a page for a browser."""

from __future__ import annotations

import html
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from string import Template

import orjson

_PAGE = Template((Path(__file__).parent / "error.html").read_text(encoding="utf-8"))


@dataclass(eq=False)
class Fault(Exception):  # noqa: N818 - the word of the contract's 5xx, and not always an error of ours
    """Why a request is answered by the gateway itself. ``code`` is stable; ``sentence`` is for a person.

    ``closes``: the connection cannot be used again, because nobody knows what of a body is still to come.
    """

    status: int
    code: str
    sentence: str
    retry_after: int | None = None
    allow: str | None = None
    closes: bool = False


def no_replica(sentence: str) -> Fault:
    """Nothing was done, because nobody was there to do it; it is safe to ask again."""
    return Fault(503, "no_replica", sentence, retry_after=1)


def upstream_failed(name: str, *, repeatable: bool) -> Fault:
    """``name`` (``replica x``) was given the request and ended without a whole answer."""
    doubt = "" if repeatable else "; it may or may not have taken effect: look before you ask again"
    return Fault(502, "upstream_failed", f"The {name} failed before its answer was whole{doubt}.")


def upstream_timeout(name: str, seconds: float, *, repeatable: bool) -> Fault:
    """``name`` was given the request and said nothing for ``seconds``."""
    doubt = "" if repeatable else "; it may yet take effect: look before you ask again"
    return Fault(504, "upstream_timeout", f"The {name} did not answer within {seconds:g} seconds{doubt}.")


def prefers_html(accept: str) -> bool:
    """True when the Accept field names text/html and ranks it above JSON (RFC 9110 section 12.5.1)."""
    return "text/html" in accept.lower() and _quality(accept, "text/html") > _quality(
        accept, "application/json"
    )


def _quality(accept: str, wanted: str) -> float:
    """The weight that ``accept`` gives a media type; the most specific range decides."""
    best = (0, 0.0)
    kind = wanted.split("/", 1)[0]
    for part in accept.split(","):
        media, _, parameters = part.strip().lower().partition(";")
        rank = {wanted: 3, f"{kind}/*": 2, "*/*": 1}.get(media.strip(), 0)
        if rank:
            best = max(best, (rank, _weight(parameters)))
    return best[1]


def _weight(parameters: str) -> float:
    for parameter in parameters.split(";"):
        name, _, value = parameter.strip().partition("=")
        if name == "q":
            try:
                return min(max(float(value), 0.0), 1.0)
            except ValueError:
                return 0.0
    return 1.0


def render(fault: Fault, *, as_page: bool) -> tuple[dict[str, str], bytes]:
    """The headers and the body of the answer."""
    headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    if fault.retry_after is not None:
        headers["Retry-After"] = str(fault.retry_after)
    if fault.allow is not None:
        headers["Allow"] = fault.allow
    if not as_page:
        headers["Content-Type"] = "application/json"
        return headers, orjson.dumps({"error": fault.sentence, "code": fault.code})
    headers["Content-Type"] = "text/html; charset=utf-8"
    headers["Content-Security-Policy"] = "default-src 'none'; base-uri 'none'; frame-ancestors 'none'"
    words = {
        "status": str(fault.status),
        "phrase": HTTPStatus(fault.status).phrase,
        "sentence": fault.sentence,
        "code": fault.code,
    }
    page = _PAGE.substitute({name: html.escape(word) for name, word in words.items()})
    return headers, page.encode()

"""The server's own part of a request: a body that must come in time, and what is no HTTP at all."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import gevent
import orjson
from gunicorn.http.errors import InvalidHeader, LimitRequestHeaders, LimitRequestLine

from clawbucket.wsgi import _NO_HTTP, _last_words, body_within


class Slow:
    """A body of which nothing ever comes."""

    def read(self, _size: int) -> bytes:
        """Wait for longer than anybody will."""
        gevent.sleep(60)
        return b""


def ask(environ: dict[str, Any], *, largest: int = 8, seconds: float = 5.0) -> tuple[str, bytes]:
    """Status and body of an application that gives back what it was given."""
    told: list[str] = []

    def echo(given: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [given["wsgi.input"].read()]

    answer = body_within(echo, seconds, largest)(environ, lambda status, _headers: told.append(status))
    return told[0], b"".join(answer)


def test_a_body_is_read_before_the_application_is_asked():
    """What came within time and size is passed on whole."""
    assert ask({"CONTENT_LENGTH": "5", "wsgi.input": BytesIO(b"hello")}) == ("200 OK", b"hello")


def test_a_long_body_is_cut_one_byte_after_the_limit():
    """Of a body without a length just enough is read to tell that it is too long."""
    chunked = {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input": BytesIO(b"x" * 100)}
    assert ask(chunked) == ("200 OK", b"x" * 9)


def test_a_body_that_does_not_come_is_408():
    """Whoever promises a body and sends none holds nobody up for longer than the deadline."""
    status, body = ask({"CONTENT_LENGTH": "5", "wsgi.input": Slow()}, seconds=0.02)
    assert status == "408 Request Timeout"
    assert orjson.loads(body)["code"] == "body_too_slow"


def test_a_request_without_a_body_is_passed_on_untouched():
    """GET costs nothing here."""
    stream = BytesIO(b"")
    assert ask({"wsgi.input": stream}) == ("200 OK", b"")


def test_what_is_no_http_is_told_in_the_contracts_form():
    """Each refusal of gunicorn's parser is JSON with a status of its own, and hangs up."""
    statuses = {}
    for error in (LimitRequestLine(1, 2), LimitRequestHeaders("x"), InvalidHeader("x")):
        status, code, sentence = next(told for kind, told in _NO_HTTP if isinstance(error, kind))
        head, _, body = _last_words(status, code, sentence).partition(b"\r\n\r\n")
        assert b"Connection: close" in head
        assert orjson.loads(body) == {"error": sentence, "code": code}
        statuses[code] = status
    assert statuses == {"uri_too_long": 414, "headers_too_large": 431, "bad_request": 400}

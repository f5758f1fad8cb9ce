from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy

from gateway.errors import Fault, no_replica, prefers_html, render, upstream_failed, upstream_timeout
from gateway.headers import (
    READ_AFTER,
    BadHeader,
    Framing,
    as_upgrade,
    framing_of,
    request_headers,
    response_head,
    wants_websocket,
)
from gateway.proxy import says_draining

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"


def fields(*pairs: tuple[str, str]) -> CIMultiDictProxy[str]:
    """Header fields as aiohttp gives them."""
    return CIMultiDictProxy(CIMultiDict(pairs))


def sent(
    *pairs: tuple[str, str], client: str | None = "192.0.2.7", age: int | None = None
) -> CIMultiDict[str]:
    """What a replica is sent for these fields of a client."""
    return request_headers(fields(*pairs), client, age)


def head(
    *pairs: tuple[bytes, bytes], framing: Framing = Framing.LENGTH, connection: str | None = None
) -> bytes:
    """What a client is sent for these fields of a replica."""
    return response_head(200, "OK", pairs, served_by="web.1.abc", framing=framing, connection=connection)


@pytest.mark.parametrize(
    "name",
    ["Connection", "Keep-Alive", "Proxy-Connection", "TE", "Trailer", "Transfer-Encoding", "Upgrade",
     "Proxy-Authorization", "proxy-authenticate", "Expect"],
)  # fmt: skip
def test_hop_by_hop_fields_end_at_the_gateway(name: str):
    """RFC 9110 section 7.6.1: they speak of one connection."""
    assert name not in sent(("Host", "h"), (name, "x"))


def test_fields_that_connection_names_end_too():
    """``Connection: close, X-Hop`` takes X-Hop with it."""
    got = sent(("Connection", "close, X-Hop"), ("Connection", "x-other"), ("X-Hop", "1"), ("X-Other", "2"))
    assert "X-Hop" not in got
    assert "X-Other" not in got


def test_connection_cannot_name_host_or_length_away():
    """What says where a request goes, and where it ends, is not for a client to remove."""
    got = sent(("Host", "h"), ("Content-Length", "3"), ("Connection", "host, content-length"))
    assert (got["Host"], got["Content-Length"]) == ("h", "3")


@pytest.mark.parametrize(
    "name",
    ["Forwarded", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "x-forwarded-prefix",
     "X-Real-IP", "X-Served-By", "X-Clawbucket-Read-After", "X-Clawbucket-Anything", "X_Forwarded_For",
     "X-Forwarded_For", "X_CLAWBUCKET_READ_AFTER", "X_Real_IP"],
)  # fmt: skip
def test_forged_forwarding_fields_are_dropped(name: str):
    """A client cannot say where it comes from, nor speak as the gateway; underscores do not help."""
    assert "forged" not in list(sent(("Host", "h"), (name, "forged")).values())


def test_the_gateway_says_where_a_request_came_from():
    """Client, protocol, host and path of the request are told to the replica; Host stays."""
    got = sent(("Host", "bob.example:8080"), ("Via", "1.0 squid"))
    assert got["X-Forwarded-For"] == "192.0.2.7"
    assert got["X-Forwarded-Proto"] == "http"
    assert got["X-Forwarded-Host"] == got["Host"] == "bob.example:8080"
    assert got.getall("Via") == ["1.0 squid", "1.1 clawbucket"]


def test_all_else_passes_in_order_and_as_often_as_it_came():
    """End-to-end fields are nobody's business here, repeated ones included."""
    got = sent(
        ("Host", "h"), ("Cookie", "a=1"), ("Cookie", "b=2"), ("X_Odd", "é"), ("Authorization", "Bearer t")
    )
    assert got.getall("Cookie") == ["a=1", "b=2"]
    assert (got["X_Odd"], got["Authorization"]) == ("é", "Bearer t")


def test_bytes_that_are_not_text_are_refused():
    """The HTTP client reads them as lone surrogates and would leave them out when it writes."""
    with pytest.raises(BadHeader, match="X-Odd"):
        sent(("Host", "h"), ("X-Odd", "caf\udce9"))


def test_a_read_is_told_of_the_latest_mutation():
    """The age goes to the replica in milliseconds; without one there is no such field."""
    assert sent(("Host", "h"), age=12)[READ_AFTER] == "12"
    assert READ_AFTER not in sent(("Host", "h"))


@pytest.mark.parametrize(
    ("upgrade", "connection", "asks"),
    [("websocket", "Upgrade", True), ("WebSocket", "keep-alive, upgrade", True),
     ("websocket", "close", False), ("h2c", "Upgrade", False)],
)  # fmt: skip
def test_a_websocket_is_asked_for_by_both_fields(upgrade: str, connection: str, asks: bool):
    """RFC 6455: Upgrade names it, and Connection names Upgrade."""
    assert wants_websocket(fields(("Upgrade", upgrade), ("Connection", connection))) is asks


def test_a_websocket_is_asked_of_the_replica():
    """The two fields that end at each hop are set anew for the next."""
    got = as_upgrade(sent(("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Key", "k")))
    assert (got["Upgrade"], got["Connection"], got["Sec-WebSocket-Key"]) == ("websocket", "Upgrade", "k")


@pytest.mark.parametrize(
    ("method", "status", "length", "chunks", "framing"),
    [
        ("GET", 200, 5, True, Framing.LENGTH),
        ("GET", 200, None, True, Framing.CHUNKED),
        ("GET", 200, None, False, Framing.CLOSE),
        ("HEAD", 200, 5, True, Framing.HEAD),
        ("HEAD", 200, None, True, Framing.HEAD),
        ("GET", 304, 5, True, Framing.HEAD),
        ("GET", 204, None, True, Framing.EMPTY),
        ("HEAD", 204, None, True, Framing.EMPTY),
        ("GET", 101, None, True, Framing.EMPTY),
    ],
)
def test_how_the_end_of_a_body_is_told(
    method: str, status: int, length: int | None, chunks: bool, framing: Framing
):
    """RFC 9112 section 6.3, for clients with chunks and without."""
    assert framing_of(method, status, length, chunks=chunks) is framing


def test_an_answer_passes_as_the_bytes_it_was():
    """Duplicates, order, spelling and bytes that are no text stay; hop-by-hop fields go."""
    got = head(
        (b"set-COOKIE", b"a=1"), (b"Set-Cookie", b"b=2"), (b"X-Odd", b"caf\xe9"), (b"Content-Length", b"2"),
        (b"Connection", b"close, X-Hop"), (b"X-Hop", b"1"), (b"Keep-Alive", b"5"),
        (b"X-Served-By", b"forged"),
    )  # fmt: skip
    assert got == (
        b"HTTP/1.1 200 OK\r\nset-COOKIE: a=1\r\nSet-Cookie: b=2\r\nX-Odd: caf\xe9\r\nContent-Length: 2\r\n"
        b"X-Served-By: web.1.abc\r\nVia: 1.1 clawbucket\r\n\r\n"
    )


@pytest.mark.parametrize("framing", [Framing.CHUNKED, Framing.CLOSE, Framing.EMPTY])
def test_a_length_is_never_told_beside_another_framing(framing: Framing):
    """Two ways to tell the end are how answers are smuggled."""
    assert b"content-length" not in head((b"Content-Length", b"2"), framing=framing).lower()


def test_connection_is_the_gateways_own():
    """Closing, and going on as a WebSocket, are told to the client by the gateway."""
    assert b"\r\nConnection: close\r\n" in head(connection="close")
    assert b"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" in head(connection="Upgrade")


@given(st.binary(max_size=9), st.sampled_from([b"\r", b"\n", b"\0", b"\r\n"]), st.binary(max_size=9))
def test_a_replica_cannot_write_a_second_answer(before: bytes, stray: bytes, after: bytes):
    """A stray CR, LF or NUL in a value is refused whole."""
    with pytest.raises(BadHeader):
        head((b"X-Odd", before + stray + after))


@pytest.mark.parametrize(
    ("accept", "page"),
    [("", False), ("*/*", False), ("application/json", False), (BROWSER, True), ("text/html", True),
     ("text/*;q=0.9, application/json;q=0.5", False), ("text/html;q=0.2, application/json", False),
     ("text/html;q=0", False), ("text/html;q=nonsense, */*", False), ("TEXT/HTML, */*;q=0.1", True)],
)  # fmt: skip
def test_a_browser_gets_a_page_and_a_program_gets_json(accept: str, page: bool):
    """Only an Accept that names text/html and ranks it above JSON gets HTML."""
    assert prefers_html(accept) is page


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        (no_replica("None."), 503, "no_replica"),
        (upstream_failed("web.1.abc", repeatable=False), 502, "upstream_failed"),
        (upstream_timeout("web.1.abc", 30.0, repeatable=True), 504, "upstream_timeout"),
    ],
)
def test_faults_have_the_contracts_form(fault: Fault, status: int, code: str):
    """One clear sentence and a stable code, and Retry-After where asking again is safe."""
    headers, body = render(fault, as_page=False)
    said = json.loads(body)
    assert (fault.status, said["code"], set(said)) == (status, code, {"error", "code"})
    assert said["error"].endswith(".")
    assert (headers.get("Retry-After") == "1") is (status == 503)


def test_an_act_in_doubt_is_called_so():
    """After a mutation's replica died the sentence says that it may have taken effect."""
    assert "may or may not" in upstream_failed("x", repeatable=False).sentence
    assert "may" not in upstream_failed("x", repeatable=True).sentence


def test_the_page_escapes_what_it_shows():
    """A task name from a hostile engine is text, and the page may load nothing."""
    headers, body = render(upstream_failed("<script>alert(1)</script>", repeatable=True), as_page=True)
    assert b"<script>" not in body
    assert b"&lt;script&gt;" in body
    assert headers["Content-Security-Policy"].startswith("default-src 'none'")


@pytest.mark.parametrize(
    ("body", "draining"),
    [(b'{"error":"x","code":"draining"}', True), (b'{"code":"bus_down"}', False), (b"draining", False),
     (b'["draining"]', False), (b"", False)],
)  # fmt: skip
def test_draining_is_told_by_its_code(body: bytes, draining: bool):
    """Any other 503 is the replica's answer, not its farewell."""
    assert says_draining(body) is draining

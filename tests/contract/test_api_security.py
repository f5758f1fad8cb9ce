"""Limits and bad input: who may change things, from where, how, and how much."""

from __future__ import annotations

from io import BytesIO

import pytest

from app import answers
from app.schemas import LARGEST_BODY
from app.security import HEADERS
from clawbucket.core.model import Node
from tests.contract.api_form import refused, told
from tests.stage import PRIMARY, Stage, task_id

TOKEN = "correct horse battery"
SAY = {"text": "hi"}
MUTATIONS = (
    "/api/scale", "/api/chat", "/api/agent/ask", "/api/arm", "/api/rps/config", "/api/load",
    "/api/outage", "/api/self_destruct", "/api/session", "/api/session/end",
)  # fmt: skip
LOCKED = MUTATIONS[:-2]
"""Those that need the token where one is set: all but logging in and out."""


@pytest.fixture
def locked() -> Stage:
    """A replica where a token is set."""
    return Stage(token=TOKEN)


def say(client, **headers: str):
    """POST /api/chat with these headers."""
    return client.post("/api/chat", json=SAY, headers={k.replace("_", "-"): v for k, v in headers.items()})


# -- from where ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("localhost:8080", "http://localhost:8080"), ("127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("LOCALHOST:8080", "http://localhost:8080"), ("[::1]:8080", "http://[::1]:8080"),
        ("localhost", "https://localhost"), ("localhost:80", "http://localhost"),
        ("localhost", "http://localhost:80"), ("rack.localhost:8080", "http://rack.localhost:8080"),
    ],
)  # fmt: skip
def test_the_dashboards_own_pages_may_change_things(client, host, origin):
    """An Origin of the same host and port is taken, whatever the scheme: TLS may end before us."""
    assert say(client, Host=host, Origin=origin, Sec_Fetch_Site="same-origin").status_code == 201


def test_programs_may_change_things(client):
    """Without Origin and Sec-Fetch-Site it is no browser's page, and it is taken."""
    assert say(client).status_code == 201
    assert say(client, Sec_Fetch_Site="none").status_code == 201


@pytest.mark.parametrize(
    "origin",
    [
        "null", "http://evil.example", "http://localhost:9", "http://localhost.evil.example", "", "http://",
        "http://localhost@evil.example", "file://localhost", "http://[::1", "localhost",
    ],
)  # fmt: skip
def test_other_origins_are_refused(client, origin):
    """An Origin that is not this one, ``null`` among them, is 403."""
    refused(say(client, Host="localhost", Origin=origin), 403, "cross_origin")


@pytest.mark.parametrize("site", ["cross-site", "same-site", "?"])
def test_other_sites_are_refused(client, site):
    """Sec-Fetch-Site of another site is 403, also without an Origin."""
    refused(say(client, Sec_Fetch_Site=site), 403, "cross_origin")


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8080", "localhost.evil.example", "", "127.0.0.1.nip.io"]
)
def test_a_name_that_is_not_ours_is_refused(client, host):
    """A Host that somebody else's DNS made point here is 403, even with its own Origin (DNS rebinding)."""
    refused(say(client, Host=host, Origin=f"http://{host}"), 403, "host_not_allowed")


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "10.1.2.3:8080", "[::1]:8080", "[fe80::1]", "localhost", "localhost.", "x.localhost"],
)
def test_addresses_and_local_names_are_ours(client, host):
    """Any IP address and any name under localhost is allowed: no DNS is in it."""
    assert say(client, Host=host).status_code == 201


def test_this_machines_name_is_ours(stage, client):
    """The machine's own host name is allowed."""
    assert say(client, Host=f"{stage.settings.hostname.upper()}:8080").status_code == 201


def test_the_nodes_names_are_ours():
    """Whichever node of the swarm somebody comes by, this one or one of the last snapshot."""
    stage = Stage(swarm_node="Tower-7")
    client = stage.client()
    refused(say(client, Host="tower-8"), 403, "host_not_allowed")
    stage.publish(nodes=(Node("n1", "Tower-7", leader=True), Node("n2", "tower-8")))
    client.get("/api/swarms")
    for host in ("tower-7:8080", "TOWER-8"):
        assert say(client, Host=host, Origin=f"http://{host}").status_code == 201
    refused(say(client, Host="tower-9"), 403, "host_not_allowed")
    refused(say(client, Host=""), 403, "host_not_allowed")


def test_more_names_can_be_allowed():
    """CLAWBUCKET_ALLOWED_HOSTS adds names, and ``*`` all."""
    client = Stage(allowed_hosts=("bob.example",)).client()
    assert say(client, Host="bob.example:8080").status_code == 201
    refused(say(client, Host="eve.example"), 403, "host_not_allowed")
    assert say(Stage(allowed_hosts=("*",)).client(), Host="eve.example").status_code == 201


def test_reading_is_open(locked):
    """Reading asks for nothing: no token, no origin, any name."""
    client = locked.client()
    for path in ("/", "/api/swarms", "/api/chat", "/readyz", "/openapi.json"):
        headers = {"Host": "evil.example", "Origin": "http://evil.example", "Sec-Fetch-Site": "cross-site"}
        assert client.get(path, headers=headers).status_code == 200


# -- how and how much ----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", MUTATIONS)
@pytest.mark.parametrize("kind", ["text/plain", "multipart/form-data; boundary=x", "application/xml", ""])
def test_only_json_and_forms_are_taken(client, path, kind):
    """A body of any other kind is 415: what a page elsewhere can send unasked is text/plain or multipart."""
    refused(client.post(path, data=b"{}", content_type=kind), 415, "media_type")


@pytest.mark.parametrize("path", MUTATIONS)
def test_large_bodies_are_refused(client, path):
    """More than 64 KiB are 413, also as a form, and before anything is read."""
    body = b"x" * (LARGEST_BODY + 1)
    for kind in ("application/json", "application/x-www-form-urlencoded"):
        refused(client.post(path, data=body, content_type=kind), 413, "body_too_large")


def test_large_bodies_without_a_length_are_refused(client):
    """A chunked body cannot hide its size."""
    for kind in ("application/json", "application/x-www-form-urlencoded"):
        response = client.post(
            "/api/chat", input_stream=BytesIO(b'{"text":"' + b"x" * LARGEST_BODY), content_type=kind,
            environ_overrides={"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"},
        )  # fmt: skip
        refused(response, 413, "body_too_large")


def test_a_body_of_64_kib_is_read(client):
    """The limit itself is allowed."""
    body = b'{"text":"' + b"x" * (LARGEST_BODY - 11) + b'"}'
    assert len(body) == LARGEST_BODY
    assert client.post("/api/chat", data=body, content_type="application/json").status_code == 201


def test_many_form_fields_are_no_harm(client):
    """A form of thousands of fields is answered like any other."""
    body = "&".join(f"f{n}=1" for n in range(7_000)) + "&text=hi"
    sent = client.post("/api/chat", data=body, content_type="application/x-www-form-urlencoded")
    assert sent.status_code == 201


# -- the token -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "/api/scale",
        "/api/chat",
        "/api/agent/ask",
        "/api/arm",
        "/api/rps/config",
        "/api/outage",
        "/api/self_destruct",
    ],
)
def test_mutations_need_the_token(locked, path):
    """Where a token is set, 401 names the scheme and nothing happens."""
    response = locked.client().post(path, json={"replicas": 2})
    refused(response, 401, "token_needed")
    assert response.headers["WWW-Authenticate"] == "Bearer"
    assert locked.rack.calls == []


def test_the_bearer_token_is_taken(locked):
    """The token as bearer, in any case of the scheme's name, is taken."""
    client = locked.client()
    assert say(client, Authorization=f"Bearer {TOKEN}").status_code == 201
    assert say(client, Authorization=f"bearer {TOKEN}").status_code == 201


@pytest.mark.parametrize(
    "value", ["Bearer wrong", f"Basic {TOKEN}", TOKEN, "Bearer", "Bearer ", f"Bearer {TOKEN}x", "Bearer ä"]
)
def test_anything_else_is_no_token(locked, value):
    """A wrong token, another scheme or none is 401."""
    refused(say(locked.client(), Authorization=value), 401, "token_needed")


def test_a_browser_logs_in_and_out(locked):
    """The dashboard's form sets a cookie that stands for the token, and ends it."""
    client = locked.client()
    response = client.post("/api/session", data={"token": TOKEN})
    assert (response.status_code, response.headers["Location"]) == (303, "/")
    cookie = response.headers["Set-Cookie"]
    assert all(part in cookie for part in ("HttpOnly", "SameSite=Strict", "Path=/"))
    assert TOKEN not in cookie
    assert say(client).status_code == 201
    assert client.post("/api/session/end", data={"": ""}).status_code == 303
    refused(say(client), 401, "token_needed")


def test_htmx_and_programs_log_in(locked):
    """JSON and htmx get a word instead of a redirect; over TLS the cookie is for TLS alone."""
    client = locked.client()
    as_htmx = client.post("/api/session", data={"token": TOKEN}, headers={"HX-Request": "true"})
    told(as_htmx, 200, answers.Ok)
    secure = client.post("/api/session", json={"token": TOKEN}, base_url="https://localhost")
    told(secure, 200, answers.Ok)
    assert "Secure" in secure.headers["Set-Cookie"]
    assert "Secure" not in as_htmx.headers["Set-Cookie"]


def test_a_wrong_login_is_401(locked):
    """What is not the token sets no cookie; what is no text is 400."""
    client = locked.client()
    for token in ("wrong", "ä", TOKEN.upper()):
        response = client.post("/api/session", json={"token": token})
        refused(response, 401, "token_wrong")
        assert "Set-Cookie" not in response.headers
    refused(client.post("/api/session", json={"token": 7}), 400, "bad_payload")
    refused(client.post("/api/session", data={"x": ""}), 400, "bad_payload")


def test_a_cookie_of_another_token_is_no_login(locked):
    """A changed token ends every login, and a forged cookie never began one."""
    old = Stage(token="an older secret").client()
    old.post("/api/session", json={"token": "an older secret"})
    client = locked.client()
    good = client.post("/api/session", json={"token": TOKEN}).headers["Set-Cookie"].split("=")[0]
    stale = next(iter(old._cookies.values())).value
    for forged in (stale, "", "x", "x.y", "ä"):
        client.set_cookie(good, forged)
        refused(say(client), 401, "token_needed")


def test_the_cookie_does_not_help_another_site(locked):
    """A logged-in browser on another site's page is refused before the cookie is looked at."""
    client = locked.client()
    client.post("/api/session", json={"token": TOKEN})
    refused(say(client, Origin="http://evil.example"), 403, "cross_origin")


def test_every_replica_of_a_rack_takes_the_login(locked):
    """The cookie of one replica is good for its neighbours: the gateway asks now one and now the other."""
    client = locked.client()
    client.post("/api/session", json={"token": TOKEN})
    neighbour = Stage(token=TOKEN).client()
    cookie = next(iter(client._cookies.values()))
    neighbour.set_cookie(cookie.key, cookie.value)
    assert say(neighbour).status_code == 201


def test_without_a_token_there_is_no_login(client):
    """Where no token is set, 409 says so."""
    refused(client.post("/api/session", json={"token": "whatever"}), 409, "no_token_set")
    refused(client.post("/api/session/end", json={}), 409, "no_token_set")


# -- what browsers are told ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/", "/api/swarms", "/api/whoami", "/nope", "/static/patcher.js", "/ui/chat", "/livez"]
)
def test_every_answer_carries_the_security_headers(client, path):
    """Pages, JSON, files and errors alike; no script or style but our own files."""
    with client.get(path) as response:
        headers = response.headers
    for name, value in HEADERS:
        assert headers.getlist(name) == [value]
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert headers["Cache-Control"]


def test_refusals_carry_them_too(client):
    """403, 405 and 415 are no exception, and nothing of them is kept."""
    for response in (
        say(client, Origin="null"),
        client.put("/api/chat"),
        client.post("/api/chat", data=b"x"),
    ):
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Cache-Control"] == "no-store"


HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>{{7*7}}"


@pytest.mark.parametrize("path", ["/", "/ui/chat", "/ui/squads"])
def test_what_people_say_is_shown_as_text(stage, client, path):
    """Chat, bots and words are escaped wherever they appear; no page has script or style of its own."""
    client.post("/api/chat", json={"text": HOSTILE})
    client.post("/api/arm", json={"task_id": task_id(PRIMARY, 1), "state": "on", "bot": HOSTILE[:80]})
    stage.publish(error=HOSTILE)
    stage.clock.advance(1)
    page = client.get(path).text
    assert "<script>alert" not in page
    assert "<img src=x" not in page
    assert "onerror=" not in page.replace("onerror=alert(1)&gt;", "")
    assert "<style" not in page
    assert " style=" not in page


def test_errors_do_not_repeat_markup(client):
    """An error is JSON with nosniff, and quotes what was given only cut short."""
    response = client.post("/api/scale", json={"replicas": 3, "service": "<script>"})
    assert response.mimetype == "application/json"
    assert len(say(client, Host="x" * 5_000).get_json()["error"]) < 400

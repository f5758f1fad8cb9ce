"""Who may change things: the guard before every mutation, the login cookie, and what browsers are told.

Reading is open. A mutation must come from the page itself or from no page at all (Origin,
Sec-Fetch-Site), under a name that this machine may have (Host: a page elsewhere that got its own name to
resolve to this address is refused), as a small JSON or form body, and with the token where one is set.
Prior art: OWASP's CSRF cheat sheet; Jupyter Server's ``allow_origin`` and ``local_hostnames``.
"""

from __future__ import annotations

import hmac
import ipaddress
import secrets
from collections.abc import Callable, Iterable
from hashlib import sha256
from urllib.parse import urlsplit

from flask import Request
from itsdangerous import BadSignature, Signer
from werkzeug.wrappers import Response

from app.errors import Refusal, too_large
from app.intake import FORM, JSON
from app.schemas import LARGEST_BODY
from clawbucket.settings import Settings

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = (
    ("Content-Security-Policy", _POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    # Not no-referrer: under that, browsers send "Origin: null" with the page's own forms (Fetch, 3.1).
    ("Referrer-Policy", "same-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
)
"""Every answer carries these."""


class Guard:
    """Refuses the mutations that must not be. Holds nothing that changes.

    ``nodes`` gives the host names of the swarm's nodes as they are now: any of them leads to this replica,
    wherever it runs.
    """

    def __init__(self, settings: Settings, nodes: Callable[[], Iterable[str]] = tuple) -> None:
        own = {settings.hostname.lower(), settings.swarm_node.lower(), "localhost", *settings.allowed_hosts}
        self._hosts = frozenset(own - {""})
        self._nodes = nodes
        self._any_host = "*" in settings.allowed_hosts
        self._token = settings.token.encode() if settings.token else None
        self.login = LoginCookie(settings.token) if settings.token else None

    def check(self, request: Request, *, token: bool = True) -> None:
        """Refusal unless this mutation may go on. ``token``: also ask for it, where one is set."""
        self._host(request)
        self._origin(request)
        if token:
            self._authenticated(request)
        self.check_body(request)

    def knows(self, token: bytes) -> bool:
        """Whether this is the token, told in constant time."""
        return self._token is not None and hmac.compare_digest(token, self._token)

    def _host(self, request: Request) -> None:
        host = name_of_host(request.headers.get("Host", ""))
        if self._any_host or host in self._hosts or host.endswith(".localhost") or _is_address(host):
            return
        if host and any(host == node.lower() for node in self._nodes()):
            return
        raise Refusal(
            403,
            "host_not_allowed",
            f"Changes are not taken under the name {host[:80]!r}; use this machine's address or name, or "
            "add the name to CLAWBUCKET_ALLOWED_HOSTS.",
        )

    def _origin(self, request: Request) -> None:
        site = request.headers.get("Sec-Fetch-Site", "none")
        origin = request.headers.get("Origin")
        same = origin is None or authority(origin_authority(origin)) == authority(
            request.headers.get("Host", "")
        )
        if site not in {"same-origin", "none"} or not same:
            raise Refusal(
                403,
                "cross_origin",
                "Changes are taken from this dashboard's own pages only, not from another site.",
            )

    def _authenticated(self, request: Request) -> None:
        if self.login is None:
            return
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self.knows(given.strip().encode("latin-1", "replace")):
            return
        if self.login.valid(request.cookies.get(self.login.name, "")):
            return
        raise Refusal(
            401,
            "token_needed",
            "Changes need the token: send it as 'Authorization: Bearer …', or log in on the dashboard.",
            {"WWW-Authenticate": "Bearer"},
        )

    def check_body(self, request: Request) -> None:
        """Refusal where the body is of a type or a size that is not taken."""
        if request.mimetype not in {JSON, FORM}:
            given = request.mimetype[:80] or "no type"
            raise Refusal(415, "media_type", f"The body must be {JSON} or {FORM}; {given} was sent.")
        if request.content_length is not None and request.content_length > LARGEST_BODY:
            raise too_large()


class LoginCookie:
    """The proof that a browser once showed the token.

    It is signed with the token itself, so every replica of a rack takes it and it ends when the token
    changes. It has no date: replicas would have to compare their clocks. Its name is made of the token
    too, because two racks on one host share their cookies (RFC 6265 section 8.5: ports do not isolate).
    """

    def __init__(self, token: str) -> None:
        self._signer = Signer(token, salt="clawbucket.login", key_derivation="hmac", digest_method=sha256)
        self.name = "claw_login_" + hmac.new(token.encode(), b"cookie name", sha256).hexdigest()[:8]

    def valid(self, value: str) -> bool:
        """Whether this process, or one with the same token, made it."""
        try:
            self._signer.unsign(value)
        except BadSignature:
            return False
        return True

    def give(self, response: Response, *, secure: bool) -> None:
        """Log the browser in."""
        value = self._signer.sign(secrets.token_urlsafe(12)).decode()
        response.set_cookie(self.name, value, httponly=True, samesite="Strict", secure=secure, path="/")

    def take(self, response: Response) -> None:
        """Log the browser out."""
        response.delete_cookie(self.name, httponly=True, samesite="Strict", path="/")


def authority(netloc: str) -> str:
    """``host:port`` for comparing: in lower case, without the port that the scheme has anyway."""
    return netloc.lower().removesuffix(":80").removesuffix(":443")


def origin_authority(origin: str) -> str:
    """The authority of an Origin header; of what is no origin (``null``), something that no Host is."""
    try:
        parts = urlsplit(origin)
    except ValueError:
        return " "
    return parts.netloc if parts.scheme in {"http", "https"} and parts.netloc else " "


def name_of_host(header: str) -> str:
    """The name in a Host header, without its port and brackets."""
    if header.startswith("["):
        return header[1:].partition("]")[0].lower()
    return header.partition(":")[0].lower().removesuffix(".")


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True

"""Where a program listens: ``host:port``, or ``fd://N`` for a socket that was handed down already bound."""

from __future__ import annotations

import socket

from clawbucket.settings import BadSetting

_FORM = "takes host:port, or fd://N for a socket handed down"


def listening_socket(bind: str, backlog: int = 1024, *, variable: str = "CLAWBUCKET_BIND") -> socket.socket:
    """A listening TCP socket. BadSetting when ``bind`` is malformed, busy or not to be had.

    Port 0 takes any free one; ``getsockname`` tells which. ``variable`` is the setting that holds ``bind``.
    """
    if bind.startswith("fd://"):
        return _handed_down(bind, variable)
    host, _, port = bind.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise BadSetting(f"{variable} {_FORM}; {bind[:80]!r} is not that")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise BadSetting(f"{variable}: {bind} is no address here ({error.strerror})") from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(backlog)
    except OSError as error:
        listener.close()
        hint = "choose another port, or end what uses it"
        raise BadSetting(f"{variable}: cannot listen on {bind} ({error.strerror}); {hint}") from None
    return listener


def _handed_down(bind: str, variable: str) -> socket.socket:
    number = bind.removeprefix("fd://")
    if not number.isascii() or not number.isdigit():
        raise BadSetting(f"{variable} {_FORM}; {bind[:80]!r} is not that")
    try:
        listener = socket.socket(fileno=int(number))
        if not listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            listener.listen()
    except OSError as error:
        raise BadSetting(f"{variable}: {bind} is not a listening socket ({error.strerror})") from None
    listener.set_inheritable(False)
    return listener

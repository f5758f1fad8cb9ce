"""A replica's stand-in: takes the socket and the lifeline, answers, and misbehaves when told to.

Told by the variable STAND_IN, a comma list: ``exit=N`` (at once, with that code), ``deaf`` (never
answers), ``stubborn`` (ignores SIGTERM), ``family`` (has a child in its group), ``apart`` (has one in a
session of its own), ``unleashed`` (ignores the lifeline). Told by request: ``/exit/N``, ``/hang`` (takes
connections, answers none), ``/environment``, ``/write/N`` (N bytes to its log).
"""

# Plain sockets and few imports: it runs with -I -S and is up in some 20 ms, so that the suite is fast.
import os
import select
import signal
import socket
import sys

TELLING = os.environ.get("STAND_IN", "").split(",")
HUNG: list[socket.socket] = []


def main() -> None:
    """Serve until told otherwise."""
    for word in TELLING:
        if word.startswith("exit="):
            os._exit(int(word.removeprefix("exit=")))
    if "stubborn" in TELLING:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if "family" in TELLING and os.fork() == 0:
        while True:
            signal.pause()
    if "apart" in TELLING and os.fork() == 0:
        os.setsid()
        while True:
            signal.pause()
    listener = socket.socket(fileno=int(os.environ["CLAWBUCKET_BIND"].removeprefix("fd://")))
    watched: list[int] = [] if "deaf" in TELLING else [listener.fileno()]
    lifeline = int(os.environ.get("CLAWBUCKET_LIFELINE_FD") or -1)
    if lifeline >= 0 and "unleashed" not in TELLING:
        watched.append(lifeline)
    while True:
        readable, _, _ = select.select(watched, [], [])
        if lifeline in readable:
            os._exit(0)
        connection, _ = listener.accept()
        answer(connection)


def answer(connection: socket.socket) -> None:
    """One request; ``/livez`` is 200 like anything that is not an order."""
    request = connection.recv(4096).split(b" ")
    path = request[1].decode() if len(request) > 1 else "/"
    if path.startswith("/exit/"):
        os._exit(int(path.removeprefix("/exit/")))
    if path.startswith("/write/"):
        sys.stdout.write("x" * int(path.removeprefix("/write/")))
        sys.stdout.flush()
    if path == "/hang":
        HUNG.append(connection)
    if HUNG:
        HUNG.append(connection)
        return
    body = ""
    if path == "/environment":
        body = "".join(f"{name}={value}\n" for name, value in os.environ.items())
    connection.sendall(f"HTTP/1.0 200 OK\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
    connection.close()


if __name__ == "__main__":
    main()

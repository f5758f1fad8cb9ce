"""What memcached says of itself: its counters, read on a connection of one's own."""

from __future__ import annotations

import socket


def stats(port: int) -> dict[str, int]:
    """The whole numbers of its ``stats`` (its protocol.txt). ``cmd_get`` counts keys, not requests."""
    with socket.create_connection(("127.0.0.1", port), timeout=2.0) as connection:
        connection.sendall(b"stats\r\n")
        said = b""
        while not said.endswith(b"END\r\n"):
            piece = connection.recv(65_536)
            if not piece:
                raise ConnectionError("memcached hung up")
            said += piece
    told = [line.split() for line in said.decode().splitlines() if line.startswith("STAT ")]
    return {words[1]: int(words[2]) for words in told if len(words) == 3 and words[2].isdigit()}

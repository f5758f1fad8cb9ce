"""A stand-in for the rack manager's API, as the gateway asks it."""

from __future__ import annotations

import contextlib
import socket
import threading
from urllib.parse import parse_qs, urlsplit

from clawbucket import codecs
from clawbucket.core.model import Snapshot, Task
from tests.contract.gateway.wires import DEADLINE, Message, Wire, answer

TOKEN = "a token of the tests"


class RackApi:
    """A stand-in for the rack manager's API: the snapshot by long poll, with a bearer token."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self._changed = threading.Condition()
        self._snapshot = Snapshot("rack", 1000, "2026-11-20T09:30:00.000Z", "local")
        self.polls: list[Message] = []
        self.host, self.port = host, port
        self._listener: socket.socket | None = None
        self._wires: list[Wire] = []
        self._threads: list[threading.Thread] = []
        self.up()

    def publish(self, *tasks: Task, seq: int | None = None) -> None:
        """Say that these tasks are there now."""
        with self._changed:
            number = self._snapshot.seq + 1 if seq is None else seq
            self._snapshot = Snapshot("rack", number, "2026-11-20T09:30:00.000Z", "local", tasks=tasks)
            self._changed.notify_all()

    def settings(self) -> dict[str, str]:
        """What a program must be told to ask here."""
        return {"CLAWBUCKET_RACK_URL": f"http://{self.host}:{self.port}", "CLAWBUCKET_RACK_TOKEN": TOKEN}

    @property
    def listens(self) -> bool:
        """Whether it is up."""
        return self._listener is not None

    def up(self) -> None:
        """Listen, at the same address as before."""
        self._listener = socket.create_server((self.host, self.port))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def down(self) -> None:
        """Be gone, as a rack manager that was killed."""
        assert self._listener is not None
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._listener = None
        with self._changed:
            self._changed.notify_all()
        for wire in self._wires:
            with contextlib.suppress(OSError):
                wire.sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(DEADLINE)
        self._wires, self._threads = [], []

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                wire = Wire(listener.accept()[0])
                wire.sock.settimeout(3 * DEADLINE)
                self._wires.append(wire)
                self._threads.append(threading.Thread(target=self._serve, args=(wire,), daemon=True))
                self._threads[-1].start()

    def _serve(self, wire: Wire) -> None:
        with contextlib.suppress(OSError, ValueError):
            while (request := wire.head()) is not None:
                self.polls.append(request)
                self._answer(wire, request)
        with contextlib.suppress(OSError, ValueError):
            wire.close()

    def _answer(self, wire: Wire, request: Message) -> None:
        if request.get("Authorization") != f"Bearer {TOKEN}":
            answer(wire, 401, b'{"error":"no"}')
            return
        asked = parse_qs(urlsplit(request.target).query)
        after, wait = int(asked["after"][0]), float(asked["wait"][0])
        with self._changed:
            self._changed.wait_for(lambda: self._snapshot.seq != after or self._listener is None, wait)
            snapshot = self._snapshot
        if snapshot.seq != after:
            answer(wire, 200, codecs.SNAPSHOT.encode(snapshot))
        else:
            wire.send(b"HTTP/1.1 204 No Content\r\n\r\n")

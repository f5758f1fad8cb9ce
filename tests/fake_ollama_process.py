"""The fake Ollama as tests hold it: a real process, started, scripted, asked, killed."""

from __future__ import annotations

import json
import subprocess
import sys
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


class FakeOllama:
    """One. The port stays the same over a kill and a start."""

    def __init__(self, *, parallel: int = 64, delay: float = 0.0) -> None:
        self.port = 0
        self._options = ("--parallel", str(parallel), "--delay", str(delay))
        self._process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        """Its address, as OLLAMA_URL has it."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def base(self) -> str:
        """Its address, as ``api_base`` in a config has it."""
        return f"{self.url}/v1"

    @property
    def running(self) -> bool:
        """Whether its process is there."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it, and return when it takes connections."""
        command = [sys.executable, "-m", "tests.fake_ollama", "--port", str(self.port), "--with-parent"]
        # Its stdin is ours: it ends with this process, however that ends.
        self._process = subprocess.Popen(
            [*command, *self._options], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout
        line = self._process.stdout.readline()
        assert line, f"the fake Ollama did not start on port {self.port}"
        self.port = int(line)

    def stop(self) -> int:
        """SIGTERM; its exit status."""
        return self._end(kill=False)

    def kill(self) -> None:
        """SIGKILL: from now on connections are refused."""
        self._end(kill=True)

    def _end(self, *, kill: bool) -> int:
        if self._process is None:
            return 0
        process, self._process = self._process, None
        process.kill() if kill else process.terminate()
        status = process.wait(10)
        assert process.stdin
        assert process.stdout
        process.stdin.close()
        process.stdout.close()
        return status

    def script(self, **behaviour: Any) -> None:
        """Let it behave like that (tests/fake_ollama_script.py); None is the default again."""
        self._call("POST", "/_script", behaviour)

    def reset(self) -> None:
        """A healthy server that was asked nothing, started again if a test ended it."""
        if not self.running:
            self._end(kill=True)
            self.start()
        self._call("POST", "/_reset", {})

    def seen(self) -> dict[str, Any]:
        """What it was asked, and how much at once."""
        told: dict[str, Any] = self._call("GET", "/_requests", None)
        return told

    def requests(self, path: str | None = None) -> list[dict[str, Any]]:
        """The requests so far, oldest first; those to ``path`` only, if given."""
        return [one for one in self.seen()["requests"] if path in {None, one["path"]}]

    def bodies(self, path: str | None = None) -> list[Any]:
        """The bodies of these."""
        return [one["body"] for one in self.requests(path)]

    def _call(self, method: str, path: str, body: Any) -> Any:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path, None if body is None else json.dumps(body))
            answer = connection.getresponse()
            told = json.loads(answer.read())
        finally:
            connection.close()
        assert answer.status == 200, told
        return told

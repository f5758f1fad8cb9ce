"""The ``docker`` program, asked with deadlines. Flags and output are those that 20.10 and 28 have in common.

The program, not the SDK: what a person set up for it (contexts, DOCKER_HOST, ssh, credentials) holds here
too, and what is typed here a person can type.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from io import BufferedReader
from typing import Any, cast

from clawbucket.cli.refusal import Refusal

CALL = 30.0
"""Seconds for one call; an engine that has to think longer about a list is as good as dead."""
_LINE = 300
"""Characters of docker's own words that are repeated."""
_LONGEST = 65_536
"""Bytes of one line of a stream; the rest of a longer one comes as the next."""
_GRACE = 5.0
"""Seconds for a program that was told to end, until it is killed."""
LABEL = "com.docker.stack.namespace"
"""What ``docker stack deploy`` marks all things of a stack with (docker/cli, convert.LabelNamespace)."""

Row = dict[str, Any]


class DockerFailed(Refusal):
    """docker ended with a failure. The sentence has its last words; ``said`` is all that it complained of."""

    def __init__(self, command: Sequence[str], said: str) -> None:
        words = " ".join(command[:2])
        super().__init__(f"docker {words} failed: {last_line(said)}", 1)
        self.said = said


@dataclass(frozen=True, slots=True)
class Done:
    """A call that is over: exit status, what it printed and what it complained of."""

    code: int
    out: str
    err: str


@dataclass(frozen=True, slots=True)
class Begun:
    """A call that goes on. Whoever began it ends it."""

    process: subprocess.Popen[bytes]
    output: BufferedReader

    def end(self) -> None:
        """End it and what it started (a builder is a program of its own)."""
        if self.process.poll() is not None:
            return
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


class Docker:
    """The docker program on the PATH of ``environment``, which is also all that it finds in its own.

    Refusal where there is none.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        found = shutil.which("docker", path=environment.get("PATH"))
        if found is None:
            raise Refusal(
                "docker is not on PATH; install it (Debian, Ubuntu: sudo apt install docker.io; Fedora: "
                "sudo dnf install moby-engine; others: docs.docker.com/engine/install)"
            )
        self._program = found
        self._environment = dict(environment)

    def attempt(
        self,
        *arguments: str,
        given: str | None = None,
        within: float = CALL,
        also: Mapping[str, str] | None = None,
    ) -> Done:
        """Whatever comes of it. ``given`` is its standard input, ``also`` what its environment has beside.

        Refusal when there is no end ``within`` that many seconds.
        """
        try:
            done = subprocess.run(
                [self._program, *arguments], env={**self._environment, **(also or {})}, capture_output=True,
                timeout=within, check=False, encoding="utf-8", errors="replace",
                **({"input": given} if given is not None else {"stdin": subprocess.DEVNULL}),
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            words = " ".join(arguments[:2])
            raise Refusal(
                f"docker {words} did not answer within {within:.0f} s; type docker info to see whether the "
                "engine is well",
                1,
            ) from None
        except OSError as error:
            raise Refusal(f"{self._program} cannot be started: {error.strerror}") from None
        return Done(done.returncode, done.stdout, done.stderr)

    def ask(
        self,
        *arguments: str,
        given: str | None = None,
        within: float = CALL,
        also: Mapping[str, str] | None = None,
    ) -> str:
        """What it printed. DockerFailed when it ended with a failure."""
        done = self.attempt(*arguments, given=given, within=within, also=also)
        if done.code != 0:
            raise DockerFailed(arguments, done.err.strip() or done.out)
        return done.out.strip()

    def rows(self, *arguments: str) -> list[Row]:
        """What a list command prints, one object for each thing."""
        lines = self.ask(*arguments, "--format", "{{json .}}").splitlines()
        return [found for line in lines if isinstance(found := understood(line), dict)]

    def inspect(self, kind: str, ids: Sequence[str]) -> list[Row]:
        """All that docker knows of these; what is gone meanwhile is left out."""
        if not ids:
            return []
        done = self.attempt("inspect", "--type", kind, *ids)
        found = understood(done.out)
        if isinstance(found, list):
            return [each for each in found if isinstance(each, dict)]
        raise DockerFailed(("inspect", kind), done.err.strip() or done.out)

    def stream(self, *arguments: str, tell: Callable[[str], None], within: float | None = None) -> int:
        """Run it and tell each line that it prints or complains of; its exit status (negative: the signal).

        Ended with its group when ``within`` seconds are over, or when this is interrupted. Standard input is
        empty.
        """
        begun = self.start(*arguments)
        overdue = threading.Timer(within, begun.end) if within is not None else None
        try:
            if overdue is not None:
                overdue.daemon = True
                overdue.start()
            while line := begun.output.readline(_LONGEST):
                tell(line.decode("utf-8", "replace").rstrip())
            return begun.process.wait()
        finally:
            if overdue is not None:
                overdue.cancel()
                overdue.join()
            begun.end()
            begun.output.close()

    def start(self, *arguments: str) -> Begun:
        """Begin it in a process group of its own; complaints come with the output."""
        try:
            process = subprocess.Popen(
                [self._program, *arguments], env=self._environment, stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise Refusal(f"{self._program} cannot be started: {error.strerror}") from None
        return Begun(process, cast("BufferedReader", process.stdout))


def understood(text: str) -> object:
    """JSON as what it means; None when it is none."""
    try:
        return json.loads(text)
    except ValueError:
        return None


def last_line(said: str) -> str:
    """The last line with something on it: where programs put what went wrong."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return "".join(c if c.isprintable() else " " for c in lines[-1][:_LINE]) if lines else "it said nothing"

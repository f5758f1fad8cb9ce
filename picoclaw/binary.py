"""The binary backend: each turn is one run of upstream's ``picoclaw agent -m``, its output read and judged.

Upstream has no machine-readable output. What is held to here (flags, environment, the form of stdout and
stderr, the chat commands) is as read in its source, version 0.2.9.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
from collections.abc import Mapping
from pathlib import Path

from picoclaw.backend import BackendAnswer
from picoclaw.binary_output import failure_of, plain, reply_in
from picoclaw.child import Children, Finished
from picoclaw.config import Config, ModelEntry
from picoclaw.deadline import Deadline
from picoclaw.errors import BackendUnreachable, ConfigInvalid, ContextOverflow, PicoClawError
from picoclaw.sentences import EMPTY, spoken
from picoclaw.sessions import OpenSession
from picoclaw.turns import BackendName, Message

MOST_ARGUMENT = 128 * 1024 - 1
"""Bytes of one argument of a program: Linux's MAX_ARG_STRLEN without the final NUL."""
MOST_LOG = 1024 * 1024
"""Bytes of upstream's log, after which the next turn begins it anew."""
_VERSION_SECONDS = 5.0
_OUR_SCRIPT = re.compile(rb"^#![^\n]*python[^\n]*\n.*?(from|import|-m) picoclaw\b", re.DOTALL)
"""How pip writes the command of a Python package named picoclaw."""
_SCRIPT_HEAD = 4096


def find_binary(environ: Mapping[str, str]) -> Path | None:
    """Upstream's binary: ``PICOCLAW_BINARY`` (a path, ~ allowed), else the ``picoclaw`` on PATH, else None.

    This package's own commands are never it, under whatever name: they would start themselves. ConfigInvalid
    when PICOCLAW_BINARY names no such program.
    """
    if given := environ.get("PICOCLAW_BINARY", ""):
        return _named(given)
    # A relative entry of PATH would find what an agent put in its workspace.
    folders = [Path(name) for name in environ.get("PATH", "").split(os.pathsep) if os.path.isabs(name)]  # noqa: PTH117
    candidates = [folder / "picoclaw" for folder in folders]
    return next((path for path in candidates if _is_program(path) and not _is_ours(path)), None)


class BinaryBackend:
    """Turns on upstream's binary. Thread- and greenlet-safe; sessions are the caller's to lock."""

    def __init__(self, binary: Path, config: Config, environ: Mapping[str, str]) -> None:
        """``environ`` is what the binary sees, besides what the recipe sets and takes away."""
        self._binary, self._config = binary, config
        self._log = config.home / "logs" / "picoclaw.log"
        self._env = {
            **{
                name: value for name, value in environ.items() if name != "TZ"
            },  # it would announce it on stdout
            "PICOCLAW_HOME": str(config.home),
            "PICOCLAW_CONFIG": str(config.path),
            "PICOCLAW_LOG_FILE": str(self._log),  # instead of stdout
            "NO_COLOR": "1",
        }
        self._children = Children()
        self._lock = threading.Lock()
        self._version = ""

    @property
    def name(self) -> BackendName:
        """Which backend this is."""
        return "binary"

    @property
    def version(self) -> str:
        """What ``picoclaw version`` says; "unknown" where it says nothing. Asked once, 5 s at most."""
        with self._lock:
            if not self._version:
                self._version = self._ask_version()
            return self._version

    def turn(
        self, text: str, session: OpenSession, entry: ModelEntry, channel: str, deadline: Deadline
    ) -> BackendAnswer:
        """One turn. See ``Backend``. ``channel`` is not told: upstream's command line is always "cli"."""
        del channel
        said = argument(text)
        before = session.messages
        argv = [str(self._binary), "agent", "-m", said, "-s", session.key, "--model", entry.model_name]
        self._bound_log()
        finished = self._run(argv, deadline)
        if finished.flooded or finished.exit_code != 0:
            raise failure_of(finished, self._binary, entry)
        answer = reply_in(finished, self._binary)
        _record(session, before, said, answer.text or EMPTY)
        return answer

    def close(self) -> None:
        """End what still runs; nothing can be asked afterwards."""
        self._children.close()

    def _run(self, argv: list[str], deadline: Deadline) -> Finished:
        workspace = self._config.workspace
        try:
            workspace.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigInvalid(
                f"{self._config.path}: agents.defaults.workspace is {workspace}, which cannot be made: "
                f"{error.strerror}; name a folder that can be written to"
            ) from error
        try:
            doing = f"waiting for {self._binary.name}"
            return self._children.run(argv, self._env, workspace, deadline, doing)
        except OSError as error:
            raise BackendUnreachable(
                f"{self._binary} cannot be started: {error.strerror or error}; set PICOCLAW_BINARY to the "
                "path of upstream's picoclaw, or choose the embedded backend",
                exit_code=None,
                retryable=False,
            ) from error

    def _ask_version(self) -> str:
        try:
            finished = self._run([str(self._binary), "version"], Deadline(_VERSION_SECONDS))
        except PicoClawError:
            return "unknown"
        printed = plain(finished.stdout, 4096)
        found = re.search(r"🦞 \S+ ([^\n]+)", printed) if finished.exit_code == 0 else None
        return found[1].strip()[:80] if found else "unknown"

    def _bound_log(self) -> None:
        # Where this fails upstream cannot log there either, says so on stderr, and logs to stdout: as good.
        with contextlib.suppress(OSError):
            self._log.parent.mkdir(parents=True, exist_ok=True)
            if self._log.exists() and self._log.stat().st_size > MOST_LOG:
                os.truncate(self._log, 0)


def argument(text: str) -> str:
    """A message as upstream is given it. ContextOverflow where it is longer than an argument can be."""
    said = spoken(text)
    if (size := len(said.encode())) > MOST_ARGUMENT:
        raise ContextOverflow(
            f"the message is {size} bytes long and the picoclaw binary can be given {MOST_ARGUMENT} at most "
            "(one argument of a program); say less, or choose the embedded backend"
        )
    return said


def _record(session: OpenSession, before: tuple[Message, ...], said: str, reply: str) -> None:
    """Make the session's file end with this turn, where the binary did not write it there itself.

    Upstream ignored ``-s`` in some releases (its issue 1039) and wrote every turn into one shared session.
    """
    session.reload()
    after = session.messages
    # Upstream may have rewritten the file (it compacts too); then its last messages are looked at.
    new = after[len(before) :] if after[: len(before)] == before else after[-2:]
    if not new:
        session.append(Message("user", said))
    if not new or new[-1].role != "assistant" or new[-1].tool_calls:
        session.append(Message("assistant", reply))


def _named(given: str) -> Path:
    path = Path(given).expanduser().absolute()
    if not path.is_file():
        fault = "which is no file"
    elif not os.access(path, os.X_OK):
        fault = "which is not executable"
    elif _is_ours(path):
        fault = "which is this package's own command, not upstream's"
    else:
        return path
    raise ConfigInvalid(
        f"PICOCLAW_BINARY is {given!r}, {fault}; set it to the path of upstream's picoclaw, or unset it"
    )


def _is_program(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)


def _is_ours(path: Path) -> bool:
    """Whether it is picoclaw-py, or a script of Python that starts this package."""
    try:
        if path.resolve().name == "picoclaw-py":
            return True
        with path.open("rb") as file:
            return _OUR_SCRIPT.match(file.read(_SCRIPT_HEAD)) is not None
    except OSError:  # executable and not readable: a program that is not ours
        return False

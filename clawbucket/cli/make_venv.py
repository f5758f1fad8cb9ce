"""Makes ``.venv`` from the lock files; run by ``claw`` with whatever Python it found.

Standard library only. ``.venv`` holds a copy of each lock file that it was made from
(``made-from-<lock>``): equal copies mean that nothing is to be done, and ``claw`` compares them itself.
A file ``unfinished`` lies there while pip works: where it is found at start, a former run was cut off in
the middle, and ``.venv`` is made from nothing. Two at once take turns by a lock of the kernel's, which
no crash can leave behind; pip holds it too, so that it lasts as long as what is being written.

``.venv/bin/picoclaw-py`` is written as well: the agent's command, which runs from the clone as all does.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path

from clawbucket.cli.packages import Package, install
from clawbucket.cli.refusal import Refusal

ROOT = Path(__file__).resolve().parents[2]
_PIP_OPTIONS = ("--require-hashes", "--no-input", "--progress-bar", "off", "--disable-pip-version-check")
_SHOWN_ON_FAILURE = 25
"""Lines of pip's output shown when it fails: its error is at the end."""
_PICOCLAW = """\
#!/bin/sh
# picoclaw-py, the agent by itself. Written by clawbucket/cli/make_venv.py; `pip install .` makes another.
# Works from any directory, through symbolic links, and after the clone was moved.
set -eu
bin=$(dirname "$(readlink -f "$0")")
root=$(dirname "$(dirname "$bin")")
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"
# -P: what lies in the caller's directory is not to be taken for a module of ours.
exec "$bin/python" -P -m picoclaw "$@"
"""


def main(locks: Sequence[str], root: Path = ROOT) -> int:
    """Bring ``.venv`` in line with the lock files. 0 when it is; 2 with one sentence when it cannot be."""
    try:
        with _turn(root / ".claw") as held:
            venv = root / ".venv"
            if not all(is_made(venv, root / lock) for lock in locks):
                Maker(root, held).make([root / lock for lock in locks])
    except Refusal as refusal:
        tell(str(refusal))
        return refusal.code
    except OSError as error:
        tell(f".venv cannot be made: {error}")
        return 2
    except KeyboardInterrupt:
        tell("stopped; the next ./claw makes .venv anew")
        return 130
    return 0


def is_made(venv: Path, lock: Path) -> bool:
    """Whether everything in the lock file is installed in ``venv``."""
    with contextlib.suppress(FileNotFoundError):
        return (venv / f"made-from-{lock.name}").read_bytes() == lock.read_bytes()
    return False


def tell(sentence: str) -> None:
    """A line for the person at the keyboard."""
    sys.stderr.write(f"claw: {sentence}\n")
    sys.stderr.flush()


@contextlib.contextmanager
def _turn(directory: Path) -> Iterator[int]:
    """Hold the lock; wait for it, saying so, where another claw has it."""
    directory.mkdir(exist_ok=True)
    with (directory / "venv.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            tell("another claw is making .venv; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock.fileno()


class Maker:
    """Makes the ``.venv`` of one clone. ``held`` is the lock's descriptor, for pip to hold as well."""

    def __init__(self, root: Path, held: int) -> None:
        self._venv = root / ".venv"
        self._held = held
        self._unfinished = self._venv / "unfinished"

    def make(self, locks: Sequence[Path]) -> None:
        """Make it, and install each lock file that is not yet. Refusal when that fails."""
        for lock in locks:
            if not lock.is_file():
                raise Refusal(f"{lock} is missing; this is not a whole clone of clawbucket")
        if self._unfinished.exists():
            tell("a former run was cut off while it made .venv; making it from nothing")
            shutil.rmtree(self._venv)
        self._venv.mkdir(exist_ok=True)
        if not self._works():
            self._create()
        self._write_picoclaw()  # before a lock counts as installed: after that nobody looks again
        for lock in locks:
            if not is_made(self._venv, lock):
                self._install(lock)

    @property
    def _python(self) -> Path:
        return self._venv / "bin" / "python"

    def _works(self) -> bool:
        """Whether there is a Python in it that is new enough, still there, and has pip."""
        question = "import sys, pip; sys.exit(sys.version_info < (3, 11))"
        try:
            return (
                subprocess.run([self._python, "-c", question], capture_output=True, check=False).returncode
                == 0
            )
        except OSError:
            return False

    def _create(self) -> None:
        _need_ensurepip()
        tell(f"making .venv with Python {sys.version.split()[0]}")
        shutil.rmtree(self._venv)
        self._venv.mkdir()
        self._unfinished.touch()
        self._run([sys.executable, "-m", "venv", str(self._venv)], "python -m venv")

    def _install(self, lock: Path) -> None:
        wanted = lock.read_bytes()
        count = sum(b"==" in line and not line.startswith((b" ", b"#")) for line in wanted.splitlines())
        stamp = self._venv / f"made-from-{lock.name}"
        tell(f"installing {count} packages from {lock.name} (once; about half a minute)")
        begun = time.monotonic()
        stamp.unlink(missing_ok=True)
        self._unfinished.touch()
        pip = [str(self._python), "-m", "pip", "install", *_PIP_OPTIONS, "-r", str(lock)]
        self._run(pip, "pip install", count)
        fresh = stamp.with_suffix(".new")
        fresh.write_bytes(wanted)
        fresh.replace(stamp)
        self._unfinished.unlink()
        tell(f"{lock.name} is installed, in {time.monotonic() - begun:.0f} s")

    def _write_picoclaw(self) -> None:
        """Leave the agent's command there, whole at any moment: somebody may be running it."""
        script = self._venv / "bin" / "picoclaw-py"
        fresh = script.with_name("picoclaw-py.new")
        fresh.write_text(_PICOCLAW, encoding="utf-8")
        fresh.chmod(0o755)
        fresh.replace(script)

    def _run(self, command: Sequence[str], name: str, count: int = 0) -> None:
        environment = {k: v for k, v in os.environ.items() if k not in {"PYTHONPATH", "PYTHONHOME"}}
        last: deque[str] = deque(maxlen=_SHOWN_ON_FAILURE)
        with subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            pass_fds=(self._held,),
        ) as process:
            progress = Progress(count)
            for line in process.stdout or ():
                last.append(line.rstrip())
                progress.saw(line)
            progress.end()
        if process.returncode < 0:
            raise Refusal(f"{name} was killed by signal {-process.returncode}; type the same again", 1)
        if process.returncode != 0:
            # pip that ends by itself has put back what it had begun to change.
            self._unfinished.unlink(missing_ok=True)
            sys.stderr.write("".join(f"  {line}\n" for line in last))
            raise Refusal(f"{name} failed with status {process.returncode}; what it said is above", 1)


class Progress:
    """pip's way through a lock file: one line, rewritten in place on a terminal and silent elsewhere."""

    def __init__(self, count: int) -> None:
        self._count, self._seen = count, 0
        self._shown = sys.stderr.isatty() and count > 0

    def saw(self, line: str) -> None:
        """Take one line of pip's."""
        if not self._shown:
            return
        word, _, rest = line.strip().partition(" ")
        if word == "Collecting" or line.startswith("Requirement already satisfied"):
            self._seen = min(self._seen + 1, self._count)
            name = rest.removeprefix("already satisfied: ").split("==")[0].split(" ")[0]
            self._show(f"  {self._seen}/{self._count} {name}")
        elif word == "Installing":
            self._show("  unpacking")

    def end(self) -> None:
        """Leave the line."""
        if self._shown:
            self._show("")

    def _show(self, text: str) -> None:
        sys.stderr.write(f"\r\033[K{text}")
        sys.stderr.flush()


def _need_ensurepip() -> None:
    """Debian keeps what ``python -m venv`` needs in a package of its own."""
    question = [sys.executable, "-c", "import ensurepip, venv"]
    if subprocess.run(question, capture_output=True, check=False).returncode == 0:
        return
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    install(Package(program=f"the venv module of {version}", apt=f"{version}-venv"), tell)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""What a Docker engine leaves mounted when it ends before it has tidied up.

The network namespaces of its swarm stay mounted below its run directory, and with them VXLAN interfaces that
the next engine of this machine wants to make: "error creating vxlan interface: file exists", and no service
of a stack ever starts. Such a directory cannot be removed either.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

_UNMOUNTED = 30.0
"""Seconds for one umount, which only takes the mount out of the tree."""
_ESCAPED = re.compile(r"\\([0-7]{3})")
_MOUNTPOINT = 4
"""The column of /proc/self/mountinfo that names where a mount is (proc(5))."""


@contextmanager
def run_directory(prefix: str) -> Iterator[Path]:
    """A new directory whose name begins with ``prefix``; at the end it is gone with all mounts in it."""
    directory = Path(tempfile.mkdtemp(prefix=prefix))
    try:
        yield directory
    finally:
        remove(directory)


def sweep(
    name: re.Pattern[str], where: Path | None = None, alive: Callable[[int], bool] = psutil.pid_exists
) -> list[Path]:
    """Remove the directories in ``where`` (that for temporary files, if not told) whose run is over.

    ``name`` matches the directory's name and has the run's process id as its first group.
    """
    parent = where or Path(tempfile.gettempdir())
    dead = [
        path for path in parent.iterdir() if (found := name.match(path.name)) and not alive(int(found[1]))
    ]
    for path in dead:
        remove(path)
    return dead


def remove(directory: Path) -> None:
    """Unmount what is mounted below ``directory``, the deepest first, and remove it."""
    for mounted in sorted(mounts(directory), key=lambda path: len(path.parts), reverse=True):
        subprocess.run(["umount", "--lazy", mounted], timeout=_UNMOUNTED, check=True)
    shutil.rmtree(directory)


def mounts(directory: Path) -> list[Path]:
    """Where something is mounted in ``directory``; one that was mounted over another is there twice."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    points = [_ESCAPED.sub(lambda code: chr(int(code[1], 8)), line.split()[_MOUNTPOINT]) for line in lines]
    return [path for point in points if (path := Path(point)).is_relative_to(directory.resolve())]

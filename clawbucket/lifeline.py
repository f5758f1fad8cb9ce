"""Nobody outlives the launcher, not even when it is killed with SIGKILL.

The launcher holds the only write end of a pipe; every program it starts holds the read end. The kernel
closes the write end when the launcher ends, however it ends, and every reader then sees end-of-file.
No signal, pid file or polling is involved, and a pid that was used again cannot be mistaken for it.
"""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable


def watch(fd: int | None, on_cut: Callable[[], None]) -> None:
    """Call ``on_cut`` once, from a thread, when the other end of ``fd`` is gone. None: watch nothing.

    Where gevent has patched ``threading`` and ``select``, the thread is a greenlet and holds nobody up.
    """
    if fd is None:
        return
    os.set_inheritable(fd, False)
    threading.Thread(target=_wait, args=(fd, on_cut), name="lifeline", daemon=True).start()


def _wait(fd: int, on_cut: Callable[[], None]) -> None:
    while _read(fd):
        pass
    on_cut()


def _read(fd: int) -> bytes:
    select.select([fd], [], [])
    try:
        return os.read(fd, 1)
    except OSError:
        return b""


def exit_now(code: int = 0) -> None:
    """End this process at once: what it would flush belongs to a run that is over."""
    os._exit(code)

"""A child that does not outlive its parent, however that ends: Linux' parent-death signal.

A replica is killed by SIGKILL as a matter of course, and then nobody is left to end the binary that it had
started. ``prctl(PR_SET_PDEATHSIG)`` has the kernel do it (prctl(2)). It is asked for in the child, between
fork and exec. Elsewhere than on Linux the binary ends by its own time-outs.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1
"""linux/prctl.h"""


def bound_to(parent: int) -> Callable[[], None] | None:
    """What a child is to run before exec to be killed when the process ``parent`` ends; None: nothing.

    The kernel counts the end of the *thread* that forked, so that thread has to wait for the child.
    """
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl  # looked up here: after a fork no lock may be needed

    def bind() -> None:
        prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        if os.getppid() != parent:  # it ended before the kernel was asked
            os._exit(1)

    return bind

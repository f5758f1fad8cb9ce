"""Runs a program that knows nothing of the lifeline (memcached), and lets it not outlive the launcher.

On Linux the kernel is asked for a SIGKILL on the launcher's death (prctl(2), PR_SET_PDEATHSIG), and this
process then becomes the program. A change of user clears that wish, so privileges go first; the launcher
may have died before the wish was made, so its pid is compared after. The kernel means the *thread* that
forked: the launcher starts its programs from its main thread. Elsewhere this process stays, waits for
the lifeline's end and kills the program then.

Run as a file with ``-I -S`` and the standard library alone: it costs some 15 ms. Everything is imported
at the top: once privileges are gone, the directory of this Python may not be readable any more.
"""

import ctypes
import os
import pwd
import select
import signal
import sys

PR_SET_PDEATHSIG = 1
"""linux/prctl.h"""
_NOBODY = 65534
"""The uid of nobody on Linux, for systems without a passwd entry."""


def main(arguments: list[str]) -> int:
    """``guard.py LAUNCHER_PID LIFELINE_FD PATH [ARGUMENT ...]``; 127 when no program is at that path."""
    launcher, lifeline, command = int(arguments[0]), int(arguments[1]), arguments[2:]
    if os.geteuid() == 0:
        become_nobody()
    try:
        if sys.platform == "linux":
            os.set_inheritable(lifeline, False)
            become(command, launcher)
        return watch(command, lifeline)
    except OSError as error:
        sys.stderr.write(f"{command[0]} cannot be started: {error.strerror}\n")
        return 127


def become_nobody() -> None:
    """Give up root: a cache on loopback needs none of it (memcached itself refuses to run as root)."""
    try:
        entry = pwd.getpwnam("nobody")
        uid, gid = entry.pw_uid, entry.pw_gid
    except KeyError:
        uid = gid = _NOBODY
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)


def become(command: list[str], launcher: int) -> None:
    """Turn into the program, to be killed with the launcher. OSError when it cannot be run."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl: " + os.strerror(ctypes.get_errno()))
    if os.getppid() != launcher:
        os.kill(os.getpid(), signal.SIGKILL)
    os.execv(command[0], command)  # noqa: S606 - no shell is wanted


def watch(command: list[str], lifeline: int) -> int:
    """Run the program until it ends, its status; SIGKILL it when the lifeline is cut."""
    program = os.fork()
    if program == 0:
        try:
            os.close(lifeline)
            os.execv(command[0], command)  # noqa: S606
        except OSError as error:
            os.write(2, f"{command[0]} cannot be started: {error.strerror}\n".encode())
            os._exit(127)
    ended, tell = os.pipe()
    os.set_blocking(tell, False)
    signal.set_wakeup_fd(tell)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGTERM, lambda *_: os.kill(program, signal.SIGTERM))
    while True:
        ready, _, _ = select.select([lifeline, ended], [], [])
        if lifeline in ready:
            os.kill(program, signal.SIGKILL)
        else:
            os.read(ended, 64)
        pid, status = os.waitpid(program, 0 if lifeline in ready else os.WNOHANG)
        if pid:
            return abs(os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

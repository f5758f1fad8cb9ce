"""A turn of the binary backend in a monkey-patched process, beside a greenlet that notes how late it runs.

``python -m tests.turn_under_gevent BINARY reply|timeout|cancel|flood`` prints JSON: what was said (or which
error it was), and the longest time in seconds that the other greenlet did not run.
"""

from gevent import monkey

monkey.patch_all()

import json  # noqa: E402
import os  # noqa: E402
import sys  # noqa: E402
import threading  # noqa: E402
import time  # noqa: E402
from pathlib import Path  # noqa: E402

from picoclaw.binary import BinaryBackend  # noqa: E402
from picoclaw.config import load  # noqa: E402
from picoclaw.deadline import Deadline  # noqa: E402
from picoclaw.errors import PicoClawError  # noqa: E402
from picoclaw.sessions import SessionStore  # noqa: E402

_STEP = 0.01


def main(binary: str, mode: str) -> None:
    """Run one turn and print how it went."""
    config = load(os.environ)
    backend = BinaryBackend(Path(binary), config, os.environ)
    done, cancel = threading.Event(), threading.Event()
    gaps: list[float] = []

    def beat() -> None:
        last = time.monotonic()
        while not done.wait(_STEP):
            gaps.append(time.monotonic() - last)
            last = time.monotonic()

    heart = threading.Thread(target=beat)
    heart.start()
    if mode == "cancel":
        threading.Timer(0.5, cancel.set).start()
    deadline = Deadline(1.0 if mode == "timeout" else 20.0, cancel)
    try:
        with SessionStore(config.workspace / "sessions").open("agent:main:g", deadline) as session:
            said = backend.turn("hello", session, config.entry(None), "cli", deadline).text
    except PicoClawError as error:
        said = type(error).__name__
    done.set()
    heart.join()
    backend.close()
    sys.stdout.write(json.dumps({"said": said, "longest_gap": max(gaps)}))


if __name__ == "__main__":
    main(*sys.argv[1:])

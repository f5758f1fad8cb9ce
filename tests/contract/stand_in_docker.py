"""What ``./claw swarm`` takes for the docker program: answers from a table, and writes down what it is asked.

Beside it lie ``table.json`` and ``calls.jsonl``. The first entry of the table is given whose ``when`` the
typed words begin with; one with ``after`` only once words that begin so were typed before. An entry may say
``out``, ``err``, ``code`` and ``hang``. What the table does not know is an empty answer.
"""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import Any

HERE = Path(sys.argv[0]).parent


def main(words: list[str]) -> int:
    """Answer one call."""
    typed = " ".join(words)
    calls = HERE / "calls.jsonl"
    before = [json.loads(line)["typed"] for line in calls.read_text().splitlines()] if calls.exists() else []
    given = sys.stdin.read() if words[-1:] == ["-"] else ""
    with calls.open("a") as log:
        log.write(json.dumps({"typed": typed, "given": given}) + "\n")
    for entry in json.loads((HERE / "table.json").read_text()):
        after = entry.get("after")
        if typed.startswith(entry["when"]) and (after is None or any(b.startswith(after) for b in before)):
            return answer(entry)
    return 0


def answer(entry: dict[str, Any]) -> int:
    """As the entry says."""
    if entry.get("hang"):
        signal.pause()
    out = entry.get("out", "")
    print(out if isinstance(out, str) else json.dumps(out), end="", flush=True)
    sys.stderr.write(entry.get("err", ""))
    return int(entry.get("code", 0))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""``onboard`` and ``status``: what is needed before the first turn."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

from picoclaw.cli_arguments import PROGRAM, Asked, WrongUsage
from picoclaw.cli_output import fail, out, out_json, start_logging
from picoclaw.config import check, config_path, default_document, load
from picoclaw.errors import EXIT_FAILED, ConfigInvalid
from picoclaw.runtime import Runtime
from picoclaw.workspace import prepare

DEFAULT_MODEL = "smollm2:135m"
"""Small enough (270 MB) to answer within seconds on a machine without a graphics card."""
DEFAULT_API_BASE = "http://localhost:11434"
PROBE_SECONDS = 5.0
"""For the model's server to answer ``status``: it lists its models, which needs no model to be loaded."""


def status(asked: Asked, environ: Mapping[str, str]) -> int:
    """Print how things stand; 1 when a turn could not be had now. ConfigInvalid, ModelNotFound, OSError."""
    start_logging(environ, sys.stderr if asked.json else sys.stdout, debug=asked.debug)
    with closing(Runtime.open(environ, backend=asked.backend)) as runtime:
        found = runtime.status(probe_seconds=PROBE_SECONDS)
        sessions = len(runtime.sessions())
    if asked.json:
        out_json({"ok": found.problem is None, **asdict(found), "sessions": sessions})
        return EXIT_FAILED if found.problem else 0
    out(
        f"🦞 {PROGRAM} status\n"
        f"Version:   {found.version} ({found.backend} backend)\n"
        f"Config:    {found.config} ✓\n"
        f"Workspace: {found.workspace} ✓\n"
        f"Sessions:  {sessions}\n"
        f"Model:     {found.model} {'✗' if found.problem else '✓'}\n"
        f"Server:    {found.api_base}\n"
        f"Tools:     {'offered to the model' if found.tools else 'off'}\n"
    )
    if found.problem is None:
        return 0
    fail(found.problem)
    return EXIT_FAILED


def onboard(asked: Asked, environ: Mapping[str, str]) -> int:
    """Write config and workspace where they are missing; nothing that is there is touched."""
    path = config_path(environ)
    if path.exists() or path.is_symlink():
        if asked.model or asked.api_base:
            raise WrongUsage(
                f"{path} is there already and is never overwritten; change it there, or move it away and "
                "type the same again"
            )
        out(f"{path} is there already and was left as it is\n")
    else:
        model, base = asked.model or DEFAULT_MODEL, asked.api_base or DEFAULT_API_BASE
        if not base.startswith(("http://", "https://")):
            raise WrongUsage(f"--api-base takes an http(s) URL, such as {DEFAULT_API_BASE}, not {base!r}")
        document = default_document(model, base)
        check("the config to be written", document)
        _write_new(path, json.dumps(document, indent=2, ensure_ascii=False) + "\n")
        out(f"wrote {path}: model {model} at {base}\n")
    config = load(environ)
    written = prepare(config.workspace)
    out(
        f"wrote in {config.workspace}: {', '.join(written)}\n"
        if written
        else f"{config.workspace} has everything already\n"
    )
    out(
        "\nnext:\n"
        f"  {PROGRAM} status                     whether the model can be used\n"
        f'  {PROGRAM} agent -m "Who are you?"    one turn; without -m, a conversation\n'
    )
    return 0


def _write_new(path: Path, text: str) -> None:
    """A whole file or none, readable by its owner only: keys may be put in it. ConfigInvalid."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise ConfigInvalid(
            f"{path} cannot be written: {error.strerror}; set PICOCLAW_HOME to a folder that you may write"
        ) from None
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        path.unlink()
        raise

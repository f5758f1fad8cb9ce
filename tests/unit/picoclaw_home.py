"""A PICOCLAW_HOME for the tests of its config."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from picoclaw.config import Config, load
from picoclaw.errors import ConfigInvalid

SECRET = "sk-live-0123456789abcdefghij"


class Home:
    """A PICOCLAW_HOME with a config in it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.path = root / "config.json"
        self.environ: dict[str, str] = {"PICOCLAW_HOME": str(root), "HOME": str(root / "user")}

    def write(self, document: object) -> None:
        """Replace the config."""
        self.path.write_text(json.dumps(document), encoding="utf-8")

    def secrets(self, text: str, mode: int = 0o600) -> Path:
        """Replace .security.yml."""
        path = self.root / ".security.yml"
        path.write_text(text, encoding="utf-8")
        path.chmod(mode)
        return path

    def load(self, document: object | None = None, **environ: str) -> Config:
        """Write the config, if one is given, and load it."""
        if document is not None:
            self.write(document)
        return load({**self.environ, **environ})

    def refusal(self, document: object | None = None, **environ: str) -> str:
        """What loading says when it refuses."""
        with pytest.raises(ConfigInvalid) as caught:
            self.load(document, **environ)
        return str(caught.value)


def document(*models: dict[str, Any], **defaults: object) -> dict[str, Any]:
    """A version 3 config with those models and agents.defaults."""
    entries = models or ({"model_name": "fast", "model": "ollama/smollm2:135m"},)
    return {
        "version": 3,
        "agents": {"defaults": {"model_name": "fast", **defaults}},
        "model_list": list(entries),
    }

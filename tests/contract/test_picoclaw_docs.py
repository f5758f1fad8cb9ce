"""docs/picoclaw.md says what the package does: every field of the config, and an example that runs."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import picoclaw
from picoclaw.config import Key, default_document, table

PAGE = (Path(__file__).parents[2] / "docs/picoclaw.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("key", table(), ids=lambda key: key.path)
def test_every_field_of_the_config_is_documented(key: Key):
    """With what it takes, its default, what it is for and the variable that overrides it."""
    variable = f" (`{key.variable}`)" if key.variable else ""
    assert f"| `{key.path}` | {key.takes} | `{json.dumps(key.default)}` | {key.doc}{variable} |" in PAGE


def test_no_field_is_documented_that_does_not_exist():
    """The table has just those rows."""
    rows = re.findall(r"^\| `([^`]+)` \|", PAGE, re.MULTILINE)
    assert rows == [key.path for key in table()]


def test_everything_that_the_package_offers_can_be_had():
    """Each name of ``__all__`` is there, and no other is made up."""
    assert all(getattr(picoclaw, name).__name__ == name for name in picoclaw.__all__)
    with pytest.raises(AttributeError, match="Nonsense"):
        picoclaw.Nonsense  # noqa: B018 - looking it up is the test


def test_the_example_runs(fake_ollama, tmp_path, monkeypatch, capsys):
    """What the page shows a reader to type is what works."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    document = default_document("tiny:latest", fake_ollama.base)
    (tmp_path / "config.json").write_text(json.dumps(document), encoding="utf-8")
    monkeypatch.delenv("PICOCLAW_CONFIG", raising=False)
    monkeypatch.delenv("PICOCLAW_BINARY", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PICOCLAW_HOME", str(tmp_path))
    exec(compile(code, "docs/picoclaw.md", "exec"), {})  # noqa: S102 - our own page
    assert "ok embedded Usage(" in capsys.readouterr().out

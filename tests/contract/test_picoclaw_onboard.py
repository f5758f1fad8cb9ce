"""The agent's command before the first turn: status, version, and what onboard writes."""

from __future__ import annotations

import json
import re

import pytest

from picoclaw.config import load

pytestmark = pytest.mark.slow


def test_status_is_0_where_a_turn_could_be_had(picoclaw, ollama):
    """It names every path, the model and the server, and asks for no turn."""
    done = picoclaw("status")
    assert (done.returncode, done.stderr) == (0, "")
    for told in (picoclaw.config, picoclaw.home / "workspace", "smollm2:135m ✓", ollama.url):
        assert str(told) in done.stdout
    assert ollama.requests("/api/chat") == []
    told = json.loads(picoclaw("status", "--json").stdout)
    assert (told["ok"], told["problem"], told["backend"]) == (True, None, "embedded")


def test_status_as_json_says_what_is_wrong(picoclaw, ollama):
    """Status 1, one object."""
    ollama.script(models={})
    done = picoclaw("status", "--json")
    told = json.loads(done.stdout)
    assert (done.returncode, done.stderr, told["ok"]) == (1, "", False)
    assert "ollama pull" in told["problem"]


def test_version_is_one_that_drivers_read(fresh):
    """The lobster, the name, the version; nothing needs to be set up."""
    done = fresh("version")
    assert done.returncode == 0
    assert re.match(r"🦞 picoclaw-py \d+\.\d+\.\d+\n", done.stdout)


def test_onboard_writes_what_is_missing_and_overwrites_nothing(fresh):
    """A version 3 config that nobody else can read, a workspace; the second time nothing changes."""
    done = fresh("onboard", "--model", "qwen3:0.6b", "--api-base", "http://x:1/api/generate")
    assert done.returncode == 0
    assert f"wrote {fresh.config}: model qwen3:0.6b" in done.stdout
    assert "picoclaw-py status" in done.stdout
    written = fresh.config.read_bytes()
    assert fresh.config.stat().st_mode & 0o777 == 0o600
    entry = load(fresh.environ).entry(None)
    assert (entry.model, entry.api_base) == ("qwen3:0.6b", "http://x:1/v1")
    soul = fresh.home / "workspace" / "SOUL.md"
    soul.write_text("mine")
    (fresh.home / "workspace" / "USER.md").unlink()
    again = fresh("onboard")
    assert again.returncode == 0
    assert "is there already and was left as it is" in again.stdout
    assert "USER.md" in again.stdout
    assert "SOUL.md" not in again.stdout
    assert (fresh.config.read_bytes(), soul.read_text()) == (written, "mine")


def test_onboard_does_not_pretend_to_have_changed_a_config(fresh):
    """Options for a config that is there are refused, and what is there is kept."""
    assert fresh("onboard").returncode == 0
    written = fresh.config.read_bytes()
    done = fresh("onboard", "--model", "other")
    assert done.returncode == 1
    assert "is there already and is never overwritten" in done.stderr
    assert fresh.config.read_bytes() == written


def test_onboard_beside_a_broken_config_says_so(fresh):
    """It is not mended by writing over it."""
    fresh.home.mkdir()
    fresh.config.write_text("{")
    done = fresh("onboard")
    assert done.returncode == 1
    assert "is not JSON" in done.stderr
    assert fresh.config.read_text() == "{"


def test_onboard_where_nothing_can_be_written_says_what_to_set(fresh, tmp_path):
    """One sentence instead of a traceback."""
    (tmp_path / "file").touch()
    done = fresh("onboard", PICOCLAW_HOME=str(tmp_path / "file" / "home"))
    assert done.returncode == 1
    assert "set PICOCLAW_HOME to a folder that you may write" in done.stderr
    assert done.stderr.count("\n") == 1


def test_onboard_keeps_to_picoclaw_config(fresh, tmp_path):
    """The file that PICOCLAW_CONFIG names is the one that is written, folder and all."""
    path = tmp_path / "elsewhere" / "c.json"
    assert fresh("onboard", PICOCLAW_CONFIG=str(path)).returncode == 0
    assert json.loads(path.read_text())["version"] == 3
    assert not fresh.config.exists()

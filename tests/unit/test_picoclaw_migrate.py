"""Older configs: V0, V1 and V2 files mean what they meant, and stay as they are on disk."""

from __future__ import annotations

import copy
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from picoclaw.config import Config, check, load
from picoclaw.errors import ConfigInvalid
from picoclaw.migrate import CURRENT, OLD_PROVIDERS, migrate

V0: dict[str, Any] = {
    "agents": {"defaults": {"provider": "ollama", "model": "llama3.2:1b", "max_tokens": 8192}},
    "providers": {
        "openai": {"api_key": "sk-old", "web_search": True},
        "ollama": {"api_key": "", "api_base": "http://box:11434/v1", "request_timeout": 300},
    },
    "channels": {"telegram": {"enabled": False, "token": "t"}},
    "gateway": {"host": "0.0.0.0", "port": 18790},
}
V1: dict[str, Any] = {
    "version": 1,
    "agents": {"defaults": {"model_name": "gpt", "model_fallbacks": ["local"]}},
    "bindings": [],
    "model_list": [
        {"model_name": "gpt", "model": "openai/gpt-5.4", "api_key": "k1", "api_keys": ["k2", "k1"]},
        {"model_name": "local", "model": "ollama/a:1"},
    ],
    "channels": {},
}
V2: dict[str, Any] = {
    "version": 2,
    "agents": {"defaults": {"model_name": "gpt"}},
    "model_list": [{"model_name": "gpt", "model": "openai/gpt-5.4", "api_keys": ["k2"], "enabled": True}],
    "channels": {"discord": {}},
}


def loaded(root: Path, document: dict[str, Any]) -> Config:
    """The config that a file with this document leads to."""
    (root / "config.json").write_text(json.dumps(document), encoding="utf-8")
    return load({"PICOCLAW_HOME": str(root)})


@pytest.mark.parametrize("document", [V0, V1, V2], ids=["V0", "V1", "V2"])
def test_an_old_file_is_never_written(tmp_path: Path, document: dict[str, Any]):
    """Neither its bytes nor its times nor what is beside it change, and a read-only one is read."""
    path = tmp_path / "config.json"
    raw = json.dumps(document, indent=3).encode()
    path.write_bytes(raw)
    path.chmod(0o400)
    os.utime(path, ns=(1_000, 2_000))
    config = load({"PICOCLAW_HOME": str(tmp_path)})
    assert config.version == document.get("version", 0)
    assert path.read_bytes() == raw
    assert path.stat().st_mtime_ns == 2_000
    assert list(tmp_path.iterdir()) == [path]


def test_v0_default_model_is_found(tmp_path: Path):
    """agents.defaults.provider and .model lead to an entry with that provider's address and timeout."""
    config = loaded(tmp_path, V0)
    entry = config.entry()
    assert (entry.model_name, entry.provider, entry.model) == ("llama3.2:1b", "ollama", "llama3.2:1b")
    assert (entry.api_base, entry.request_timeout, entry.enabled) == ("http://box:11434/v1", 300.0, True)
    assert config.defaults.max_tokens == 8192


def test_v0_other_providers_stay_usable(tmp_path: Path):
    """Each configured provider is an entry named after it, with its key and upstream's model for it."""
    entry = loaded(tmp_path, V0).entry("openai")
    assert (entry.provider, entry.model, entry.api_keys) == ("openai", "gpt-5.4", ("sk-old",))


@pytest.mark.parametrize(
    ("defaults", "providers", "expected"),
    [
        ({"model": "glm-4.7"}, {"zhipu": {"api_key": "k"}, "ollama": {"api_key": "k"}}, ("zhipu", "glm-4.7")),
        (
            {"model": "ollama/x:1"},
            {"openai": {"api_key": "k"}, "ollama": {"api_base": "http://b"}},
            ("ollama", "x:1"),
        ),
        (
            {"model": "anthropic/claude-x"},
            {"openrouter": {"api_key": "k"}},
            ("openrouter", "anthropic/claude-x"),
        ),
        ({"model": "m", "provider": "CLAUDE"}, {"anthropic": {"api_key": "k"}}, ("anthropic", "m")),
        (
            {"model": "m", "provider": "copilot"},
            {"github_copilot": {"connect_mode": "stdio"}},
            ("github-copilot", "m"),
        ),
        ({"model": "m", "provider": "ollama"}, {}, ("ollama", "m")),
        ({"provider": "ollama"}, {"ollama": None}, ("ollama", "llama3")),
        ({"model": "old", "model_name": "new", "provider": "ollama"}, {}, ("ollama", "new")),
    ],
)
def test_v0_finds_the_provider_of_the_model(
    tmp_path: Path, defaults: dict[str, Any], providers: dict[str, Any], expected: tuple[str, str]
):
    """The provider that is named, else the one that the model names, else the first that is configured."""
    entry = loaded(tmp_path, {"agents": {"defaults": defaults}, "providers": providers}).entry()
    assert (entry.provider, entry.model) == expected


def test_v0_model_list_goes_before_providers(tmp_path: Path):
    """Where both are, only model_list counts, as in upstream."""
    models = [{"model_name": "a", "model": "ollama/a:1", "api_key": "k"}]
    config = loaded(tmp_path, V0 | {"model_list": models})
    assert [(entry.model_name, entry.api_keys) for entry in config.models] == [("a", ("k",))]


def test_v1_keys_count_together(tmp_path: Path):
    """api_key goes before api_keys, none twice; an entry without a key is usable all the same."""
    config = loaded(tmp_path, V1)
    assert config.entry().api_keys == ("k1", "k2")
    assert (config.entry("local").enabled, config.defaults.model_fallbacks) == (True, ("local",))


def test_v2_is_read(tmp_path: Path):
    """V2 differs in sections that nothing here reads."""
    assert loaded(tmp_path, V2).entry().api_keys == ("k2",)


@pytest.mark.parametrize("document", [V0, V1, V2], ids=["V0", "V1", "V2"])
def test_keys_of_security_yml_reach_old_entries(tmp_path: Path, document: dict[str, Any]):
    """It is merged after the migration, so V0's providers are found by their entries' names."""
    name = "openai" if document is V0 else "gpt"
    (tmp_path / ".security.yml").write_text(f"model_list: {{{name}: {{api_keys: [new]}}}}", encoding="utf-8")
    (tmp_path / ".security.yml").chmod(0o600)
    assert loaded(tmp_path, document).entry(name).api_keys == ("new",)


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (
            {"providers": {"olama": {}}},
            "providers.olama is not a known field; did you mean providers.ollama?",
        ),
        ({"providers": {"ollama": {"api_bas": ""}}}, "did you mean providers.ollama.api_base?"),
        (
            {"providers": {"ollama": {"api_base": "box"}}},
            "providers.ollama.api_base takes an http(s) address",
        ),
        (
            {"providers": {"openai": {"api_key": 7734}}},
            "providers.openai.api_key takes text; what it holds is",
        ),
        ({"agents": {"defaults": {"model": "a b"}}}, "agents.defaults.model takes a model's name"),
        ({"agents": {"defaults": {"model_name": "a b"}}}, "agents.defaults.model_name takes a model's name"),
        ({"agents": {"defaults": {"modl": "a"}}}, "did you mean agents.defaults.model?"),
        ({"model_list": [{"model_name": "a"}]}, "model_list[0].model is needed"),
        ({"version": 2, "model_list": [{"api_kee": "a"}]}, "did you mean model_list[0].api_key?"),
    ],
)
def test_an_old_file_is_checked_as_what_it_is(tmp_path: Path, document: dict[str, Any], said: str):
    """Errors are about the keys that the file has, not about those that they become."""
    with pytest.raises(ConfigInvalid) as caught:
        loaded(tmp_path, document)
    assert said in str(caught.value)
    assert "7734" not in str(caught.value)


def test_a_newer_version_does_not_take_older_names(tmp_path: Path):
    """What version 3 dropped is refused there, with the version that still had it."""
    with pytest.raises(ConfigInvalid, match=r"providers is not a known field since version 3; did you mean"):
        loaded(tmp_path, {"version": 3, "providers": {}})


WORDS = st.text(alphabet="abz/:-. ", max_size=8)
SECTIONS = st.fixed_dictionaries(
    {}, optional={"api_key": WORDS, "api_base": st.sampled_from(["", "http://b", "nonsense"]), "proxy": WORDS}
)
ENTRIES = st.fixed_dictionaries(
    {"model_name": WORDS, "model": WORDS},
    optional={
        "api_key": WORDS,
        "api_keys": st.lists(WORDS, max_size=3),
        "enabled": st.booleans(),
        "rpm": st.just(3),
    },
)
DEFAULTS = st.fixed_dictionaries(
    {},
    optional={
        "model": WORDS,
        "model_name": WORDS,
        "max_tokens": st.integers(0, 9),
        "provider": st.sampled_from(["", "ollama", "gpt", "nobody"]),
    },
)
OLD = st.fixed_dictionaries(
    {"version": st.none() | st.integers(0, CURRENT)},
    optional={
        "agents": st.none() | st.fixed_dictionaries({}, optional={"defaults": st.none() | DEFAULTS}),
        "providers": st.dictionaries(
            st.sampled_from([old.key for old in OLD_PROVIDERS]), st.none() | SECTIONS, max_size=3),
        "model_list": st.none() | st.lists(ENTRIES, max_size=3),
        "channels": st.just({"x": {}}),
        "bindings": st.just([]),
    },
)  # fmt: skip


@pytest.mark.slow
@settings(max_examples=500, deadline=None)
@given(document=OLD)
def test_what_an_old_version_takes_version_3_takes(document: dict[str, Any]):
    """A checked document migrates to one that is right, twice to the same, and is left alone itself."""
    try:
        check("f", document)
    except ConfigInvalid:
        return
    before = copy.deepcopy(document)
    current = migrate(document)
    assert document == before
    assert check("f", current) == CURRENT
    assert migrate(current) == current
    old_models = document.get("model_list") or []
    if old_models:
        assert [m["model_name"] for m in current["model_list"]] == [m["model_name"] for m in old_models]

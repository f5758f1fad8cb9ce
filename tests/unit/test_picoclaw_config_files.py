"""PicoClaw's config files: keys beside the config, and files that may hold anything."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from picoclaw.config import table
from picoclaw.config_file import MOST_BYTES
from picoclaw.errors import ConfigInvalid
from tests.unit.picoclaw_home import SECRET, Home, document


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A PICOCLAW_HOME that is empty."""
    return Home(tmp_path)


def test_security_yml_replaces_the_keys_of_the_file(home: Home):
    """By model_name for all entries of it, by model_name:N for the N-th; others keep theirs."""
    entries = [{"model_name": name, "model": "openai/x", "api_keys": ["own"]} for name in ("a", "a", "b")]
    path = home.secrets('model_list:\n  a:\n    api_keys: ["1", "2", "1"]\n  "a:1": {api_keys: [007]}\n')
    config = home.load(document(*entries))
    assert [entry.api_keys for entry in config.models] == [("1", "2"), ("007",), ("own",)]
    assert config.security == path


def test_a_security_yml_that_others_may_read_is_warned_of(home: Home, caplog: pytest.LogCaptureFixture):
    """A mode wider than 0600 is a warning with what to type, and no error; 0600 and 0400 are silent."""
    for mode, warned in ((0o600, False), (0o400, False), (0o640, True), (0o604, True)):
        caplog.clear()
        path = home.secrets("model_list: {fast: {api_keys: [k]}}", mode)
        assert home.load(document()).entry().api_keys == ("k",)
        assert (f"chmod 600 {path}" in caplog.text) is warned
        assert caplog.text.count("WARNING") == int(warned)


def test_keys_for_models_that_do_not_exist_are_warned_of(home: Home, caplog: pytest.LogCaptureFixture):
    """A mistyped name would leave a model without its key; sections of upstream's are silent."""
    home.secrets("model_list: {fst: {api_keys: [k]}}\nweb: {brave: {api_keys: [b]}}\nmodel_lst: {}")
    home.load(document())
    assert "no model of the config is called fst" in caplog.text
    assert "did you mean model_list?" in caplog.text
    assert "web" not in caplog.text


@pytest.mark.parametrize(
    "text",
    [
        "[" * 600,
        "a: [",
        "- x",
        "model_list: [1]",
        "model_list: {fast: 3}",
        "model_list: {fast: {api_keys: {a: b}}}",
        "model_list: {fast: {}, fast: {}}",
        "? [1]\n: 2",
        '"\\UFFFFFFFF"',
        "x" * 70_000,
        "a: &a [*a]\nmodel_list: *b",
        "--- a\n--- b",
        f"model_list: {{fast: {{api_keys: [[{SECRET}]]}}}}",
        "\0",
        f"{SECRET}: [",
    ],
)
def test_a_broken_security_yml_is_config_invalid(home: Home, text: str):
    """Whatever is in it: an error that names the file and shows none of it."""
    path = home.secrets(text)
    said = home.refusal(document())
    assert said.startswith(str(path))
    assert SECRET not in said


def test_keys_may_be_elsewhere(home: Home):
    """env://NAME and file://NAME stand for the key; the file must lie beside the config."""
    (home.root / "key").write_text("inside\n", encoding="utf-8")
    entry = {
        "model_name": "fast",
        "model": "openai/x",
        "api_keys": ["env://THE_KEY", "file://key", "env://NONE"],
    }
    assert home.load(document(entry), THE_KEY="outside").entry().api_keys == ("outside", "inside")
    for key in ("file://../x", "file://", "file:///etc/hostname", "file://none", "enc://AAAA", "env://a b"):
        said = home.refusal(document(entry | {"api_keys": [key]}))
        assert said.startswith(f"{home.path}: model_list[0].api_keys holds ")
        assert "AAAA" not in said


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is not JSON"),
        (b"{", "is not JSON"),
        (b"[]", "must hold a JSON object"),
        (b"3", "JSON object"),
        (b"\xff\xfe{}", "is not UTF-8"),
        (b"\xef\xbb\xbf{}", "is not JSON"),
        (b'{"a": NaN}', "not JSON"),
        (b'{"a": -Infinity}', "not JSON"),
        (b'{"tools": 1e999}', "tools is too large"),
        (b"1" * 9000, "not JSON"),
        (b"[" * 100_000, "levels deep"),
        (b'{"a":' * 200 + b"1" + b"}" * 200, "levels deep"),
        (
            b'{"agents": {"defaults": {"max_tokens": 1, "max_tokens": 2}}}',
            "agents.defaults.max_tokens is there twice",
        ),
        (b'{"version": 3, "version": 2}', "version is there twice"),
        (b'{"tools": "\\ud800"}', "half a character"),
        (b" " * (MOST_BYTES + 1), "larger than"),
        (b'{"version": 4}', "version takes 0, 1, 2 or 3"),
        (b'{"version": true}', "version takes"),
        (b'{"version": "3"}', "version takes"),
    ],
)
def test_a_hostile_file_is_config_invalid(home: Home, data: bytes, said: str):
    """Not JSON, not UTF-8, too large, too deep, ambiguous: one error, with the file's name."""
    home.path.write_bytes(data)
    text = home.refusal()
    assert text.startswith(str(home.path))
    assert said in text


def test_what_is_no_file_is_config_invalid(home: Home):
    """A directory, a pipe that nobody writes to, a loop of links, an impossible name."""
    home.path.mkdir()
    assert "not a regular file" in home.refusal()
    home.path.rmdir()
    os.mkfifo(home.path)
    assert "not a regular file" in home.refusal()
    home.path.unlink()
    home.path.symlink_to(home.path)
    assert "cannot be read" in home.refusal()
    assert "cannot be read" in home.refusal(PICOCLAW_CONFIG="/" + "x" * 300)
    assert "takes a path" in home.refusal(PICOCLAW_CONFIG="a\0b")


def test_an_unreadable_file_is_config_invalid(home: Home):
    """The error says why the system refuses."""
    home.write(document())
    home.path.chmod(0)
    root = os.geteuid() == 0
    if root:  # who reads everything
        os.seteuid(NOBODY)
    try:
        assert "Permission denied" in home.refusal()
    finally:
        if root:
            os.seteuid(0)


NOBODY = 65534
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
NAMES = sorted({key.path.rsplit(".", 1)[-1] for key in table()} | {"turn_profile", "api_key", "provider"})


def _object(names: list[str], inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.dictionaries(st.sampled_from(names), inner | JSON, max_size=4) | JSON


DOCUMENTS = st.fixed_dictionaries(
    {},
    optional={
        "version": st.integers(0, 3) | JSON,
        "agents": _object(["defaults", "list"], _object(NAMES, JSON)),
        "model_list": st.lists(_object(NAMES, JSON), max_size=3) | JSON,
        "providers": _object(["ollama", "openai"], _object(["api_key", "api_base"], JSON)),
        "channels": JSON,
    },
)
YML = st.binary(max_size=20) | st.text(
    alphabet="abx_ls:-[]{}&*!|>%@`,?#\"'\\U0F\n\t \x07\x85\ufeff\ud7ff", max_size=60
).map(lambda text: f"model_list: {text}".encode())
FUZZ = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.slow
@FUZZ
@given(
    data=st.binary(max_size=200) | DOCUMENTS.map(lambda d: json.dumps(d).encode()), yml=st.binary(max_size=60)
)
def test_any_file_is_a_config_or_config_invalid(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, yml: bytes
):
    """No bytes in config.json and .security.yml lead to another exception, and neither is written."""
    root = tmp_path_factory.getbasetemp() / "fuzz"
    root.mkdir(exist_ok=True)
    here = Home(root)
    here.path.write_bytes(data)
    (root / ".security.yml").write_bytes(yml)
    said = ""
    try:
        here.load()
    except ConfigInvalid as error:
        said = str(error)
    assert "\x1b" not in said
    assert len(said) < 2000
    assert here.path.read_bytes() == data
    assert (root / ".security.yml").read_bytes() == yml


@pytest.mark.slow
@FUZZ
@given(
    value=st.text(alphabet=st.characters(exclude_characters="\0"), max_size=30), name=st.sampled_from(NAMES)
)
def test_any_variable_is_taken_or_refused(tmp_path_factory: pytest.TempPathFactory, value: str, name: str):
    """No text in a variable leads to another exception."""
    root = tmp_path_factory.getbasetemp() / "variables"
    root.mkdir(exist_ok=True)
    here = Home(root)
    here.write(document())
    said = ""
    try:
        here.load(**{f"PICOCLAW_AGENTS_DEFAULTS_{name.upper()}": value})
    except ConfigInvalid as error:
        said = str(error)
    assert not said or name.upper() in said or name == "workspace"

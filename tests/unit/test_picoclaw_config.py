"""PicoClaw's config: what a file and the environment say is taken exactly or refused with what to mend."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from picoclaw.config import config_path, default_document, home_of, table
from picoclaw.errors import ModelNotFound
from tests.unit.picoclaw_home import SECRET, Home, document


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A PICOCLAW_HOME that is empty."""
    return Home(tmp_path)


def test_defaults_are_those_of_upstream(home: Home):
    """A config that says only which model is used gets PICOCLAW.md's defaults."""
    config = home.load(document())
    defaults = config.defaults
    assert config.workspace == home.root / "workspace"
    assert (defaults.restrict_to_workspace, defaults.model_fallbacks) == (True, ())
    assert (defaults.max_tokens, defaults.context_window, defaults.temperature) == (32768, 131072, 0.7)
    assert (defaults.max_tool_iterations, defaults.summarize_message_threshold) == (50, 20)
    assert (defaults.summarize_token_percent, defaults.max_llm_retries) == (75, 2)
    assert defaults.llm_retry_backoff_secs == 2.0
    assert (config.tools, config.version, config.security) == ("auto", 3, None)


def test_zero_stands_for_what_upstream_makes_of_it(home: Home):
    """0 is a default, and max_tool_iterations' is then 20 (pkg/agent/instance.go)."""
    names = (
        "max_tokens context_window max_tool_iterations summarize_message_threshold summarize_token_percent "
        "max_llm_retries llm_retry_backoff_secs"
    )
    defaults = home.load(document(**dict.fromkeys(names.split(), 0))).defaults
    assert (defaults.max_tokens, defaults.context_window) == (8192, 4 * 8192)
    assert (defaults.max_tool_iterations, defaults.max_llm_retries) == (20, 2)
    assert (defaults.summarize_message_threshold, defaults.summarize_token_percent) == (20, 75)
    assert defaults.llm_retry_backoff_secs == 2.0


def test_null_is_not_there(home: Home):
    """Null leaves the default, as in upstream."""
    config = home.load(document(max_tokens=None, temperature=None))
    assert (config.defaults.max_tokens, config.defaults.temperature) == (32768, 0.7)


def test_an_ollama_model_needs_no_more_than_its_name(home: Home):
    """ollama/NAME:TAG is provider ollama, at Ollama's usual place, 120 s an attempt."""
    entry = home.load(document()).entry()
    assert (entry.provider, entry.model) == ("ollama", "smollm2:135m")
    assert entry.api_base == "http://localhost:11434/v1"
    assert (entry.request_timeout, entry.rpm, entry.api_keys, entry.enabled) == (120.0, 0, (), True)


@pytest.mark.parametrize(
    ("given_provider", "given_model", "defaults", "expected"),
    [
        ("", "ollama/hf.co/a/b:Q4", "", ("ollama", "hf.co/a/b:Q4")),
        ("ollama", "ollama/x:1", "", ("ollama", "x:1")),
        ("openrouter", "meta/llama", "", ("openrouter", "meta/llama")),
        ("", "plain", "", ("openai", "plain")),
        ("", "plain", "ollama", ("ollama", "plain")),
        ("", "meta/llama", "vllm", ("vllm", "meta/llama")),
    ],
)
def test_the_provider_is_what_upstream_infers(
    home: Home, given_provider: str, given_model: str, defaults: str, expected: tuple[str, str]
):
    """An entry's provider goes before its model's prefix, then agents.defaults', then openai."""
    models = {"model_name": "fast", "provider": given_provider, "model": given_model}
    entry = home.load(document(models, provider=defaults)).entry()
    assert (entry.provider, entry.model) == expected


def test_a_mistyped_provider_is_not_sent_to_openai(home: Home):
    """An unknown prefix without an address is refused with the nearest provider."""
    said = home.refusal(document({"model_name": "fast", "model": "olama/x:1"}))
    assert "model_list[0].model takes a provider" in said
    assert "did you mean ollama/x:1?" in said


def test_the_environment_wins_over_the_file(home: Home):
    """PICOCLAW_AGENTS_DEFAULTS_* replace what the file says; set to nothing they don't."""
    config = home.load(
        document(max_tokens=100, temperature=0.1, max_llm_retries=5),
        PICOCLAW_AGENTS_DEFAULTS_MAX_TOKENS="256",
        PICOCLAW_AGENTS_DEFAULTS_TEMPERATURE=".5",
        PICOCLAW_AGENTS_DEFAULTS_RESTRICT_TO_WORKSPACE="False",
        PICOCLAW_AGENTS_DEFAULTS_WORKSPACE="~/there",
        PICOCLAW_AGENTS_DEFAULTS_MAX_LLM_RETRIES="",
    )
    defaults = config.defaults
    assert (defaults.max_tokens, defaults.context_window, defaults.temperature) == (256, 1024, 0.5)
    assert (defaults.restrict_to_workspace, defaults.max_llm_retries) == (False, 5)
    assert config.workspace == home.root / "user" / "there"


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("MAX_TOKENS", "1_000", "a whole number from 0 to 10000000"),
        ("MAX_TOKENS", "-1", "a whole number"),
        ("MAX_TOKENS", "9" * 5000, "a whole number"),
        ("TEMPERATURE", "nan", "a number from 0 to 2"),
        ("RESTRICT_TO_WORKSPACE", "maybe", "true or false"),
        ("WORKSPACE", "~somebody/x", "a path"),
    ],
)
def test_a_bad_variable_is_refused_by_its_name(home: Home, name: str, value: str, allowed: str):
    """The error names the variable, what it takes and (shortened) what it holds."""
    variable = f"PICOCLAW_AGENTS_DEFAULTS_{name}"
    said = home.refusal(document(), **{variable: value})
    assert allowed in said
    assert name == "WORKSPACE" or said.startswith(f"{variable} takes ")
    assert len(said) < 300


def test_a_mistyped_variable_is_complained_of(home: Home, caplog: pytest.LogCaptureFixture):
    """Upstream ignores it silently; the log names the nearest one."""
    with caplog.at_level(logging.WARNING):
        home.load(document(), PICOCLAW_AGENTS_DEFAULTS_MAX_TOKNS="1", PICOCLAW_AGENTS_DEFAULTS_SUBTURN_X="1")
    assert "did you mean PICOCLAW_AGENTS_DEFAULTS_MAX_TOKENS?" in caplog.text
    assert "SUBTURN" not in caplog.text


def test_without_a_file_the_environment_counts_for_nothing(home: Home):
    """A missing config is refused with what to type, whatever the variables say."""
    said = home.refusal(PICOCLAW_AGENTS_DEFAULTS_MODEL_NAME="fast")
    assert said.startswith(str(home.path))
    assert "picoclaw-py onboard" in said


def test_where_the_config_is(tmp_path: Path):
    """PICOCLAW_CONFIG, then PICOCLAW_HOME, then ~/.picoclaw; ~ is HOME, and nothing set counts as unset."""
    user = {"HOME": str(tmp_path)}
    assert config_path(user) == tmp_path / ".picoclaw" / "config.json"
    assert config_path({**user, "PICOCLAW_HOME": "~/h", "PICOCLAW_CONFIG": ""}) == tmp_path / "h/config.json"
    both = {**user, "PICOCLAW_HOME": "/h", "PICOCLAW_CONFIG": "~/c.json"}
    assert config_path(both) == tmp_path / "c.json"
    assert home_of(both) == Path("/h")
    assert home_of({**user, "PICOCLAW_HOME": "h"}).is_absolute()


def test_a_config_elsewhere_has_its_keys_beside_it(home: Home):
    """.security.yml is looked for beside config.json, the workspace in PICOCLAW_HOME."""
    there = home.root / "there"
    there.mkdir()
    (there / "c.json").write_text(json.dumps(document()), encoding="utf-8")
    secrets = there / ".security.yml"
    secrets.write_text("model_list: {fast: {api_keys: [k]}}", encoding="utf-8")
    secrets.chmod(0o600)
    config = home.load(PICOCLAW_CONFIG=str(there / "c.json"))
    assert (config.entry().api_keys, config.security) == (("k",), secrets)
    assert config.workspace == home.root / "workspace"


@pytest.mark.parametrize(
    ("at", "name", "path", "meant"),
    [
        ((), "agent", "agent", "agents"),
        ((), "channels", "channels", "channel_list"),
        ((), "providers", "providers", "model_list"),
        (("agents",), "default", "agents.default", "agents.defaults"),
        (("agents", "defaults"), "max_tokenz", "agents.defaults.max_tokenz", "agents.defaults.max_tokens"),
        (("agents", "defaults"), "model", "agents.defaults.model", "agents.defaults.model_name"),
        (("model_list", 0), "api_key", "model_list[0].api_key", "model_list[0].api_keys"),
        (("model_list", 0), "base", "model_list[0].base", "model_list[0].api_base"),
    ],
)
def test_an_unknown_field_is_refused_with_the_nearest(
    home: Home, at: tuple[Any, ...], name: str, path: str, meant: str
):
    """At every level the error has the file, the key's full path and the nearest valid name."""
    whole = document()
    place: Any = whole
    for step in at:
        place = place[step]
    place[name] = SECRET
    said = home.refusal(whole)
    assert said.startswith(f"{home.path}: {path} is not a known field")
    assert said.endswith(f"did you mean {meant}?")
    assert SECRET not in said


def test_an_unknown_field_that_is_like_none_is_refused_with_all(home: Home):
    """When no name is near, the error lists what may stand there."""
    said = home.refusal(document() | {"\x1b[31mzzzz": 1})
    assert "may hold version, agents, model_list" in said
    assert "\x1b" not in said


def test_a_field_inside_turn_profile_is_checked(home: Home):
    """The turn profile's blocks are known too."""
    said = home.refusal(document(turn_profile={"tools": {"mod": "off"}}))
    assert "agents.defaults.turn_profile.tools.mod is" in said


def test_sections_of_upstream_are_not_looked_into(home: Home):
    """Upstream's other sections and fields are accepted by name with whatever they hold."""
    names = "isolation session evolution channel_list gateway events hooks tools heartbeat devices voice"
    whole = document(routing={"x": 1}, subturn=[], tool_feedback=3)
    whole |= {name: {"any": ["thing"]} for name in [*names.split(), "build_info"]}
    whole["agents"]["list"] = whole["agents"]["dispatch"] = ["x"]
    whole["model_list"][0] |= {"proxy": 1, "streaming": {}, "custom_headers": []}
    assert home.load(whole).entry().model == "smollm2:135m"


@pytest.mark.parametrize(
    ("change", "key", "given", "takes"),
    [
        ({"max_tokens": "lots"}, "agents.defaults.max_tokens", "'lots'", "a whole number from 0 to"),
        ({"max_tokens": True}, "agents.defaults.max_tokens", "true", "a whole number"),
        ({"max_tokens": 3.0}, "agents.defaults.max_tokens", "3.0", "a whole number"),
        ({"max_tokens": 10**40}, "agents.defaults.max_tokens", "1000", "a whole number"),
        ({"temperature": 2.5}, "agents.defaults.temperature", "2.5", "a number from 0 to 2"),
        ({"restrict_to_workspace": 1}, "agents.defaults.restrict_to_workspace", "1", "true or false"),
        ({"workspace": "a\nb"}, "agents.defaults.workspace", r"'a\nb'", "a path"),
        ({"model_fallbacks": "x"}, "agents.defaults.model_fallbacks", "'x'", "a list of texts"),
        ({"turn_profile": []}, "agents.defaults.turn_profile", "a list", "an object"),
        ({"summarize_token_percent": 101}, "agents.defaults.summarize_token_percent", "101", "to 100"),
    ],
)
def test_a_wrong_value_is_refused(home: Home, change: dict[str, Any], key: str, given: str, takes: str):
    """The error names file, key, what is allowed and, shortened, what was given."""
    said = home.refusal(document(**change))
    assert said.startswith(f"{home.path}: {key} takes ")
    assert given in said
    assert takes in said
    assert len(said) < 400


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"api_base": "ftp://x"}, "api_base"),
        ({"api_base": "http://x:99999999"}, "api_base"),
        ({"api_base": "http://u:p@x"}, "api_base"),
        ({"request_timeout": -1}, "request_timeout"),
        ({"model": "two words"}, "model"),
        ({"model": "/x"}, "model"),
        ({"model": ""}, "model"),
        ({"model_name": None}, "model_name"),
        ({"extra_body": 1}, "extra_body"),
        ({"enabled": "no"}, "enabled"),
    ],
)
def test_a_wrong_entry_is_refused(home: Home, change: dict[str, Any], key: str):
    """Each entry of model_list is checked, and named by its place."""
    good = {"model_name": "fast", "model": "ollama/a:b"}
    said = home.refusal(document(good, good | change))
    assert said.startswith(f"{home.path}: model_list[1].{key} ")


@pytest.mark.parametrize(
    "where",
    [
        {"api_keys": {"a": SECRET}},
        {"api_keys": [SECRET, 3]},
        {"api_base": SECRET},
        {"api_keys": SECRET + "\n"},
        {"request_timeout": SECRET},
        {"api_base": f"http://u:{SECRET}@host"},
    ],
)
def test_no_error_shows_a_key(home: Home, where: dict[str, Any]):
    """What is or looks like an API key is not repeated, even where it does not belong."""
    said = home.refusal(document({"model_name": "fast", "model": "openai/x"} | where))
    assert SECRET not in said
    assert SECRET[8:20] not in said


def test_a_config_shows_no_key(home: Home):
    """The keys are not part of an entry's repr, which ends up in logs."""
    config = home.load(document({"model_name": "fast", "model": "openai/x", "api_keys": [SECRET]}))
    assert config.entry().api_keys == (SECRET,)
    assert SECRET not in repr(config)


def test_the_turn_profile_turns_tools_off(home: Home):
    """tools.mode off counts when the profile is enabled; a list of allowed tools is taken as off."""
    off = {"mode": "off"}
    assert home.load(document(turn_profile={"enabled": True, "tools": off})).tools == "off"
    assert home.load(document(turn_profile={"enabled": False, "tools": off})).tools == "auto"
    assert home.load(document(turn_profile={"enabled": True, "tools": {"mode": " OFF "}})).tools == "off"
    assert home.load(document(turn_profile={"enabled": True, "history": off})).tools == "auto"
    custom = {"mode": "custom", "allow": ["read_file"]}
    assert home.load(document(turn_profile={"enabled": True, "tools": custom})).tools == "off"
    assert "default or off" in home.refusal(document(turn_profile={"history": custom}))


def test_entry_finds_by_name_the_first_that_is_enabled(home: Home):
    """Entries may share a name; one with enabled false is not found."""
    config = home.load(
        document(
            {"model_name": "fast", "model": "ollama/a:1", "enabled": False},
            {"model_name": "fast", "model": "ollama/b:1"},
            {"model_name": "slow", "model": "ollama/c:1", "enabled": False},
        )
    )
    assert config.entry().model == config.entry("fast").model == "b:1"
    with pytest.raises(ModelNotFound, match=r"'slow' is not in model_list of .*; it has fast"):
        config.entry("slow")


def test_an_unknown_model_is_answered_with_the_nearest_and_all(home: Home):
    """The error has what was asked, the nearest name and the names there are, not thousands of them."""
    many = [{"model_name": f"model{n}", "model": "ollama/a:1"} for n in range(50)]
    config = home.load(document({"model_name": "smollm", "model": "ollama/a:1"}, *many))
    with pytest.raises(
        ModelNotFound, match=r"did you mean smollm\? it has smollm, (model\d+, ){18}model18 and 31 more"
    ):
        config.entry("smolm")


def test_no_default_model_is_said_so(home: Home):
    """Without agents.defaults.model_name a turn must name its model; the error says what to set."""
    config = home.load(document(model_name=""))
    with pytest.raises(ModelNotFound, match=r"set agents\.defaults\.model_name"):
        config.entry()
    assert config.entry("fast").model == "smollm2:135m"


def test_the_default_document_is_a_config(home: Home):
    """What onboard writes loads, and says what it was told to."""
    made = default_document(
        "smollm2:135m", "http://box:11434/", workspace="/w", context_window=2048, tools="off"
    )
    config = home.load(made)
    assert (config.version, config.tools, config.workspace) == (3, "off", Path("/w"))
    assert (config.defaults.max_tokens, config.defaults.context_window) == (256, 2048)
    entry = config.entry()
    assert (entry.model_name, entry.provider, entry.model) == ("smollm2:135m", "ollama", "smollm2:135m")
    assert entry.api_base == "http://box:11434/v1"
    assert made["model_list"][0]["api_keys"] == []
    assert "workspace" not in default_document("m", "")["agents"]["defaults"]


@pytest.mark.parametrize("end", ["", "/", "/v1", "/v1/", "/api", "/api/generate", "/api/chat/"])
def test_the_default_document_takes_every_form_of_ollamas_address(home: Home, end: str):
    """Upstream's binary needs …/v1, whatever form OLLAMA_URL has."""
    assert home.load(default_document("a:b", f"http://box:1{end}")).entry().api_base == "http://box:1/v1"


def test_the_default_document_keeps_another_provider(home: Home):
    """A model with a known provider stays that provider's, at the address that was given."""
    entry = home.load(default_document("openai/gpt-x", "https://api.example/openai")).entry()
    assert (entry.provider, entry.model, entry.api_base) == ("openai", "gpt-x", "https://api.example/openai")


def test_the_table_lists_every_key_that_is_read():
    """Docs get each key once with its default, what it takes and the variable that wins over it."""
    rows = {key.path: key for key in table()}
    assert len(rows) == len(table())
    assert rows["agents.defaults.max_tokens"].default == 32768
    assert rows["agents.defaults.max_tokens"].variable == "PICOCLAW_AGENTS_DEFAULTS_MAX_TOKENS"
    assert rows["agents.defaults.model_fallbacks"].variable == ""
    assert "model_list[].api_base" in rows
    assert "agents.defaults.turn_profile.tools.mode" in rows
    assert not {"model_list[].api_key", "model_list[].proxy", "providers", "agents.defaults.model"} & set(
        rows
    )
    assert all(key.takes and key.doc for key in rows.values())

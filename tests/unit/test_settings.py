"""Settings: read once, refused by name."""

from __future__ import annotations

import pytest

from clawbucket.settings import BadSetting, Settings, table


def test_nothing_set_gives_the_defaults():
    """An empty environment gives a usable replica of the default service."""
    settings = Settings.from_env({})
    assert settings.memcached_port == 11211
    assert settings.swarm_services == ("clawbucket_clawbucket",)
    assert settings.primary == "clawbucket_clawbucket"


@pytest.mark.parametrize(
    ("name", "value", "takes"),
    [
        ("MEMCACHED_PORT", "0", "a port, 1 to 65535"),
        ("MEMCACHED_PORT", "eleven", "a port, 1 to 65535"),
        ("MEMCACHED_PORT", "\u0661\u0661", "a port, 1 to 65535"),
        ("TASK_SLOT", "-1", "a number from 0"),
        ("SWARM_SERVICES", "a,a", "none twice"),
        ("SWARM_SERVICES", " , ", "none twice"),
        ("SERVICE_NAME", "with space", "a service name"),
        ("OLLAMA_URL", "ollama:11434", "an http(s) URL"),
        ("PICOCLAW_ENABLED", "perhaps", "1, true, yes, on"),
        ("CLAWBUCKET_LOG_FORMAT", "xml", "console or json"),
        ("CLAWBUCKET_NODES", "6", "from 1 to 5"),
        ("DASHBOARD_BOT_LABEL", "x" * 41, "at most 40"),
    ],
)
def test_a_bad_value_is_refused_with_the_variables_name_and_what_it_takes(name, value, takes):
    """The error names the variable, what was given, and what is allowed."""
    with pytest.raises(BadSetting) as refused:
        Settings.from_env({name: value})
    assert name in str(refused.value)
    assert takes in str(refused.value)
    assert repr(value[:80]) in str(refused.value)


def test_a_bad_token_is_not_repeated():
    """A refused secret is not printed."""
    with pytest.raises(BadSetting) as refused:
        Settings.from_env({"CLAWBUCKET_TOKEN": "s3cret"})
    assert "s3cret" not in str(refused.value)


def test_a_variable_set_to_nothing_counts_as_not_set():
    """As Compose and stack files leave them."""
    assert Settings.from_env({"MEMCACHED_PORT": ""}).memcached_port == 11211


def test_a_token_is_read_from_its_file(tmp_path):
    """CLAWBUCKET_TOKEN_FILE holds the token; the variable itself wins over the file."""
    path = tmp_path / "token"
    path.write_text("from-the-file\n")
    assert Settings.from_env({"CLAWBUCKET_TOKEN_FILE": str(path)}).token == "from-the-file"
    both = {"CLAWBUCKET_TOKEN_FILE": str(path), "CLAWBUCKET_TOKEN": "from-the-variable"}
    assert Settings.from_env(both).token == "from-the-variable"


def test_a_token_file_that_cannot_be_read_is_named(tmp_path):
    """The error names the variable and the file."""
    with pytest.raises(BadSetting, match="CLAWBUCKET_TOKEN_FILE") as refused:
        Settings.from_env({"CLAWBUCKET_TOKEN_FILE": str(tmp_path / "none")})
    assert "No such file" in str(refused.value)


def test_the_one_service_is_used_where_no_list_is():
    """SWARM_SERVICE stands in for SWARM_SERVICES, and SERVICE_NAME for both."""
    assert Settings.from_env({"SWARM_SERVICE": "a"}).swarm_services == ("a",)
    assert Settings.from_env({"SERVICE_NAME": "b"}).swarm_services == ("b",)
    assert Settings.from_env({"SWARM_SERVICE": "a", "SWARM_SERVICES": "b, c"}).swarm_services == ("b", "c")


def test_a_service_is_found_by_its_full_name_its_alias_or_as_the_primary():
    """Both names of the contract work; no name is the primary."""
    settings = Settings.from_env({"SWARM_SERVICES": "clawbucket_clawbucket,clawbucket_clawbucket-b"})
    assert settings.service_named("clawbucket-b") == "clawbucket_clawbucket-b"
    assert settings.service_named("clawbucket_clawbucket-b") == "clawbucket_clawbucket-b"
    assert settings.service_named(None) == "clawbucket_clawbucket"
    assert settings.service_named("nobody") is None


def test_every_variable_says_what_it_takes_and_is_for():
    """The table that docs and --help are made from has no gap and no double."""
    names = [variable.name for variable, _ in table()]
    assert len(names) == len(set(names))
    assert all(variable.takes and variable.doc for variable, _ in table())

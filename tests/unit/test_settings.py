"""Settings: read once, refused by name."""

from __future__ import annotations

import pytest

from clawbucket.settings import BadSetting, Peer, Settings, table
from picoclaw.ollama_server import ollama_base


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
        ("CLAWBUCKET_PEERS", "http://127.0.0.1:28080", "name=url pairs"),
        ("CLAWBUCKET_PEERS", "a=http://x,a=http://y", "no name twice"),
        ("CLAWBUCKET_PEERS", "Rack=http://x", "no name twice"),
        ("CLAWBUCKET_PEERS", "a=x:28080", "name=url pairs"),
        ("CLAWBUCKET_PEERS", " , ", "name=url pairs"),
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


@pytest.mark.parametrize(
    "given",
    [
        "http://ollama:11434",
        "http://ollama:11434/",
        "http://ollama:11434/api",
        "http://ollama:11434/api/generate",
        "http://ollama:11434/api/generate/",
        "http://ollama:11434/api/chat",
        "http://ollama:11434/api/tags",
        "http://ollama:11434/v1",
        "http://ollama:11434/v1/",
        "http://ollama:11434/v1/chat/completions",
    ],
)
def test_ollama_is_found_by_its_base_url_or_by_a_calls(given):
    """The older form with /api/generate means the same server as the base URL."""
    assert Settings.from_env({"OLLAMA_URL": given}).ollama_url == "http://ollama:11434"
    assert ollama_base(given) == "http://ollama:11434"  # the agent's own reading is no other


def test_ollama_may_live_under_a_path():
    """A proxy's path is kept, and only a whole call behind it is taken away."""
    assert Settings.from_env({"OLLAMA_URL": "https://x/llm/api/chat"}).ollama_url == "https://x/llm"
    assert Settings.from_env({"OLLAMA_URL": "https://x/myapi"}).ollama_url == "https://x/myapi"


def test_no_ollama_is_the_default():
    """Unset and set to nothing are the same: there is none."""
    assert Settings.from_env({}).ollama_url is None
    assert Settings.from_env({"OLLAMA_URL": ""}).ollama_url is None


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


def test_peers_are_read_by_name():
    """As many as there are, in their order; a URL loses the slash at its end."""
    settings = Settings.from_env({"CLAWBUCKET_PEERS": "rack-2=http://x:28080/, rack-3=https://y"})
    assert settings.peers == (Peer("rack-2", "http://x:28080"), Peer("rack-3", "https://y"))
    assert settings.all_peers == settings.peers


def test_the_one_peer_of_old_comes_first():
    """Under the name "peer", unless another name is given to the same URL."""
    more = {"CLAWBUCKET_PEERS": "rack-2=http://x:28080"}
    assert Settings.from_env({}).all_peers == ()
    assert Settings.from_env({"PEER_DASHBOARD_URL": "http://y/"}).all_peers == (Peer("peer", "http://y"),)
    both = Settings.from_env({**more, "PEER_DASHBOARD_URL": "http://y"})
    assert both.all_peers == (Peer("peer", "http://y"), Peer("rack-2", "http://x:28080"))
    same = Settings.from_env({**more, "PEER_DASHBOARD_URL": "http://x:28080"})
    assert same.all_peers == (Peer("rack-2", "http://x:28080"),)
    later = Settings.from_env({"CLAWBUCKET_PEERS": "b=http://b,a=http://a", "PEER_DASHBOARD_URL": "http://a"})
    assert [peer.name for peer in later.all_peers] == ["a", "b"]


def test_no_two_racks_have_one_name():
    """Which of them was meant could not be told."""
    with pytest.raises(BadSetting, match="give it another name"):
        Settings.from_env({"CLAWBUCKET_PEERS": "peer=http://x", "PEER_DASHBOARD_URL": "http://y"})


def test_every_variable_says_what_it_takes_and_is_for():
    """The table that docs and --help are made from has no gap and no double."""
    names = [variable.name for variable, _ in table()]
    assert len(names) == len(set(names))
    assert all(variable.takes and variable.doc for variable, _ in table())

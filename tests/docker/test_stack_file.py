"""docker-stack.yml is what the contract says, to every tool that reads it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from functools import cache
from typing import Any

import pytest
import yaml

from clawbucket import settings
from clawbucket.settings import Settings
from tests.docker.images import ROOT

pytestmark = [pytest.mark.slow]

STACK = ROOT / "docker-stack.yml"
FILES = sorted({*ROOT.glob("docker-*.yml"), *ROOT.glob("docker-*.yaml")})
FOR_COMPOSE = "docker-compose."
"""How the files begin that are compose's alone: no stack has containers with names or privileges."""
REPLICAS = ("clawbucket", "clawbucket-b")
OURS = (*REPLICAS, "clawbucket-aggregator", "gateway", "rack")
CONTRACT = {
    "SERVICE_NAME", "SWARM_NODE", "TASK_NAME", "TASK_SLOT", "TASK_ID", "SWARM_SERVICES", "MEMCACHED_HOST",
    "MEMCACHED_PORT", "OLLAMA_URL", "OLLAMA_MODEL", "PICOCLAW_ENABLED", "DASHBOARD_BOT_LABEL",
    "PEER_DASHBOARD_URL", "REVOLT_SNAPSHOT_DIR", "CLAW_BATTLE_AUTO_ENABLED",
}  # fmt: skip
"""CONTRACT, settings; SWARM_SERVICE is what SWARM_SERVICES has made needless."""
NAMESPACE = '{{index .Service.Labels "com.docker.stack.namespace"}}'
TEMPLATES = {
    NAMESPACE: "clawbucket",
    "{{.Service.Name}}": "clawbucket_clawbucket",
    "{{.Node.Hostname}}": "node-1",
    "{{.Task.Name}}": "clawbucket_clawbucket.1.abc",
    "{{.Task.Slot}}": "1",
    "{{.Task.ID}}": "abc",
}
"""What Swarm puts in the place of each."""


def checkers() -> dict[str, list[str]]:
    """Every tool here that reads such a file, and its command up to the file's path."""
    found: dict[str, list[str]] = {}
    if shutil.which("docker-compose"):
        found["docker-compose"] = ["docker-compose", "-f"]
    if shutil.which("docker"):
        for tool, command in (
            ("docker compose", ["docker", "compose", "-f"]),
            ("docker stack config", ["docker", "stack", "config", "-c"]),
        ):
            asked = subprocess.run([*tool.split(), "--help"], capture_output=True, text=True, check=False)
            if tool in asked.stdout:  # an older docker helps with what is above it instead
                found[tool] = command
    return found


def rendered(tool: str, path: object, **variables: str) -> subprocess.CompletedProcess[str]:
    """The file as that tool reads it."""
    known = {name: os.environ[name] for name in ("PATH", "HOME", "DOCKER_HOST") if name in os.environ}
    command = [*checkers()[tool], str(path), *(() if tool == "docker stack config" else ("config",))]
    return subprocess.run(
        command, env={**known, **variables}, capture_output=True, text=True, timeout=60, check=False
    )


@cache
def stack(**variables: str) -> dict[str, Any]:
    """The stack as the first tool reads it, with these variables set and none else."""
    done = rendered(next(iter(checkers())), STACK, **variables)
    assert done.returncode == 0, done.stderr
    return dict(yaml.safe_load(done.stdout))


def services() -> dict[str, dict[str, Any]]:
    """Its services by name."""
    return dict(stack()["services"])


def environment(service: str) -> dict[str, str]:
    """A service's environment."""
    return {name: str(value) for name, value in services()[service].get("environment", {}).items()}


def users(network: str) -> set[str]:
    """The services on a network."""
    return {name for name, told in services().items() if network in told["networks"]}


def mounts(service: str) -> list[str]:
    """The places in a service's containers where something of the node's is mounted."""
    listed = services()[service].get("volumes", [])
    return [str(v["source"]) if isinstance(v, dict) and "source" in v else str(v) for v in listed]


def secrets(service: str) -> set[str]:
    """The secrets that a service may read."""
    listed = services()[service].get("secrets", [])
    return {s["source"] if isinstance(s, dict) else s for s in listed}


# The file itself ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_tool_here_takes_the_file(path):
    """docker-compose and docker, whichever are here, read each YAML file of the root without complaint."""
    wanted = [t for t in checkers() if "stack" not in t or not path.name.startswith(FOR_COMPOSE)]
    assert wanted, "neither docker-compose nor docker stack config is here; ./claw test installs one"
    for tool in wanted:
        done = rendered(tool, path)
        assert done.returncode == 0, f"{tool}: {done.stderr}"


def test_it_has_the_contracts_services():
    """By these names and numbers, with their volumes, and what the design adds."""
    counts = {name: told["deploy"].get("replicas") for name, told in services().items()}
    assert counts == {
        "clawbucket": 3, "clawbucket-b": 3, "clawbucket-aggregator": 1, "memcached": 1, "ollama": 1,
        "rack": 1, "gateway": None,
    }  # fmt: skip
    assert services()["gateway"]["deploy"]["mode"] == "global"
    assert set(stack()["volumes"]) == {"ollama_data", "revolt_snapshots"}


def test_its_variables_have_defaults():
    """``docker stack deploy`` needs no environment: a variable is never left empty unawares."""
    bare = [found for found in re.findall(r"\$\{[^}]*\}", STACK.read_text()) if ":-" not in found]
    assert bare == []


@pytest.mark.parametrize(
    ("variable", "value", "service", "where"),
    [
        ("CLAWBUCKET_IMAGE", "hive/claw:2", "rack", "image"),
        ("MEMCACHED_IMAGE", "hive/memcached:2", "memcached", "image"),
        ("OLLAMA_IMAGE", "hive/ollama:2", "ollama", "image"),
        ("DOCKER_SOCKET_USER", "10001:998", "rack", "user"),
    ],
)
def test_what_runs_can_be_chosen(variable, value, service, where):
    """Images, and who the rack manager is, come from variables."""
    assert stack(**{variable: value})["services"][service][where] == value


def test_a_rack_can_do_without_a_model():
    """OLLAMA_REPLICAS=0 starts no Ollama."""
    assert stack(OLLAMA_REPLICAS="0")["services"]["ollama"]["deploy"]["replicas"] == 0


# Settings -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("service", OURS)
def test_every_setting_in_it_is_one(service):
    """Our programs are given no variable that they would not read."""
    assert set(environment(service)) <= {variable.name for variable, _ in settings.table()}


@pytest.mark.parametrize("service", OURS)
def test_every_value_in_it_is_taken(service):
    """As Swarm fills it in, each program's environment is one that it starts with."""
    given = environment(service)
    for name, value in given.items():
        for template, filled in TEMPLATES.items():
            value = value.replace(template, filled)  # noqa: PLW2901 - filled in step by step
        assert "{{" not in value, f"{name} of {service} has a template that this test does not know"
        given[name] = value
    found = Settings.from_env({n: v for n, v in given.items() if not n.endswith("_FILE")})
    assert found.swarm_services == ("clawbucket_clawbucket", "clawbucket_clawbucket-b")
    assert found.bind.startswith("0.0.0.0:")


@pytest.mark.parametrize("service", REPLICAS)
def test_replicas_are_given_the_contracts_settings(service):
    """All of them, with Swarm's own templates for what differs from task to task."""
    given = environment(service)
    assert set(given) >= CONTRACT
    assert {given[name] for name in ("SWARM_NODE", "TASK_NAME", "TASK_SLOT", "TASK_ID")} == {
        "{{.Node.Hostname}}", "{{.Task.Name}}", "{{.Task.Slot}}", "{{.Task.ID}}",
    }  # fmt: skip
    assert given["SWARM_SERVICES"] == f"{NAMESPACE}_clawbucket,{NAMESPACE}_clawbucket-b"


# Who reaches whom ---------------------------------------------------------------------------------------


def test_no_service_needs_ipvs():
    """No virtual IPs and no routing mesh: every published port is the node's own."""
    for name, told in services().items():
        assert told["deploy"]["endpoint_mode"] == "dnsrr", name
        assert {port["mode"] for port in told.get("ports", [])} <= {"host"}, name


def test_only_the_contracts_ports_are_published():
    """The gateway's two and Ollama's; above all not the rack manager's."""
    published = {
        name: {int(port["published"]) for port in told["ports"]}
        for name, told in services().items()
        if told.get("ports")
    }
    assert published == {"gateway": {8080, 8090}, "ollama": {11434}}


def test_networks_join_those_who_need_each_other():
    """The bus and the rack manager are reached by their users alone, and lead nowhere else."""
    assert users("edge") == {*REPLICAS, "gateway", "clawbucket-aggregator"}
    assert users("bus") == {*REPLICAS, "rack", "clawbucket-aggregator", "memcached"}
    assert users("control") == {*REPLICAS, "rack", "gateway"}
    assert users("mind") == {*REPLICAS, "ollama"}
    inside = {name for name, told in stack()["networks"].items() if (told or {}).get("internal")}
    assert inside >= {"bus", "control"}
    assert not inside & {"edge", "mind"}


def test_a_variable_encrypts_every_network():
    """CLAWBUCKET_NETWORK_PREFIX=encrypted_ puts every service on networks that are alike but encrypted."""
    secret, plain = stack(CLAWBUCKET_NETWORK_PREFIX="encrypted_"), stack()
    for name, told in secret["services"].items():
        used = set(told["networks"])
        assert used == {f"encrypted_{network}" for network in plain["services"][name]["networks"]}
        for network in used:
            of_secret, of_plain = (
                secret["networks"][network],
                plain["networks"][network.removeprefix("encrypted_")],
            )
            assert of_secret["driver_opts"] == {"encrypted": "true"}
            assert "driver_opts" not in of_plain
            assert of_secret.get("internal") == of_plain.get("internal")


def test_the_rack_manager_alone_has_the_docker_socket():
    """It is on a manager, behind no port, and nobody else mounts anything of the node's."""
    assert {name for name in services() if any("docker.sock" in mount for mount in mounts(name))} == {"rack"}
    assert services()["rack"]["deploy"]["placement"]["constraints"] == ["node.role == manager"]
    for name in services():
        assert not [mount for mount in mounts(name) if mount.startswith("/") and name != "rack"], name


def test_secrets_are_made_beforehand_and_given_by_need():
    """No program has a secret that it does not ask for, and none is in an environment."""
    assert all(told["external"] for told in stack()["secrets"].values())
    names = {"clawbucket_token", "clawbucket_rack_token", "clawbucket_peer_key"}
    assert set(stack()["secrets"]) == names
    wanted = {
        **dict.fromkeys(REPLICAS, names),
        "gateway": {"clawbucket_rack_token"},
        "rack": {"clawbucket_rack_token"},
    }
    assert {name: secrets(name) for name in services() if secrets(name)} == wanted
    for name in OURS:
        given = {
            value.removeprefix("/run/secrets/")
            for key, value in environment(name).items()
            if key.endswith("_FILE")
        }
        assert given == secrets(name), name


# How it lives and changes -------------------------------------------------------------------------------


def test_programs_of_ours_can_change_nothing_and_may_do_nothing():
    """Read-only but for a bounded /tmp in memory, and without any capability."""
    for name in OURS:
        assert services()[name]["read_only"] is True, name
        assert services()[name]["cap_drop"] == ["ALL"], name
        assert services()[name]["init"] is True, name
    assert [name for name in OURS if services()[name].get("user")] == ["rack"]


def test_everything_is_bounded():
    """Each service has limits of memory and processors, a bounded log and a time to end in."""
    for name, told in services().items():
        assert set(told["deploy"]["resources"]["limits"]) >= {"cpus", "memory"}, name
        assert "max-size" in told["logging"]["options"], name
        assert told["stop_grace_period"], name
        assert told["deploy"]["restart_policy"]["condition"] == "any", name


def test_an_update_that_fails_is_rolled_back():
    """The new one first, where there may be two; everywhere the old image comes back."""
    alone = {"gateway", "rack", "memcached", "ollama"}
    for name, told in services().items():
        update, back = told["deploy"]["update_config"], told["deploy"]["rollback_config"]
        assert update["failure_action"] == "rollback", name
        assert update["order"] == back["order"] == ("stop-first" if name in alone else "start-first"), name
        assert update["parallelism"] == 1, name
        assert update["monitor"], name


def test_health_is_asked_of_what_is_not_ours():
    """The bus and Ollama have a check here; that of our programs is in the image and stays as it is."""
    assert services()["memcached"]["healthcheck"]["test"][0] == "CMD-SHELL"
    assert services()["ollama"]["healthcheck"]["test"] == ["CMD", "ollama", "list"]
    assert not [name for name in OURS if "healthcheck" in services()[name]]

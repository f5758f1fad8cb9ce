"""The settings: the only reader of the environment.

Each setting is one field below, with its variable, its meaning and what it takes. A bad value is
refused at start with the variable's name, what was given and what is allowed.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from clawbucket.core.model import resolve_service

NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}")
"""What Docker takes as a service name (moby, daemon/cluster; DNS label plus ``_.``)."""


class BadSetting(ValueError):  # noqa: N818 - it names the thing, not the act
    """A variable holds what it does not take; the text says which, what, and what it takes."""


@dataclass(frozen=True, slots=True)
class Variable:
    """How one environment variable is read: its name, what it takes in words, and the parser."""

    name: str
    takes: str
    parse: Callable[[str], object]
    doc: str


def _set(name: str, default: object, takes: str, parse: Callable[[str], object], doc: str) -> Any:
    return field(default=default, metadata={"variable": Variable(name, takes, parse, doc)})


def _text(limit: int) -> Callable[[str], str]:
    def parse(raw: str) -> str:
        if len(raw) > limit or not raw.isprintable():
            raise ValueError
        return raw

    return parse


def _integer(low: int, high: int) -> Callable[[str], int]:
    def parse(raw: str) -> int:
        if not raw.isascii() or not raw.isdigit() or not low <= int(raw) <= high:
            raise ValueError
        return int(raw)

    return parse


def _one_of(*choices: str) -> Callable[[str], str]:
    def parse(raw: str) -> str:
        if raw.lower() not in choices:
            raise ValueError
        return raw.lower()

    return parse


def _flag(raw: str) -> bool:
    if raw.lower() in {"1", "true", "yes", "on"}:
        return True
    if raw.lower() in {"0", "false", "no", "off"}:
        return False
    raise ValueError


def _service(raw: str) -> str:
    if not NAME.fullmatch(raw):
        raise ValueError
    return raw


def _services(raw: str) -> tuple[str, ...]:
    names = tuple(part.strip() for part in raw.split(",") if part.strip())
    if not names or len(set(names)) != len(names) or not all(NAME.fullmatch(n) for n in names):
        raise ValueError
    return names


def _hosts(raw: str) -> tuple[str, ...]:
    return tuple(part.strip().lower() for part in raw.split(",") if part.strip())


def _host_port(raw: str) -> str:
    host, _, port = raw.rpartition(":")
    if not host or not host.isprintable() or " " in host or "/" in host or not port.isascii():
        raise ValueError
    if (":" in host) != (host[0] == "[" and host[-1] == "]"):  # an IPv6 address stands in brackets
        raise ValueError
    _integer(1, 65535)(port)
    return raw


def _url(raw: str) -> str:
    parts = urlsplit(raw)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username or parts.query:
        raise ValueError
    return raw.rstrip("/")


def _ollama(raw: str) -> str:
    """Ollama's base URL. Older set-ups give the call's whole address, and OpenAI's clients one with /v1."""
    base = _url(raw)
    return _OLLAMA_CALL.sub("", base).rstrip("/")


def _docker(raw: str) -> str:
    parts = urlsplit(raw)
    if not (parts.scheme == "unix" and parts.path.startswith("/")) and not (
        parts.scheme == "tcp" and parts.hostname
    ):
        raise ValueError
    return raw


def _secret(raw: str) -> str:
    if not 8 <= len(raw) <= 512 or not raw.isprintable() or raw != raw.strip():
        raise ValueError
    return raw


def _path(raw: str) -> Path:
    return Path(raw)


MOST_PACKED = 10_000
"""Replicas of a service on the engine sim. POST /api/scale stays at 20 (CONTRACT section 1)."""
packed_replicas = _integer(1, MOST_PACKED)
"""Reads a count of replicas as the engine sim takes it."""
_OLLAMA_CALL = re.compile(r"/(api(/(generate|chat|tags))?|v1(/chat/completions)?)$")
"""What stands behind Ollama's base URL in the address of one of its calls."""
_FLAG = "1, true, yes, on or 0, false, no, off"
_NAME = "a service name: letters, digits, '_', '.', '-', at most 63"
_SECRET = "8 to 512 printable characters without a space at either end"  # noqa: S105 - it says what one is


@dataclass(frozen=True, slots=True)
class Peer:
    """Another rack: what it is called here, and its dashboard's URL."""

    name: str
    url: str


_PEER_NAME = re.compile(r"[a-z0-9-]{1,32}")


_UNNAMED = "peer"
"""What the rack at PEER_DASHBOARD_URL is called where CLAWBUCKET_PEERS has no name for it."""


def _peers(raw: str) -> tuple[Peer, ...]:
    pairs = [part.strip().partition("=") for part in raw.split(",") if part.strip()]
    names = [name for name, _, _ in pairs]
    if not pairs or len(set(names)) != len(names) or not all(_PEER_NAME.fullmatch(name) for name in names):
        raise ValueError
    return tuple(Peer(name, _url(url)) for name, _, url in pairs)


@dataclass(frozen=True, slots=True)
class Settings:
    """One program's settings, read once at its start."""

    service_name: str = _set(
        "SERVICE_NAME", "clawbucket_clawbucket", _NAME, _service, "the service this replica is of"
    )
    swarm_node: str = _set("SWARM_NODE", "", "a host name", _text(255), "the node it runs on")
    task_name: str = _set("TASK_NAME", "", "text", _text(200), "its task's name, service.slot.id")
    task_slot: int = _set("TASK_SLOT", 0, "a number from 0 to 1000000", _integer(0, 1_000_000), "its slot")
    task_id: str = _set("TASK_ID", "", "text without spaces", _text(64), "its task's id")
    swarm_service: str = _set(
        "SWARM_SERVICE", "", _NAME, lambda raw: _service(raw) if raw else "",
        "the one service shown, when SWARM_SERVICES is not set",
    )  # fmt: skip
    swarm_services: tuple[str, ...] = _set(
        "SWARM_SERVICES", (), "service names with commas between, none twice", _services,
        "the services shown; the first is the primary, whose manager throws rock/paper/scissors",
    )  # fmt: skip
    memcached_host: str = _set("MEMCACHED_HOST", "127.0.0.1", "a host name", _text(255), "where memcached is")
    memcached_port: int = _set("MEMCACHED_PORT", 11211, "a port, 1 to 65535", _integer(1, 65535), "its port")
    ollama_url: str | None = _set(
        "OLLAMA_URL", None, "an http(s) URL", _ollama, "where Ollama is; unset: none"
    )
    ollama_model: str = _set(
        "OLLAMA_MODEL", "smollm2:135m", "a model's name", _text(128), "the model asked of it"
    )
    picoclaw_enabled: bool = _set(
        "PICOCLAW_ENABLED", True, _FLAG, _flag, "whether troopers think for themselves"
    )
    picoclaw_backend: str = _set(
        "PICOCLAW_BACKEND", "auto", "auto, binary or embedded", _one_of("auto", "binary", "embedded"),
        "what carries a trooper's turns out; auto: the picoclaw on PATH (or PICOCLAW_BINARY), if any",
    )  # fmt: skip
    picoclaw_tools: str = _set(
        "PICOCLAW_TOOLS", "off", "auto or off", _one_of("auto", "off"),
        "whether troopers are offered tools; small models do worse with them",
    )  # fmt: skip
    picoclaw_home: Path | None = _set(
        "PICOCLAW_HOME", None, "a directory", _path,
        "where this replica's agent has its config, its workspace and its sessions; unset: a temporary one",
    )  # fmt: skip
    label: str = _set(
        "DASHBOARD_BOT_LABEL", "BOT 1", "text, at most 40", _text(40), "the rack's label on the page"
    )
    peer_url: str | None = _set(
        "PEER_DASHBOARD_URL", None, "an http(s) URL", _url, "the other rack's dashboard"
    )
    peers: tuple[Peer, ...] = _set(
        "CLAWBUCKET_PEERS", (), "name=url pairs with commas between, no name twice", _peers,
        "further racks' dashboards; names are of a-z, 0-9 and -",
    )  # fmt: skip
    revolt_snapshot_dir: Path = _set(
        "REVOLT_SNAPSHOT_DIR", Path("/tmp/clawbucket-revolt-snapshots"), "a directory", _path,  # noqa: S108
        "where handoffs keep their snapshots",
    )  # fmt: skip
    claw_battle_auto: bool = _set(
        "CLAW_BATTLE_AUTO_ENABLED", False, _FLAG, _flag, "whether duels start by themselves"
    )
    token: str | None = _set(
        "CLAWBUCKET_TOKEN", None, _SECRET, _secret, "what mutations must show; unset: nothing"
    )
    token_file: Path | None = _set(
        "CLAWBUCKET_TOKEN_FILE", None, "a readable file", _path, "a file that holds it"
    )
    allowed_hosts: tuple[str, ...] = _set(
        "CLAWBUCKET_ALLOWED_HOSTS", (), "host names with commas between, or *", _hosts,
        "Host names that mutations may come by, beside IP addresses, localhost, this machine's name and "
        "the nodes'",
    )  # fmt: skip
    rack_url: str = _set(
        "CLAWBUCKET_RACK_URL", "http://127.0.0.1:8070", "an http(s) URL", _url,
        "where the rack manager's API is",
    )  # fmt: skip
    rack_token: str | None = _set(
        "CLAWBUCKET_RACK_TOKEN", None, _SECRET, _secret, "what the rack manager's API asks for"
    )
    rack_token_file: Path | None = _set(
        "CLAWBUCKET_RACK_TOKEN_FILE", None, "a readable file", _path, "a file that holds it"
    )
    peer_key: str | None = _set(
        "CLAWBUCKET_PEER_KEY", None, _SECRET, _secret, "what two racks that hand troopers over share"
    )
    peer_key_file: Path | None = _set(
        "CLAWBUCKET_PEER_KEY_FILE", None, "a readable file", _path, "a file that holds it"
    )
    bind: str = _set(
        "CLAWBUCKET_BIND", "127.0.0.1:8080", "host:port, or fd://N for a socket handed down", _text(255),
        "where this program listens",
    )  # fmt: skip
    aggregator_bind: str | None = _set(
        "CLAWBUCKET_AGGREGATOR_BIND", None, "host:port, or fd://N for a socket handed down", _text(255),
        "where the gateway listens for the aggregator; unset: nowhere, the aggregator has a port of its own",
    )  # fmt: skip
    aggregator_upstream: str | None = _set(
        "CLAWBUCKET_AGGREGATOR_UPSTREAM", None, "host:port", _host_port,
        "where the gateway finds the aggregator; a name is looked up anew every second",
    )  # fmt: skip
    aggregator_url: str | None = _set(
        "CLAWBUCKET_AGGREGATOR_URL", None, "an http(s) URL", _url,
        "where replicas ask the aggregator for the dashboard's scoreboard; unset: nowhere",
    )  # fmt: skip
    engine: str = _set(
        "CLAWBUCKET_ENGINE", "local", "local, docker or sim", _one_of("local", "docker", "sim"),
        "the rack manager's engine",
    )  # fmt: skip
    docker_host: str | None = _set(
        "DOCKER_HOST", None, "unix://path or tcp://host:port", _docker,
        "the Docker that the engine docker asks; unset: unix:///var/run/docker.sock",
    )  # fmt: skip
    replicas: int = _set(
        "CLAWBUCKET_REPLICAS", 3, "a number from 1 to 20", _integer(1, 20),
        "replicas of each service; on the engine sim up to 10000",
    )  # fmt: skip
    nodes: int = _set(
        "CLAWBUCKET_NODES", 1, "a number from 1 to 5", _integer(1, 5),
        "nodes the engines local and sim tell apart",
    )  # fmt: skip
    sim_fronts: int = _set(
        "CLAWBUCKET_SIM_FRONTS", 1, "a number from 1 to 20", _integer(1, 20),
        "replicas of each service that the engine sim runs as processes of their own, which serve pages",
    )  # fmt: skip
    sim_workers: int = _set(
        "CLAWBUCKET_SIM_WORKERS", 2, "a number from 1 to 64", _integer(1, 64),
        "processes into which the engine sim packs the others; each node has one at least",
    )  # fmt: skip
    state_dir: Path = _set(
        "CLAWBUCKET_STATE_DIR", Path(".claw"), "a directory", _path,
        "where the rack manager keeps state and logs",
    )  # fmt: skip
    run_id: str = _set(
        "CLAWBUCKET_RUN_ID", "", "text, at most 64", _text(64),
        "the launcher's run: state that another run left behind is cleared away, not taken up",
    )  # fmt: skip
    lifeline_fd: int | None = _set(
        "CLAWBUCKET_LIFELINE_FD", None, "a file descriptor's number", _integer(0, 65535),
        "end when this pipe's other end closes; set by the launcher",
    )  # fmt: skip
    home: Path | None = _set(
        "CLAWBUCKET_HOME", None, "a directory", _path,
        "where ./claw keeps its run directories, one a port; unset: .claw beside it",
    )  # fmt: skip
    log_format: str = _set(
        "CLAWBUCKET_LOG_FORMAT", "console", "console or json", _one_of("console", "json"),
        "the form of the logs",
    )  # fmt: skip
    log_level: str = _set(
        "CLAWBUCKET_LOG_LEVEL", "info", "debug, info, warning or error",
        _one_of("debug", "info", "warning", "error"), "the least level logged",
    )  # fmt: skip
    sse_clients: int = _set(
        "CLAWBUCKET_SSE_CLIENTS", 2000, "a number from 1 to 4000", _integer(1, 4000),
        "most viewers of one replica's stream (the next is told 503), below gunicorn's 5000 connections",
    )  # fmt: skip

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """Read the environment. BadSetting names the first variable that holds what it does not take.

        A variable that is set to nothing counts as not set, as Compose and stack files leave them.
        """
        source = os.environ if environ is None else environ
        values: dict[str, Any] = {}
        for spec in fields(cls):
            variable = variable_of(spec.name)
            raw = source.get(variable.name, "")
            if not raw:
                continue
            parse = variable.parse
            if spec.name == "replicas" and source.get(variable_of("engine").name, "").lower() == "sim":
                parse = packed_replicas
            try:
                values[spec.name] = parse(raw)
            except ValueError:
                shown = "what it holds" if variable.parse is _secret else repr(raw[:80])
                raise BadSetting(f"{variable.name} takes {variable.takes}; {shown} is not that") from None
        for name in ("token", "rack_token", "peer_key"):
            if values.get(f"{name}_file") is not None and name not in values:
                values[name] = _secret_from(f"{name}_file", values[f"{name}_file"])
        services = values.get("swarm_services") or ()
        if not services:
            only = values.get("swarm_service") or values.get("service_name")
            values["swarm_services"] = (only or "clawbucket_clawbucket",)
        settings = cls(**values)
        names = [peer.name for peer in settings.all_peers]
        if len(set(names)) != len(names):
            raise BadSetting(
                f"CLAWBUCKET_PEERS calls a rack {_UNNAMED!r}, as the one of PEER_DASHBOARD_URL is called, "
                "which is another; give it another name there, or list both and leave PEER_DASHBOARD_URL out"
            )
        return settings

    @property
    def primary(self) -> str:
        """The primary service's full name."""
        return self.swarm_services[0]

    @property
    def all_peers(self) -> tuple[Peer, ...]:
        """The racks that troopers can go to; PEER_DASHBOARD_URL's comes first, called ``peer`` if unnamed."""
        if self.peer_url is None:
            return self.peers
        first = next(
            (peer for peer in self.peers if peer.url == self.peer_url), Peer(_UNNAMED, self.peer_url)
        )
        return (first, *(peer for peer in self.peers if peer != first))

    @property
    def hostname(self) -> str:
        """This machine's (or container's) host name."""
        return socket.gethostname()

    def service_named(self, name: str | None) -> str | None:
        """The full name a caller means by a full name, a short alias or nothing; None if there is none."""
        return resolve_service(name, self.swarm_services)


def is_set(setting: str, environ: Mapping[str, str] | None = None) -> bool:
    """Whether the environment gives this setting, rather than its default holding."""
    return bool((os.environ if environ is None else environ).get(variable_of(setting).name))


def environment(changes: Mapping[str, str]) -> dict[str, str]:
    """What a child process is to find in its environment: what this one found, with ``changes``."""
    return {**os.environ, **changes}


def _secret_from(name: str, path: Path) -> str:
    variable = variable_of(name)
    try:
        return _secret(path.read_text(encoding="utf-8").strip())
    except OSError as error:
        raise BadSetting(f"{variable.name} takes {variable.takes}; {path}: {error.strerror}") from None
    except ValueError:
        raise BadSetting(f"{variable.name}: {path} must hold {_SECRET}") from None


def variable_of(setting: str) -> Variable:
    """The variable behind one field of Settings."""
    spec = next(s for s in fields(Settings) if s.name == setting)
    return cast("Variable", spec.metadata["variable"])


def table() -> list[tuple[Variable, object]]:
    """Every variable with its default, in the order of the fields; docs and ``--help`` are made from it."""
    return [
        (variable_of(spec.name), None if spec.default is MISSING else spec.default)
        for spec in fields(Settings)
    ]

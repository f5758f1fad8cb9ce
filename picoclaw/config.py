"""The config: upstream's config.json (schema version 3), checked, with what the environment says on top.

``$PICOCLAW_CONFIG``, else ``$PICOCLAW_HOME/config.json``, else ``~/.picoclaw/config.json``. The file is
needed: without it nothing that the environment says counts. Files of versions 0 to 2 are read too
(migrate.py); no file is ever written. Rules and defaults are PICOCLAW.md's. That max_tokens 0 means 8192
and max_tool_iterations 0 means 20 is from upstream's pkg/agent/instance.go; the other zeros are defaults.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from picoclaw import fields, secrets_file
from picoclaw.config_file import read_document
from picoclaw.errors import ConfigInvalid, ModelNotFound
from picoclaw.fields import Field, nearest, refused, section, under
from picoclaw.migrate import CURRENT, OLD_PROVIDERS, from_providers, migrate, wanted_model

Tools = Literal["auto", "off"]
API_BASES: Mapping[str, str] = {
    "ollama": "http://localhost:11434/v1", "openai": "https://api.openai.com/v1",
}  # fmt: skip
"""Where a provider is when ``api_base`` does not say it; for others it stays ""."""
PROVIDERS = frozenset(
    name for old in OLD_PROVIDERS for name in (old.name, *old.aliases)
) | {
    "azure", "azure-openai", "bedrock", "claude-cli", "codex-cli", "google-antigravity", "lmstudio", "mimo",
    "venice", "zai",
}  # fmt: skip
"""What may stand before the / in ``model``: those of upstream's migration.go, and some newer ones that were
not looked up in its source. One that is missing here works with ``provider`` or ``api_base``."""
_ZERO_MEANS = {
    "max_tokens": 8192, "max_tool_iterations": 20, "summarize_message_threshold": 20,
    "summarize_token_percent": 75, "max_llm_retries": 2, "llm_retry_backoff_secs": 2,
}  # fmt: skip
_WINDOW = 4
"""context_window is that many times max_tokens when nothing says it."""
_OTHER_VARIABLES = ("SUBTURN_", "TOOL_FEEDBACK_")
_MOST_NAMES = 20
_TRUE, _FALSE = {"1", "t", "true"}, {"0", "f", "false"}
_WHOLE = re.compile(r"[+-]?[0-9]{1,12}")
_DECIMAL = re.compile(r"[+-]?([0-9]{1,12}\.?[0-9]{0,12}|\.[0-9]{1,12})")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AgentDefaults:
    """``agents.defaults``; what 0 stands for is resolved. Sizes are tokens, the threshold messages.

    ``workspace`` is absolute. ``max_llm_retries`` are further attempts after the first.
    """

    workspace: Path
    restrict_to_workspace: bool
    model_name: str
    model_fallbacks: tuple[str, ...]
    max_tokens: int
    context_window: int
    temperature: float
    max_tool_iterations: int
    summarize_message_threshold: int
    summarize_token_percent: int
    max_llm_retries: int
    llm_retry_backoff_secs: float


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """One of ``model_list``. ``model`` is the server's name for it, without the provider.

    ``api_base`` is "" for a provider whose address is not known; ``request_timeout`` is seconds of one
    attempt, ``rpm`` most requests a minute (0: any). Its repr shows no key.
    """

    model_name: str
    provider: str
    model: str
    api_base: str
    api_keys: tuple[str, ...] = field(repr=False)
    request_timeout: float
    rpm: int
    extra_body: Mapping[str, Any] = field(repr=False)
    enabled: bool


@dataclass(frozen=True, slots=True)
class Config:
    """A config as it holds. ``version`` is the file's, ``security`` its .security.yml if there is one."""

    path: Path
    home: Path
    defaults: AgentDefaults
    models: tuple[ModelEntry, ...]
    tools: Tools
    version: int
    security: Path | None

    @property
    def workspace(self) -> Path:
        """Where the agent's files and sessions are."""
        return self.defaults.workspace

    def entry(self, name: str | None = None) -> ModelEntry:
        """The model of that model_name, None for the default: the first that is enabled. ModelNotFound."""
        wanted = self.defaults.model_name if name is None else name
        if not wanted:
            raise ModelNotFound(f"{self.path} names no default model: set agents.defaults.model_name")
        names: list[str] = []
        for entry in self.models:
            if entry.enabled and entry.model_name == wanted:
                return entry
            names += [entry.model_name] if entry.enabled and entry.model_name not in names else []
        said = f"the model {fields.shown(wanted, '')} is not in model_list of {self.path}"
        if not names:
            raise ModelNotFound(f"{said}, which has no enabled model")
        meant = nearest(wanted, names)
        more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
        hint = f"did you mean {meant}? " if meant else ""
        raise ModelNotFound(f"{said}; {hint}it has {', '.join(names[:_MOST_NAMES])}{more}")


@dataclass(frozen=True, slots=True)
class Key:
    """A key that a config may hold, for docs; ``variable`` is what wins over it, "" for none."""

    path: str
    takes: str
    default: object
    doc: str
    variable: str


def home_of(environ: Mapping[str, str]) -> Path:
    """``$PICOCLAW_HOME``, else ``~/.picoclaw``; absolute. ConfigInvalid when there is no home at all."""
    raw = environ.get("PICOCLAW_HOME", "")
    return _path(raw, environ, "PICOCLAW_HOME") if raw else _user(environ) / ".picoclaw"


def config_path(environ: Mapping[str, str]) -> Path:
    """Where the config is, or is to be. ConfigInvalid."""
    raw = environ.get("PICOCLAW_CONFIG", "")
    return _path(raw, environ, "PICOCLAW_CONFIG") if raw else home_of(environ) / "config.json"


def load(environ: Mapping[str, str]) -> Config:
    """Read and check the config that ``environ`` leads to. ConfigInvalid says what to mend, and where."""
    path, home = config_path(environ), home_of(environ)
    document = read_document(path)
    version = check(str(path), document)
    current = migrate(document)
    agents = current.get("agents") or {}
    values = section(str(path), "agents.defaults", agents.get("defaults"), fields.DEFAULTS, CURRENT)
    tools = _tools(str(path), values["turn_profile"], CURRENT)
    values |= _from_environment(environ)
    secrets = path.with_name(secrets_file.NAME)
    found = secrets_file.read_keys(secrets)
    models = _models(path, current.get("model_list") or [], values["provider"], found or {}, environ)
    return Config(
        path,
        home,
        _defaults(values, home, environ),
        models,
        tools,
        version,
        None if found is None else secrets,
    )


def check(where: str, document: Mapping[str, Any]) -> int:
    """The version of a document in which every name and value that we know is right; else ConfigInvalid."""
    given = document.get("version")
    by_name = {entry.name: entry for entry in fields.ROOT}
    try:
        version: int = by_name["version"].parse(0 if given is None else given)
    except ValueError:
        raise refused(where, "version", by_name["version"].takes, given) from None
    root = section(where, "", document, fields.ROOT, version)
    agents = section(where, "agents", root["agents"], fields.AGENTS, version)
    defaults = section(where, "agents.defaults", agents["defaults"], fields.DEFAULTS, version)
    _tools(where, defaults["turn_profile"], version)
    models = [] if root["model_list"] is None else root["model_list"]
    if not isinstance(models, list):
        raise refused(where, "model_list", by_name["model_list"].takes, models)
    for place, entry in enumerate(models):
        _entry_values(where, place, entry, version)
    if from_providers(document):
        _check_providers(where, root["providers"] or {}, defaults)
    return version


def table() -> list[Key]:
    """Every key that this runtime reads, in the order of the file; docs and ``--help`` are made from it."""
    groups = (
        ("", fields.ROOT, ("version",)),
        ("agents.defaults", fields.DEFAULTS, ()),
        ("agents.defaults.turn_profile", fields.PROFILE, ("enabled",)),
        ("agents.defaults.turn_profile.tools", fields.CUSTOM_BLOCK, ("mode",)),
        ("model_list[]", fields.MODEL, ()),
    )
    return [
        Key(under(path, entry.name) if not path.endswith("]") else f"{path}.{entry.name}", entry.takes,
            entry.default, entry.doc, fields.ENV_PREFIX + entry.name.upper() if entry.env else "")
        for path, group, only in groups
        for entry in group
        if entry.used and entry.last == CURRENT and entry.name != "turn_profile"
        and (not only or entry.name in only)
    ]  # fmt: skip


def default_document(
    model: str, api_base: str, *, workspace: str | None = None, max_tokens: int = 256,
    context_window: int = 4096, tools: Tools = "auto",
) -> dict[str, Any]:  # fmt: skip
    """A version 3 config.json for one model, which both backends read alike.

    ``model`` without a provider is Ollama's, and ``api_base`` may then be Ollama's base URL or one of its
    ``/api/…`` ones: upstream's binary needs ``…/v1``. ``context_window`` is to be what the server really
    gives the model.
    """
    full = model if model.split("/", 1)[0] in PROVIDERS and "/" in model else f"ollama/{model}"
    base = api_base.rstrip("/")
    if full.startswith("ollama/") and base:
        base = re.sub(r"(/api(/(generate|chat))?|/v1)$", "", base) + "/v1"
    defaults: dict[str, Any] = {
        "restrict_to_workspace": True,
        "model_name": full.split("/", 1)[1],
        "max_tokens": max_tokens,
        "context_window": context_window,
    }
    if workspace is not None:
        defaults["workspace"] = workspace
    if tools == "off":
        defaults["turn_profile"] = {"enabled": True, "tools": {"mode": "off"}}
    entry = {"model_name": defaults["model_name"], "model": full, "api_base": base, "api_keys": []}
    return {"version": CURRENT, "agents": {"defaults": defaults}, "model_list": [{**entry, "enabled": True}]}


def _check_providers(where: str, providers: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
    known = tuple(Field(old.key, "an object", fields.table_of, None, "", last=0) for old in OLD_PROVIDERS)
    for name, values in section(where, "providers", providers, known, 0).items():
        section(where, under("providers", name), values, fields.PROVIDER, 0)
    wanted = wanted_model(defaults)
    try:
        # It becomes an entry's model, for which the rules are stricter than for a mere name.
        fields.model(wanted or "none")
    except ValueError:
        takes = next(entry.takes for entry in fields.MODEL if entry.name == "model")
        raise refused(where, "agents.defaults.model_name", takes, wanted) from None


def _tools(where: str, profile: object, version: int) -> Tools:
    path = "agents.defaults.turn_profile"
    values = section(where, path, profile, fields.PROFILE, version)
    blocks = {
        name: section(
            where, f"{path}.{name}", values[name],
            fields.CUSTOM_BLOCK if name in {"skills", "tools"} else fields.BLOCK, version,
        )
        for name in ("history", "system_prompt", "skills", "tools")
    }  # fmt: skip
    mode = blocks["tools"]["mode"] if values["enabled"] else "default"
    # A list of allowed tools is upstream's only; fewer tools than allowed are safe, more are not.
    return "auto" if mode == "default" else "off"


def _entry_values(where: str, place: int, entry: object, version: int) -> dict[str, Any]:
    path = f"model_list[{place}]"
    values = section(where, path, entry, fields.MODEL, version)
    for name in ("model_name", "model"):
        if not values[name]:
            raise ConfigInvalid(f"{where}: {path}.{name} is needed, and it is not there")
    return values


def _models(
    path: Path, entries: list[Any], provider: str, found: Mapping[str, tuple[str, ...]],
    environ: Mapping[str, str],
) -> tuple[ModelEntry, ...]:  # fmt: skip
    all_values = [_entry_values(str(path), place, entry, CURRENT) for place, entry in enumerate(entries)]
    safe = secrets_file.for_entries(
        [values["model_name"] for values in all_values], found, path.with_name(secrets_file.NAME)
    )
    models: list[ModelEntry] = []
    for place, (values, better) in enumerate(zip(all_values, safe, strict=True)):
        where = f"{path}: model_list[{place}]"
        keys = [
            secrets_file.resolve(key, f"{where}.api_keys", path.parent, environ)
            for key in better or values["api_keys"]
        ]
        name, model = _split(where, values, provider)
        models.append(ModelEntry(
            values["model_name"], name, model, values["api_base"] or API_BASES.get(name, ""),
            tuple(dict.fromkeys(key for key in keys if key)), float(values["request_timeout"] or 120),
            values["rpm"], dict(values["extra_body"] or {}), values["enabled"],
        ))  # fmt: skip
    return tuple(models)


def _split(where: str, values: Mapping[str, Any], provider: str) -> tuple[str, str]:
    """The provider and its name for the model, as upstream infers them (ModelConfig.Provider)."""
    prefix, slash, rest = values["model"].partition("/")
    named = values["provider"].strip().lower()
    if named:
        return named, rest if slash and prefix == named and rest else values["model"]
    if slash and rest and prefix in PROVIDERS:
        return prefix, rest
    if slash and not values["api_base"] and not provider:
        meant = nearest(prefix, PROVIDERS)
        hint = f"; did you mean {meant}/{rest}?" if meant else ""
        raise ConfigInvalid(
            f"{where}.model takes a provider before the first /, such as ollama/NAME:TAG; "
            f"{fields.shown(prefix, '')} is none{hint}"
        )
    return provider.strip().lower() or "openai", values["model"]


def _defaults(values: dict[str, Any], home: Path, environ: Mapping[str, str]) -> AgentDefaults:
    for name, meant in _ZERO_MEANS.items():
        values[name] = values[name] or meant
    raw = values["workspace"]
    return AgentDefaults(
        workspace=_path(raw, environ, "agents.defaults.workspace") if raw else home / "workspace",
        restrict_to_workspace=values["restrict_to_workspace"],
        model_name=values["model_name"],
        model_fallbacks=values["model_fallbacks"],
        max_tokens=values["max_tokens"],
        context_window=values["context_window"] or _WINDOW * values["max_tokens"],
        temperature=values["temperature"],
        max_tool_iterations=values["max_tool_iterations"],
        summarize_message_threshold=values["summarize_message_threshold"],
        summarize_token_percent=values["summarize_token_percent"],
        max_llm_retries=values["max_llm_retries"],
        llm_retry_backoff_secs=float(values["llm_retry_backoff_secs"]),
    )


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    """What PICOCLAW_AGENTS_DEFAULTS_* say. Set to nothing is not set, as in upstream (caarlos0/env)."""
    found: dict[str, Any] = {}
    for entry in fields.DEFAULTS:
        variable = fields.ENV_PREFIX + entry.name.upper()
        raw = environ.get(variable, "") if entry.env else ""
        if raw:
            try:
                found[entry.name] = entry.parse(_typed(raw, entry.default))
            except ValueError:
                raise refused(variable, "", entry.takes, raw) from None
    known = {fields.ENV_PREFIX + entry.name.upper() for entry in fields.DEFAULTS if entry.last == CURRENT}
    for variable in environ:
        rest = variable.removeprefix(fields.ENV_PREFIX)
        if rest != variable and variable not in known and not rest.startswith(_OTHER_VARIABLES):
            meant = nearest(variable, known)
            _log.warning("nothing reads %s%s", variable, f"; did you mean {meant}?" if meant else "")
    return found


def _typed(raw: str, default: object) -> object:
    if isinstance(default, bool):
        if raw.lower() not in _TRUE | _FALSE:
            raise ValueError
        return raw.lower() in _TRUE
    if isinstance(default, int | float):
        whole = isinstance(default, int)
        if not (_WHOLE if whole else _DECIMAL).fullmatch(raw):
            raise ValueError
        return int(raw) if whole else float(raw)
    return raw


def _user(environ: Mapping[str, str]) -> Path:
    home = environ.get("HOME", "")
    try:
        user = Path(home) if home else Path.home()
    except RuntimeError:
        raise ConfigInvalid("there is no home directory; set HOME or PICOCLAW_HOME") from None
    return _absolute(user)


def _path(raw: str, environ: Mapping[str, str], what: str) -> Path:
    """A path as upstream means it: ~ and ~/ are the user's home, anything else relative is the process's."""
    if "\0" in raw or (raw.startswith("~") and raw[1:2] not in {"", "/"}):
        raise refused(what, "", "a path; ~/ is your home", raw)
    if raw.startswith("~"):
        return _user(environ) / raw[2:].lstrip("/")
    return _absolute(Path(raw))


def _absolute(path: Path) -> Path:
    try:
        return path.absolute()
    except OSError:
        raise ConfigInvalid(f"{path} is relative, and the directory that it starts from is gone") from None

"""Older config documents as version 3 ones, in memory only: no file is ever rewritten.

Known from upstream's source (sipeed/picoclaw, pkg/config/config_old.go and migration.go, stored versions of
schema 2; the step from 2 to 3 from copies of that file in projects derived from it):

* V0 has no ``version``: ``agents.defaults.model`` and ``.provider``, and a ``providers`` object with
  ``api_key``, ``api_base``, ``request_timeout`` for each provider; later ones have ``model_list`` with one
  ``api_key`` an entry. Where both are, ``model_list`` counts.
* V1 has ``model_list`` with ``api_key`` and ``api_keys``, which count together, and ``.security.yml``.
* V2 has ``api_keys``, ``channels`` (``channel_list`` in V3), ``bindings`` (gone in V3).

Upstream names an entry made from ``providers`` after the provider even where ``agents.defaults.model`` asks
for it by the model's name, so that the default is not found; here that one bears the model's name.
``enabled``: upstream infers it from keys but never looks at it for a turn; here only ``false`` hides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from picoclaw.fields import keys

CURRENT = 3


@dataclass(frozen=True, slots=True)
class OldProvider:
    """A provider of V0: its key in ``providers``, what else it was called, its name since V1, its model."""

    key: str
    aliases: tuple[str, ...]
    name: str
    model: str


def _old(key: str, model: str, *aliases: str) -> OldProvider:
    return OldProvider(key, (key, *aliases), key.replace("_", "-"), model)


OLD_PROVIDERS = (
    _old("openai", "gpt-5.4", "gpt"),
    _old("anthropic", "claude-sonnet-4.6", "claude"),
    _old("litellm", "auto"),
    _old("openrouter", "auto"),
    _old("groq", "llama-3.1-70b-versatile"),
    _old("zhipu", "glm-4", "glm"),
    _old("vllm", "auto"),
    _old("gemini", "gemini-pro", "google"),
    _old("nvidia", "meta/llama-3.1-8b-instruct"),
    _old("ollama", "llama3"),
    _old("moonshot", "kimi", "kimi"),
    _old("shengsuanyun", "auto"),
    _old("deepseek", "deepseek-chat"),
    _old("cerebras", "llama-3.3-70b"),
    _old("vivgrid", "auto"),
    _old("volcengine", "doubao-pro", "doubao"),
    _old("github_copilot", "gpt-5.4", "copilot"),
    _old("antigravity", "gemini-2.0-flash"),
    _old("qwen", "qwen-max", "tongyi"),
    _old("mistral", "mistral-small-latest"),
    _old("avian", "deepseek/deepseek-v3.2"),
    _old("minimax", "auto"),
    _old("longcat", "LongCat-Flash-Thinking"),
    _old("modelscope", "Qwen/Qwen3-235B-A22B-Instruct-2507"),
    _old("novita", "auto"),
)
"""In the order in which upstream tries them for a model that names no provider."""


def version_of(document: Mapping[str, Any]) -> int:
    """The version that a checked document says; none is 0."""
    return document.get("version") or 0


def wanted_model(defaults: Mapping[str, Any]) -> str:
    """The model that ``agents.defaults`` of any version asks for; "" for none."""
    return str(defaults.get("model_name") or defaults.get("model") or "")


def from_providers(document: Mapping[str, Any]) -> bool:
    """Whether the models of a document are to be made from its ``providers``."""
    return version_of(document) == 0 and not document.get("model_list")


def migrate(document: Mapping[str, Any]) -> dict[str, Any]:
    """A checked document (config.check) as version 3. ``document`` itself stays as it is."""
    current = dict(document)
    if version_of(document) >= CURRENT:
        return current
    agents = dict(current.get("agents") or {})
    defaults = dict(agents.get("defaults") or {})
    defaults["model_name"] = wanted_model(defaults)
    defaults.pop("model", None)
    models = [_one_list_of_keys(entry or {}) for entry in current.get("model_list") or []]
    if from_providers(document):
        models = _models_of(current.get("providers") or {}, defaults)
    channels = current.pop("channels", None)
    if channels is not None:
        # Their inside changed too, but nothing here looks into it.
        current.setdefault("channel_list", channels)
    for gone in ("providers", "bindings"):
        current.pop(gone, None)
    agents["defaults"] = defaults
    return {**current, "version": CURRENT, "agents": agents, "model_list": models}


def _one_list_of_keys(entry: Mapping[str, Any]) -> dict[str, Any]:
    current = dict(entry)
    one, many = current.pop("api_key", None), current.pop("api_keys", None)
    return {**current, "api_keys": list(dict.fromkeys([*keys(one or []), *keys(many or [])]))}


def _models_of(providers: Mapping[str, Any], defaults: dict[str, Any]) -> list[dict[str, Any]]:
    model, named = defaults["model_name"], str(defaults.get("provider") or "").lower()
    configured = [old for old in OLD_PROVIDERS if _is_configured(providers.get(old.key) or {})]
    chosen = next((old for old in OLD_PROVIDERS if named in (*old.aliases, old.name)), None)
    if chosen is not None and chosen not in configured:
        # Ollama needs neither key nor address, so naming it is enough.
        configured.append(chosen)
    if not named and model and configured:
        prefix = model.split("/", 1)[0]
        chosen = next((old for old in configured if old.name == prefix), configured[0])
    if chosen is not None and not model:
        defaults["model_name"] = chosen.name
    return [
        _model_of(old, providers.get(old.key) or {}, model if old is chosen else "") for old in configured
    ]


def _is_configured(section: Mapping[str, Any]) -> bool:
    return any(section.get(name) for name in ("api_key", "api_base", "auth_method", "connect_mode"))


def _model_of(old: OldProvider, section: Mapping[str, Any], model: str) -> dict[str, Any]:
    kept = {name: value for name, value in section.items() if name not in {"api_key", "web_search"}}
    return {
        **kept,
        "model_name": model or old.name,
        "provider": old.name,
        "model": model.removeprefix(f"{old.name}/") or old.model,
        "api_keys": list(keys(section.get("api_key") or [])),
    }

"""What a config.json may hold: one table a section, from which it is checked, explained and documented.

The names are upstream's (sipeed/picoclaw, pkg/config: config.go, config_old.go; those of schema version 3,
turn_profile.go and migration.go's legacy checks as copies in projects derived from it have them), their
meaning is PICOCLAW.md's. Sections that this
runtime does not use are known by name only: upstream refuses names that it does not know, so do we, and
what is inside them is upstream's business.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from picoclaw.errors import ConfigInvalid

ENV_PREFIX = "PICOCLAW_AGENTS_DEFAULTS_"
_SECRET_NAME = re.compile(r"(^|[._-])(api_?keys?|token|secrets?|passwords?|passphrase)$", re.IGNORECASE)
_SECRET_TEXT = re.compile(r"^\w{1,6}-[\w-]{6,}|[\w-]{20,}|@")
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_PLACE = re.compile(r"\[\d+\]$")
RENAMED: Mapping[str, str] = {
    "api_key": "api_keys", "channels": "channel_list", "model": "model_name", "providers": "model_list",
}  # fmt: skip
"""Names of older versions and what version 3 has instead."""


@dataclass(frozen=True, slots=True)
class Field:
    """One key: what it takes in words, the parser (ValueError for what it does not take), its default.

    ``env``: PICOCLAW_AGENTS_DEFAULTS_<NAME> wins over the file. ``last`` is the last schema version that
    has it. ``used`` is False for keys that only upstream reads.
    """

    name: str
    takes: str
    parse: Callable[[Any], Any]
    default: object
    doc: str
    env: bool = False
    last: int = 3
    used: bool = True


def text(limit: int, least: int = 0) -> Callable[[object], str]:
    """A parser of one line of printable text."""

    def parse(value: object) -> str:
        if not isinstance(value, str) or not least <= len(value) <= limit or not value.isprintable():
            raise ValueError
        return value

    return parse


def integer(low: int, high: int) -> Callable[[object], int]:
    """A parser of whole numbers; 3.0 and true are none, as in upstream."""

    def parse(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise ValueError
        return value

    return parse


def number(low: float, high: float) -> Callable[[object], float]:
    """A parser of numbers."""

    def parse(value: object) -> float:
        if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= high:
            raise ValueError
        return float(value)

    return parse


def flag(value: object) -> bool:
    """Parse true or false."""
    if not isinstance(value, bool):
        raise ValueError  # noqa: TRY004 - every parser says it the same way
    return value


def texts(value: object) -> tuple[str, ...]:
    """Parse a list of texts."""
    if not isinstance(value, list):
        raise ValueError  # noqa: TRY004
    return tuple(text(512)(item) for item in value)


def keys(value: object) -> tuple[str, ...]:
    """Parse API keys: a list, or one text; upstream writes "[NOT_HERE]" for those in .security.yml."""
    found = [value] if isinstance(value, str) else value
    if not isinstance(found, list):
        raise ValueError  # noqa: TRY004
    stripped = (text(4096)(item).strip() for item in found)
    return tuple(dict.fromkeys(key for key in stripped if key and key != "[NOT_HERE]"))


def url(value: object) -> str:
    """Parse an http(s) address without credentials; "" is none."""
    raw = text(2048)(value).strip()
    parts = urlsplit(raw)
    if raw and (
        " " in raw or parts.scheme not in {"http", "https"} or not parts.hostname or "@" in parts.netloc
    ):
        raise ValueError
    _ = parts.port  # raises what it should
    return raw.rstrip("/")


def model(value: object) -> str:
    """Parse a model's name, with upstream's rules (ModelConfig.Validate)."""
    name = text(256, 1)(value)
    if " " in name or name.startswith("/") or "//" in name:
        raise ValueError
    return name


def table_of(value: object) -> dict[str, Any]:
    """Parse an object whose inside is somebody else's business."""
    if not isinstance(value, dict):
        raise ValueError  # noqa: TRY004
    return value


def anything(value: object) -> object:
    """Take it as it is."""
    return value


def mode(*allowed: str) -> Callable[[object], str]:
    """A parser of one of those words, in any case, as upstream's TurnProfileMode reads them."""

    def parse(value: object) -> str:
        word = text(64)(value).strip().lower() or "default"
        if word not in allowed:
            raise ValueError
        return word

    return parse


def _theirs(*names: str, last: int = 3) -> tuple[Field, ...]:
    return tuple(
        Field(name, "anything", anything, None, "upstream's own", last=last, used=False) for name in names
    )


_TEXT = "text in one line"
_MODEL = "a model's name without spaces, such as ollama/NAME:TAG"
_URL = "an http(s) address without a name and password"
_KEYS = "a list of texts"
_FLAG = "true or false"
_TOKENS = "a whole number from 0 to 10000000"
_tokens = integer(0, 10_000_000)

ROOT = (
    Field("version", "0, 1, 2 or 3", integer(0, 3), 0, "the schema's version; 3 is written, all are read"),
    Field("agents", "an object", table_of, None, "the agents"),
    Field("model_list", "a list of objects", anything, None, "the models"),
    *_theirs(
        "isolation", "session", "evolution", "channel_list", "gateway", "events", "hooks", "tools",
        "heartbeat", "devices", "voice", "build_info",
    ),
    *_theirs("channels", "bindings", last=2),
    Field("providers", "an object", table_of, None, "version 0's keys and addresses", last=2),
)  # fmt: skip
AGENTS = (
    Field("defaults", "an object", table_of, None, "what every agent starts from"),
    *_theirs("list", "dispatch"),
)
DEFAULTS = (
    Field("workspace", "a path; ~/ is your home", text(4096), "", "files and sessions; empty: "
          "$PICOCLAW_HOME/workspace", env=True),
    Field("restrict_to_workspace", _FLAG, flag, True, "whether tools stay inside it", env=True),
    Field("model_name", _TEXT, text(256), "", "the model_name used when none is asked for", env=True),
    Field("model_fallbacks", _KEYS, texts, (), "model_names tried after it"),
    Field("max_tokens", _TOKENS, _tokens, 32_768, "most tokens of one answer; 0 means 8192", env=True),
    Field("context_window", _TOKENS, _tokens, 0, "the model's window in tokens; 0: 4 x max_tokens", env=True),
    Field("temperature", "a number from 0 to 2", number(0, 2), 0.7, "how freely it answers", env=True),
    Field("max_tool_iterations", "a whole number from 0 to 1000", integer(0, 1000), 50,
          "rounds of tools in one turn; 0 means 20", env=True),
    Field("summarize_message_threshold", "a whole number from 0 to 100000", integer(0, 100_000), 20,
          "messages after which a session is summed up; 0 means 20", env=True),
    Field("summarize_token_percent", "a whole number from 0 to 100", integer(0, 100), 75,
          "share of the window after which it is; 0 means 75", env=True),
    Field("max_llm_retries", "a whole number from 0 to 100", integer(0, 100), 2,
          "further attempts after a failed one; 0 means 2", env=True),
    Field("llm_retry_backoff_secs", "a whole number from 0 to 3600", integer(0, 3600), 2,
          "seconds before the first of them, then doubled; 0 means 2", env=True),
    Field("turn_profile", "an object", table_of, None, "what a turn may use"),
    Field("provider", _TEXT, text(64), "", "the provider of models that name none", env=True),
    Field("model", _MODEL, lambda value: value and model(value), "", "version 0's model_name", last=2),
    *_theirs(
        "allow_read_outside_workspace", "image_model", "image_model_fallbacks", "max_media_size", "routing",
        "steering_mode", "max_parallel_turns", "subturn", "tool_feedback", "split_on_marker",
        "context_manager", "context_manager_config",
    ),
)  # fmt: skip
PROFILE = (
    Field("enabled", _FLAG, flag, False, "whether the profile holds"),
    *(
        Field(name, "an object", table_of, None, f"the {name.replace('_', ' ')} of a turn")
        for name in ("history", "system_prompt", "skills", "tools")
    ),
)
_ALLOW = Field("allow", _KEYS, texts, (), "names that custom allows")
BLOCK = (Field("mode", "default or off", mode("default", "off"), "default", "off: none of it"), _ALLOW)
CUSTOM_BLOCK = (
    Field("mode", "default, off or custom", mode("default", "off", "custom"), "default", "off: none of it"),
    _ALLOW,
)
MODEL = (
    Field("model_name", _TEXT + ", not empty", text(256, 1), "", "what it is called here; needed"),
    Field("provider", _TEXT, text(64), "", "who serves it; empty: what is before / in model"),
    Field("model", _MODEL, model, "", "its name; needed"),
    Field("api_base", _URL, url, "", "the server; empty: the provider's own"),
    Field("api_keys", _KEYS, keys, (), "keys; better in .security.yml"),
    Field("api_key", "text", keys, (), "versions 0 to 2's one key", last=2),
    Field("request_timeout", "a whole number from 0 to 86400", integer(0, 86_400), 120,
          "seconds of one attempt; 0 means 120"),
    Field("rpm", "a whole number from 0 to 1000000", integer(0, 1_000_000), 0, "requests a minute; 0: any"),
    Field("extra_body", "an object", table_of, None, "fields added to each request"),
    Field("enabled", _FLAG, flag, True, "false hides it"),
    *_theirs(
        "proxy", "fallbacks", "auth_method", "connect_mode", "workspace", "max_tokens_field",
        "thinking_level", "tool_schema_transform", "streaming", "custom_headers", "user_agent",
    ),
)  # fmt: skip
PROVIDER = (
    Field("api_key", "text", keys, (), "its key", last=2),
    Field("api_base", _URL, url, "", "its server", last=2),
    Field("request_timeout", "a whole number from 0 to 86400", integer(0, 86_400), 120, "seconds", last=2),
    *_theirs("proxy", "auth_method", "connect_mode", "web_search", last=2),
)


def nearest(name: str, allowed: Iterable[str]) -> str | None:
    """The allowed name that somebody who wrote ``name`` probably meant."""
    names = list(allowed)
    if RENAMED.get(name) in names:
        return RENAMED[name]
    close = difflib.get_close_matches(name[:80], names, n=1, cutoff=0.55)
    return close[0] if close else None


def shown(value: object, key: str) -> str:
    """What was given, shortened for an error; never what may be an API key."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    if _SECRET_NAME.search(_PLACE.sub("", key)):
        return "what it holds"
    if isinstance(value, str):
        return f"a text of {len(value)} characters" if _SECRET_TEXT.search(value) else _cut(repr(value))
    if isinstance(value, bool) or value is None:
        return str(value).lower().replace("none", "null")
    return _cut(repr(value))


def _cut(written: str) -> str:
    return written if len(written) <= 60 else written[:57] + "..."


def under(path: str, name: str) -> str:
    """The full path of key ``name`` in ``path``; a name that is none of ours is quoted and cut."""
    plain = name if _PLAIN_NAME.fullmatch(name) else _cut(repr(name))
    return f"{path}.{plain}" if path else plain


def refused(where: str, key: str, takes: str, value: object) -> ConfigInvalid:
    """The error for a value: the file or variable, the key, what it takes, what was given."""
    place = f"{where}: {key}" if key else where
    return ConfigInvalid(f"{place} takes {takes}; {shown(value, key or where)} is not that")


def section(where: str, path: str, value: object, table: tuple[Field, ...], version: int) -> dict[str, Any]:
    """Check one object against its table and return it parsed, with defaults for what is not there.

    null counts as not there, as in upstream (encoding/json). ConfigInvalid for a name that the version does
    not have, and for a value that its field does not take.
    """
    if value is None:
        value = {}
    if not isinstance(value, dict):
        raise refused(where, path, "an object", value)
    allowed = {field.name: field for field in table if field.last >= version}
    for name in value:
        if name not in allowed:
            raise _unknown(where, path, name, allowed, table)
    found: dict[str, Any] = {}
    for name, field in allowed.items():
        given = value.get(name)
        try:
            found[name] = field.default if given is None else field.parse(given)
        except ValueError:
            raise refused(where, under(path, name), field.takes, given) from None
    return found


def _unknown(
    where: str, path: str, name: str, allowed: Iterable[str], table: tuple[Field, ...]
) -> ConfigInvalid:
    meant = nearest(name, allowed)
    older = next((field for field in table if field.name == name), None)
    said = f"{where}: {under(path, name)} is not a known field"
    if older is not None:
        said += f" since version {older.last + 1}"
    return ConfigInvalid(
        f"{said}; did you mean {under(path, meant)}?" if meant
        else f"{said}; {path or 'the file'} may hold {', '.join(allowed)}"
    )  # fmt: skip

"""``.security.yml`` beside config.json: the API keys, by model_name.

Upstream's form (sipeed/picoclaw, pkg/config/security.go, config_struct.go: SecureModelList)::

    model_list:
      fast:            # every entry with that model_name
        api_keys: ["..."]
      "slow:1":        # the second entry with that model_name
        api_keys: ["env://SLOW_KEY"]

What it says replaces the entry's own keys. Its other sections (channels, channel_list, web, skills, tools)
are upstream's business. A key may be ``env://NAME`` or ``file://NAME`` (beside the file) instead of itself;
``enc://`` needs upstream's passphrase and is refused. No error text ever shows a key.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped,unused-ignore]

from picoclaw.config_file import decoded, read
from picoclaw.errors import ConfigInvalid
from picoclaw.fields import keys, nearest, under

NAME = ".security.yml"
MOST_BYTES = 1 << 16
"""64 KiB: hundreds of keys, and as much as the YAML parser reads in under a second."""
_SECTIONS = ("model_list", "channels", "channel_list", "web", "skills", "tools")
_ENVIRONMENT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_log = logging.getLogger(__name__)


def read_keys(path: Path) -> dict[str, tuple[str, ...]] | None:
    """Keys by model_name or ``model_name:N``; None when there is no such file. ConfigInvalid.

    A file that others than its owner may touch is read, and complained of in the log.
    """
    try:
        content = read(path, MOST_BYTES)
    except FileNotFoundError:
        return None
    if content.mode & ~0o600:
        _log.warning("%s may be read by others (mode %04o): chmod 600 %s", path, content.mode, path)
    text = decoded(path, content.data)
    try:
        # The node tree, not values: no type is guessed, and an alias is never unfolded.
        root: Any = yaml.compose(text, Loader=yaml.BaseLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f" at line {mark.line + 1}, column {mark.column + 1}" if mark is not None else ""
        raise ConfigInvalid(f"{path} is not YAML{place}") from None
    except (RecursionError, ValueError, OverflowError):
        # The last two: an escape such as "\UFFFFFFFF" names no character.
        raise ConfigInvalid(f"{path} is not YAML that can be read") from None
    if root is None:
        return {}
    sections = _members(path, "", root)
    for name in sections:
        if name not in _SECTIONS:
            meant = nearest(name, _SECTIONS)
            hint = f"; did you mean {meant}?" if meant else ""
            _log.warning("%s: nothing reads %s%s", path, under("", name), hint)
    entries = _members(path, "model_list", sections.get("model_list"))
    return {name: _keys_of(path, under("model_list", name), node) for name, node in entries.items()}


def for_entries(names: list[str], found: Mapping[str, tuple[str, ...]], path: Path) -> list[tuple[str, ...]]:
    """The keys of each entry of ``model_list``, "" entries where the file has none for it.

    ``name:N`` (the N-th entry of that name, from 0) goes before ``name``. A name without an entry is
    complained of in the log: the key would never be used.
    """
    used: set[str] = set()
    seen: Counter[str] = Counter()
    answer: list[tuple[str, ...]] = []
    for name in names:
        indexed = f"{name}:{seen[name]}"
        seen[name] += 1
        key = indexed if indexed in found else name
        used |= {indexed, name}
        answer.append(found.get(key, ()))
    for name in found.keys() - used:
        _log.warning("%s: no model of the config is called %s", path, under("", name))
    return answer


def resolve(key: str, where: str, directory: Path, environ: Mapping[str, str]) -> str:
    """The key itself: what ``env://NAME`` or ``file://NAME`` stands for; "" for a variable that is not set.

    ``where`` begins the text of ConfigInvalid, which names neither the key nor what it stands for.
    """
    scheme, mark, name = key.partition("://")
    if not mark or scheme not in {"env", "file", "enc"}:
        return key
    if scheme == "enc":
        raise ConfigInvalid(f"{where} holds an enc:// key, which only upstream's binary can open; "
                            "write the key itself, env://NAME or file://NAME")  # fmt: skip
    if scheme == "env":
        if not _ENVIRONMENT_NAME.fullmatch(name):
            raise ConfigInvalid(f"{where} holds env:// without a variable's name after it")
        return environ.get(name, "").strip()
    if not name or "\0" in name:
        raise ConfigInvalid(f"{where} holds file:// without a file's name after it")
    try:
        target = (directory / name).resolve()
        if not target.is_relative_to(directory.resolve()):
            raise ConfigInvalid(f"{where} holds a file:// name that leads out of {directory}")
        found = keys([decoded(target, read(target, MOST_BYTES).data).strip()])
    except FileNotFoundError:
        raise ConfigInvalid(f"{where} holds a file:// name, and {directory} has no such file") from None
    except (OSError, RuntimeError) as error:
        raise ConfigInvalid(
            f"{where} holds a file:// name that cannot be followed ({type(error).__name__})"
        ) from None
    except ValueError:
        raise ConfigInvalid(f"{where} holds a file:// name of a file that holds no key") from None
    return found[0] if found else ""


def _members(path: Path, key: str, node: Any) -> dict[str, Any]:
    """The members of a YAML mapping; a missing or empty node has none."""
    if node is None or (node.id == "scalar" and node.value in {"", "null", "~"}):
        return {}
    if node.id != "mapping":
        raise ConfigInvalid(f"{path}: {key or 'the file'} takes names with values below them")
    found: dict[str, Any] = {}
    for name, inner in node.value:
        if name.id != "scalar":
            raise ConfigInvalid(f"{path}: {key or 'the file'} has a name that is no text")
        if name.value in found:
            raise ConfigInvalid(f"{path}: {under(key, name.value)} is there twice; leave one of them")
        found[name.value] = inner
    return found


def _keys_of(path: Path, key: str, node: Any) -> tuple[str, ...]:
    entry = _members(path, key, node)
    answer: list[str] = []
    for name in ("api_key", "api_keys"):
        inner = entry.get(name)
        items = [] if inner is None else inner.value if inner.id == "sequence" else [inner]
        try:
            answer += keys([item.value for item in items])
        except ValueError:
            raise ConfigInvalid(f"{path}: {key}.{name} takes a list of texts, each in one line") from None
    return tuple(dict.fromkeys(answer))

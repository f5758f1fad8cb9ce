"""Reads a file that may be anything, and JSON that must be strict: what is wrong is always ConfigInvalid.

Only regular files up to a limit are read, and nothing is ever written. JSON is UTF-8, without a key twice
in one object, without NaN and infinities (JSON has none), and not deeper than a config needs.
"""

from __future__ import annotations

import json
import math
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from picoclaw.errors import ConfigInvalid
from picoclaw.fields import under

MOST_BYTES = 1 << 20
"""A config of 1 MiB would hold thousands of models."""
MOST_LEVELS = 32
_SURROGATE = re.compile("[\ud800-\udfff]")
_ONBOARD = "run `picoclaw-py onboard` to make one"


@dataclass(frozen=True, slots=True)
class Content:
    """A file's bytes, and its permission bits when it was opened."""

    data: bytes
    mode: int


class _Object(dict[str, Any]):
    """An object of the file; ``twice`` names a key that it has more than once."""

    twice: str | None = None


def read(path: Path, most: int = MOST_BYTES) -> Content:
    """The file's content. FileNotFoundError when nothing is there, ConfigInvalid for all else."""
    try:
        # O_NONBLOCK: opening a named pipe must not wait for somebody to write into it.
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ConfigInvalid(f"{path} cannot be read: {error.strerror}") from None
    except ValueError:
        raise ConfigInvalid(f"{str(path)!r} is no file's name") from None
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise ConfigInvalid(f"{path} is not a regular file")
        data = bytearray()
        while len(data) <= most and (part := os.read(handle, most + 1 - len(data))):
            data += part
    except OSError as error:
        raise ConfigInvalid(f"{path} cannot be read: {error.strerror}") from None
    finally:
        os.close(handle)
    if len(data) > most:
        raise ConfigInvalid(f"{path} is larger than {most} bytes, the most that is read")
    return Content(bytes(data), stat.S_IMODE(status.st_mode))


def decoded(path: Path, data: bytes) -> str:
    """Its text. ConfigInvalid when it is not UTF-8."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigInvalid(f"{path} is not UTF-8 text: byte {error.start} is not") from None


def read_document(path: Path) -> dict[str, Any]:
    """The JSON object in the file. ConfigInvalid says what is wrong, where, and what to type if it lacks."""
    try:
        content = read(path)
    except FileNotFoundError:
        raise ConfigInvalid(f"{path} does not exist; {_ONBOARD}") from None
    return parse(path, decoded(path, content.data))


def parse(path: Path, text: str) -> dict[str, Any]:
    """The JSON object in ``text``, which ``path`` held."""
    try:
        document = json.loads(text, object_pairs_hook=_object, parse_constant=_constant)
    except json.JSONDecodeError as error:
        raise ConfigInvalid(
            f"{path} is not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        ) from None
    except RecursionError:
        raise _too_deep(path) from None
    except ValueError as error:
        # _constant's, and int()'s for a number of thousands of digits.
        raise ConfigInvalid(f"{path} is not JSON: it has a number that is none ({error})") from None
    if not isinstance(document, dict):
        raise ConfigInvalid(f"{path} must hold a JSON object, {{...}}")
    _walk(path, document)
    return document


def _walk(path: Path, document: object) -> None:
    """Refuse what JSON's syntax allows and no config needs. Not recursive: the file chooses the depth."""
    waiting: list[tuple[str, object, int]] = [("", document, 1)]
    while waiting:
        key, value, level = waiting.pop()
        if level > MOST_LEVELS:
            raise _too_deep(path)
        if isinstance(value, _Object):
            if value.twice is not None:
                raise ConfigInvalid(f"{path}: {under(key, value.twice)} is there twice; leave one of them")
            for name, inner in value.items():
                waiting += [(key, name, level), (under(key, name), inner, level + 1)]
        elif isinstance(value, list):
            waiting += [(f"{key}[{place}]", inner, level + 1) for place, inner in enumerate(value)]
        elif isinstance(value, str) and _SURROGATE.search(value):
            raise ConfigInvalid(f"{path}: {key or 'a name'} has half a character (a lone surrogate)")
        elif isinstance(value, float) and not math.isfinite(value):
            raise ConfigInvalid(f"{path}: {key} is too large a number")


def _too_deep(path: Path) -> ConfigInvalid:
    return ConfigInvalid(f"{path} is nested more than {MOST_LEVELS} levels deep")


def _object(pairs: list[tuple[str, Any]]) -> _Object:
    found = _Object(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        found.twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
    return found


def _constant(name: str) -> NoReturn:
    raise ValueError(name)

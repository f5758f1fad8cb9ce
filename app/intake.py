"""Request bodies, JSON or form, become a checked model here or are refused in plain words."""

from __future__ import annotations

import re
from typing import TypeVar
from urllib.parse import parse_qsl

from flask import request
from pydantic import BaseModel, ValidationError

from app.errors import Refusal, too_large
from app.schemas import LARGEST_BODY

M = TypeVar("M", bound=BaseModel)
JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
_DECIMAL = re.compile(r"-?\d{1,18}(?:\.\d{1,18})?(?:[eE][+-]?\d{1,3})?", re.ASCII)
"""A number as JSON has it (RFC 8259, section 6), of bounded length."""
_MOST_DIGITS = 4_000
"""Python refuses to convert more than 4300 (sys.get_int_max_str_digits)."""


def asked(model: type[M]) -> M:
    """The request's body as ``model``. Refusal 400 says which field, what is wrong with it, what it takes."""
    raw = _body()
    try:
        if request.mimetype == JSON:
            return model.model_validate_json(raw)
        form = dict(parse_qsl(raw.decode("utf-8", "replace"), keep_blank_values=True))
        return model.model_validate(_typed(model, form))
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        raise Refusal(400, "bad_payload", _told(model, first["loc"], first["msg"])) from None


def _body() -> bytes:
    """All of it. A body that came without its length may be one byte longer than allowed, never more."""
    raw = request.get_data(cache=False)
    if len(raw) > LARGEST_BODY:
        raise too_large()
    return raw


def _typed(model: type[BaseModel], form: dict[str, str]) -> dict[str, object]:
    """A form knows only text: whole numbers become numbers, and an optional field left empty is not set."""
    fields = model.model_fields
    typed: dict[str, object] = {}
    for name, text in form.items():
        if name not in fields or (text == "" and not fields[name].is_required()):
            continue
        digits = text.removeprefix("-")
        number = (
            fields[name].annotation is int
            and digits.isascii()
            and digits.isdigit()
            and len(digits) <= _MOST_DIGITS
        )
        typed[name] = int(text) if number else _fraction(text) if fields[name].annotation is float else text
    return typed


def _fraction(text: str) -> float | str:
    """The number that a form's text says; the text, for the model to refuse, where it says none."""
    return float(text) if _DECIMAL.fullmatch(text) else text


def _told(model: type[BaseModel], where: tuple[int | str, ...], message: str) -> str:
    field = model.model_fields.get(str(where[0])) if where else None
    reason = message[:1].lower() + message[1:]
    if field is None:
        return f"The body cannot be taken: {reason}."
    described = f" It is: {field.description}" if field.description else ""
    return f"{where[0]} cannot be taken: {reason}.{described}"

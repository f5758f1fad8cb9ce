"""An offer as it travels from rack to rack: JSON with a schema version and the digest of the state. Pure.

The digest is over the state's *canonical* JSON: sorted keys, no spaces, UTF-8. It is made of what came, with
fields that a later version may have added, which are otherwise ignored as everywhere.
"""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from typing import Annotated, Any, Literal

import orjson
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from clawbucket.core.agent import Utterance
from clawbucket.core.model import ArmState
from clawbucket.core.revolt import MOST_SAID, SNAPSHOT_ID, Offer, TrooperState
from clawbucket.settings import NAME

SCHEMA = 1
LARGEST = 60 * 1024
"""Bytes of an offer that are taken; a replica takes no larger body than 64 KiB."""
LARGEST_SENT = 48 * 1024
"""Bytes of an offer that is made: what is above is cut off the conversation, the oldest first."""
LARGEST_SCORE = 10**9
LONGEST_WORDS, LONGEST_SOURCE, LONGEST_LABEL = 50, 40, 40
LONGEST_TEXT, LONGEST_AT = 1_000, 40

TaskId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]{1,64}$")]


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError
    return text


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)


class _Said(_Part):
    role: Literal["user", "assistant"]
    text: str = Field(max_length=LONGEST_TEXT)
    at: str = Field(max_length=LONGEST_AT)


class _State(_Part):
    score: int = Field(ge=-LARGEST_SCORE, le=LARGEST_SCORE)
    words: str = Field(max_length=LONGEST_WORDS)
    words_source: str = Field(max_length=LONGEST_SOURCE)
    arm: ArmState
    conversation: tuple[_Said, ...] = Field(max_length=MOST_SAID)


Label = Annotated[str, StringConstraints(max_length=LONGEST_LABEL), AfterValidator(_printable)]


class _Offer(_Part):
    snapshot_id: str = Field(pattern=f"^{SNAPSHOT_ID.pattern}$")
    service: str = Field(pattern=f"^{NAME.pattern}$")
    source_task_id: TaskId
    from_rack: Label
    to_rack: Label
    state: _State


_TAKES = {
    "snapshot_id": "32 lower-case hexadecimal digits",
    "service": "a service name: letters, digits, '_', '.', '-', at most 63",
    "source_task_id": "1 to 64 lower-case letters and digits",
    "from_rack": f"a rack's label: at most {LONGEST_LABEL} printable characters",
    "to_rack": f"a rack's label: at most {LONGEST_LABEL} printable characters",
    "state": "an object with score, words, words_source, arm and conversation",
    "state.score": f"a whole number from -{LARGEST_SCORE} to {LARGEST_SCORE}",
    "state.words": f"text, at most {LONGEST_WORDS} characters",
    "state.words_source": f"text, at most {LONGEST_SOURCE} characters",
    "state.arm": "on or off",
    "state.conversation": f"a list, at most {MOST_SAID} long, of objects with role, text and at",
    "role": "user or assistant",
    "text": f"text, at most {LONGEST_TEXT} characters",
    "at": f"a time as text, at most {LONGEST_AT} characters",
}
"""What each field takes, by where it is; what is inside the conversation, by its name."""


def digest_of(state: TrooperState) -> str:
    """The SHA-256 of the state's canonical JSON, in hexadecimal."""
    return sha256(canonical(state)).hexdigest()


def canonical(value: Any) -> bytes:
    """The one JSON form of a value. ValueError where it has none, as what is 254 lists deep.

    A dataclass goes by way of a dict: orjson sorts no fields.
    """
    try:
        return orjson.dumps(orjson.loads(orjson.dumps(value)), option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError as error:
        raise ValueError(f"it has no JSON form: {error}") from error


def encode_offer(offer: Offer) -> bytes:
    """The offer as JSON, with as much of the end of the conversation as there is room for."""
    said = offer.state.conversation[-MOST_SAID:]
    while True:
        body = _encoded(replace(offer, state=replace(offer.state, conversation=said)))
        if len(body) <= LARGEST_SENT or not said:
            return body
        said = said[1:]


def decode_offer(raw: bytes) -> Offer:
    """The offer behind the bytes. ValueError with one sentence: which field, and what it takes."""
    if len(raw) > LARGEST:
        raise ValueError(f"the body takes at most {LARGEST} bytes, {len(raw)} were sent")
    try:
        told: Any = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise ValueError("the body takes JSON") from None
    if not isinstance(told, dict):
        raise ValueError("the body takes a JSON object")  # noqa: TRY004 - callers know ValueError
    version = told.get("schema")
    if type(version) is not int or version != SCHEMA:
        raise ValueError(f"schema takes {SCHEMA}, the version that this rack understands")
    try:
        state, again = canonical(told.get("state")), canonical(told)
    except ValueError:
        raise ValueError("the body takes JSON of little depth") from None
    if told.get("sha256") != sha256(state).hexdigest():
        raise ValueError("sha256 takes the SHA-256 of state's canonical JSON, in hexadecimal")
    try:
        # From JSON again: pydantic is strict about that in the right way, as with enums. And of two
        # fields of one name it is the same one that was digested.
        return _record(_Offer.model_validate_json(again, strict=True))
    except ValidationError as error:
        raise ValueError(_sentence(error)) from None


def _encoded(offer: Offer) -> bytes:
    return canonical(
        {
            "schema": SCHEMA,
            "snapshot_id": offer.snapshot_id,
            "service": offer.service,
            "source_task_id": offer.source_task_id,
            "from_rack": offer.from_rack,
            "to_rack": offer.to_rack,
            "state": offer.state,
            "sha256": digest_of(offer.state),
        }
    )


def _record(told: _Offer) -> Offer:
    state = told.state
    return Offer(
        snapshot_id=told.snapshot_id,
        service=told.service,
        source_task_id=told.source_task_id,
        from_rack=told.from_rack,
        to_rack=told.to_rack,
        state=TrooperState(
            score=state.score,
            words=state.words,
            words_source=state.words_source,
            arm=state.arm,
            conversation=tuple(Utterance(said.role, said.text, said.at) for said in state.conversation),
        ),
    )


def _sentence(error: ValidationError) -> str:
    where = error.errors(include_url=False, include_input=False, include_context=False)[0]["loc"]
    path = ".".join(str(part) for part in where)
    if path in _TAKES:
        return f"{path} takes {_TAKES[path]}"
    if where[-1] in _TAKES:
        return f"{path} takes {_TAKES[str(where[-1])]}"
    return f"{path} takes {_TAKES['state.conversation']}"  # one of its items is none

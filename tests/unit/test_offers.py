"""The wire form of an offer: what goes out comes in, and nothing else does."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from hashlib import sha256
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clawbucket.core.agent import Utterance
from clawbucket.core.model import ArmState
from clawbucket.core.revolt import MOST_SAID, Offer, TrooperState
from clawbucket.handoff import offers
from clawbucket.handoff.offers import canonical, decode_offer, digest_of, encode_offer

ID = "0123456789abcdef0123456789abcdef"
SAID = (
    Utterance("user", "hello", "2026-01-01T00:00:00Z"),
    Utterance("assistant", "sir", "2026-01-01T00:00:01Z"),
)
OFFER = Offer(
    ID, "clawbucket_clawbucket", "x4k0p2m9v7q1z5b8c3d6f0g2h", "Machine Rack 1", "Machine Rack 2",
    TrooperState(-7, "brave new bots", "picoclaw", ArmState.ON, SAID),
)  # fmt: skip

_short = st.text(max_size=40)
_printable = _short.map(lambda text: "".join(c for c in text if c.isprintable()))
_states = st.builds(
    TrooperState,
    score=st.integers(-(10**9), 10**9),
    words=st.text(max_size=50),
    words_source=_short,
    arm=st.sampled_from(ArmState),
    conversation=st.lists(
        st.builds(
            Utterance, role=st.sampled_from(["user", "assistant"]), text=st.text(max_size=80), at=_short
        ),
        max_size=MOST_SAID,
    ).map(tuple),
)
_offers = st.builds(
    Offer,
    snapshot_id=st.from_regex(r"\A[0-9a-f]{32}\Z"),
    service=st.from_regex(r"\A[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}\Z"),
    source_task_id=st.from_regex(r"\A[a-z0-9]{1,64}\Z"),
    from_rack=_printable,
    to_rack=_printable,
    state=_states,
)
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)


def _fits(value: object) -> bool:
    """Whether orjson can write it."""
    try:
        orjson.dumps(value)
    except orjson.JSONEncodeError:
        return False
    return True


def told(**changes: Any) -> bytes:
    """The offer's JSON with other values in it; those named ``state__…`` inside the state. Digested anew."""
    body = orjson.loads(encode_offer(OFFER))
    for name, value in changes.items():
        if name.startswith("state__"):
            body["state"][name.removeprefix("state__")] = value
        else:
            body[name] = value
    if "sha256" not in changes:
        body["sha256"] = sha256(canonical(body["state"])).hexdigest()
    return orjson.dumps(body)


def refusal(raw: bytes) -> str:
    """The sentence with which it is refused."""
    with pytest.raises(ValueError, match="takes") as caught:
        decode_offer(raw)
    sentence = str(caught.value)
    assert len(sentence) < 200
    assert "\n" not in sentence
    return sentence


@pytest.mark.slow
@given(_offers)
def test_what_goes_out_comes_in(offer):
    """Every offer that there can be arrives as it was."""
    assert decode_offer(encode_offer(offer)) == offer


def test_the_form_is_the_contracts():
    """The contract's fields, with the schema and the state's digest beside them."""
    body = orjson.loads(encode_offer(OFFER))
    assert set(body) == {
        "schema", "sha256", "snapshot_id", "service", "source_task_id", "from_rack", "to_rack", "state",
    }  # fmt: skip
    assert body["schema"] == 1
    assert body["sha256"] == digest_of(OFFER.state)
    assert body["state"]["arm"] == "on"
    assert body["state"]["conversation"][1] == {
        "role": "assistant", "text": "sir", "at": "2026-01-01T00:00:01Z",
    }  # fmt: skip


def test_the_digest_is_of_canonical_json():
    """Sorted keys, no spaces, UTF-8: anybody can compute it."""
    state = TrooperState(1, "schön", "book", ArmState.OFF)
    form = '{"arm":"off","conversation":[],"score":1,"words":"schön","words_source":"book"}'
    assert digest_of(state) == sha256(form.encode()).hexdigest()


def test_the_order_of_fields_does_not_matter():
    """The same offer, written by another program, is the same offer."""
    body = orjson.loads(encode_offer(OFFER))
    body["state"] = dict(reversed(body["state"].items()))
    assert decode_offer(orjson.dumps(dict(reversed(body.items())), option=orjson.OPT_INDENT_2)) == OFFER


def test_later_versions_may_add_fields():
    """What is not known is ignored, in the state too, where the digest covers it."""
    assert decode_offer(told(mood="fine", state__medals=[1, 2])) == OFFER


@pytest.mark.slow
@settings(suppress_health_check=[HealthCheck.too_slow])
@given(_offers, st.data())
def test_a_changed_state_is_noticed(offer, data):
    """Another state under the old digest is refused."""
    other = data.draw(_states.filter(lambda state: state != offer.state))
    body = orjson.loads(encode_offer(offer))
    body["state"] = orjson.loads(canonical(other))
    assert "sha256" in refusal(orjson.dumps(body))


@pytest.mark.parametrize("digest", [None, "", 1, [], "0" * 64, digest_of(OFFER.state).upper()])
def test_a_digest_that_is_none_is_refused(digest):
    """Only the very digest will do."""
    assert refusal(told(sha256=digest)).startswith("sha256 takes")


@pytest.mark.parametrize("version", [0, 2, -1, "1", 1.0, True, None, [1]])
def test_another_schema_is_refused(version):
    """An offer of a version that this rack does not know is none; what equals 1 without being it, neither."""
    assert refusal(told(schema=version)).startswith("schema takes 1")


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("snapshot_id", ["../x", "", ID[1:], ID + "0", ID.upper(), ID + "\n", f"../{ID[3:]}", 1, None, [ID]]),
        ("service", ["", "-a", "a b", "a/b", "x" * 64, "a\n", "ü", None, 7]),
        ("source_task_id", ["", "A", "a-b", "../x", "x" * 65, "a\n", None, 1.5]),
        ("to_rack", ["x" * 41, "a\nb", None]),
        ("from_rack", ["x" * 41, "a\nb", "a\x00", "a\u202eb", None, 3]),
        ("state", [None, [], "on", 1]),
        ("state.score", [10**9 + 1, -(10**9) - 1, 2.0**70, 1.0, 1.5, "1", True, None]),
        ("state.words", ["x" * 51, None, 1, ["a"]]),
        ("state.words_source", ["x" * 41, None, 1]),
        ("state.arm", ["ON", "", True, None, 1]),
        ("state.conversation", [None, {}, "x", 1]),
    ],
)
def test_each_field_has_its_bounds(field, values):
    """What is beyond is refused by the field's name, with what it takes."""
    for value in values:
        assert refusal(told(**{field.replace(".", "__"): value})).startswith(f"{field} takes "), value


@pytest.mark.parametrize(
    "field",
    ["snapshot_id", "service", "source_task_id", "from_rack", "to_rack", "state__score", "state__arm"],
)
def test_each_field_is_needed(field):
    """Nothing has a default."""
    body = orjson.loads(told())
    part, name = (body["state"], field.removeprefix("state__")) if "__" in field else (body, field)
    del part[name]
    body["sha256"] = sha256(canonical(body["state"])).hexdigest()
    assert refusal(orjson.dumps(body)).startswith(f"{field.replace('__', '.')} takes ")


@pytest.mark.parametrize(
    ("line", "where"),
    [
        ({"role": "system", "text": "", "at": ""}, "state.conversation.1.role takes user or assistant"),
        (
            {"role": "user", "text": "x" * 1_001, "at": ""},
            "state.conversation.1.text takes text, at most 1000",
        ),
        ({"role": "user", "text": None, "at": ""}, "state.conversation.1.text takes"),
        ({"role": "user", "text": "", "at": "x" * 41}, "state.conversation.1.at takes"),
        ({"role": "user", "text": ""}, "state.conversation.1.at takes"),
        (["user", "", ""], "state.conversation.1 takes"),
        (None, "state.conversation.1 takes"),
    ],
)
def test_each_utterance_has_its_bounds(line, where):
    """They are told by their place."""
    good = {"role": "user", "text": "x" * 1_000, "at": "x" * 40}
    assert refusal(told(state__conversation=[good, line])).startswith(where)


def test_a_conversation_has_an_end():
    """No more utterances than a trooper takes along."""
    line = {"role": "user", "text": "", "at": ""}
    assert len(decode_offer(told(state__conversation=[line] * MOST_SAID)).state.conversation) == MOST_SAID
    assert "at most 16" in refusal(told(state__conversation=[line] * (MOST_SAID + 1)))


def test_the_body_has_an_end():
    """Spaces count, too."""
    raw = told()
    assert decode_offer(raw + b" " * (offers.LARGEST - len(raw))) == OFFER
    assert "at most 61440 bytes" in refusal(raw + b" " * (offers.LARGEST - len(raw) + 1))


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"{", b"null", b"[]", b"1", b'"x"', b"\xff", b"[" * 60_000, b'{"a":' * 10_000,
        b'{"schema":1,"state":' + b"[" * 500 + b"]" * 500 + b"}",
        b'{"schema":NaN}', b'{"schema":1e999}', b"1" * 60_000, b'{"schema":1}',
        b'{"schema":1,"state":"\\ud800"}',
    ],
)  # fmt: skip
def test_nonsense_is_refused(raw):
    """What is no offer at all is refused in a sentence like anything else."""
    refusal(raw)


@pytest.mark.slow
@given(st.binary(max_size=200) | _json.filter(_fits).map(orjson.dumps))
def test_nothing_but_an_offer_gets_through(raw):
    """Bytes and JSON of every kind are refused by a sentence, never otherwise."""
    refusal(raw)


FIELDS = (
    "snapshot_id", "service", "source_task_id", "from_rack", "to_rack", "state", "state__score",
    "state__words",
    "state__words_source", "state__arm", "state__conversation",
)  # fmt: skip


@pytest.mark.slow
@given(st.sampled_from(FIELDS), _json.filter(_fits))
def test_hostile_values_are_kept_within_bounds(field, value):
    """Whatever stands in a field: what is taken at all can go out again unchanged."""
    with suppress(ValueError):
        offer = decode_offer(told(**{field: value}))
        assert decode_offer(encode_offer(offer)) == offer


def test_of_two_fields_of_one_name_one_counts():
    """What is digested is what is taken: a second state behind the first cannot slip in."""
    raw = told()
    forged = raw[:-1] + b',"state":' + canonical(replace(OFFER.state, score=10**6)) + b"}"
    assert "sha256" in refusal(forged)


@pytest.mark.parametrize("letter", ["x", "ü", "\U0001f916", "\x01"])
def test_a_long_conversation_loses_its_beginning(letter):
    """An offer always fits; what is cut is the oldest, and nothing else is touched."""
    said = tuple(
        Utterance("user", f"{number} ".ljust(1_000, letter), "2026-01-01T00:00:00Z") for number in range(40)
    )
    raw = encode_offer(replace(OFFER, state=replace(OFFER.state, conversation=said)))
    assert len(raw) <= offers.LARGEST_SENT
    offer = decode_offer(raw)
    kept = offer.state.conversation
    assert kept == said[-len(kept) :]
    assert 1 <= len(kept) <= MOST_SAID
    assert replace(offer, state=replace(offer.state, conversation=SAID)) == OFFER
    if letter == "x":
        assert len(kept) == MOST_SAID

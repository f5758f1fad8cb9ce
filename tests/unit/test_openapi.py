"""The OpenAPI document says what there really is: every route, field, limit and error."""

from __future__ import annotations

import re
from typing import Any

import pytest

from app import schemas
from app.openapi import MEANINGS, OPERATIONS, describe
from tests.stage import Stage

UNDOCUMENTED = {"/static/<path:filename>"}
"""Files of the page."""


@pytest.fixture(scope="module")
def stage() -> Stage:
    """A replica where a token is set."""
    return Stage(1, token="correct horse battery")


@pytest.fixture(scope="module")
def document(stage) -> dict[str, Any]:
    """Its document."""
    said: dict[str, Any] = stage.client().get("/openapi.json").get_json()
    return said


def test_every_route_is_described_and_nothing_else(stage, document):
    """Methods and paths of the document are those that Flask has."""
    routes = {
        (method.lower(), re.sub(r"<(?:[^:>]+:)?(\w+)>", r"{\1}", rule.rule))
        for rule in stage.app.url_map.iter_rules()
        if rule.rule not in UNDOCUMENTED
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    described = {(method, path) for path, methods in document["paths"].items() for method in methods}
    assert described == routes


def test_operation_ids_are_unique(document):
    """Each operation has a name of its own."""
    ids = [operation["operationId"] for path in document["paths"].values() for operation in path.values()]
    assert len(set(ids)) == len(ids) == len(OPERATIONS)


def test_every_reference_leads_somewhere(document):
    """No ``$ref`` names a schema that is not there."""
    schemas_there = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert set(_references(document)) <= schemas_there


def test_every_mutation_tells_its_refusals(document):
    """Mutations take JSON and forms, and list 400, 401, 403, 408, 413 and 415, each in the error's form."""
    for operation in OPERATIONS:
        described = document["paths"][operation.path][operation.method]
        if not operation.mutates:
            assert "requestBody" not in described
            continue
        assert set(described["requestBody"]["content"]) == {
            "application/json",
            "application/x-www-form-urlencoded",
        }
        assert {"400", "403", "408", "413", "415"} <= set(described["responses"])
        assert ("401" in described["responses"]) == (operation.path != "/api/session/end")
        assert described["responses"]["415"]["content"]["application/json"]["schema"] == {
            "$ref": "#/components/schemas/Error"
        }


def test_the_token_is_asked_for_only_where_one_is_set(document):
    """With a token: a bearer scheme and 401 on mutations. Without: neither."""
    assert document["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    assert document["paths"]["/api/chat"]["post"]["security"] == [{"token": []}]
    assert "security" not in document["paths"]["/api/chat"]["get"]
    open_one = describe(Stage(1).settings)
    assert "securitySchemes" not in open_one["components"]
    assert "401" not in open_one["paths"]["/api/chat"]["post"]["responses"]


def test_limits_are_in_the_document(document):
    """What the models refuse is what the document says: counts, patterns, lengths, choices."""
    parts = document["components"]["schemas"]
    replicas = parts["Scale"]["properties"]["replicas"]
    assert (replicas["minimum"], replicas["maximum"]) == (1, 20)
    arm = parts["SetArm"]["properties"]
    assert arm["task_id"]["pattern"] == "^[a-z0-9]{1,64}$"
    assert arm["state"]["enum"] == ["on", "off"]
    assert {"maxLength": 80, "type": "string"} in arm["bot"]["anyOf"]
    assert parts["Chat"]["properties"]["messages"]["maxItems"] == 40
    assert parts["ArmEvents"]["properties"]["events"]["maxItems"] == 500
    assert str(schemas.LARGEST_BODY // 1024) in MEANINGS[413]


def test_every_field_that_is_asked_for_is_explained(document):
    """Each field of a request has a description."""
    for operation in OPERATIONS:
        if operation.asks is not None:
            fields = document["components"]["schemas"][operation.asks.__name__]["properties"]
            assert all(field.get("description") or "$ref" in field for field in fields.values()), (
                operation.path
            )


def _references(part: object) -> list[str]:
    if isinstance(part, list):
        return [ref for item in part for ref in _references(item)]
    if isinstance(part, dict):
        own = [part["$ref"]] if isinstance(part.get("$ref"), str) else []
        return own + [ref for item in part.values() for ref in _references(item)]
    return []

"""What every answer of the replica's API has in common: how the contract tests read one."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from app import answers


def told(response, status: int, model: type[BaseModel]) -> dict[str, Any]:
    """The answer's JSON, which is all that ``model`` describes and no more."""
    assert response.status_code == status, response.text
    assert response.mimetype == "application/json"
    model.model_validate_json(response.data)
    said: dict[str, Any] = response.get_json()
    return said


def refused(response, status: int, code: str) -> str:
    """The sentence of an error in the contract's form."""
    said = told(response, status, answers.Error)
    assert said["code"] == code
    assert said["error"].strip()
    assert "Traceback" not in said["error"]
    if status in {503, 504}:
        assert int(response.headers["Retry-After"]) >= 1
    return str(said["error"])

"""The OpenAPI document, made of the same pydantic models that check what comes in.

One line of ``OPERATIONS`` is one operation; tests/unit/test_openapi.py holds them to the routes that
Flask really has. Written by hand rather than with flask-openapi3, which knows one content type a body
where ours take two, and costs every replica a seventh of a second of start.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from app import answers, feed, handoff_models, history_models, schemas
from app.intake import FORM, JSON
from app.security import SAFE_METHODS
from clawbucket import __version__
from clawbucket.core.model import short_alias
from clawbucket.core.revolt import SNAPSHOT_ID
from clawbucket.settings import Settings

Doc = dict[str, Any]
Mode = Literal["validation", "serialization"]
_REF = "#/components/schemas/{model}"
_NO_NAME = re.compile(r"[/.{}]")
"""What stands in paths and in no name."""

CHANGE = (400, 403, 408, 413, 415)
"""What any mutation may be refused with, besides 401 where a token is set."""
READ = (304, 503)
RACK = (503, 504)

MEANINGS = {
    304: "The ETag that was sent is still right.",
    400: "The body is not what is described here.",
    401: "The token is needed and was not sent, or is wrong.",
    403: "It came from another site's page, or under a Host that is not allowed.",
    404: "There is no such service or task.",
    408: "The body did not come in time.",
    409: "It cannot be done as things stand.",
    413: "The body is larger than 64 KiB.",
    415: "The body is neither JSON nor a form.",
    502: "The other rack cannot be reached, or refused; nothing was changed.",
    503: "The bus or the engine does not answer, or this replica is ending. Retry-After: when to ask again.",
    504: "Nobody can tell whether it was done: the engine stopped answering. Look, then ask again.",
}


_ABOUT = (
    "One replica of a swarm. Reading is open. A change must come from the dashboard's own pages or from no "
    "page (Origin, Sec-Fetch-Site), under an allowed Host, as JSON or a form under 64 KiB. Every error is "
    "JSON with `error`, one sentence, and `code`."
)


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path. ``says`` is a model, or a content type of what is no JSON object.

    ``query`` names the parameters, each a task's id, with what it is; ``choice`` one that may be left out,
    what it is, and what it takes.
    """

    method: Literal["get", "post"]
    path: str
    tag: str
    summary: str
    says: type[BaseModel] | str
    status: int = 200
    asks: type[BaseModel] | None = None
    errors: tuple[int, ...] = ()
    open: bool = False
    query: tuple[tuple[str, str], ...] = ()
    choice: tuple[str, str, tuple[str, ...]] | None = None

    @property
    def mutates(self) -> bool:
        """Whether the guard stands before it."""
        return self.method.upper() not in SAFE_METHODS


_S, _A, _H, _P = schemas, answers, handoff_models, history_models
OPERATIONS = (
    Operation("get", "/", "pages", "The dashboard, Bob's World.", "text/html", errors=(503,)),
    Operation("get", "/ui/squads", "pages", "The dashboard's tiles, as a fragment.", "text/html"),
    Operation("get", "/ui/elsewhere", "pages", "The other racks' troopers, as a fragment.", "text/html"),
    Operation("get", "/ui/chat", "pages", "The dashboard's chat, as a fragment.", "text/html"),
    Operation("get", "/ui/revolts", "pages", "The other racks and the handoffs, as a fragment.", "text/html"),
    Operation("get", "/ui/feed", "pages", "What happened, as a fragment.", "text/html"),
    Operation("get", "/ui/timeline", "pages", "Who led when, as a fragment.", "text/html"),
    Operation("get", "/ui/scoreboard", "pages", "The aggregator's scoreboard, as a fragment.", "text/html"),
    Operation(
        "get", "/ui/talk", "pages", "The conversation with a trooper, as a fragment.",
        "text/html", errors=(400, 404, 409, 503), query=(("task_id", "The trooper's task."),),
    ),
    Operation(
        "get", "/ui/trooper", "pages", "All about one trooper, as a fragment.",
        "text/html", errors=(400, 404, 503), query=(("task_id", "The trooper's task."),),
    ),
    Operation("get", "/glossary", "pages", "What the dashboard's words mean.", "text/html"),
    Operation("get", "/api/stream", "pages", "What changes, as it does.", "text/event-stream", errors=(503,)),
    Operation("get", "/api/whoami", "swarm", "Which replica answers.", _A.Whoami, errors=(304,)),
    Operation("get", "/api/swarm", "swarm", "The primary service.", _A.PrimaryService, errors=(404, *READ)),
    Operation("get", "/api/swarms", "swarm", "Every service that is shown.", _A.Services, errors=(304,)),
    Operation("post", "/api/scale", "swarm", "Set a service's replicas.", _A.Scaling, 202, _S.Scale, RACK),
    Operation(
        "post", "/api/outage", "swarm", "Kill a service's manager and prefer another slot for 300 s.",
        _A.Outage, 202, _S.OneTask, (404, 409, *RACK),
    ),
    Operation(
        "post", "/api/self_destruct", "swarm", "Kill one replica.",
        _A.Destructed, 202, _S.OneTask, (404, 409, *RACK),
    ),
    Operation("get", "/api/chat", "chat", "The last 40 messages.", _A.Chat, errors=READ),
    Operation("post", "/api/chat", "chat", "Say something.", _A.Said, 201, _S.Say, (503,)),
    Operation(
        "post", "/api/agent/ask", "agent", "Say something to one trooper, and have its answer.",
        _A.AgentAnswer, 200, _S.Ask, (404, 409, *RACK),
    ),
    Operation(
        "get", "/api/agent/history", "agent", "The end of the conversation with a trooper.",
        _A.AgentHistory, errors=(400, 404, 409, 503), query=(("task_id", "The trooper's task."),),
    ),
    Operation("get", "/api/arm/events", "arm", "The last 500 ARM events.", _A.ArmEvents, errors=READ),
    Operation(
        "get", "/api/events", "events", "The last 200 events, of one kind or of every.",
        _A.Events, errors=(400, *READ), choice=("kind", "The one kind that is wanted.", feed.KINDS),
    ),
    Operation("post", "/api/arm", "arm", "Arm or disarm a trooper.", _A.Armed, 201, _S.SetArm, (503,)),
    Operation(
        "get", "/api/revolt/events", "revolt", "The last 300 phases of handoffs.",
        _A.RevoltEvents, errors=(503,),
    ),
    Operation(
        "post", "/api/revolt", "revolt", "Hand a trooper over to another rack.",
        _H.Revolted, 202, _S.Revolt, (404, 409, 502, *RACK),
    ),
    Operation(
        "post", "/api/revolt/accept", "revolt", "Take a trooper in; for another rack, signed.",
        _H.Accepted, 201, _H.Offer, (401, 404, 409, *RACK), open=True,
    ),
    Operation(
        "get", "/api/revolt/hello", "revolt", "Who this is; for another rack, signed.",
        _H.Hello, errors=(401, 403, 503),
    ),
    Operation(
        "get", "/api/revolt/{snapshot_id}", "revolt", "One side's record of a handoff.",
        _H.Handoff, errors=(401, 403, 404, 503),
    ),
    Operation("get", "/api/load", "load", "The last minute of a load test.", _A.LoadSamples, errors=READ),
    Operation(
        "post", "/api/load", "load", "Tell how a load test is doing; for its generator, each second.",
        _A.LoadTaken, 201, _S.LoadReport, (503,),
    ),
    Operation("get", "/api/rps", "rps", "The running round.", _A.Rps, errors=READ),
    Operation(
        "post", "/api/rps/config", "rps", "Set how often a round is thrown.",
        _A.Interval, 200, _S.SetInterval, (503,),
    ),
    Operation(
        "get", "/api/history", "history", "How the rack went, as this replica saw it.",
        _P.RackHistory, errors=(304,),
    ),
    Operation(
        "get", "/api/history/{task_id}", "history", "One trooper's scores and changes, likewise.",
        _P.TaskHistory, errors=(304, 404),
    ),
    Operation("get", "/api/haiku", "haiku", "The haiku.", _A.Haiku, errors=READ),
    Operation(
        "post", "/api/session", "session", "Log a browser in: sets a cookie that stands for the token.",
        _A.Ok, 200, _S.Login, (401, 409), open=True,
    ),
    Operation(
        "post", "/api/session/end", "session", "Log a browser out.",
        _A.Ok, 200, None, (409,), open=True,
    ),
    Operation("get", "/livez", "health", "Whether the program's loop turns.", _A.Verdict),
    Operation("get", "/readyz", "health", "Whether what it needs answers.", _A.Verdict, errors=(503,)),
    Operation("get", "/metrics", "health", "Its counts, for Prometheus.", "text/plain"),
    Operation("get", "/openapi.json", "health", "This document.", JSON, errors=(304,)),
)  # fmt: skip


def describe(settings: Settings) -> Doc:
    """The document of a replica with these settings: it names the services that can be scaled."""
    models: list[tuple[type[BaseModel], Mode]] = [(_A.Error, "serialization")]
    for operation in OPERATIONS:
        if operation.asks is not None:
            models.append((operation.asks, "validation"))
        if not isinstance(operation.says, str):
            models.append((operation.says, "serialization"))
    _, components = models_json_schema(list(dict.fromkeys(models)), ref_template=_REF)
    names = [name for service in settings.swarm_services for name in (service, short_alias(service))]
    components["$defs"]["Scale"]["properties"]["service"]["anyOf"][0] = {"enum": [*names, ""]}
    paths: Doc = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _described(
            operation, settings, components["$defs"]
        )
    document: Doc = {
        "openapi": "3.1.0",
        "info": {
            "title": "clawbucket replica",
            "version": __version__,
            "description": _ABOUT,
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {"schemas": components["$defs"]},
    }
    if settings.token is not None:
        document["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    return document


def _described(operation: Operation, settings: Settings, components: Doc) -> Doc:
    needs_token = operation.mutates and not operation.open and settings.token is not None
    errors = {*operation.errors, *((401,) if needs_token else ()), *(CHANGE if operation.mutates else ())}
    errors |= {503} if operation.tag != "health" else set()  # from SIGTERM to its end
    described: Doc = {
        "tags": [operation.tag],
        "summary": operation.summary,
        "operationId": f"{operation.method}{_NO_NAME.sub('_', operation.path)}",
        "responses": {
            str(operation.status): _said(operation),
            **{str(status): _refused(operation, status) for status in sorted(errors)},
        },
    }
    if "{snapshot_id}" in operation.path:
        described["parameters"] = [
            {"name": "snapshot_id", "in": "path", "required": True, "description": "The handoff's id.",
             "schema": {"type": "string", "pattern": f"^{SNAPSHOT_ID.pattern}$"}}
        ]  # fmt: skip
    if "{task_id}" in operation.path:
        described["parameters"] = [
            {"name": "task_id", "in": "path", "required": True, "description": "The trooper's task.",
             "schema": {"type": "string", "pattern": f"^{schemas.TASK_ID.pattern}$"}}
        ]  # fmt: skip
    if operation.query:
        described["parameters"] = [
            {"name": name, "in": "query", "required": True, "description": doc,
             "schema": {"type": "string", "pattern": f"^{schemas.TASK_ID.pattern}$"}}
            for name, doc in operation.query
        ]  # fmt: skip
    if operation.choice is not None:
        name, doc, allowed = operation.choice
        described["parameters"] = [
            {"name": name, "in": "query", "required": False, "description": doc,
             "schema": {"type": "string", "enum": ["", *allowed]}}
        ]  # fmt: skip
    if operation.mutates:
        described["requestBody"] = _body(operation, components)
        if operation.tag == "session":
            described["responses"]["303"] = {"description": "Back to the dashboard, for a plain form."}
    if needs_token:
        described["security"] = [{"token": []}]
    return described


def _body(operation: Operation, components: Doc) -> Doc:
    if operation.asks is None:
        anything: Doc = {"schema": {"description": "It is not looked at."}}
        return {"required": True, "content": {JSON: anything, FORM: anything}}
    form = _without_null(components[operation.asks.__name__])
    return {"required": True, "content": {JSON: {"schema": _ref(operation.asks)}, FORM: {"schema": form}}}


def _without_null(schema: Doc) -> Doc:
    """The same for a form, which has no null: there, a field that is not set is left out, or empty."""
    fields = {
        name: {**field, "anyOf": [kind for kind in field["anyOf"] if kind != {"type": "null"}]}
        if "anyOf" in field
        else field
        for name, field in schema["properties"].items()
    }
    return {**schema, "properties": fields}


def _said(operation: Operation) -> Doc:
    if operation.says == JSON:
        content: Doc = {JSON: {"schema": {"type": "object"}}}
    elif isinstance(operation.says, str):
        content = {operation.says: {"schema": {"type": "string"}}}
    else:
        content = {JSON: {"schema": _ref(operation.says)}}
    described: Doc = {"description": operation.summary, "content": content}
    if 304 in operation.errors:
        described["headers"] = {"ETag": {"description": "Of these bytes.", "schema": {"type": "string"}}}
    return described


def _refused(operation: Operation, status: int) -> Doc:
    described: Doc = {"description": MEANINGS[status]}
    if status == 304:
        return described
    model = operation.says if operation.path == "/readyz" else _A.Error
    described["content"] = {JSON: {"schema": _ref(model)}} if not isinstance(model, str) else {}
    if operation.path == "/":  # without a board there is still a page
        described["content"]["text/html"] = {"schema": {"type": "string"}}
    if status in {503, 504}:
        described["headers"] = {
            "Retry-After": {"description": "Seconds.", "schema": {"type": "integer", "minimum": 1}}
        }
    return described


def _ref(model: type[BaseModel]) -> Doc:
    return {"$ref": _REF.format(model=model.__name__)}

"""The OpenAPI document: what FastAPI reads from the routes, with our schemas, examples and problems."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import TypeAdapter
from typing_extensions import TypedDict

from timer_api.api_keys.caller import missing, not_allowed, too_many
from timer_api.errors import MEDIA_TYPE, FieldError, Kind, Problem
from timer_db.domain.api_key import Scope

KEY_SCHEME = "apiKey"
_KEY_SCHEME: dict[str, Any] = {
    "type": "http",
    "scheme": "bearer",
    "description": "An API key. Each call names the scope that the key needs; `admin` has all of them. While no "
    "key was ever made or set, none is asked for.",
}
OPEN_TO_ALL: dict[str, Any] = {"security": []}
"""For a route's `openapi_extra`: it needs no key."""

REF = "#/components/schemas/{model}"


class FieldErrorShown(TypedDict):
    """One field that is wrong; `field` is its path, such as `labels.env`, or empty for the whole body."""

    field: str
    message: str


_PROBLEM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "title": "Problem",
    "description": "An answer that is no success (RFC 9457).",
    "required": ["type", "title", "status", "detail", "instance"],
    "properties": {
        "type": {"type": "string", "format": "uri", "description": "Names the kind of problem; never changes."},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What is wrong this time, for people."},
        "instance": {"type": "string", "description": "The path that was called."},
        "errors": {
            "type": "array",
            "items": {"$ref": REF.format(model="FieldErrorShown")},
            "description": "Each field that is wrong; at most 20.",
        },
        "holder": {"type": "string", "format": "uuid", "description": "Who has the name (name-taken)."},
        "timer_status": {
            "type": "string",
            "description": "Where the timer stands (not-cancellable, not-changeable, not-replayable).",
        },
        "index": {"type": "integer", "minimum": 0, "description": "Which timer of a batch, from 0."},
        "timer_id": {
            "type": "string",
            "format": "uuid",
            "description": "The id of a timer of a batch of which nobody knows whether it was stored.",
        },
        "reference": {"type": "string", "description": "What to look for in the log (internal-error)."},
    },
}


def needs(*scopes: Scope) -> dict[str, Any]:
    """For a route's `openapi_extra`: the scopes that a key needs. `served.Served` reads them from the document."""
    return {"security": [{KEY_SCHEME: [scope.value for scope in scopes]}]}


def answer(
    description: str,
    model: str,
    example: str,
    *,
    leads_to: Mapping[str, Mapping[str, str]] | None = None,
    sometimes: Mapping[str, str] | None = None,
    **headers: str,
) -> dict[str, Any]:
    """A success, for a route's `responses`; `example` is the name of one that `install` gets. `sometimes` are
    headers that are not always there.

    `leads_to` has the calls that can follow, by their operation ids, each with its parameters: where in the answer
    they stand, or another expression of OpenAPI's (4.8.20.4).
    """
    shown: dict[str, Any] = {
        "description": description,
        "content": {"application/json": {"schema": {"$ref": REF.format(model=model)}, "example": example}},
    }
    if headers or sometimes:
        shown["headers"] = _headers(headers) | _headers(sometimes or {}, required=False)
    if leads_to:
        shown["links"] = {
            operation: {
                "operationId": operation,
                "parameters": {
                    name: place if place.startswith("$") else f"$response.body#/{place}"
                    for name, place in places.items()
                },
            }
            for operation, places in leads_to.items()
        }
    return shown


def problems(path: str, *given: Problem) -> dict[int | str, dict[str, Any]]:
    """Every problem of a call, each by an example, for a route's `responses`. 500 is added to them."""
    by_status: dict[int | str, dict[str, Any]] = {}
    for problem in (*given, _INTERNAL):
        shown = by_status.setdefault(problem.kind.status, {"description": problem.kind.title, "content": {}})
        if described := {name: text for name, text in _HEADERS.items() if name in problem.headers}:
            shown["headers"] = _headers(described)
        media = shown["content"].setdefault(MEDIA_TYPE, {"schema": {"$ref": REF.format(model="Problem")}})
        media.setdefault("examples", {})[problem.kind.name] = {
            "summary": problem.kind.title,
            "value": problem.document(path),
        }
    return by_status


_INTERNAL = Problem(
    Kind.internal_error,
    "the log has more under 0b7e8f6c-6a4e-4d0c-9f0f-6a9f3c1d2e4b",
    reference="0b7e8f6c-6a4e-4d0c-9f0f-6a9f3c1d2e4b",
)
_HEADERS = {
    "Retry-After": "Seconds to wait before the next try.",
    "WWW-Authenticate": "As in RFC 6750.",
}
UNAVAILABLE = Problem(Kind.database_unavailable, "the database cannot be reached; try again soon")
NO_BODY = Problem(Kind.body_not_allowed, "GET takes no body")


def _headers(described: Mapping[str, str], *, required: bool = True) -> dict[str, Any]:
    return {
        name: {"description": text, "required": required, "schema": {"type": "string"}}
        for name, text in described.items()
    }


def invalid_example(field: str, message: str) -> Problem:
    """A 422, as an example."""
    return Problem(Kind.invalid_request, f"{field}: {message}", errors=[FieldError(field, message)])


@dataclass(frozen=True, slots=True)
class Parts:
    """What a resource adds to the document."""

    models: Mapping[str, Any]
    """Schemas that routes refer to by name."""
    examples: Mapping[str, object]
    """Answers that routes refer to by name."""
    refinements: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Keywords for a schema, for rules between its fields."""
    webhooks: Mapping[str, Any] = field(default_factory=dict)
    """What we call, by name."""


def install(app: FastAPI, *parts: Parts) -> None:
    """Give the application its document."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app, parts)
        return app.openapi_schema

    # FastAPI's own way to extend the document is to replace this method.
    app.openapi = document  # type: ignore[method-assign]


def _document(app: FastAPI, parts: Sequence[Parts]) -> dict[str, Any]:
    document = get_openapi(
        title=app.title,
        version=app.version,
        summary=app.summary,
        description=app.description,
        routes=app.routes,
        tags=app.openapi_tags,
    )
    document.setdefault("components", {})["schemas"] = _schemas(parts)
    document["webhooks"] = {name: item for part in parts for name, item in part.webhooks.items()}
    document["components"]["securitySchemes"] = {KEY_SCHEME: _KEY_SCHEME}
    examples = {name: example for part in parts for name, example in part.examples.items()}
    for path, operation in _operations(document):
        for status, shown in problems(path, *_refusals(operation)).items():
            operation["responses"].setdefault(str(status), shown)
        for response in operation["responses"].values():
            for media in response.get("content", {}).values():
                # Named until now, because FastAPI drops every null in what it is given.
                if "example" in media:
                    media["example"] = examples[media["example"]]
    return document


def _operations(document: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for operation in methods.values():
            yield path, operation


def _refusals(operation: Mapping[str, Any]) -> list[Problem]:
    """How a call can be refused for its key."""
    scopes = [Scope(scope) for required in operation.get("security", ()) for scope in required[KEY_SCHEME]]
    return [missing(), not_allowed(scopes), too_many(1)] if scopes else []


def _schemas(parts: Sequence[Parts]) -> dict[str, Any]:
    models = {name: model for part in parts for name, model in part.models.items()}
    models["FieldErrorShown"] = FieldErrorShown
    adapters: list[tuple[str, Literal["validation"], TypeAdapter[Any]]] = [
        (name, "validation", TypeAdapter(model)) for name, model in models.items()
    ]
    _, definitions = TypeAdapter.json_schemas(adapters, ref_template=REF)
    schemas = {**definitions.get("$defs", {}), "Problem": _PROBLEM_SCHEMA}
    for part in parts:
        for name, keywords in part.refinements.items():
            schemas[name] = {**schemas[name], **keywords}
    return dict(sorted(schemas.items()))

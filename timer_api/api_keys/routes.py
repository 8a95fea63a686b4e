"""The calls about API keys."""

from __future__ import annotations

import re
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from starlette.responses import Response

from timer_api import json_body
from timer_api.answers import json_answer
from timer_api.api_keys import schemas
from timer_api.errors import FieldError, Kind, Problem, invalid
from timer_api.openapi import NO_BODY, REF, UNAVAILABLE, Parts, answer, invalid_example, needs, problems
from timer_api.paging import PAGE_DEFAULT, Limit
from timer_api.service import Service
from timer_db.domain.api_key import ID_PATTERN, Scope
from timer_db.operations.api_keys import list_keys, make_key, revoke_key

router = APIRouter(tags=["api keys"])

PATH = "/api-keys"
_BODY_BYTES = 65_536

_ID = "0b7e8f6c"
_SHOWN: dict[str, Any] = {
    "id": _ID,
    "name": "billing",
    "scopes": ["timers:read", "timers:write"],
    "collections": ["default"],
    "rate_per_second": 50,
    "burst": 100,
    "created_at": "2026-11-20T10:09:56.123456Z",
    "last_used_at": None,
    "revoked_at": None,
}
_ASKED: dict[str, dict[str, Any]] = {
    "admin": {"summary": "One that may do everything", "value": {"name": "operations", "scopes": ["admin"]}},
    "bound": {
        "summary": "One for a part of your own, limited",
        "value": {name: _SHOWN[name] for name in ("name", "scopes", "collections", "rate_per_second", "burst")},
    },
}

DOCUMENTED = Parts(
    models={
        "ApiKeyAsked": schemas.ApiKeyAsked,
        "ApiKeyShown": schemas.ApiKeyShown,
        "ApiKeyPageShown": schemas.ApiKeyPageShown,
    },
    examples={
        "new key": {**_SHOWN, "key": f"tk_{_ID}_" + "x" * 43},
        "keys": {"api_keys": [{**_SHOWN, "last_used_at": "2026-11-20T10:11:00.000000Z"}], "next_cursor": None},
    },
    refinements={
        "ApiKeyAsked": {
            "dependentRequired": {"burst": ["rate_per_second"]},
            # A key for everything cannot be bound.
            "not": {
                "required": ["collections"],
                "properties": {"scopes": {"contains": {"const": Scope.admin.value}}},
            },
        }
    },
)

KeyId = Annotated[
    str,
    Path(
        pattern=ID_PATTERN,
        description="The key's id: the part behind `tk_`, never the whole key.",
        openapi_examples={"id": {"value": _ID}},
    ),
]


_ID_SHAPE = re.compile(ID_PATTERN.rstrip("$"))
_NO_CURSOR = "it is not a cursor of this list"


def _cursor(text: str) -> str:
    if not _ID_SHAPE.fullmatch(text):
        raise ValueError(_NO_CURSOR)
    return text


class ListQuery(BaseModel):
    """What `GET /api-keys` can be asked for."""

    model_config = ConfigDict(extra="forbid")

    limit: Limit = PAGE_DEFAULT
    cursor: Annotated[str, AfterValidator(_cursor)] | None = Field(
        None,
        description="`next_cursor` of the page before.",
        json_schema_extra={"format": "api-keys-cursor"},
    )


_BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": REF.format(model="ApiKeyAsked")}, "examples": _ASKED}},
    }
}


@router.post(
    PATH,
    summary="Make an API key",
    operation_id="make_api_key",
    status_code=201,
    openapi_extra=needs(Scope.admin) | _BODY,
    responses={
        201: answer(
            "The key is valid: here at once, in other processes of the API within two seconds. This is the only "
            "time that it is shown.",
            "ApiKeyShown",
            "new key",
            leads_to={"revoke_api_key": {"key_id": "id"}},
        ),
        **problems(
            PATH,
            Problem(Kind.malformed_json, "Expecting ',' delimiter: line 1 column 14"),
            Problem(Kind.request_timeout, "the request did not arrive within 60 seconds"),
            Problem(Kind.body_too_large, f"a body has at most {_BODY_BYTES:,} bytes"),
            Problem(Kind.unsupported_media_type, "the Content-Type is missing: send JSON"),
            invalid_example("scopes", "it is required"),
            UNAVAILABLE,
        ),
    },
)
async def make_api_key(request: Request) -> Response:
    """Once there is a key, every call needs one. So the first must have the scope `admin`."""
    service = _service(request)
    asked = await json_body.object_of(request, _BODY_BYTES)
    new = schemas.check(asked, is_first=service.gate.is_open)
    made, key = await make_key(service.shards, new)
    await service.gate.after_change()
    return json_answer({**schemas.shown(made), "key": key}, 201, {"Cache-Control": "no-store"})


@router.get(
    PATH,
    summary="List API keys",
    operation_id="list_api_keys",
    openapi_extra=needs(Scope.admin),
    responses={
        200: answer(
            "Newest first, those that were revoked among them. Not those of `TIMER_API_KEYS`.",
            "ApiKeyPageShown",
            "keys",
            leads_to={"list_api_keys": {"cursor": "next_cursor"}},
        ),
        **problems(
            PATH, NO_BODY, invalid_example("limit", "it should be less than or equal to 1000"), UNAVAILABLE
        ),
    },
)
async def list_api_keys(request: Request, query: Annotated[ListQuery, Query()]) -> Response:
    """Who has a key, and what it allows; never the key itself."""
    try:
        page = await list_keys(_service(request).shards, query.limit, query.cursor)
    except ValueError as error:
        raise invalid([FieldError("cursor", str(error))]) from None
    return json_answer({"api_keys": [schemas.shown(key) for key in page.keys], "next_cursor": page.next_cursor})


@router.delete(
    PATH + "/{key_id}",
    summary="Revoke an API key",
    operation_id="revoke_api_key",
    status_code=204,
    response_class=Response,
    openapi_extra=needs(Scope.admin),
    responses={
        204: {"description": "It is refused: here from now on, in other processes of the API within two seconds."},
        **problems(
            f"{PATH}/{_ID}",
            NO_BODY,
            Problem(Kind.api_key_not_found, f"no API key has the id {_ID}"),
            invalid_example("key_id", f"it should match pattern '{ID_PATTERN}'"),
            UNAVAILABLE,
        ),
    },
)
async def revoke_api_key(request: Request, key_id: KeyId) -> Response:
    """For ever. To revoke it once more changes nothing, and is answered the same."""
    service = _service(request)
    await revoke_key(service.shards, key_id)
    await service.gate.after_change()
    return Response(status_code=204)


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service

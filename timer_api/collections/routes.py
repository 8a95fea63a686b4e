"""The calls about collections."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from timer_api import groups, json_body
from timer_api.answers import json_answer
from timer_api.api_keys.caller import Caller, caller_of
from timer_api.collections import schemas
from timer_api.collections.schemas import CollectionShown
from timer_api.errors import Kind, Problem
from timer_api.groups import ListQuery, checked_name, counted, counts_shown, name_in_path, who
from timer_api.openapi import NO_BODY, UNAVAILABLE, Parts, answer, invalid_example, needs, problems
from timer_api.service import Service
from timer_db.domain.api_key import Scope
from timer_db.domain.collection import Collection
from timer_db.domain.errors import CollectionNotFound
from timer_db.operations.collections import (
    delete_collection,
    get_collection,
    list_collections,
    pause_collection,
    put_collection,
)
from timer_db.operations.counts import by_collection

router = APIRouter(tags=["collections"])

PATH = "/collections"
_NAME = "newsletters"
_ONE = f"{PATH}/{_NAME}"
_RETRY = {"max_attempts": 8, "initial_seconds": 2.0, "factor": 2.0, "max_seconds": 600.0, "jitter": 0.2}
_SHOWN: dict[str, Any] = {
    "name": _NAME,
    "paused": False,
    "defaults": {"retry": _RETRY, "timeout_seconds": 5.0, "priority": None, "on_unknown": "hold"},
    "retention_days": 30,
    "waiting_max": 1_000_000,
    "egress_allow": ["10.0.0.0/8"],
    "counts": {"scheduled": 1204, "firing": 3, "delivered": 88_310, "failed": 12, "unknown": 0, "cancelled": 7},
    "created_at": "2026-11-20T10:09:56.123456Z",
}
_ASKED: dict[str, dict[str, Any]] = {
    "plain": {"summary": "As without one", "value": {}},
    "everything": {
        "summary": "With defaults and limits",
        "value": {
            "defaults": {"retry": {"max_attempts": 8, "initial_seconds": 2}, "on_unknown": "hold"},
            "retention_days": 30,
            "waiting_max": 1_000_000,
            "egress_allow": ["10.0.0.0/8"],
        },
    },
}
_NOT_FOUND = Problem(Kind.collection_not_found, f"there is no collection {_NAME!r}")
_IN_USE = Problem(Kind.collection_in_use, f"the collection {_NAME!r} cannot be deleted: it has 88,310 timers")
_NAME_INVALID = invalid_example("collection", groups.NAME_IN_WORDS)
_BY_NAME = {
    name: {"collection": "name"}
    for name in ("get_collection", "pause_collection", "resume_collection", "delete_collection")
}

DOCUMENTED = Parts(
    models={
        "CollectionAsked": schemas.CollectionAsked,
        "CollectionShown": CollectionShown,
        "CollectionPageShown": schemas.CollectionPageShown,
    },
    examples={
        "collection": _SHOWN,
        "paused collection": {**_SHOWN, "paused": True},
        "collections": {"collections": [_SHOWN], "next_cursor": None},
    },
)

Name = Annotated[str, name_in_path(_NAME)]


@router.put(
    PATH + "/{collection}",
    summary="Make or change a collection",
    operation_id="put_collection",
    openapi_extra=needs(Scope.admin) | groups.body("CollectionAsked", _ASKED),
    responses={
        201: answer("It is made.", "CollectionShown", "collection", leads_to=_BY_NAME),
        200: answer(
            "It was there, and has these settings now.", "CollectionShown", "collection", leads_to=_BY_NAME
        ),
        **problems(
            _ONE,
            *groups.BODY_PROBLEMS,
            invalid_example("egress_allow.0", "'10.0.0.0/99' does not appear to be an IPv4 or IPv6 network"),
            UNAVAILABLE,
        ),
    },
)
async def put(request: Request, collection: Name) -> Response:
    """All its settings are chosen anew; what is left out is as without a collection. Whether it is paused stays.

    Defaults apply to timers that are made later. The other settings hold within two seconds, retention with the
    next look (every hour).
    """
    service = _service(request)
    name = checked_name("collection", collection)
    settings = schemas.check(await json_body.object_of(request, groups.BODY_BYTES))
    made = await put_collection(service.shards, name, settings)
    await service.directory.refresh()
    return json_answer(await _shown(service, made.collection), 201 if made.created else 200)


@router.get(
    PATH,
    summary="List collections",
    operation_id="list_collections",
    openapi_extra=needs(Scope.timers_read),
    responses={
        200: answer(
            "By name. A key that is bound to collections sees those.",
            "CollectionPageShown",
            "collections",
            leads_to={"list_collections": {"cursor": "next_cursor"}},
        ),
        **problems(
            PATH, NO_BODY, invalid_example("limit", "it should be less than or equal to 1000"), UNAVAILABLE
        ),
    },
)
async def show_page(request: Request, query: Annotated[ListQuery, Query()]) -> Response:
    """A page; `next_cursor` leads to the next one."""
    service, caller = _service(request), caller_of(request)
    page = await list_collections(service.shards, query.limit, query.cursor)
    visible = [found for found in page.collections if caller.sees(found.name)]
    counts = by_collection(await counted(service, collection_ids=[found.id for found in visible]))
    shown = [schemas.shown(found, counts_shown(counts.get(found.id, {}))) for found in visible]
    return json_answer({"collections": shown, "next_cursor": page.next_cursor})


@router.get(
    PATH + "/{collection}",
    summary="Look at a collection",
    operation_id="get_collection",
    openapi_extra=needs(Scope.timers_read),
    responses={
        200: answer("Its settings, and how many timers it has.", "CollectionShown", "collection"),
        **problems(_ONE, NO_BODY, _NOT_FOUND, _NAME_INVALID, UNAVAILABLE),
    },
)
async def show(request: Request, collection: Name) -> Response:
    """`counts` cost what is in the hands of controllers, however many timers wait or have ended."""
    service = _service(request)
    name = _visible(caller_of(request), collection)
    return json_answer(await _shown(service, await get_collection(service.shards, name)))


@router.delete(
    PATH + "/{collection}",
    summary="Delete a collection",
    operation_id="delete_collection",
    status_code=204,
    response_class=Response,
    openapi_extra=needs(Scope.admin),
    responses={
        204: {"description": "It is gone."},
        **problems(_ONE, NO_BODY, _NOT_FOUND, _IN_USE, _NAME_INVALID, UNAVAILABLE),
    },
)
async def delete(request: Request, collection: Name) -> Response:
    """Only one without timers, those that have ended among them; never `default`."""
    service = _service(request)
    await delete_collection(service.shards, checked_name("collection", collection))
    await service.directory.refresh()
    return Response(status_code=204)


@router.post(
    PATH + "/{collection}/pause",
    summary="Let a collection's timers wait",
    operation_id="pause_collection",
    openapi_extra=needs(Scope.timers_write),
    responses={
        200: answer("No call begins later than two seconds from now.", "CollectionShown", "paused collection"),
        **problems(f"{_ONE}/pause", _NOT_FOUND, _NAME_INVALID, UNAVAILABLE),
    },
)
async def pause(request: Request, collection: Name) -> Response:
    """Timers that fall due wait until it is resumed, without using up attempts. Calls under way end as usual."""
    return await _pause(request, collection, is_paused=True)


@router.post(
    PATH + "/{collection}/resume",
    summary="Let a collection's timers be called again",
    operation_id="resume_collection",
    openapi_extra=needs(Scope.timers_write),
    responses={
        200: answer("They are called from now on.", "CollectionShown", "collection"),
        **problems(f"{_ONE}/resume", _NOT_FOUND, _NAME_INVALID, UNAVAILABLE),
    },
)
async def resume(request: Request, collection: Name) -> Response:
    """What has waited is called, highest priority and oldest first."""
    return await _pause(request, collection, is_paused=False)


async def _pause(request: Request, collection: str, *, is_paused: bool) -> Response:
    service, caller = _service(request), caller_of(request)
    name = _visible(caller, collection)
    paused = await pause_collection(service.shards, name, is_paused, who(caller))
    await service.directory.refresh()
    return json_answer(await _shown(service, paused))


async def _shown(service: Service, collection: Collection) -> CollectionShown:
    counts = by_collection(await counted(service, collection_ids=[collection.id]))
    return schemas.shown(collection, counts_shown(counts.get(collection.id, {})))


def _visible(caller: Caller, name: str) -> str:
    """The name, as far as this caller sees its collection: one elsewhere is answered as one that is not there."""
    checked_name("collection", name)
    if not caller.sees(name):
        raise CollectionNotFound(name)
    return name


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service

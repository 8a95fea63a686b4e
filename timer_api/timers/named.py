"""The calls about a timer by its name: `/collections/{collection}/timers/{name}`."""

from __future__ import annotations

from typing import Annotated

import orjson
from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from timer_api import groups, idempotency, json_body
from timer_api.answers import json_answer
from timer_api.api_keys.caller import Caller, caller_of
from timer_api.errors import FieldError, Kind, Problem, invalid
from timer_api.groups import checked_name, name_in_path
from timer_api.openapi import NO_BODY, UNAVAILABLE, answer, invalid_example, needs, problems
from timer_api.reading import of_one
from timer_api.service import Service
from timer_api.timers import examples, put
from timer_api.timers.creation import check_named
from timer_api.timers.one import service_of
from timer_api.timers.schemas import PATTERNS_IN_WORDS
from timer_db.domain.api_key import Scope
from timer_db.domain.collection import Collection
from timer_db.domain.errors import NameNotFound
from timer_db.domain.names import NAME_MAX, check_name
from timer_db.domain.representation import represent
from timer_db.domain.timer import Timer
from timer_db.domain.traceparent import traceparent_of
from timer_db.operations.cancel import cancel
from timer_db.operations.inspect import find_named

router = APIRouter()

PATH = "/collections/{collection}/timers/{name:path}"
"""Names may have slashes in them."""
_COLLECTION, _NAME = "newsletters", "reminder-4711"
_ONE = f"/collections/{_COLLECTION}/timers/{_NAME}"
_EXAMPLES = {name: examples.CREATES[name] for name in ("minutes", "delay", "due_at")}
_NOT_FOUND = Problem(Kind.timer_not_found, f"no timer of the collection {_COLLECTION!r} has the name {_NAME!r}")
_NO_COLLECTION = Problem(Kind.collection_not_found, f"there is no collection {_COLLECTION!r}")
_NAME_INVALID = invalid_example("name", "it must not begin or end with a space")
_BY_ID = {name: {"timer_id": "id"} for name in ("get_timer", "cancel_timer", "get_attempts")}

InCollection = Annotated[str, name_in_path("default")]
Named = Annotated[
    str,
    Path(
        description="The timer's name.",
        openapi_examples={"name": {"value": _NAME}},
        json_schema_extra={"minLength": 1, "maxLength": NAME_MAX, "format": "printable-name"},
    ),
]


@router.put(
    PATH,
    summary="Make a timer, or put it in the place of the one with its name",
    operation_id="put_timer",
    openapi_extra=needs(Scope.timers_write) | groups.body("NamedTimerAsked", _EXAMPLES) | idempotency.DOCUMENTED,
    responses={
        201: answer(
            "It is made.",
            "TimerShown",
            "timer by name",
            leads_to=_BY_ID,
            sometimes=idempotency.REPLAYED_DOCUMENTED,
            Location="The path of the timer.",
        ),
        200: answer(
            "The timer with this name waited, and is as asked for now.",
            "TimerShown",
            "timer by name",
            leads_to=_BY_ID,
            sometimes=idempotency.REPLAYED_DOCUMENTED,
            Location="The path of the timer.",
        ),
        **problems(
            _ONE,
            examples.NO_JSON,
            examples.TOO_SLOW,
            _NO_COLLECTION,
            examples.NOT_CHANGEABLE,
            examples.TOO_LARGE,
            examples.NOT_JSON,
            invalid_example("labels.env", PATTERNS_IN_WORDS["labels"]),
            idempotency.REUSED,
            examples.FULL,
            examples.UNREADABLE,
            examples.BUSY,
            UNAVAILABLE,
        ),
    },
)
async def put_timer(request: Request, collection: InCollection, name: Named) -> Response:
    """The body is that of `POST /timers` without `collection` and `name`. A timer with this name that is scheduled
    keeps its id, and is called at its new due time; all else is as asked for, and what is left out as usual. While
    it is being called: 409. When it has ended, or there is none: a new one.

    Sent twice, it leaves one timer, unless that was called in between. A delay counts from the last time. Sent
    again with its `Idempotency-Key`, it does nothing more, and is answered as the first time.
    """
    service, caller = service_of(request), caller_of(request)
    key = idempotency.key_of(request.headers.raw)
    wanted = _checked(name)
    now_us = service.now_us()
    raw = await json_body.object_of(request, service.settings.api_body_bytes)
    asked = check_named(raw, checked_name("collection", collection), wanted)
    content = orjson.dumps(raw, option=orjson.OPT_SORT_KEYS)
    traceparent = traceparent_of(request.headers.raw)
    what = put.Wanted(service, caller, asked, collection, wanted, len(content), traceparent)
    if key is None:
        given, is_replayed = await put.put(what, now_us), False
    else:
        path = f"/collections/{collection}/timers/{wanted}"
        key_asked = await idempotency.ask(caller, key, path, content, now_us)
        given, is_replayed = await put.put_once(what, key_asked)
    headers = {"Location": given.location}
    if is_replayed:
        headers[idempotency.REPLAYED] = "true"
    return Response(given.body, given.status, headers, media_type="application/json")


@router.get(
    PATH,
    summary="Look at a timer by its name",
    operation_id="get_named_timer",
    openapi_extra=needs(Scope.timers_read),
    responses={
        200: answer("The timer as it stands.", "TimerShown", "timer by name", leads_to=_BY_ID),
        **problems(_ONE, NO_BODY, _NOT_FOUND, _NAME_INVALID, examples.UNREADABLE, UNAVAILABLE),
    },
)
async def show_named_timer(request: Request, collection: InCollection, name: Named) -> Response:
    """The one that lives, or else the last one that had the name, as long as it is kept."""
    service = service_of(request)
    service.now_us()
    return await _answer(service, await _visible(service, caller_of(request), collection, name))


@router.delete(
    PATH,
    summary="Cancel a timer by its name",
    operation_id="cancel_named_timer",
    openapi_extra=needs(Scope.timers_write),
    responses={
        200: answer("It is cancelled, and will not be called.", "TimerShown", "cancelled timer by name"),
        **problems(_ONE, NO_BODY, _NOT_FOUND, examples.NOT_CANCELLABLE, _NAME_INVALID, UNAVAILABLE),
    },
)
async def cancel_named_timer(request: Request, collection: InCollection, name: Named) -> Response:
    """Only a scheduled timer can be cancelled: not one that is being called, nor one that has ended."""
    service = service_of(request)
    service.now_us()
    timer = await _visible(service, caller_of(request), collection, name)
    return await _answer(service, await cancel(service.shards, timer.id))


def _checked(name: str) -> str:
    try:
        if len(name) > NAME_MAX:
            raise ValueError(f"it must have at most {NAME_MAX} characters")
        return check_name(name)
    except ValueError as error:
        raise invalid([FieldError("name", str(error))]) from None


async def _visible(service: Service, caller: Caller, collection: str, name: str) -> Timer:
    """What this caller sees under the name; what is elsewhere is answered as what is not there."""
    in_collection, wanted = checked_name("collection", collection), _checked(name)
    found = await _collection(service, in_collection)
    if found is None or not caller.sees(in_collection):
        raise NameNotFound(in_collection, wanted)
    shards, number = service.shards, found.id
    home = shards.for_name(in_collection, wanted)
    return await of_one(service, home, lambda: find_named(shards, in_collection, number, wanted))


async def _collection(service: Service, name: str) -> Collection | None:
    found = service.directory.current.collection_named(name)
    if found is None:
        await service.directory.refresh()
        found = service.directory.current.collection_named(name)
    return found


async def _answer(service: Service, timer: Timer) -> Response:
    directory = await service.directory.covering([timer.owner])
    headers = {"Location": f"/timers/{timer.id}"}
    return json_answer(represent(timer, service.clock.latest_us(), directory), headers=headers)

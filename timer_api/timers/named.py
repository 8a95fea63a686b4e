"""The calls about a timer by its name: `/collections/{collection}/timers/{name}`."""

from __future__ import annotations

from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from timer_api import groups, json_body
from timer_api.answers import json_answer
from timer_api.api_keys.caller import Caller, caller_of
from timer_api.errors import FieldError, Kind, Problem, invalid
from timer_api.groups import checked_name, name_in_path
from timer_api.intake import LineFull
from timer_api.openapi import NO_BODY, UNAVAILABLE, answer, invalid_example, needs, problems
from timer_api.service import Service
from timer_api.timers import examples
from timer_api.timers.creation import build, check_named
from timer_api.timers.one import service_of
from timer_api.timers.owner import directory_for, owner_of
from timer_api.timers.schemas import PATTERNS_IN_WORDS
from timer_db.domain.api_key import Scope
from timer_db.domain.collection import Collection
from timer_db.domain.errors import CollectionNotFound, NameNotFound, NameTaken, NotChangeable, TimerNotFound
from timer_db.domain.names import NAME_MAX, check_name
from timer_db.domain.representation import represent
from timer_db.domain.states import TimerState
from timer_db.domain.timer import Timer
from timer_db.domain.traceparent import traceparent_of
from timer_db.operations.cancel import cancel
from timer_db.operations.change import replace_whole
from timer_db.operations.inspect import find_named
from timer_db.operations.schedule import choose_id

router = APIRouter()

PATH = "/collections/{collection}/timers/{name:path}"
"""Names may have slashes in them."""
_COLLECTION, _NAME = "newsletters", "reminder-4711"
_ONE = f"/collections/{_COLLECTION}/timers/{_NAME}"
_EXAMPLES = {name: examples.CREATES[name] for name in ("minutes", "delay", "due_at")}
_TRIES_MAX = 20
"""A name may change hands between two looks, but hardly so often."""
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
    openapi_extra=needs(Scope.timers_write) | groups.body("NamedTimerAsked", _EXAMPLES),
    responses={
        201: answer(
            "It is made.", "TimerShown", "timer by name", leads_to=_BY_ID, Location="The path of the timer."
        ),
        200: answer(
            "The timer with this name waited, and is as asked for now.",
            "TimerShown",
            "timer by name",
            leads_to=_BY_ID,
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

    Sent twice, it leaves one timer. A delay counts from the last time.
    """
    service, caller = service_of(request), caller_of(request)
    wanted = _checked(name)
    now_us = service.now_us()
    raw = await json_body.object_of(request, service.settings.api_body_bytes)
    asked = check_named(raw, checked_name("collection", collection), wanted)
    directory = await directory_for(service.directory, [asked])
    if directory.collection_named(collection) is None:
        raise CollectionNotFound(collection)
    owner = owner_of(asked, caller, directory)
    defaults = directory.usual_of(owner)
    timer_id = choose_id(service.shards, now_us, collection, wanted)
    timer = build(asked, timer_id, now_us, owner, defaults, traceparent_of(request.headers.raw))
    size_bytes = len(orjson.dumps(raw))
    for _ in range(_TRIES_MAX):
        put, is_new = await _put(service, collection, timer, size_bytes)
        if put is not None:
            return await _answer(service, put, status=201 if is_new else 200)
    raise Problem(Kind.busy, "others make and end timers with this name all the time; try again soon")


async def _put(service: Service, collection: str, timer: Timer, size_bytes: int) -> tuple[Timer | None, bool]:
    """The timer as it is stored, and whether it is new; None when somebody else came between."""
    assert timer.name is not None
    try:
        holder = await find_named(service.shards, collection, timer.owner.collection_id, timer.name)
        if holder.state is TimerState.firing:
            raise NotChangeable(holder.id, holder.state)
        if holder.state is TimerState.scheduled:
            return await replace_whole(service.shards, holder.id, timer), False
    except NameNotFound:
        pass
    except (TimerNotFound, NotChangeable) as error:
        if isinstance(error, NotChangeable) and error.state is TimerState.firing:
            raise
        return None, False
    try:
        made = await service.store(timer, size_bytes)
    except NameTaken:
        return None, False
    except LineFull:
        raise Problem(Kind.busy, "too many creates are waiting; try again soon") from None
    return (made.timer, True) if made.created else (None, False)


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
    return await find_named(service.shards, in_collection, found.id, wanted)


async def _collection(service: Service, name: str) -> Collection | None:
    found = service.directory.current.collection_named(name)
    if found is None:
        await service.directory.refresh()
        found = service.directory.current.collection_named(name)
    return found


async def _answer(service: Service, timer: Timer, status: int = 200) -> Response:
    directory = await service.directory.covering([timer.owner])
    headers: dict[str, Any] = {"Location": f"/timers/{timer.id}"}
    return json_answer(represent(timer, service.clock.latest_us(), directory), status, headers)

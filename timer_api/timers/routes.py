"""The calls about timers."""

from __future__ import annotations

import re
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from timer_api.answers import json_answer
from timer_api.api_keys.caller import Caller, caller_of
from timer_api.errors import FieldError, invalid
from timer_api.openapi import NO_BODY, REF, UNAVAILABLE, Parts, answer, invalid_example, needs, problems
from timer_api.service import Service
from timer_api.timers import batch, create, due, examples, schemas
from timer_api.timers.schemas import PAGE_DEFAULT, PAGE_MAX, Name
from timer_db.domain.api_key import Scope
from timer_db.domain.errors import ContentUnreadable, TimerNotFound
from timer_db.domain.ids import is_timer_id
from timer_db.domain.representation import represent, rfc3339
from timer_db.domain.states import TimerState
from timer_db.domain.timer import Attempt, Timer
from timer_db.operations.cancel import cancel
from timer_db.operations.inspect import get_timer, list_attempts, list_timers

router = APIRouter(tags=["timers"])

DOCUMENTED = Parts(
    models={
        "TimerAsked": schemas.TimerAsked,
        "TimerShown": schemas.TimerShown,
        "BatchAsked": schemas.BatchAsked,
        "BatchShown": schemas.BatchShown,
        "TimerPageShown": schemas.TimerPageShown,
        "AttemptsShown": schemas.AttemptsShown,
    },
    examples=examples.ANSWERS,
    refinements={
        "TimerAsked": {
            "oneOf": [
                {"anyOf": [{"required": ["hours"]}, {"required": ["minutes"]}, {"required": ["seconds"]}]},
                {"required": ["delay"]},
                {"required": ["due_at"]},
            ],
            "dependentRequired": {"timezone": ["due_at"]},
            "dependentSchemas": {
                "due_at": {
                    "if": {"properties": {"due_at": {"pattern": due.DUE_AT_OFFSET_PATTERN}}},
                    "then": {"properties": {"timezone": False}},
                    "else": {"required": ["timezone"]},
                },
            },
            "allOf": [{"oneOf": [{"required": ["url"]}, {"required": ["route"]}]}],
            "not": {
                "required": ["body", "body_base64"],
                "properties": {"body": {"not": {"type": "null"}}},
            },
        },
        "ProblemShown": {"properties": {"error": {"$ref": REF.format(model="Problem")}}},
    },
)

_UUID_PATTERN = r"^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"
_UUID = re.compile(_UUID_PATTERN.rstrip("$"))

TimerId = Annotated[
    str,
    Path(
        description="The timer's id.",
        openapi_examples={"id": {"value": examples.TIMER_ID}},
        json_schema_extra={"format": "uuid", "pattern": _UUID_PATTERN},
    ),
]
_BY_ID = {name: {"timer_id": "id"} for name in ("get_timer", "cancel_timer", "get_attempts")}
_ID_INVALID = invalid_example("timer_id", "it is no id: 32 hexadecimal digits in groups of 8-4-4-4-12")


def _body(model: str, shown: dict[str, Any]) -> dict[str, Any]:
    content = {"application/json": {"schema": {"$ref": REF.format(model=model)}, "examples": shown}}
    return {"requestBody": {"required": True, "content": content}}


_AT_THE_FRONT_DOOR = RuntimeError("`app.FrontDoor` answers this call; the route documents it")


@router.post(
    create.PATH,
    summary="Make a timer",
    operation_id="create_timer",
    status_code=201,
    openapi_extra=needs(Scope.timers_write) | _body("TimerAsked", examples.CREATES),
    responses={
        201: answer(
            "The timer is stored, and will be called whatever crashes.",
            "TimerShown",
            "timer",
            leads_to=_BY_ID,
            Location="The path of the timer.",
        ),
        200: answer(
            "A timer with this name and content lives already; this is it.",
            "TimerShown",
            "named timer",
            leads_to=_BY_ID,
            Location="The path of the timer.",
        ),
        **problems(
            create.PATH,
            examples.NO_JSON,
            examples.TOO_SLOW,
            examples.NAME_TAKEN,
            examples.TOO_LARGE,
            examples.NOT_JSON,
            invalid_example("labels.env", schemas.PATTERNS_IN_WORDS["labels"]),
            examples.FULL,
            examples.BUSY,
            UNAVAILABLE,
        ),
    },
)
async def create_timer() -> Response:
    """Say when, by exactly one of `hours`/`minutes`/`seconds`, `delay` and `due_at`, and which `url` to call.

    A create with the `name` of a timer that lives returns that timer when its content is the same.
    """
    raise _AT_THE_FRONT_DOOR


@router.post(
    batch.PATH,
    summary="Make many timers",
    operation_id="create_timers",
    status_code=201,
    openapi_extra=needs(Scope.timers_write) | _body("BatchAsked", examples.BATCHES),
    responses={
        201: answer("Every timer is stored.", "BatchShown", "batch"),
        207: answer(
            "Some timers are refused, or could not be stored: in their places stand problems. With "
            "`Retry-After` when it is the database that could not be reached.",
            "BatchShown",
            "partial batch",
        ),
        **problems(
            batch.PATH,
            examples.NO_JSON,
            examples.TOO_SLOW,
            examples.BATCH_TOO_LARGE,
            examples.NOT_JSON,
            invalid_example("timers", "there are 10,001; 10,000 are possible in one call"),
            examples.BUSY,
            UNAVAILABLE,
        ),
    },
)
async def create_timers() -> Response:
    """Up to 10,000 creates, each like one of `POST /timers`. What came of each stands in the same place of
    `results`: the timer, also the one that a repeated `name` leads to, or a problem, whose `errors` name fields
    of that timer, and whose `index` is its place, from 0.

    They are stored in chunks of 500, so some can be stored when others are not. A problem with a `timer_id` means
    that nobody knows: look whether there is a timer with that id. With a `name` in each timer, the same batch can
    be sent again as it is.
    """
    raise _AT_THE_FRONT_DOOR


@router.get(
    "/timers/{timer_id}",
    summary="Look at a timer",
    operation_id="get_timer",
    openapi_extra=needs(Scope.timers_read),
    responses={
        200: answer("The timer as it stands.", "TimerShown", "timer"),
        **problems(
            f"/timers/{examples.TIMER_ID}",
            NO_BODY,
            examples.NOT_FOUND,
            _ID_INVALID,
            examples.UNREADABLE,
            UNAVAILABLE,
        ),
    },
)
async def show_timer(request: Request, timer_id: TimerId) -> Response:
    """Its state, and what was asked for. `time_left` is whole seconds, rounded up, and 0 once it is due."""
    service = _service(request)
    wanted = _parsed(timer_id)
    now_us = service.now_us()
    timer = await _visible(service, caller_of(request), wanted)
    if timer.unreadable:
        raise ContentUnreadable(timer.id, timer.unreadable)
    return json_answer(represent(timer, now_us, service.directory.current))


@router.delete(
    "/timers/{timer_id}",
    summary="Cancel a timer",
    operation_id="cancel_timer",
    openapi_extra=needs(Scope.timers_write),
    responses={
        200: answer("It is cancelled, and will not be called.", "TimerShown", "cancelled timer"),
        **problems(
            f"/timers/{examples.TIMER_ID}",
            NO_BODY,
            examples.NOT_FOUND,
            examples.NOT_CANCELLABLE,
            _ID_INVALID,
            UNAVAILABLE,
        ),
    },
)
async def cancel_timer(request: Request, timer_id: TimerId) -> Response:
    """Only a scheduled timer can be cancelled: not one that is being called, nor one that has ended."""
    service = _service(request)
    wanted = _parsed(timer_id)
    now_us = service.now_us()
    await _check_visible(service, caller_of(request), wanted)
    cancelled = await cancel(service.shards, wanted)
    directory = await service.directory.covering([cancelled.owner])
    return json_answer(represent(cancelled, now_us, directory))


@router.get(
    "/timers/{timer_id}/attempts",
    summary="Look at a timer's attempts",
    operation_id="get_attempts",
    openapi_extra=needs(Scope.timers_read),
    responses={
        200: answer("Every attempt, first to last.", "AttemptsShown", "attempts"),
        **problems(f"/timers/{examples.TIMER_ID}/attempts", NO_BODY, examples.NOT_FOUND, _ID_INVALID, UNAVAILABLE),
    },
)
async def show_attempts(request: Request, timer_id: TimerId) -> Response:
    """When each was made, by which controller, and what came of it."""
    service = _service(request)
    wanted = _parsed(timer_id)
    service.now_us()
    await _check_visible(service, caller_of(request), wanted)
    attempts = await list_attempts(service.shards, wanted)
    return json_answer({"attempts": [_shown(attempt) for attempt in attempts]})


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


async def _visible(service: Service, caller: Caller, timer_id: UUID) -> Timer:
    """The timer, as far as this caller sees it: one elsewhere is answered as one that is not there."""
    timer = await get_timer(service.shards, timer_id)
    directory = await service.directory.covering([timer.owner])
    if not caller.sees(directory.names_of(timer.owner)[0]):
        raise TimerNotFound(timer_id)
    return timer


async def _check_visible(service: Service, caller: Caller, timer_id: UUID) -> None:
    # A timer stays in its collection, so nothing can change between this look and what follows.
    if caller.collections is not None:
        await _visible(service, caller, timer_id)


def _parsed(text: str) -> UUID:
    """The id. 422 for what is none at all, 404 for a UUID that no timer of ours can have."""
    if not _UUID.fullmatch(text):
        raise invalid([*_ID_INVALID.errors])
    timer_id = UUID(text)
    if not is_timer_id(timer_id):
        raise TimerNotFound(timer_id)
    return timer_id


def _shown(attempt: Attempt) -> dict[str, object]:
    return {
        "number": attempt.number,
        "outcome": attempt.outcome.value,
        "status": attempt.state.value,
        "started_at": rfc3339(attempt.started_at_us),
        "finished_at": rfc3339(attempt.finished_at_us),
        "latency_ms": None if attempt.latency_us is None else attempt.latency_us / 1000,
        "http_status": attempt.http_status,
        "controller": attempt.controller,
        "reason": attempt.reason,
        "answer": attempt.answer.decode(errors="replace"),
    }

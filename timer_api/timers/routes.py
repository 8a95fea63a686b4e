"""The calls about timers."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from timer_api import groups, idempotency
from timer_api.answers import json_answer
from timer_api.api_keys.caller import caller_of
from timer_api.openapi import NO_BODY, REF, UNAVAILABLE, Parts, answer, invalid_example, needs, problems
from timer_api.reading import of_one
from timer_api.timers import (
    answered,
    batch,
    bulk,
    calls,
    changing,
    create,
    due,
    examples,
    listing,
    named,
    one,
    schemas,
)
from timer_api.timers.one import ID_INVALID, TimerId, check_visible, parsed, service_of, visible
from timer_db.domain.api_key import Scope
from timer_db.domain.errors import ContentUnreadable
from timer_db.domain.representation import represent, rfc3339
from timer_db.domain.timer import Attempt
from timer_db.operations.cancel import cancel
from timer_db.operations.inspect import list_attempts

router = APIRouter(tags=["timers"])
for part in (listing, bulk, changing, named):
    router.include_router(part.router)

_RULES = {
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
    "allOf": [{"oneOf": schemas.RUN_RULES["oneOf"]}],
    "not": schemas.RUN_RULES["not"],
}
"""Between the fields of a create."""

DOCUMENTED = Parts(
    models={
        "TimerAsked": schemas.TimerAsked,
        "NamedTimerAsked": schemas.NamedTimerAsked,
        "ChangeAsked": schemas.ChangeAsked,
        **bulk.MODELS,
        "TimerShown": answered.TimerShown,
        "BatchAsked": schemas.BatchAsked,
        "BatchShown": answered.BatchShown,
        "TimerPageShown": answered.TimerPageShown,
        "AttemptsShown": answered.AttemptsShown,
        **calls.MODELS,
    },
    examples=examples.ANSWERS,
    webhooks=calls.WEBHOOKS,
    refinements={
        "TimerAsked": _RULES,
        "NamedTimerAsked": _RULES,
        "ProblemShown": {"properties": {"error": {"$ref": REF.format(model="Problem")}}},
    },
)

_BY_ID = {name: {"timer_id": "id"} for name in ("get_timer", "cancel_timer", "get_attempts")}

_AT_THE_FRONT_DOOR = RuntimeError("`app.FrontDoor` answers this call; the route documents it")


@router.post(
    create.PATH,
    summary="Make a timer",
    operation_id="create_timer",
    status_code=201,
    openapi_extra=needs(Scope.timers_write) | groups.body("TimerAsked", examples.CREATES) | idempotency.DOCUMENTED,
    responses={
        201: answer(
            "The timer is stored, and will be called whatever crashes.",
            "TimerShown",
            "timer",
            leads_to=_BY_ID,
            sometimes=idempotency.REPLAYED_DOCUMENTED,
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
            idempotency.REUSED,
            examples.FULL,
            examples.BUSY,
            UNAVAILABLE,
        ),
    },
)
async def create_timer() -> Response:
    """Say when, by exactly one of `hours`/`minutes`/`seconds`, `delay` and `due_at`, and which `url` to call.

    A create with the `name` of a timer that lives returns that timer when its content is the same. A create that
    is sent again with its `Idempotency-Key` is answered as the first time, whatever became of the timer meanwhile.
    """
    raise _AT_THE_FRONT_DOOR


@router.post(
    batch.PATH,
    summary="Make many timers",
    operation_id="create_timers",
    status_code=201,
    openapi_extra=needs(Scope.timers_write) | groups.body("BatchAsked", examples.BATCHES) | idempotency.DOCUMENTED,
    responses={
        201: answer("Every timer is stored.", "BatchShown", "batch", sometimes=idempotency.REPLAYED_DOCUMENTED),
        207: answer(
            "Some timers are refused, or could not be stored: in their places stand problems. With "
            "`Retry-After` when it is the database that could not be reached.",
            "BatchShown",
            "partial batch",
            sometimes=idempotency.REPLAYED_DOCUMENTED,
        ),
        **problems(
            batch.PATH,
            examples.NO_JSON,
            examples.TOO_SLOW,
            examples.BATCH_TOO_LARGE,
            examples.NOT_JSON,
            invalid_example("timers", "there are 10,001; 10,000 are possible in one call"),
            idempotency.REUSED,
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
    that nobody knows: look whether there is a timer with that id. With an `Idempotency-Key`, or with a `name` in
    each timer, the same batch can be sent again as it is: what is stored is not made twice, and the rest is.
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
            one.PATH,
            NO_BODY,
            examples.NOT_FOUND,
            ID_INVALID,
            examples.UNREADABLE,
            UNAVAILABLE,
        ),
    },
)
async def show_timer(request: Request, timer_id: TimerId) -> Response:
    """Its state, and what was asked for. `time_left` is whole seconds, rounded up, and 0 once it is due."""
    service = service_of(request)
    wanted = parsed(timer_id)
    now_us = service.now_us()
    timer = await visible(service, caller_of(request), wanted)
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
            one.PATH,
            NO_BODY,
            examples.NOT_FOUND,
            examples.NOT_CANCELLABLE,
            ID_INVALID,
            UNAVAILABLE,
        ),
    },
)
async def cancel_timer(request: Request, timer_id: TimerId) -> Response:
    """Only a scheduled timer can be cancelled: not one that is being called, nor one that has ended."""
    service = service_of(request)
    wanted = parsed(timer_id)
    now_us = service.now_us()
    await check_visible(service, caller_of(request), wanted)
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
        **problems(f"{one.PATH}/attempts", NO_BODY, examples.NOT_FOUND, ID_INVALID, UNAVAILABLE),
    },
)
async def show_attempts(request: Request, timer_id: TimerId) -> Response:
    """When each was made, by which controller, and what came of it."""
    service = service_of(request)
    wanted = parsed(timer_id)
    service.now_us()
    await check_visible(service, caller_of(request), wanted)
    shards = service.shards
    attempts = await of_one(service, shards.holding(wanted), lambda: list_attempts(shards, wanted))
    return json_answer({"attempts": [_shown(attempt) for attempt in attempts]})


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

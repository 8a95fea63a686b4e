"""The calls that change one timer: `PATCH /timers/{id}`, and `fire` and `replay` below it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

from fastapi import APIRouter, Request
from pydantic import ValidationError
from starlette.responses import Response

from timer_api import groups, json_body
from timer_api.answers import json_answer
from timer_api.api_keys.caller import caller_of
from timer_api.errors import FieldError, from_validation, invalid
from timer_api.openapi import UNAVAILABLE, answer, invalid_example, needs, problems
from timer_api.service import Service
from timer_api.timers import examples, one
from timer_api.timers.creation import WHEN, build, content_faults, due_faults
from timer_api.timers.one import ID_INVALID, TimerId, check_visible, parsed, service_of, visible
from timer_api.timers.schemas import CHANGE, PATTERNS_IN_WORDS, ChangeAsked, TimerAsked
from timer_db.domain.api_key import Scope
from timer_db.domain.collection import Defaults
from timer_db.domain.representation import represent
from timer_db.domain.timer import Timer
from timer_db.operations.change import change
from timer_db.operations.move import fire
from timer_db.operations.replay import replay

router = APIRouter()

_BODY_FIELDS = ("body", "body_base64")


@router.patch(
    "/timers/{timer_id}",
    summary="Change a timer",
    operation_id="change_timer",
    openapi_extra=needs(Scope.timers_write) | groups.body("ChangeAsked", examples.CHANGES),
    responses={
        200: answer("The timer as it stands now.", "TimerShown", "timer"),
        **problems(
            one.PATH,
            examples.NO_JSON,
            examples.TOO_SLOW,
            examples.NOT_FOUND,
            examples.NOT_CHANGEABLE,
            examples.TOO_LARGE,
            examples.NOT_JSON,
            invalid_example("url", "a route has it: this timer has none of its own"),
            examples.UNREADABLE,
            UNAVAILABLE,
        ),
    },
)
async def change_timer(request: Request, timer_id: TimerId) -> Response:
    """What is given takes the place of what was there; null is as if it had never been given. Only a scheduled
    timer can be changed. One that is given another time is called then, also if a retry was to come.

    Its name still knows the create that made it, not what was changed since: the same create again is answered
    with this timer as it stands, and one with other content 409.
    """
    service = service_of(request)
    wanted = parsed(timer_id)
    now_us = service.now_us()
    asked = _check(await json_body.object_of(request, service.settings.api_body_bytes))
    timer = await visible(service, caller_of(request), wanted)
    defaults = (await service.directory.covering([timer.owner])).usual_of(timer.owner)
    if "url" in asked and timer.owner.route_id:
        raise invalid([FieldError("url", "a route has it: this timer has none of its own")])
    revise = _revision(asked, now_us, defaults)
    # What is wrong is told before anything is locked.
    revise(timer)
    changed = await change(service.shards, wanted, revise, is_moved=not WHEN.isdisjoint(asked))
    return await _answer(service, changed)


def _check(document: dict[str, Any]) -> ChangeAsked:
    try:
        asked = CHANGE.validate_python(document)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False, include_context=False)
        raise from_validation(faults, patterns=PATTERNS_IN_WORDS) from None
    if not asked:
        raise invalid([FieldError("", "nothing is given that is to be changed")])
    if faults_between := [*due_faults(asked, is_needed=False), *content_faults(asked)]:
        raise invalid(faults_between)
    return asked


def _revision(asked: ChangeAsked, now_us: int, defaults: Defaults) -> Callable[[Timer], Timer]:
    """What a timer is to be: what was asked for as in a create, where null is left out, and the rest as it is."""
    given = cast(TimerAsked, {name: value for name, value in asked.items() if value is not None})
    fields = {name for name in asked if name not in WHEN and name not in (*_BODY_FIELDS, "timezone")}
    if not WHEN.isdisjoint(asked):
        fields.add("due_at_us")
    if not asked.keys().isdisjoint(_BODY_FIELDS):
        fields |= {"body", "body_is_json"}

    def revise(timer: Timer) -> Timer:
        fresh = build(given, timer.id, now_us, timer.owner, defaults)
        return replace(timer, **{name: getattr(fresh, name) for name in fields})

    return revise


@router.post(
    "/timers/{timer_id}/fire",
    summary="Fire a timer now",
    operation_id="fire_timer",
    openapi_extra=needs(Scope.timers_write),
    responses={
        200: answer("It is due now, and called with the next look of a controller.", "TimerShown", "due timer"),
        **problems(f"{one.PATH}/fire", examples.NOT_FOUND, examples.NOT_CHANGEABLE, ID_INVALID, UNAVAILABLE),
    },
)
async def fire_timer(request: Request, timer_id: TimerId) -> Response:
    """It is due now instead of later. Only a scheduled timer can be fired."""
    service = service_of(request)
    wanted = parsed(timer_id)
    service.now_us()
    await check_visible(service, caller_of(request), wanted)
    return await _answer(service, await fire(service.shards, wanted))


@router.post(
    "/timers/{timer_id}/replay",
    summary="Call a timer again",
    operation_id="replay_timer",
    openapi_extra=needs(Scope.timers_write),
    responses={
        200: answer("It is scheduled again, and due now.", "TimerShown", "replayed timer"),
        **problems(
            f"{one.PATH}/replay",
            examples.NOT_FOUND,
            examples.NOT_REPLAYABLE,
            examples.NAME_IN_USE,
            ID_INVALID,
            UNAVAILABLE,
        ),
    },
)
async def replay_timer(request: Request, timer_id: TimerId) -> Response:
    """A timer that failed, is unknown or was delivered is scheduled again, and due now. It keeps its id and its
    attempts, whose numbers go on; its retry policy begins anew. When an earlier call may have arrived, the next
    ones say so (`Timer-Possible-Duplicate`).

    Its name must be free, or still be its own. If another timer had it meanwhile, the name no longer knows what
    this one was made with: until this one has ended, a create with that name is answered 409.
    """
    service = service_of(request)
    wanted = parsed(timer_id)
    service.now_us()
    await check_visible(service, caller_of(request), wanted)
    return await _answer(service, await replay(service.shards, wanted))


async def _answer(service: Service, timer: Timer) -> Response:
    directory = await service.directory.covering([timer.owner])
    return json_answer(represent(timer, service.clock.latest_us(), directory))

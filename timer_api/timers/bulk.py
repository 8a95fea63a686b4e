"""Calls for many timers: `POST /timers/cancel`, `/timers/reschedule` and `/timers/replay`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Annotated, Any, TypeVar
from uuid import UUID

from fastapi import APIRouter, Request
from pydantic import Field, PlainValidator, TypeAdapter, ValidationError, WithJsonSchema, with_config
from starlette.responses import Response
from typing_extensions import TypedDict

from timer_api import groups, json_body
from timer_api.answers import json_answer
from timer_api.api_keys.caller import caller_of
from timer_api.errors import FieldError, from_validation, invalid
from timer_api.openapi import UNAVAILABLE, answer, invalid_example, needs, problems
from timer_api.timers import due, examples
from timer_api.timers.creation import WHEN, due_faults, due_of
from timer_api.timers.filters import FilterAsked, filter_of, visible_to
from timer_api.timers.one import UUID_PATTERN, service_of
from timer_api.timers.schemas import STRICT, DueAsked
from timer_db.domain import cursor as cursors
from timer_db.domain.api_key import Scope
from timer_db.domain.cursor import Place
from timer_db.domain.ids import bytes_to_text
from timer_db.domain.states import TimerState
from timer_db.operations.bulk import Done, Verb, for_filter, for_ids
from timer_db.operations.cancel import cancel_some
from timer_db.operations.move import Move, mover
from timer_db.operations.replay import replay_some

router = APIRouter()

TIMERS_MAX = 10_000
REFUSED_SHOWN_MAX = 100
_BODY_BYTES = 1_048_576
_FILTERS = frozenset(FilterAsked.__annotations__)
_ONLY_WITH_FILTERS = ("cursor", "limit")
_WAITING = frozenset({TimerState.scheduled, TimerState.firing})
_GONE_WRONG = frozenset({TimerState.failed, TimerState.unknown})


@with_config(STRICT)
class BulkAsked(FilterAsked, total=False):
    """Which timers: either `ids`, or filters, of which at least one is given."""

    ids: Annotated[
        list[Annotated[str, Field(pattern=UUID_PATTERN, json_schema_extra={"format": "uuid"})]],
        Field(min_length=1, max_length=TIMERS_MAX, description="Instead of filters: these timers."),
    ]
    cursor: Annotated[
        str,
        Field(
            max_length=cursors.CHARACTERS_MAX,
            description="`next_cursor` of the call before; it goes with the filters of that call only.",
            json_schema_extra={"format": "timers-cursor"},
        ),
    ]
    limit: Annotated[
        int,
        Field(
            ge=1,
            le=TIMERS_MAX,
            description="The most timers that this call changes.",
            json_schema_extra={"default": TIMERS_MAX},
        ),
    ]


_SHIFT_TEXT = f"^[+-]?(?:{due.SHORT_PATTERN}|{due.ISO_PATTERN})$"


@with_config(STRICT)
class RescheduleAsked(BulkAsked, DueAsked, total=False):
    """Which timers, and when they are due: one form of due time for all, or by how much each is moved."""

    shift: Annotated[
        int,
        PlainValidator(due.shift_us),
        WithJsonSchema(
            {
                "anyOf": [
                    {"type": "number", "minimum": -due.SECONDS_MAX, "maximum": due.SECONDS_MAX},
                    {
                        "type": "string",
                        "maxLength": due.DELAY_TEXT_MAX + 1,
                        "pattern": _SHIFT_TEXT,
                        "format": "shift",
                    },
                ],
                "description": "By how much each is moved: seconds, or a duration as in `delay`, with a sign. "
                "What would be in the past is now.",
                "examples": ["+1h", "-30m", 90],
            }
        ),
    ]


class RefusedShown(TypedDict):
    """A timer that was not changed, and why."""

    id: Annotated[str, Field(json_schema_extra={"format": "uuid"})]
    status: Annotated[TimerState | None, Field(description="Null when there is no such timer.")]
    reason: str


class BulkShown(TypedDict):
    """What a call did. Timers that neither were changed nor refused are behind `next_cursor`."""

    matched: Annotated[int, Field(ge=0, description="Timers that were found.")]
    changed: Annotated[int, Field(ge=0)]
    refused: Annotated[
        list[RefusedShown], Field(max_length=REFUSED_SHOWN_MAX, description="Of very many, the first.")
    ]
    refused_count: Annotated[int, Field(ge=0)]
    next_cursor: Annotated[
        str | None, Field(description="Give it as `cursor` to go on with the same filters; null at the end.")
    ]


Asked = TypeVar("Asked", BulkAsked, RescheduleAsked)
_ASKED: TypeAdapter[BulkAsked] = TypeAdapter(BulkAsked)
_RESCHEDULE: TypeAdapter[RescheduleAsked] = TypeAdapter(RescheduleAsked)
_PATTERNS = {"ids": "it is no id: 32 hexadecimal digits in groups of 8-4-4-4-12"}
MODELS = {"BulkAsked": BulkAsked, "RescheduleAsked": RescheduleAsked, "BulkShown": BulkShown}


def _responses(path: str, description: str) -> dict[int | str, dict[str, Any]]:
    return {
        200: answer(description, "BulkShown", "bulk"),
        **problems(
            path,
            examples.NO_JSON,
            examples.TOO_SLOW,
            examples.TOO_LARGE,
            examples.NOT_JSON,
            invalid_example("ids", "give ids, or at least one filter"),
            UNAVAILABLE,
        ),
    }


@router.post(
    "/timers/cancel",
    summary="Cancel many timers",
    operation_id="cancel_timers",
    openapi_extra=needs(Scope.timers_write) | groups.body("BulkAsked", examples.BULKS),
    responses=_responses("/timers/cancel", "So many are cancelled, and will not be called."),
)
async def cancel_timers(request: Request) -> Response:
    """By ids or by filters, up to 10,000 in a call. With filters and no `status`, those are meant that are
    scheduled or firing.

    Some hundred are cancelled in a transaction. A timer that is being called or has ended is refused, and the
    others are cancelled all the same. When the database goes away meanwhile (503), some may be cancelled: the same
    call again does the rest.
    """
    asked = _check(_ASKED, await _document(request))
    return json_answer(await _do(request, asked, cancel_some, _WAITING))


@router.post(
    "/timers/reschedule",
    summary="Call many timers at another time",
    operation_id="reschedule_timers",
    openapi_extra=needs(Scope.timers_write) | groups.body("RescheduleAsked", examples.RESCHEDULES),
    responses=_responses("/timers/reschedule", "So many are due at the new time."),
)
async def reschedule_timers(request: Request) -> Response:
    """As `POST /timers/cancel`; the timers stay, and are due at another time: all at one, or each by `shift` later
    or earlier. A timer in a retry is moved as well.

    After 503 some may be moved: with a due time the same call again does the rest; with `shift` it would move them
    twice, so look first.
    """
    asked = _check(_RESCHEDULE, await _document(request), _move_faults)
    now_us = service_of(request).now_us()
    if "shift" in asked:
        move = Move(by_us=asked["shift"], latest_us=now_us + due.US_MAX)
    else:
        move = Move(to_us=due_of(asked, now_us)[0])
    return json_answer(await _do(request, asked, mover(move), _WAITING, is_moving=True))


@router.post(
    "/timers/replay",
    summary="Call many timers again",
    operation_id="replay_timers",
    openapi_extra=needs(Scope.timers_write) | groups.body("BulkAsked", examples.BULKS),
    responses=_responses("/timers/replay", "So many are scheduled again, and due now."),
)
async def replay_timers(request: Request) -> Response:
    """As `POST /timers/cancel`; the timers are called again, as by `POST /timers/{id}/replay`. With filters and no
    `status`, those are meant that failed or are unknown."""
    asked = _check(_ASKED, await _document(request))
    return json_answer(await _do(request, asked, replay_some, _GONE_WRONG))


async def _document(request: Request) -> dict[str, Any]:
    service_of(request).now_us()
    return await json_body.object_of(request, _BODY_BYTES)


def _check(
    adapter: TypeAdapter[Asked],
    document: dict[str, Any],
    more: Callable[[Asked], Iterable[FieldError]] = lambda _: (),
) -> Asked:
    try:
        asked: Asked = adapter.validate_python(document)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False, include_context=False)
        raise from_validation(faults, patterns=_PATTERNS) from None
    if faults_between := [*_faults(asked), *more(asked)]:
        raise invalid(faults_between)
    return asked


def _faults(asked: BulkAsked) -> Iterator[FieldError]:
    filters = asked.keys() & _FILTERS
    if "ids" in asked:
        for name in sorted(asked.keys() & {*_FILTERS, *_ONLY_WITH_FILTERS}):
            yield FieldError(name, "it cannot stand beside ids")
    elif filters <= {"selector"} and not asked.get("selector", "").strip():
        yield FieldError("ids", "give ids, or at least one filter")


def _move_faults(asked: RescheduleAsked) -> Iterator[FieldError]:
    forms = asked.keys() & {*WHEN, "timezone"}
    if "shift" in asked:
        for name in sorted(forms):
            yield FieldError(name, "it cannot stand beside shift")
    elif not forms:
        yield FieldError("shift", "nothing says when: give shift, or one form of due time")
    else:
        yield from due_faults(asked)


async def _do(
    request: Request, asked: BulkAsked, verb: Verb, usual: frozenset[TimerState], *, is_moving: bool = False
) -> dict[str, Any]:
    """The answer. Without a status, filters mean the `usual` states."""
    service, caller = service_of(request), caller_of(request)
    if "ids" in asked:
        visible = visible_to(caller, service.directory.current)
        done = await for_ids(service.shards, map(UUID, asked["ids"]), verb, visible)
        return _shown(done, None)
    wanted = await filter_of(asked, caller, service.directory)
    if wanted.states is None:
        wanted = replace(wanted, states=usual)
    try:
        place = cursors.read(asked["cursor"], wanted) if "cursor" in asked else Place()
        limit = asked.get("limit", TIMERS_MAX)
        done = await for_filter(service.shards, wanted, place, limit, verb, is_moving=is_moving)
    except ValueError as error:
        raise invalid([FieldError("cursor", str(error))]) from None
    return _shown(done, cursors.write(done.next, wanted) if done.next else None)


def _shown(done: Done, next_cursor: str | None) -> dict[str, Any]:
    there = [refused for refused in done.refused if refused.state is not None]
    return {
        "matched": len(done.changed) + len(there),
        "changed": len(done.changed),
        "refused": [
            {"id": bytes_to_text(timer_id), "status": state and state.value, "reason": str(error)}
            for timer_id, state, error in done.refused[:REFUSED_SHOWN_MAX]
        ],
        "refused_count": len(done.refused),
        "next_cursor": next_cursor,
    }

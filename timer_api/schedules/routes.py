"""The calls about schedules."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Annotated

import orjson
from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from timer_api import groups, idempotency, json_body
from timer_api.answers import json_answer
from timer_api.api_keys.caller import Caller, caller_of
from timer_api.groups import ListQuery, checked_name, counted, counts_shown, name_in_path
from timer_api.openapi import NO_BODY, UNAVAILABLE, Parts, answer, invalid_example, needs, problems
from timer_api.schedules import examples, schemas
from timer_api.schedules.backfill import Backfilled, backfill
from timer_api.schedules.checking import check, check_backfill, check_preview, with_owner
from timer_api.schedules.schemas import RUNS_MAX, SHOWN_MAX, BackfillShown, ScheduleShown
from timer_api.schedules.shown import shown
from timer_api.service import Service
from timer_api.timers.examples import BUSY, FULL, TOO_LARGE
from timer_api.timers.owner import directory_for
from timer_api.timers.schemas import RUN_RULES
from timer_db.domain.api_key import Scope
from timer_db.domain.errors import ScheduleNotFound, ScheduleUnreadable
from timer_db.domain.idempotency import KeptAnswer
from timer_db.domain.representation import rfc3339
from timer_db.domain.schedule_settings import StoredSchedule
from timer_db.domain.schedule_times import Times
from timer_db.operations.counts import by_schedule
from timer_db.operations.schedules import (
    delete_schedule,
    get_schedule,
    list_schedules,
    pause_schedule,
    put_schedule,
    resume_schedule,
)

router = APIRouter(tags=["schedules"])

PATH = "/schedules"
_ONE = f"{PATH}/{examples.NAME}"
_COUNT_DEFAULT = 10
_BY_NAME = {
    name: {"schedule": "name"}
    for name in (
        "get_schedule",
        "pause_schedule",
        "resume_schedule",
        "get_next_runs",
        "backfill_schedule",
        "delete_schedule",
    )
}
_REPLAYED = {idempotency.REPLAYED: "true"}
_NAME_INVALID = invalid_example("schedule", groups.NAME_IN_WORDS)
_BODY_PROBLEMS = (groups.NO_JSON, groups.TOO_SLOW, TOO_LARGE, groups.NOT_JSON)
_ONE_OF = {
    "oneOf": [{"required": [name], "properties": {name: {"not": {"type": "null"}}}} for name in ("cron", "every")]
}

DOCUMENTED = Parts(
    models={
        "ScheduleAsked": schemas.ScheduleAsked,
        "ScheduleShown": ScheduleShown,
        "SchedulePageShown": schemas.SchedulePageShown,
        "PreviewAsked": schemas.PreviewAsked,
        "RunsShown": schemas.RunsShown,
        "BackfillAsked": schemas.BackfillAsked,
        "BackfillShown": schemas.BackfillShown,
    },
    examples=examples.ANSWERS,
    refinements={"ScheduleAsked": _ONE_OF, "PreviewAsked": _ONE_OF, "RunAsked": RUN_RULES},
)

Name = Annotated[str, name_in_path(examples.NAME)]


class RunsQuery(BaseModel):
    """How many runs somebody wants to see."""

    model_config = ConfigDict(extra="forbid")

    count: int = Field(_COUNT_DEFAULT, ge=1, le=SHOWN_MAX, description="At most so many.", examples=[5])


@router.put(
    PATH + "/{schedule}",
    summary="Make or change a schedule",
    operation_id="put_schedule",
    openapi_extra=needs(Scope.admin) | groups.body("ScheduleAsked", examples.ASKED),
    responses={
        201: answer("It is made, and runs.", "ScheduleShown", "schedule", leads_to=_BY_NAME),
        200: answer("It was there, and is like this now.", "ScheduleShown", "schedule", leads_to=_BY_NAME),
        **problems(
            _ONE,
            *_BODY_PROBLEMS,
            invalid_example("cron", "it never comes: no such day is in the calendar"),
            UNAVAILABLE,
        ),
    },
)
async def put(request: Request, schedule: Name) -> Response:
    """Each run is a timer of its own, made as `POST /timers` would make it at that time; `timer` says what it is
    like. All settings are chosen anew; whether it is paused stays. While the times stay as they are, so does the
    next run; with others, it runs by those from now on.
    """
    service, caller = _service(request), caller_of(request)
    name = checked_name("schedule", schedule)
    document = await json_body.object_of(request, service.settings.api_body_bytes)
    settings = check(document, service.now_us())
    directory = await directory_for(service.directory, [settings.timer])
    made = await put_schedule(service.shards, name, with_owner(settings, caller, directory))
    await service.directory.refresh()
    return json_answer(await _shown(service, made.schedule), 201 if made.created else 200)


@router.get(
    PATH,
    summary="List schedules",
    operation_id="list_schedules",
    openapi_extra=needs(Scope.timers_read),
    responses={
        200: answer(
            "By name. A key that is bound to collections sees those whose runs are in them.",
            "SchedulePageShown",
            "schedules",
            leads_to={"list_schedules": {"cursor": "next_cursor"}},
        ),
        **problems(
            PATH, NO_BODY, invalid_example("limit", "it should be less than or equal to 1000"), UNAVAILABLE
        ),
    },
)
async def show_page(request: Request, query: Annotated[ListQuery, Query()]) -> Response:
    """A page; `next_cursor` leads to the next one."""
    service, caller = _service(request), caller_of(request)
    service.now_us()
    page = await list_schedules(service.shards, query.limit, query.cursor)
    directory = await service.directory.covering([found.settings.owner for found in page.schedules])
    visible = [found for found in page.schedules if caller.sees(directory.names_of(found.settings.owner)[0])]
    return json_answer({"schedules": await _all_shown(service, visible), "next_cursor": page.next_cursor})


@router.get(
    PATH + "/{schedule}",
    summary="Look at a schedule",
    operation_id="get_schedule",
    openapi_extra=needs(Scope.timers_read),
    responses={
        200: answer("As it stands.", "ScheduleShown", "schedule"),
        **problems(_ONE, NO_BODY, examples.NOT_FOUND, _NAME_INVALID, UNAVAILABLE),
    },
)
async def show(request: Request, schedule: Name) -> Response:
    """Its runs are listed by `GET /timers?schedule=…`. `counts` cost what is in the hands of controllers, however
    many runs there are."""
    service = _service(request)
    found = await _visible(service, caller_of(request), schedule)
    return json_answer(await _shown(service, found))


@router.delete(
    PATH + "/{schedule}",
    summary="Delete a schedule",
    operation_id="delete_schedule",
    status_code=204,
    response_class=Response,
    openapi_extra=needs(Scope.admin),
    responses={
        204: {"description": "It is gone; its runs stay, and those whose time had not come are cancelled."},
        **problems(_ONE, NO_BODY, examples.NOT_FOUND, _NAME_INVALID, UNAVAILABLE),
    },
)
async def delete(request: Request, schedule: Name) -> Response:
    """No run is called any more, but for one that a controller has in hand already."""
    service = _service(request)
    await delete_schedule(service.shards, checked_name("schedule", schedule))
    await service.directory.refresh()
    return Response(status_code=204)


@router.post(
    PATH + "/{schedule}/pause",
    summary="Pause a schedule",
    operation_id="pause_schedule",
    openapi_extra=needs(Scope.timers_write),
    responses={
        200: answer("No more runs are made.", "ScheduleShown", "paused schedule"),
        **problems(f"{_ONE}/pause", examples.NOT_FOUND, _NAME_INVALID, examples.UNREADABLE, UNAVAILABLE),
    },
)
async def pause(request: Request, schedule: Name) -> Response:
    """Runs that were made ahead of their time are cancelled, but for one that a controller has in hand already.
    Those whose time has come are called as usual."""
    service = _service(request)
    found = await _visible(service, caller_of(request), schedule)
    return json_answer(await _shown(service, await pause_schedule(service.shards, found.name)))


@router.post(
    PATH + "/{schedule}/resume",
    summary="Let a schedule run again",
    operation_id="resume_schedule",
    openapi_extra=needs(Scope.timers_write),
    responses={
        200: answer("It runs.", "ScheduleShown", "schedule"),
        **problems(f"{_ONE}/resume", examples.NOT_FOUND, _NAME_INVALID, examples.UNREADABLE, UNAVAILABLE),
    },
)
async def resume(request: Request, schedule: Name) -> Response:
    """Which of the runs meanwhile are made now, `catch_up` decides, as after an outage."""
    service = _service(request)
    found = await _visible(service, caller_of(request), schedule)
    return json_answer(await _shown(service, await resume_schedule(service.shards, found.name)))


@router.get(
    PATH + "/{schedule}/next",
    summary="Look at a schedule's next runs",
    operation_id="get_next_runs",
    openapi_extra=needs(Scope.timers_read),
    responses={
        200: answer("When they are due, with their jitter; fewer when it ends before.", "RunsShown", "runs"),
        **problems(
            f"{_ONE}/next",
            NO_BODY,
            examples.NOT_FOUND,
            invalid_example("count", f"it should be less than or equal to {SHOWN_MAX}"),
            UNAVAILABLE,
        ),
    },
)
async def show_next(request: Request, schedule: Name, query: Annotated[RunsQuery, Query()]) -> Response:
    """From now on; of one that is paused, those that there would be."""
    service = _service(request)
    found = await _visible(service, caller_of(request), schedule)
    return _runs(found.times, service.now_us(), query.count)


@router.post(
    f"{PATH}/next",
    summary="Compute the runs of a schedule that is not made",
    operation_id="preview_schedule",
    openapi_extra=needs(Scope.timers_read) | groups.body("PreviewAsked", examples.PREVIEWS | examples.ASKED),
    responses={
        200: answer("When they would be due, without jitter.", "RunsShown", "runs"),
        **problems(
            f"{PATH}/next",
            *_BODY_PROBLEMS,
            invalid_example("cron", "a minute is 0-59"),
            UNAVAILABLE,
        ),
    },
)
async def preview(request: Request, query: Annotated[RunsQuery, Query()]) -> Response:
    """The body is like that of `PUT /schedules/{schedule}`, and everything in it is checked; `timer` may be left
    out. Jitter depends on a schedule's name, and is not in it."""
    service = _service(request)
    now_us = service.now_us()
    document = await json_body.object_of(request, service.settings.api_body_bytes)
    settings = check_preview(document, now_us)
    times = settings.times("", now_us)
    return _runs(Times(rule=times.rule, start_us=times.start_us, end_us=times.end_us), now_us, query.count)


@router.post(
    PATH + "/{schedule}/backfill",
    summary="Make runs of the past",
    operation_id="backfill_schedule",
    openapi_extra=needs(Scope.timers_write)
    | groups.body("BackfillAsked", examples.BACKFILLS)
    | idempotency.DOCUMENTED,
    responses={
        200: answer(
            f"So many were made, at most {RUNS_MAX:,}; they are due now.",
            "BackfillShown",
            "backfill",
            sometimes=idempotency.REPLAYED_DOCUMENTED,
        ),
        **problems(
            f"{_ONE}/backfill",
            *_BODY_PROBLEMS,
            examples.NOT_FOUND,
            invalid_example("to", "it must be after from"),
            idempotency.REUSED,
            FULL,
            examples.UNREADABLE,
            BUSY,
            UNAVAILABLE,
        ),
    },
)
async def make_past_runs(request: Request, schedule: Name) -> Response:
    """A timer for each run from `from` on and before `to`, whether one was made at its time or not, paused or not,
    and whatever `overlap` says. Each has the time of its run as `due_at`, and is called now, in that order.

    Sent again with its `Idempotency-Key`, no run is made twice."""
    service, caller = _service(request), caller_of(request)
    key = idempotency.key_of(request.headers.raw)
    found = await _visible(service, caller, schedule)
    document = await json_body.object_of(request, service.settings.api_body_bytes)
    from_us, to_us = check_backfill(document, found.settings.timezone, service.now_us())
    if found.unreadable:
        raise ScheduleUnreadable(found.name, found.unreadable)
    if key is None:
        return json_answer(_backfilled(await backfill(service, found, from_us, to_us)))
    content = orjson.dumps(document, option=orjson.OPT_SORT_KEYS)
    asked = await idempotency.ask(caller, key, request.url.path, content, service.now_us())
    held = await idempotency.hold(service, asked)
    if held.answer:
        first = await idempotency.unpacked(held.answer)
        return Response(first.body, first.status, _REPLAYED, media_type="application/json")
    done = await backfill(service, found, from_us, to_us, held)
    given = KeptAnswer(200, "", orjson.dumps(_backfilled(done)))
    kept = await idempotency.keep(service, held, given)
    return Response(kept.body, kept.status, _REPLAYED if held.is_repeat else None, media_type="application/json")


def _backfilled(done: Backfilled) -> BackfillShown:
    return {"made": done.made, "next_from": None if done.next_us is None else rfc3339(done.next_us)}


def _runs(times: Times, now_us: int, count: int) -> Response:
    return json_answer({"runs": [rfc3339(run_us) for run_us in islice(times.after(now_us), count)]})


async def _shown(service: Service, schedule: StoredSchedule) -> ScheduleShown:
    [answered] = await _all_shown(service, [schedule])
    return answered


async def _all_shown(service: Service, schedules: Sequence[StoredSchedule]) -> list[ScheduleShown]:
    """With their runs by state."""
    counts = by_schedule(await counted(service, schedule_ids=[found.id for found in schedules]))
    now_us = service.now_us()
    return [shown(found, now_us, counts_shown(counts.get(found.id, {}))) for found in schedules]


async def _visible(service: Service, caller: Caller, name: str) -> StoredSchedule:
    """The schedule, as far as this caller sees it: one elsewhere is answered as one that is not there."""
    found = await get_schedule(service.shards, checked_name("schedule", name))
    directory = await service.directory.covering([found.settings.owner])
    if not caller.sees(directory.names_of(found.settings.owner)[0]):
        raise ScheduleNotFound(name)
    return found


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service

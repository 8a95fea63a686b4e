"""`GET /timers`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import Field
from starlette.responses import Response

from timer_api.answers import json_answer
from timer_api.api_keys.caller import caller_of
from timer_api.errors import FieldError, invalid
from timer_api.openapi import NO_BODY, UNAVAILABLE, answer, invalid_example, needs, problems
from timer_api.paging import PAGE_DEFAULT, Limit
from timer_api.service import Service
from timer_api.timers.filters import FilterQuery, filter_of
from timer_api.timers.one import service_of
from timer_api.timers.schemas import Name
from timer_db.domain import cursor as cursors
from timer_db.domain.api_key import Scope
from timer_db.domain.filter import Filter
from timer_db.domain.owner import DEFAULT_COLLECTION
from timer_db.domain.representation import represent
from timer_db.operations.inspect import TimerPage, get_named, list_timers

router = APIRouter()

PATH = "/timers"


class ListQuery(FilterQuery):
    """What `GET /timers` can be asked for."""

    name: Name | None = Field(
        None,
        description="Only the timer with this name, in `collection` (the default one, unless it is given).",
        examples=["invoice-17"],
    )
    limit: Limit = PAGE_DEFAULT
    cursor: str | None = Field(
        None,
        max_length=cursors.CHARACTERS_MAX,
        description="`next_cursor` of the page before; it goes with the filters of that page only.",
        json_schema_extra={"format": "timers-cursor"},
    )


# A cursor without the filters that it came from is refused.
_NEXT_PAGE = {
    "list_timers": {
        "cursor": "$response.body#/next_cursor",
        **{name: f"$request.query.{name}" for name in ListQuery.model_fields if name != "cursor"},
    }
}


@router.get(
    PATH,
    summary="List timers",
    operation_id="list_timers",
    openapi_extra=needs(Scope.timers_read),
    responses={
        200: answer(
            "Newest first; with only a `status`, scheduled ones by priority, then by time.",
            "TimerPageShown",
            "page",
            leads_to=_NEXT_PAGE,
        ),
        **problems(
            PATH,
            NO_BODY,
            invalid_example("selector", "'=' stands where a label's key should be, at position 1"),
            UNAVAILABLE,
        ),
    },
)
async def show_timers(request: Request, query: Annotated[ListQuery, Query()]) -> Response:
    """Timers that fulfil every condition, page by page; `next_cursor` leads to the next page, and null is the end.
    Timers made meanwhile shift no page. A page may hold less than `limit`, even nothing, while more follow: no
    call looks at more than some thousand timers.

    When timers are selected by label, collection, route or schedule, they come newest first. Otherwise, and where
    few wait in the time that is asked for, scheduled ones come highest priority first, then soonest; with
    `due_after` or `due_before` and no `status`, they come before all others.
    """
    service = service_of(request)
    caller = caller_of(request)
    now_us = service.now_us()
    wanted = await filter_of(query.asked, caller, service.directory)
    page = await (_named(service, wanted, query) if query.name is not None else _page(service, wanted, query))
    directory = await service.directory.covering([timer.owner for timer in page.timers])
    shown = [represent(timer, now_us, directory) for timer in page.timers]
    return json_answer({"timers": shown, "next_cursor": page.next_cursor})


async def _page(service: Service, wanted: Filter, query: ListQuery) -> TimerPage:
    try:
        return await list_timers(service.shards, wanted, limit=query.limit, cursor=query.cursor)
    except ValueError as error:
        raise invalid([FieldError("cursor", str(error))]) from None


async def _named(service: Service, wanted: Filter, query: ListQuery) -> TimerPage:
    """The one timer with the name, if it is meant; there is no second page."""
    collection = service.directory.current.collection_named(query.collection or DEFAULT_COLLECTION)
    assert query.name is not None
    assert collection is not None
    timer = await get_named(service.shards, collection.name, collection.id, query.name)
    return TimerPage([timer] if timer is not None and wanted.matches(timer) else [], None)

"""`GET /timers`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import Field
from starlette.responses import Response

from timer_api.answers import json_answer
from timer_api.api_keys.caller import caller_of
from timer_api.errors import FieldError, invalid
from timer_api.openapi import NO_BODY, UNAVAILABLE, answer, invalid_example, needs, problems
from timer_api.paging import PAGE_DEFAULT, Limit
from timer_api.reading import of_all, of_one
from timer_api.service import Service
from timer_api.timers.filters import FilterQuery, filter_of
from timer_api.timers.one import service_of
from timer_api.timers.schemas import Name
from timer_db.domain import cursor as cursors
from timer_db.domain.api_key import Scope
from timer_db.domain.cursor import Place
from timer_db.domain.filter import Filter
from timer_db.domain.owner import DEFAULT_COLLECTION
from timer_db.domain.representation import represent
from timer_db.operations.inspect import TimerPage, get_named, list_timers
from timer_db.shards import Shards

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
    async def read(shards: Shards, numbers: Sequence[int]) -> TimerPage:
        if len(numbers) == len(service.shards):
            return await list_timers(shards, wanted, limit=query.limit, cursor=query.cursor)
        return await _part(shards, numbers, wanted, query)

    try:
        return await of_all(service, read, in_turn=True)
    except ValueError as error:
        raise invalid([FieldError("cursor", str(error))]) from None


async def _part(shards: Shards, numbers: Sequence[int], wanted: Filter, query: ListQuery) -> TimerPage:
    """The page without what is on other servers. Its cursor goes on where the list of all would."""
    place = Place() if query.cursor is None else cursors.read(query.cursor, wanted)
    begin = _place_among(numbers, place)
    if begin is None:
        return TimerPage([], None)
    page = await list_timers(shards, wanted, limit=query.limit, cursor=cursors.write(begin, wanted))
    if page.next_cursor is None:
        return page
    end = cursors.read(page.next_cursor, wanted)
    return TimerPage(page.timers, cursors.write(end._replace(shard=numbers[end.shard]), wanted))


def _place_among(numbers: Sequence[int], place: Place) -> Place | None:
    """The place in a list of these servers alone: one that is left out is passed over. None: behind the last."""
    if place.shard in numbers:
        return place._replace(shard=numbers.index(place.shard))
    behind = [position for position, number in enumerate(numbers) if number > place.shard]
    return Place(behind[0]) if behind else None


async def _named(service: Service, wanted: Filter, query: ListQuery) -> TimerPage:
    """The one timer with the name, if it is meant; there is no second page."""
    collection = service.directory.current.collection_named(query.collection or DEFAULT_COLLECTION)
    assert query.name is not None
    assert collection is not None
    of, name = collection, query.name
    home = service.shards.for_name(of.name, name)
    timer = await of_one(service, home, lambda: get_named(service.shards, of.name, of.id, name))
    return TimerPage([timer] if timer is not None and wanted.matches(timer) else [], None)

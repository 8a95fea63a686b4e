"""The list of what happened."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response
from typing_extensions import TypedDict

from timer_api.answers import json_answer
from timer_api.api_keys.caller import Caller, caller_of
from timer_api.groups import Moment
from timer_api.openapi import NO_BODY, UNAVAILABLE, Parts, answer, invalid_example, needs, problems
from timer_api.paging import PAGE_DEFAULT, Limit
from timer_api.service import Service
from timer_db.domain.api_key import Scope
from timer_db.domain.event import Event, EventKind
from timer_db.domain.representation import rfc3339
from timer_db.operations.events import list_events

router = APIRouter(tags=["operation"])

PATH = "/events"
_ID_MAX = 2**63 - 1


class EventShown(TypedDict):
    """What operators should know of."""

    id: Annotated[int, Field(ge=1)]
    at: Moment
    kind: EventKind
    subject: Annotated[str, Field(description="Which collection or route, such as `routes/billing`.")]
    detail: Annotated[str, Field(description="Why, or by whom, for people.")]


class EventPageShown(TypedDict):
    """Some events, and where the next ones are."""

    events: list[EventShown]
    next_cursor: Annotated[
        int | None, Field(description="Give it as `cursor` for the next page; null at the end.")
    ]


DOCUMENTED = Parts(
    models={"EventPageShown": EventPageShown},
    examples={
        "events": {
            "events": [
                {
                    "id": 17,
                    "at": "2026-11-20T10:09:56.123456Z",
                    "kind": "route.disabled",
                    "subject": "routes/billing",
                    "detail": "no call has succeeded for 1 h 0 min; the last one: answered 503",
                }
            ],
            "next_cursor": None,
        }
    },
)


class ListQuery(BaseModel):
    """What `GET /events` can be asked for."""

    model_config = ConfigDict(extra="forbid")

    kind: EventKind | None = Field(None, description="Only events of this kind.", examples=["route.disabled"])
    limit: Limit = PAGE_DEFAULT
    cursor: int | None = Field(None, ge=1, le=_ID_MAX, description="`next_cursor` of the page before.")


@router.get(
    PATH,
    summary="List events",
    operation_id="list_events",
    openapi_extra=needs(Scope.timers_read),
    responses={
        200: answer(
            "Newest first.", "EventPageShown", "events", leads_to={"list_events": {"cursor": "next_cursor"}}
        ),
        **problems(
            PATH, NO_BODY, invalid_example("limit", "it should be less than or equal to 1000"), UNAVAILABLE
        ),
    },
)
async def show_page(request: Request, query: Annotated[ListQuery, Query()]) -> Response:
    """What was paused, resumed or disabled. They are kept as long as timers that ended."""
    service: Service = request.app.state.service
    caller = caller_of(request)
    page = await list_events(service.shards, query.kind, query.limit, query.cursor)
    shown = [_shown(event) for event in page.events if _sees(caller, event)]
    return json_answer({"events": shown, "next_cursor": page.next_cursor})


def _sees(caller: Caller, event: Event) -> bool:
    kind, _, name = event.subject.partition("/")
    return kind != "collections" or caller.sees(name)


def _shown(event: Event) -> EventShown:
    return {
        "id": event.id,
        "at": rfc3339(event.at_us),
        "kind": event.kind,
        "subject": event.subject,
        "detail": event.detail,
    }

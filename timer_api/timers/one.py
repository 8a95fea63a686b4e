"""One timer by its id: what the calls about it share."""

from __future__ import annotations

import re
from typing import Annotated
from uuid import UUID

from fastapi import Path, Request

from timer_api.api_keys.caller import Caller
from timer_api.errors import invalid
from timer_api.openapi import invalid_example
from timer_api.reading import of_one
from timer_api.service import Service
from timer_api.timers import examples
from timer_db.domain.errors import TimerNotFound
from timer_db.domain.ids import is_timer_id
from timer_db.domain.timer import Timer
from timer_db.operations.inspect import get_timer

UUID_PATTERN = r"^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"
_UUID = re.compile(UUID_PATTERN.rstrip("$"))

TimerId = Annotated[
    str,
    Path(
        description="The timer's id.",
        openapi_examples={"id": {"value": examples.TIMER_ID}},
        json_schema_extra={"format": "uuid", "pattern": UUID_PATTERN},
    ),
]
ID_INVALID = invalid_example("timer_id", "it is no id: 32 hexadecimal digits in groups of 8-4-4-4-12")
PATH = f"/timers/{examples.TIMER_ID}"
"""For examples of problems."""


def service_of(request: Request) -> Service:
    """What the call works with."""
    service: Service = request.app.state.service
    return service


def parsed(text: str) -> UUID:
    """The id. 422 for what is none at all, 404 for a UUID that no timer of ours can have."""
    if not _UUID.fullmatch(text):
        raise invalid([*ID_INVALID.errors])
    timer_id = UUID(text)
    if not is_timer_id(timer_id):
        raise TimerNotFound(timer_id)
    return timer_id


async def visible(service: Service, caller: Caller, timer_id: UUID) -> Timer:
    """The timer, as far as this caller sees it: one elsewhere is answered as one that is not there."""
    shards = service.shards
    timer = await of_one(service, shards.holding(timer_id), lambda: get_timer(shards, timer_id))
    directory = await service.directory.covering([timer.owner])
    if not caller.sees(directory.names_of(timer.owner)[0]):
        raise TimerNotFound(timer_id)
    return timer


async def check_visible(service: Service, caller: Caller, timer_id: UUID) -> None:
    """404 unless this caller sees the timer."""
    # A timer stays in its collection, so nothing can change between this look and what follows.
    if caller.collections is not None:
        await visible(service, caller, timer_id)

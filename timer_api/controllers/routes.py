"""Who makes the calls."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import Response
from typing_extensions import TypedDict

from timer_api.answers import json_answer
from timer_api.groups import Moment, Whole
from timer_api.openapi import NO_BODY, UNAVAILABLE, Parts, answer, needs, problems
from timer_api.reading import of_one
from timer_api.service import Service
from timer_db.domain.api_key import Scope
from timer_db.domain.errors import Away
from timer_db.domain.representation import rfc3339
from timer_db.operations.membership import Member, list_members
from timer_db.shards import Shard

router = APIRouter(tags=["operation"])

PATH = "/controllers"


class ControllerShown(TypedDict):
    """A controller that is at work: one entry for each database server that it serves."""

    id: Annotated[int, Field(ge=1, description="As attempts name it; another one each time that it starts.")]
    host: str
    pid: int
    version: str
    joined_at: Moment
    beat_at: Annotated[Moment, Field(description="When it last told that it lives.")]
    claims_in_hand: Annotated[Whole, Field(description="Timers that it is about to call, or whose end it writes.")]
    shard: Annotated[Whole, Field(description="Which server, by its place in `TIMER_DB_URL`, from 0.")]


class ControllersShown(TypedDict):
    """Every controller that is at work, as far as the servers tell."""

    controllers: list[ControllerShown]
    shards_away: Annotated[
        list[Whole],
        Field(description="Servers that do not answer, by the same numbers: who serves them is not told here."),
    ]


DOCUMENTED = Parts(
    models={"ControllersShown": ControllersShown},
    examples={
        "controllers": {
            "controllers": [
                {
                    "id": 3,
                    "host": "worker-1",
                    "pid": 4711,
                    "version": "0.1.0",
                    "joined_at": "2026-11-20T10:09:56.123456Z",
                    "beat_at": "2026-11-20T11:35:43.930932Z",
                    "claims_in_hand": 212,
                    "shard": 0,
                }
            ],
            "shards_away": [],
        }
    },
)


@router.get(
    PATH,
    summary="List controllers",
    operation_id="list_controllers",
    openapi_extra=needs(Scope.timers_read),
    responses={
        200: answer("By server, then the oldest first.", "ControllersShown", "controllers"),
        **problems(PATH, NO_BODY, UNAVAILABLE),
    },
)
async def show(request: Request) -> Response:
    """Those that have joined and not left. One that was killed is here until the others have noticed. Of several
    servers, one that does not answer within seconds is named, and the others tell; 503 when none answers."""
    service: Service = request.app.state.service
    shards = list(service.shards)
    told = await asyncio.gather(*(_members(service, shard) for shard in shards))
    away = [shard.number for shard, members in zip(shards, told, strict=True) if members is None]
    if len(away) == len(shards):
        raise Away(away, len(shards))
    return json_answer(
        {"controllers": [_shown(each) for members in told for each in members or ()], "shards_away": away}
    )


async def _members(service: Service, shard: Shard) -> list[Member] | None:
    """None: it does not answer."""
    try:
        return await of_one(service, shard, partial(list_members, shard))
    except Away:
        return None


def _shown(member: Member) -> ControllerShown:
    return {
        "id": member.id,
        "host": member.host,
        "pid": member.pid,
        "version": member.version,
        "joined_at": rfc3339(member.joined_at_us),
        "beat_at": rfc3339(member.beat_at_us),
        "claims_in_hand": member.claims_in_hand,
        "shard": member.shard,
    }

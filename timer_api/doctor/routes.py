"""`GET /doctor`."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import Response
from typing_extensions import TypedDict

from timer_api.answers import json_answer
from timer_api.groups import Whole
from timer_api.openapi import NO_BODY, UNAVAILABLE, Parts, answer, needs, problems
from timer_api.reading import of_one
from timer_api.service import Service
from timer_db.domain.api_key import Scope
from timer_db.domain.errors import Away
from timer_db.operations.doctor import Report, examine
from timer_db.shards import Shard

log = logging.getLogger(__name__)

router = APIRouter(tags=["operation"])

PATH = "/doctor"


class ExaminedShown(TypedDict):
    """What was found on one database server."""

    shard: Annotated[Whole, Field(description="Which server, by its place in `TIMER_DB_URL`, from 0.")]
    server: Annotated[str, Field(description="Its version, as it says; `unknown` when it does not answer.")]
    # Not `schema`, which is a method of many models of clients.
    schema_version: str
    faults: Annotated[list[str], Field(description="What endangers the promises, each with what to do.")]
    warnings: Annotated[list[str], Field(description="What keeps timers from being called in time.")]


class DiagnosisShown(TypedDict):
    """Of every server."""

    healthy: Annotated[bool, Field(description="Whether nothing was found.")]
    databases: list[ExaminedShown]


DOCUMENTED = Parts(
    models={"DiagnosisShown": DiagnosisShown},
    examples={
        "diagnosis": {
            "healthy": False,
            "databases": [
                {
                    "shard": 0,
                    "server": "9.7.4",
                    "schema_version": "0008",
                    "faults": [],
                    "warnings": ["no controller is at work, so nothing is called: start one"],
                }
            ],
        }
    },
)


@router.get(
    PATH,
    summary="Examine the system",
    operation_id="examine",
    openapi_extra=needs(Scope.admin),
    responses={
        200: answer("What was found, or nothing.", "DiagnosisShown", "diagnosis"),
        **problems(PATH, NO_BODY, UNAVAILABLE),
    },
)
async def show(request: Request) -> Response:
    """Settings and tables of each database, who is at work, what is late, what is stuck, and how far this
    machine's clock is from the database's. It takes some reads, and a trial of two locks. A database that does not
    answer within seconds is reported as one that does not; the others are examined."""
    service: Service = request.app.state.service
    databases = await asyncio.gather(*(_examined(service, shard) for shard in service.shards))
    healthy = not any(found["faults"] or found["warnings"] for found in databases)
    return json_answer({"healthy": healthy, "databases": databases})


async def _examined(service: Service, shard: Shard) -> ExaminedShown:
    """What is found on one server; that it does not answer is a fault like others."""
    try:
        report = await of_one(service, shard, partial(examine, shard))
    except Away as error:
        # The text of what caused it may name servers and users; it is for the log.
        log.warning("database %d could not be examined: %s", shard.number, error.__cause__ or error)
        fault = "it does not answer: look at its machine and at the network to it; the API's log says more"
        report = Report("unknown", "unknown", [fault])
    return {
        "shard": shard.number,
        "server": report.version,
        "schema_version": report.schema_version,
        "faults": report.faults,
        "warnings": report.warnings,
    }

"""For orchestrators: is the process alive, and can it do its work."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, Request
from starlette.responses import Response
from typing_extensions import TypedDict

from timer_api.answers import json_answer
from timer_api.errors import Kind, Problem
from timer_api.openapi import NO_BODY, OPEN_TO_ALL, Parts, answer, problems
from timer_api.service import Service

router = APIRouter(tags=["health"])


class HealthShown(TypedDict):
    """A good answer; any other is a problem."""

    status: Literal["live", "ready"]


DOCUMENTED = Parts(
    models={"HealthShown": HealthShown}, examples={"live": {"status": "live"}, "ready": {"status": "ready"}}
)


@router.get(
    "/health/live",
    summary="Is the process alive",
    operation_id="live",
    openapi_extra=OPEN_TO_ALL,
    responses={
        200: answer("It is; whether the database is there does not matter.", "HealthShown", "live"),
        **problems("/health/live", NO_BODY),
    },
)
async def live() -> Response:
    """Restart a process that does not answer this."""
    return json_answer({"status": "live"})


@router.get(
    "/health/ready",
    summary="Can it do its work",
    operation_id="ready",
    openapi_extra=OPEN_TO_ALL,
    responses={
        200: answer("The database answers and is fit for use.", "HealthShown", "ready"),
        **problems(
            "/health/ready",
            NO_BODY,
            Problem(Kind.database_unavailable, "the database was not reached yet"),
        ),
    },
)
async def ready(request: Request) -> Response:
    """Send no calls to a process that does not answer this with 200."""
    service: Service = request.app.state.service
    if reason := service.unready_because:
        raise Problem(Kind.database_unavailable, reason)
    return json_answer({"status": "ready"})

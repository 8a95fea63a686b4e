"""`GET /metrics`."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from timer_api.api_keys.caller import caller_of
from timer_api.errors import Kind, Problem
from timer_api.openapi import NO_BODY, Parts, needs, problems
from timer_api.service import Service
from timer_db.domain.api_key import Scope

router = APIRouter(tags=["operation"])
DOCUMENTED = Parts(
    models={},
    examples={"metrics": "# HELP timer_ready 1 while it works.\n# TYPE timer_ready gauge\ntimer_ready 1.0\n"},
)

PATH = "/metrics"


@router.get(
    PATH,
    summary="Numbers for Prometheus",
    operation_id="metrics",
    response_class=Response,
    openapi_extra=needs(Scope.timers_read),
    responses={
        200: {
            "description": "In the text format, or as OpenMetrics where `Accept` asks for it.",
            "content": {
                "text/plain": {"schema": {"type": "string"}, "example": "metrics"},
                "application/openmetrics-text": {"schema": {"type": "string"}, "example": "metrics"},
            },
        },
        **problems(PATH, NO_BODY),
    },
)
async def metrics(request: Request) -> Response:
    """Of this process, since it began; the database is not asked. A key that is bound to collections is
    refused."""
    service: Service = request.app.state.service
    if caller_of(request).collections is not None:
        raise Problem(Kind.forbidden, "the key is bound to collections, and these numbers are about all of them")
    body, media_type = service.metrics.shown(request.headers.get("accept", ""))
    return Response(body, headers={"Content-Type": media_type})

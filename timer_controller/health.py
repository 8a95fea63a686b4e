"""For orchestrators `/health/live` and `/health/ready`, and for Prometheus `/metrics`."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from timer_controller.service import Controller


def health_app(controller: Controller) -> Starlette:
    """These, and nothing else."""

    async def live(_: Request) -> JSONResponse:
        return JSONResponse({"status": "live"})

    async def ready(_: Request) -> JSONResponse:
        if controller.is_ready:
            return JSONResponse({"status": "ready"})
        return JSONResponse({"status": "not ready", "reason": "the database takes no beats"}, status_code=503)

    async def metrics(request: Request) -> Response:
        body, media_type = controller.metrics.shown(request.headers.get("accept", ""))
        return Response(body, headers={"Content-Type": media_type})

    return Starlette(
        routes=[Route("/health/live", live), Route("/health/ready", ready), Route("/metrics", metrics)]
    )


class _Server(uvicorn.Server):
    """Leaves signals to the controller."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.asynccontextmanager
async def serve_health(controller: Controller, listening: socket.socket | None) -> AsyncIterator[None]:
    """Serve while the body runs; without a socket, nothing."""
    if listening is None:
        yield
        return
    config = uvicorn.Config(health_app(controller), log_config=None, log_level="warning", lifespan="off")
    server = _Server(config)
    serving = asyncio.create_task(server.serve([listening]))
    try:
        yield
    finally:
        server.should_exit = True
        await serving

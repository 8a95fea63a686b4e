"""Health endpoints for orchestrators: `/health/live` and `/health/ready`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from timer_controller.service import Controller


def health_app(controller: Controller) -> Starlette:
    """The two endpoints, and nothing else."""

    async def live(_: Request) -> JSONResponse:
        return JSONResponse({"status": "live"})

    async def ready(_: Request) -> JSONResponse:
        if controller.is_ready:
            return JSONResponse({"status": "ready"})
        return JSONResponse({"status": "not ready", "reason": "the database takes no beats"}, status_code=503)

    return Starlette(routes=[Route("/health/live", live), Route("/health/ready", ready)])


class _Server(uvicorn.Server):
    """Leaves signals to the controller."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.asynccontextmanager
async def serve_health(controller: Controller, host: str, port: int) -> AsyncIterator[None]:
    """Serve while the body runs; port 0 serves nothing."""
    if port == 0:
        yield
        return
    config = uvicorn.Config(
        health_app(controller), host=host, port=port, log_config=None, log_level="warning", lifespan="off"
    )
    server = _Server(config)
    serving = asyncio.create_task(server.serve())
    try:
        yield
    finally:
        server.should_exit = True
        await serving

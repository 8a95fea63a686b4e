"""Health endpoints for orchestrators: `/health/live` and `/health/ready`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

import uvicorn
from fastapi import FastAPI
from fastapi.responses import JSONResponse

from timer_controller.service import Controller


def health_app(controller: Controller) -> FastAPI:
    """The two endpoints, and nothing else."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/health/live")
    async def live() -> JSONResponse:
        return JSONResponse({"status": "live"})

    @app.get("/health/ready")
    async def ready() -> JSONResponse:
        if controller.is_ready:
            return JSONResponse({"status": "ready"})
        return JSONResponse({"status": "not ready", "reason": "the database takes no beats"}, status_code=503)

    return app


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
    config = uvicorn.Config(health_app(controller), host=host, port=port, log_level="warning", lifespan="off")
    server = _Server(config)
    serving = asyncio.create_task(server.serve())
    try:
        yield
    finally:
        server.should_exit = True
        await serving

"""The application: FastAPI with our routes and problems, behind a door that answers creates by itself."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib import metadata

from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from timer_api import docs, errors, health, openapi
from timer_api.errors import Kind, Problem
from timer_api.json_body import ClientGone
from timer_api.service import OnFatal, Service
from timer_api.settings import ApiSettings
from timer_api.timers import batch, create
from timer_api.timers import routes as timers
from timer_db.domain.errors import TimerError

log = logging.getLogger(__name__)

_DESCRIPTION = """A timer is one promise to call one URL at one time.

What was answered 2xx is stored, and called whatever crashes. Every answer that is no success is a problem as
in RFC 9457, with a `type` for programs and, where a field is wrong, its path."""

_Handle = Callable[[Service, Scope, Receive, Send], Awaitable[None]]

_WITHOUT_BODY = frozenset({"GET", "HEAD", "DELETE"})


def create_app(settings: ApiSettings, on_fatal: OnFatal = log.critical) -> FrontDoor:
    """The ASGI application. `on_fatal` is told when the service can never do its work."""
    service = Service(settings, on_fatal)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        service.start()
        yield
        await service.stop()

    app = FastAPI(
        title="Timer System",
        summary="Call this URL then, once.",
        description=_DESCRIPTION,
        version=metadata.version("timer-system"),
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        openapi_tags=[{"name": "timers"}, {"name": "health"}],
    )
    app.state.service = service
    app.include_router(timers.router)
    app.include_router(health.router)
    errors.install(app)
    docs.install(app)
    openapi.install(app, timers.DOCUMENTED, health.DOCUMENTED)
    return FrontDoor(app, service)


class FrontDoor:
    """Answers creates by the short way, refuses bodies where there can be none, and hands on the rest."""

    def __init__(self, app: FastAPI, service: Service) -> None:
        self.app = app
        self.service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
        elif scope["method"] == "POST" and scope["path"] == create.PATH:
            await self._answered(create.handle, scope, receive, send)
        elif scope["method"] == "POST" and scope["path"] == batch.PATH:
            await self._answered(batch.handle, scope, receive, send)
        elif scope["method"] in _WITHOUT_BODY and _has_body(scope) and self._is_served(scope):
            problem = Problem(Kind.body_not_allowed, f"{scope['method']} takes no body")
            await problem.response(scope["path"])(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _answered(self, handle: _Handle, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await handle(self.service, scope, receive, send)
            return
        except ClientGone:
            return
        except Problem as error:
            problem = error
        except TimerError as error:
            problem = errors.from_error(error)
        except Exception as error:  # noqa: BLE001 - it is logged, and answered as 500
            problem = errors.internal(error)
        await problem.response(scope["path"])(scope, receive, send)

    def _is_served(self, scope: Scope) -> bool:
        """Whether the path has the method, or is none of the API's; else the answer is 405, body or not."""
        methods = errors.methods_of(self.app, scope["path"])
        return not methods or scope["method"] in methods


def _has_body(scope: Scope) -> bool:
    return any(
        name == b"transfer-encoding" or (name == b"content-length" and value.strip(b"0") != b"")
        for name, value in scope["headers"]
    )

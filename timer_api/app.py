"""The application: FastAPI with our routes and problems, behind a door that answers creates by itself."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib import metadata
from time import perf_counter
from typing import TYPE_CHECKING

from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from timer_api import docs, errors, health, openapi
from timer_api.api_keys import routes as api_keys
from timer_api.api_keys.caller import Caller, note_caller
from timer_api.collections import routes as collections
from timer_api.console import app as console
from timer_api.console.app import Console
from timer_api.controllers import routes as controllers
from timer_api.doctor import routes as doctor
from timer_api.errors import Kind, Problem
from timer_api.events import routes as events
from timer_api.json_body import ClientGone
from timer_api.metrics import routes as metrics
from timer_api.metrics.tally import Noted
from timer_api.routes import routes
from timer_api.schedules import routes as schedules
from timer_api.served import Served
from timer_api.service import OnFatal, Service
from timer_api.settings import ApiSettings
from timer_api.timers import batch, create
from timer_api.timers import routes as timers
from timer_db.domain.api_key import Scope as KeyScope
from timer_db.domain.errors import TimerError

if TYPE_CHECKING:
    from timer_db.traces import Tracing

log = logging.getLogger(__name__)

_DESCRIPTION = """A timer is one promise to call one URL at one time.

What was answered 2xx is stored, and called whatever crashes. Every answer that is no success is a problem as
in RFC 9457, with a `type` for programs and, where a field is wrong, its path.

JSON is refused where readers could differ: keys given twice, numbers beyond 64 bits, the character NUL, whole
numbers with a point, more than 64 levels."""

_RESOURCES = (timers, schedules, collections, routes, events, controllers, doctor, metrics, api_keys, health)
_Handle = Callable[[Service, Caller, Scope, Receive, Send], Awaitable[int]]
"""Gives the status that it answered with."""

_SHORT_WAYS: dict[str, _Handle] = {create.PATH: create.handle, batch.PATH: batch.handle}
"""Calls by POST that FastAPI only documents."""
_ANY_KEY: frozenset[KeyScope] = frozenset()
_WITHOUT_BODY = frozenset({"GET", "HEAD", "DELETE"})


def create_app(
    settings: ApiSettings,
    on_fatal: OnFatal = log.critical,
    monotonic: Callable[[], float] = time.monotonic,
    tracing: Tracing | None = None,
) -> FrontDoor:
    """The ASGI application. `on_fatal` is told when the service can never do its work. Calls are traced when there
    is a `tracing`."""
    service = Service(settings, on_fatal, monotonic)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        service.start()
        yield
        await door.console.stop()
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
        openapi_tags=[
            {"name": "timers"},
            {"name": "schedules"},
            {"name": "collections"},
            {"name": "routes"},
            {"name": "operation"},
            {"name": "api keys"},
            {"name": "health"},
        ],
    )
    app.state.service = service
    for resource in _RESOURCES:
        app.include_router(resource.router)
    errors.install(app)
    docs.install(app)
    openapi.install(app, *[resource.DOCUMENTED for resource in _RESOURCES])
    door = FrontDoor(app, service, tracing)
    return door


class FrontDoor:
    """Lets in who may call, answers creates by the short way, refuses bodies where there can be none, and hands on
    the rest.

    What is in no document is served to nobody, so no route can be forgotten here. The console is the exception: it
    has a door of its own, and comes back through this one for whatever it shows and does.
    """

    def __init__(self, app: FastAPI, service: Service, tracing: Tracing | None = None) -> None:
        self.app = app
        self.service = service
        self._served = Served(app.openapi())
        self.traces = None
        if tracing is not None:
            from timer_api.traces import Traces

            self.traces = Traces(tracing, self._served.template_of)
        self.console = Console(service, self)
        self._short_ways = {path: (handle, self._served.at(path)["POST"]) for path, handle in _SHORT_WAYS.items()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.traces is not None and scope["type"] == "http":
            await self.traces.around(self._serve, scope, receive, send)
        else:
            await self._serve(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] == "websocket":
            # There are none; one that is added later would pass by the checks below.
            await send({"type": "websocket.close"})
            return
        if console.is_part(scope["path"]):
            await self.console(scope, receive, send)
            return
        began_at, method, path = perf_counter(), scope["method"], scope["path"]
        tally = self.service.tally
        try:
            if method == "POST" and (short_way := self._short_ways.get(path)):
                handle, needed = short_way
                caller = self.service.gate.admit(scope["headers"], needed)
                status = await handle(self.service, caller, scope, receive, send)
                tally.note(method, path, status, began_at)
                return
            self._let_in(scope)
        except ClientGone:
            return
        except Problem as error:
            # Its traceback leads to this frame, and so back to it: what both hold would wait for the collector.
            problem = error.with_traceback(None)
        except TimerError as error:
            problem = errors.from_error(error)
        except Exception as error:  # noqa: BLE001 - it is logged, and answered as 500
            problem = errors.internal(error)
        else:
            noted = Noted(send)
            await self.app(scope, receive, noted)
            tally.note(method, self._served.template_of(path), noted.status, began_at)
            return
        await problem.response(path)(scope, receive, send)
        tally.note(method, self._served.template_of(path), problem.kind.status, began_at)

    def _let_in(self, scope: Scope) -> None:
        """Raises Problem for a call that is not to be made."""
        method, path = scope["method"], scope["path"]
        operations = self._served.at(path)
        if operations or not docs.is_part(path):
            needed = operations.get(method, _ANY_KEY)
            # Health is open to all; that nothing is there, only those with a key are told.
            if needed or method not in operations:
                note_caller(scope, self.service.gate.admit(scope["headers"], needed))
            if method not in operations:
                raise errors.not_served(method, operations)
        if method in _WITHOUT_BODY and _has_body(scope):
            raise Problem(Kind.body_not_allowed, f"{method} takes no body")


def _has_body(scope: Scope) -> bool:
    return any(
        name == b"transfer-encoding" or (name == b"content-length" and value.strip(b"0") != b"")
        for name, value in scope["headers"]
    )

"""The console as an ASGI application: who is let in, which page it is, and how it is answered.

Every page stands at an address of its own, to be looked at (GET), to be acted on (POST) and, where it is live, to
be watched (GET by an EventSource).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from hmac import compare_digest
from importlib import resources
from pathlib import Path
from urllib.parse import parse_qs

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from timer_api import errors, json_body
from timer_api.api_keys.caller import EVERYBODY, Caller, missing, not_allowed
from timer_api.console import echo, login
from timer_api.console.client import Client, Refused
from timer_api.console.live import Streams
from timer_api.console.places import Place, place_of
from timer_api.console.pulse import Pulse
from timer_api.console.rendering import Renderer
from timer_api.console.session import COOKIE, Session, came_from_here, opened
from timer_api.console.visit import PREFIX, STREAM, Answer, Moved, Page, Visit
from timer_api.errors import Kind, Problem
from timer_api.reading import doing_without
from timer_api.service import Service
from timer_db.domain.errors import TimerError

FORM_BYTES_MAX = 1_200_000
"""A little more than the largest body of a create."""
FORM_FIELDS_MAX = 2000
PAGE_SECONDS = 3.0
"""So long a page is waited for before it matters whether the database answers at all."""
_FILES = Path(str(resources.files("timer_api.console"))) / "files"
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self';"
    " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    # Another value than this would make browsers hide where a form comes from.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def is_part(path: str) -> bool:
    """Whether a path belongs to the console, which lets callers in by itself."""
    return path == PREFIX or path.startswith(f"{PREFIX}/")


class Console:
    """One process's console. `api` is the front door, where its calls go in; `wall` gives Unix time."""

    def __init__(self, service: Service, api: ASGIApp, wall: Callable[[], float] = time.time) -> None:
        self._service = service
        self._api = api
        self._wall = wall
        self._render = Renderer()
        self._files = StaticFiles(directory=_FILES)
        self._pulses: dict[frozenset[str] | None, Pulse] = {}
        self.streams = Streams()

    async def stop(self) -> None:
        """Look at the database no more."""
        for pulse in self._pulses.values():
            await pulse.stop()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            answer = await self._answer(request)
        except json_body.ClientGone:
            return
        for name, value in _HEADERS.items():
            answer.headers[name] = value
        answer.headers.setdefault("Cache-Control", "no-store")
        await answer(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        visit: Visit | None = None
        try:
            path = request.url.path.removeprefix(PREFIX)
            if path.startswith(echo.PATH):
                return await echo.receive(request)
            if path.startswith("/files/"):
                return await self._file(request, path.removeprefix("/files/"))
            _check_method(request)
            form = await _form(request) if request.method == "POST" else {}
            if path == login.PATH:
                return await self._log_in(request, form)
            session = self._session(request)
            if session is None and not self._service.gate.is_open:
                return self._without_session(request)
            visit = self._visit(request, session, form)
            return await self._served(visit, path)
        except (Refused, Problem, TimerError) as error:
            return self._refusal(visit, error)
        except json_body.ClientGone:
            raise
        except Exception as error:  # noqa: BLE001 - it is logged, and answered as 500
            return self._refusal(visit, errors.internal(error))

    async def _file(self, request: Request, path: str) -> Response:
        try:
            found = await self._files.get_response(path, request.scope)
        except HTTPException:
            raise errors.not_served("GET", ()) from None
        # A copy that was kept is asked about each time: the modules of two versions never meet.
        found.headers["Cache-Control"] = "no-cache"
        return found

    async def _served(self, visit: Visit, path: str) -> Response:
        place, parts = place_of(path)
        visit.request.scope["path_params"] = parts
        if visit.request.method == "POST":
            return await self._acted(visit, place)
        if place.scope not in visit.caller.scopes:
            raise not_allowed([place.scope])
        if visit.is_watched:
            return await self._watched(visit, place)
        return self._response(visit, await self._shown(visit, place))

    async def _shown(self, visit: Visit, place: Place) -> Answer:
        """The page, however long it takes while the database answers. What was asked of one that does not is left
        to end by itself; of several, the page does without one that is not the first."""
        visit.left_out.clear()
        with doing_without(visit.left_out):
            making = asyncio.ensure_future(place.show(visit))
        making.add_done_callback(lambda made: made.cancelled() or made.exception())
        while not (await asyncio.wait([making], timeout=PAGE_SECONDS))[0]:
            if not self._service.keeper.is_ready:
                raise self._service.unavailable
        return making.result()

    async def _acted(self, visit: Visit, place: Place) -> Response:
        if place.act is None:
            raise errors.not_served("POST", ("GET",))
        token = visit.session.form_token if visit.session else ""
        if not compare_digest(visit.field("form_token").encode(), token.encode()):
            raise Problem(Kind.forbidden, "the form is of another session; open the page again")
        with doing_without(visit.left_out):
            return self._response(visit, await place.act(visit))

    async def _watched(self, visit: Visit, place: Place) -> Response:
        first = await self._shown(visit, place)
        if not isinstance(first, Page) or first.live_seconds is None:
            raise errors.not_served("GET as a stream", ())
        if self.streams.are_full:
            raise Problem(Kind.busy, "too many pages are being watched here")

        async def render() -> str:
            if not self._may_still_look(visit):
                raise missing()
            page = await self._shown(visit, place)
            return self._render.part(visit, page) if isinstance(page, Page) else ""

        async def events() -> AsyncIterator[bytes]:
            try:
                async for event in self.streams.stream(render, first.live_seconds or 1.0):
                    yield event
            except (Refused, Problem, TimerError):
                # The browser asks again, and is told what it is.
                return

        return StreamingResponse(events(), media_type=STREAM, headers={"X-Accel-Buffering": "no"})

    def _response(self, visit: Visit, answer: Answer) -> Response:
        if isinstance(answer, Moved):
            return RedirectResponse(answer.location, 303)
        return HTMLResponse(self._render.page(visit, answer), answer.status)

    def _refusal(self, visit: Visit | None, error: Exception) -> Response:
        match error:
            case Refused():
                status, problem = error.status, error.problem
            case Problem():
                status, problem = error.kind.status, error.document("")
            case TimerError():
                return self._refusal(visit, errors.from_error(error))
            case _:
                raise error
        page = Page("problem.html", {"problem": problem}, status)
        return HTMLResponse(self._render.page(visit, page), status)

    # Who it is

    def _session(self, request: Request) -> Session | None:
        cookie = request.cookies.get(COOKIE)
        return opened(cookie, self._service.gate, self._wall()) if cookie else None

    def _may_still_look(self, visit: Visit) -> bool:
        """A session that is over, or whose key was revoked, sees no more; nor does who came without a key, once
        there is one."""
        if visit.session is None:
            return self._service.gate.is_open
        return self._session(visit.request) is not None

    def _visit(self, request: Request, session: Session | None, form: dict[str, list[str]]) -> Visit:
        key = session.key if session else None
        caller = self._service.gate.holder_of(key.encode()) if key else EVERYBODY
        return Visit(request, self._service, session, caller, Client(self._api, key), self._pulse_of, form)

    def _without_session(self, request: Request) -> Response:
        if not self._service.gate.is_known:
            raise Problem(Kind.database_unavailable, "the API keys could not be read yet; try again soon")
        if request.method == "GET" and STREAM not in request.headers.get("accept", ""):
            return RedirectResponse(login.location(request), 303)
        raise missing("the session is over; log in again")

    async def _log_in(self, request: Request, form: dict[str, list[str]]) -> Response:
        if request.method != "POST":
            return HTMLResponse(self._render.page(None, login.page(request)))
        return login.answer(request, form, self._service.gate, self._wall(), self._render)

    def _pulse_of(self, caller: Caller) -> Pulse:
        bound = caller.collections
        if bound not in self._pulses:
            self._pulses[bound] = Pulse(self._service.shards, lambda: self._ids_of(bound))
        return self._pulses[bound]

    def _ids_of(self, names: frozenset[str] | None) -> list[int] | None:
        if names is None:
            return None
        found = map(self._service.directory.current.collection_named, names)
        return [collection.id for collection in found if collection is not None]


def _check_method(request: Request) -> None:
    if request.method not in ("GET", "HEAD", "POST"):
        raise errors.not_served(request.method, ("GET", "POST"))
    if request.method == "POST" and not came_from_here(request.headers.raw):
        raise Problem(Kind.forbidden, "the form was not sent from a page of this console")


async def _form(request: Request) -> dict[str, list[str]]:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/x-www-form-urlencoded":
        raise Problem(Kind.unsupported_media_type, "the console takes forms of its own pages")
    raw = await json_body.read(request.headers.raw, request.receive, FORM_BYTES_MAX)
    try:
        return parse_qs(raw.decode(), keep_blank_values=True, max_num_fields=FORM_FIELDS_MAX)
    except ValueError:
        raise Problem(Kind.bad_request, "the form cannot be read") from None

"""Logging in and out: an API key for a cookie, and back."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from timer_api.api_keys.gate import Gate
from timer_api.console.rendering import Renderer
from timer_api.console.session import COOKIE, KEY_MAX, sealed
from timer_api.console.visit import PREFIX, Page
from timer_api.errors import Kind, Problem

PATH = "/login"
# No part of a path begins with a dot: browsers would go up.
_PAGE = re.compile(rf"{PREFIX}(?:/[A-Za-z0-9_-][A-Za-z0-9._-]*)*")


def location(request: Request) -> str:
    """Where to log in, to come back afterwards."""
    wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return f"{PREFIX}{PATH}?{urlencode({'next': wanted})}"


def page(request: Request, problem: str = "", status: int = 200) -> Page:
    """The form."""
    context = {"problem": problem, "next": request.query_params.get("next", ""), "error": bool(problem)}
    return Page("login.html", context, status)


def answer(request: Request, form: dict[str, list[str]], gate: Gate, now: float, render: Renderer) -> Response:
    """In with a valid key, out without any."""
    if "out" in form:
        gone = RedirectResponse(PREFIX + PATH, 303)
        gone.delete_cookie(COOKIE, path=PREFIX)
        return gone
    key = form.get("key", [""])[0].strip()
    if not key or len(key) > KEY_MAX:
        return _again(request, render, "Enter an API key.", 422)
    try:
        gate.holder_of(key.encode())
    except Problem as refused:
        if refused.kind is not Kind.unauthorized:
            raise
        return _again(request, render, "The key is unknown or revoked.", 401)
    entered = RedirectResponse(_next(request), 303)
    entered.set_cookie(
        COOKIE, sealed(key, now), path=PREFIX, secure=_is_https(request), httponly=True, samesite="strict"
    )
    return entered


def _again(request: Request, render: Renderer, problem: str, status: int) -> Response:
    return HTMLResponse(render.page(None, page(request, problem, status)), status)


def _next(request: Request) -> str:
    """A page of ours that was wanted before; never another site's."""
    wanted = urlsplit(request.query_params.get("next", ""))
    if wanted.scheme or wanted.netloc or not _PAGE.fullmatch(wanted.path):
        return PREFIX
    return wanted.path + (f"?{urlencode(parse_qsl(wanted.query))}" if wanted.query else "")


def _is_https(request: Request) -> bool:
    """Here, or at the proxy in front."""
    return "https" in (request.url.scheme, request.headers.get("x-forwarded-proto", ""))

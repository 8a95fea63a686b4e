"""The built-in receiver: it answers a call with what arrived.

Controllers keep the beginning of each answer, so what arrived is seen in the timer's attempts, whichever copy of
the API was called. Nothing is stored here. It is open to all, as receivers are: it tells what the caller said.
"""

from __future__ import annotations

import re

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from timer_api import json_body

PATH = "/echo/"
BODY_BYTES_MAX = 65_536
_SHOWN_CHARACTERS = 1000
"""Controllers keep 1 KiB."""
_LEFT_OUT = frozenset({"host", "user-agent", "accept", "accept-encoding", "connection", "content-length"})
"""Headers that tell a newcomer little."""
_STATUS = re.compile(r"[2-5][0-9]{2}")
_WITHOUT_BODY = frozenset({204, 205, 304})
"""RFC 9110, 15.3.5, 15.3.6 and 15.4.5."""


async def receive(request: Request) -> Response:
    """The call as text, with the status that the query asks for (`status=503`), or 200; nothing with a status that
    goes without a body."""
    body = await json_body.read(request.headers.raw, request.receive, BODY_BYTES_MAX)
    asked = request.query_params.get("status", "")
    status = int(asked) if _STATUS.fullmatch(asked) else 200
    if status in _WITHOUT_BODY:
        return Response(status_code=status)
    lines = [f"{request.method} {request.url.path}"]
    lines += [f"{name}: {value}" for name, value in request.headers.items() if name not in _LEFT_OUT]
    text = "\n".join([*lines, "", body.decode(errors="replace")])
    return PlainTextResponse(text[:_SHOWN_CHARACTERS], status)

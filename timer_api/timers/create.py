"""`POST /timers`, the call that must be cheap.

It works on the raw request: FastAPI's own way through router, dependencies and models costs several times
what everything here does. `app.FrontDoor` brings requests straight to `answer`; the route in `routes`
documents the call.
"""

from __future__ import annotations

from starlette.responses import Response
from starlette.types import Receive, Scope

from timer_api import json_body
from timer_api.answers import json_answer
from timer_api.errors import Kind, Problem, from_error
from timer_api.intake import LineFull
from timer_api.service import Service
from timer_api.timers.creation import build, check
from timer_db.domain.errors import NameTaken
from timer_db.domain.representation import represent
from timer_db.domain.timer import DEFAULT_COLLECTION
from timer_db.operations.schedule import choose_id

PATH = "/timers"


async def answer(service: Service, scope: Scope, receive: Receive) -> Response:
    """Make the timer that the request asks for. Raises Problem, or an error of the data layer."""
    headers = scope["headers"]
    json_body.check_media_type(headers)
    raw = await json_body.read(headers, receive, service.settings.api_body_bytes)
    asked = check(json_body.parse_object(raw))
    now_us = service.now_us()
    timer_id = choose_id(service.shards, now_us, DEFAULT_COLLECTION, asked.get("name"))
    timer = build(asked, timer_id, now_us)
    try:
        made = await service.intake.put(timer, len(raw))
    except LineFull:
        raise Problem(Kind.busy, "too many creates are waiting; try again soon") from None
    if isinstance(made, NameTaken):
        raise from_error(made)
    shown = represent(made.timer, service.clock.latest_us())
    return json_answer(shown, 201 if made.created else 200, {"Location": f"{PATH}/{shown['id']}"})

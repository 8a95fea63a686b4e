"""`POST /timers`, the call that must be cheap.

It works on the raw request: FastAPI's own way through router, dependencies and models costs several times
what everything here does. `app.FrontDoor` brings requests straight to `handle`; the route in `routes`
documents the call.
"""

from __future__ import annotations

from starlette.types import Receive, Scope, Send

from timer_api import json_body, json_value
from timer_api.api_keys.caller import Caller
from timer_api.errors import Kind, Problem, from_error
from timer_api.intake import LineFull
from timer_api.service import Service
from timer_api.timers.creation import build, check
from timer_api.timers.owner import directory_for, owner_of
from timer_api.timers.shown import shown
from timer_db.domain.errors import NameTaken
from timer_db.domain.owner import DEFAULT_COLLECTION
from timer_db.operations.schedule import choose_id

PATH = "/timers"


async def handle(service: Service, caller: Caller, scope: Scope, receive: Receive, send: Send) -> None:
    """Make the timer that the request asks for, and answer. Raises Problem, or an error of the data layer."""
    headers = scope["headers"]
    json_body.check_media_type(headers)
    raw = await json_body.read(headers, receive, service.settings.api_body_bytes)
    asked = check(json_value.parse_object(raw))
    now_us = service.now_us()
    directory = await directory_for(service.directory, [asked])
    owner = owner_of(asked, caller, directory)
    timer_id = choose_id(service.shards, now_us, asked.get("collection", DEFAULT_COLLECTION), asked.get("name"))
    defaults = directory.collections[owner.collection_id].settings.defaults
    timer = build(asked, timer_id, now_us, owner, defaults)
    try:
        made = await service.store(timer, len(raw))
    except LineFull:
        raise Problem(Kind.busy, "too many creates are waiting; try again soon") from None
    if isinstance(made, NameTaken):
        raise from_error(made)
    directory = await service.directory.covering([made.timer.owner])
    body = shown(made, service.clock.latest_us(), directory).encode()
    answer_headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"location", f"{PATH}/{made.timer.id}".encode()),
    ]
    status = 201 if made.created else 200
    await send({"type": "http.response.start", "status": status, "headers": answer_headers})
    await send({"type": "http.response.body", "body": body})

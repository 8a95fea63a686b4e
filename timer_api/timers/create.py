"""`POST /timers`, the call that must be cheap.

It works on the raw request: FastAPI's own way through router, dependencies and models costs several times
what everything here does. `app.FrontDoor` brings requests straight to `handle`; the route in `routes`
documents the call.
"""

from __future__ import annotations

from starlette.types import Receive, Scope, Send

from timer_api import idempotency, json_body, json_value
from timer_api.api_keys.caller import Caller
from timer_api.errors import Kind, Problem
from timer_api.intake import LineFull
from timer_api.service import Service
from timer_api.timers.creation import build, check
from timer_api.timers.owner import directory_for, owner_of
from timer_api.timers.shown import shown
from timer_db.domain.owner import DEFAULT_COLLECTION
from timer_db.operations.idempotency import choose_ids, find_stored
from timer_db.operations.schedule import Scheduled, choose_id

PATH = "/timers"


async def handle(service: Service, caller: Caller, scope: Scope, receive: Receive, send: Send) -> int:
    """Make the timer that the request asks for, and answer; gives the status.

    Raises Problem, or an error of the data layer.
    """
    headers = scope["headers"]
    json_body.check_media_type(headers)
    key = idempotency.key_of(headers)
    raw = await json_body.read(headers, receive, service.settings.api_body_bytes)
    asked = check(json_value.parse_object(raw))
    now_us = service.now_us()
    directory = await directory_for(service.directory, [asked])
    owner = owner_of(asked, caller, directory)
    collection, name = asked.get("collection", DEFAULT_COLLECTION), asked.get("name")
    defaults = directory.collections[owner.collection_id].settings.defaults
    held = None
    if key is None:
        timer_id = choose_id(service.shards, now_us, collection, name)
    else:
        held = await idempotency.hold(service, caller, key, PATH, raw, now_us)
        now_us = held.first_us
        (timer_id,) = choose_ids(service.shards, held, [None if name is None else (collection, name)])
    timer = build(asked, timer_id, now_us, owner, defaults)
    is_replayed = held is not None and held.is_repeat and bool(await find_stored(service.shards, [timer_id]))
    if is_replayed:
        made = Scheduled(timer, True)
    else:
        try:
            made = await service.store(timer, len(raw))
        except LineFull:
            raise Problem(Kind.busy, "too many creates are waiting; try again soon") from None
    directory = await service.directory.covering([made.timer.owner])
    # With a key, a repeat is answered as the first time, unless defaults of its collection have changed.
    body = shown(made, service.clock.latest_us() if held is None else now_us, directory).encode()
    answer_headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"location", f"{PATH}/{made.timer.id}".encode()),
    ]
    if is_replayed:
        answer_headers.append(idempotency.IS_REPLAYED)
    status = 201 if made.created else 200
    await send({"type": "http.response.start", "status": status, "headers": answer_headers})
    await send({"type": "http.response.body", "body": body})
    return status

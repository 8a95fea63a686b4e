"""Who may read the numbers of the API."""

from __future__ import annotations

from timer_api.errors import Kind
from timer_api.settings import ApiSettings

from .conftest import ready
from .keyed import BOOTSTRAP, assert_refused, bearing, make_key


async def test_they_are_for_keys_that_may_read_everything(keys_url: str) -> None:
    async with ready(ApiSettings(db_url=keys_url, api_keys=BOOTSTRAP)) as (app, client):
        reader = await make_key(client, "timers:read")
        bound = await make_key(client, "timers:read", collections=["default"])
        writer = await make_key(client, "timers:write")
        await app.service.gate.refresh()
        answer = await client.get("/metrics", headers=bearing(reader))
        assert answer.status_code == 200
        assert BOOTSTRAP not in answer.text
        assert reader not in answer.text
        assert_refused(await client.get("/metrics"), Kind.unauthorized)
        assert_refused(await client.get("/metrics", headers=bearing(writer)), Kind.forbidden)
        refused = await client.get("/metrics", headers=bearing(bound))
        assert (refused.status_code, refused.json()["type"]) == (403, Kind.forbidden.type)

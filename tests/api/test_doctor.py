"""`GET /doctor`, and what it is asked with."""

from __future__ import annotations

import httpx
import pytest

from tests.db import scratch
from timer_api.errors import Kind
from timer_api.settings import ApiSettings

from .conftest import ready
from .keyed import BOOTSTRAP, assert_refused, bearing, make_key

pytestmark = pytest.mark.asyncio(loop_scope="package")


async def test_it_says_what_is_wrong(client: httpx.AsyncClient, database_url: str) -> None:
    scratch.run(database_url, "DELETE FROM controllers")
    answer = await client.get("/doctor")
    assert answer.status_code == 200
    found = answer.json()
    assert found["healthy"] is False
    [database] = found["databases"]
    assert (database["shard"], database["faults"]) == (0, [])
    assert "no controller is at work, so nothing is called: start one" in database["warnings"]


async def test_it_is_for_administrators(keys_url: str) -> None:
    async with ready(ApiSettings(db_url=keys_url, api_keys=BOOTSTRAP)) as (app, client):
        reader = bearing(await make_key(client, "timers:read", "timers:write"))
        await app.service.gate.refresh()
        assert_refused(await client.get("/doctor", headers=reader), Kind.forbidden)
        assert_refused(await client.get("/doctor"), Kind.unauthorized)
        assert (await client.get("/doctor", headers=bearing(BOOTSTRAP))).status_code == 200

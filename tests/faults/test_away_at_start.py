"""The services are started while the database is away."""

from __future__ import annotations

import asyncio
from collections import Counter

import httpx

from tests.history import schedule_many
from tests.system import System
from timer_db.shards import Shards


async def test_both_services_wait_for_a_database_that_is_away_at_start(system: System, shards: Shards) -> None:
    ids = await schedule_many(shards, 20, system.receiver.url)
    await asyncio.to_thread(system.server.stop)
    api = await system.start_api(ready=httpx.codes.SERVICE_UNAVAILABLE, db_connect_wait_seconds=0.1)
    controller = await system.start_controller(ready=httpx.codes.SERVICE_UNAVAILABLE, db_connect_wait_seconds=0.1)
    answer = await api.client.post("/timers", json={"seconds": 1, "url": system.receiver.url})
    assert answer.status_code == httpx.codes.SERVICE_UNAVAILABLE
    await asyncio.to_thread(system.server.start)
    await api.wait_until(httpx.codes.OK)
    await system.receiver.wait_for_ids(20)
    assert system.receiver.counts() == Counter(ids)
    assert "waiting for the database" in controller.log_text()


async def test_a_controller_gives_up_after_the_tries_it_was_given(system: System) -> None:
    await asyncio.to_thread(system.server.stop)
    settings = {"DB_CONNECT_ATTEMPTS": 2, "DB_CONNECT_WAIT_SECONDS": 0.1}
    service = await system.start("timer_controller", settings)
    assert service.process
    async with asyncio.timeout(30):
        assert await service.process.wait() == 1
    assert "no connection to the database" in service.log_text().splitlines()[-1]

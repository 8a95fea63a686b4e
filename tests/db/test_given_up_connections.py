"""Whatever is under way when the connections are closed, none stays open. A warning about one fails the test."""

from __future__ import annotations

import asyncio
import gc
from contextlib import suppress

import pytest

from tests.db.proxy import Proxy, When
from timer_db import transactions
from timer_db.domain.errors import DatabaseUnavailable
from timer_db.engine import open_shards
from timer_db.transactions import Connection


async def test_a_first_contact_is_cancelled_at_every_turn(database_url: str) -> None:
    reached, turns = False, 0
    while not reached:
        shards = open_shards([database_url])
        contact = asyncio.create_task(shards.home.engine.raw_connection())
        for _ in range(turns):
            await asyncio.wait([contact], timeout=0)
        reached = contact.done()
        contact.cancel()
        # A cancel that comes at the last moment is not heard.
        with suppress(asyncio.CancelledError):
            (await contact).close()
        await shards.close()
        turns += 1
    gc.collect()
    assert turns > 10


async def test_a_transaction_that_hangs_ends_with_the_connections(database_url: str) -> None:
    async def look(connection: Connection) -> int:
        return int(await connection.value("SELECT 1"))

    async with Proxy(database_url) as proxy:
        shards = open_shards([proxy.url])
        proxy.cut(When.silent, b"SELECT 1")
        hanging = asyncio.create_task(transactions.run(shards.home.engine, look))
        await proxy.was_cut.wait()
        await shards.close()
        with pytest.raises(DatabaseUnavailable):
            await hanging
    gc.collect()

"""One connection found dead is enough: the others of the pool are not tried first."""

from __future__ import annotations

import asyncio

import pytest

from tests.db.desk import Desk
from timer_db import transactions
from timer_db.domain.errors import DatabaseUnavailable
from timer_db.engine import open_shards
from timer_db.transactions import ABANDONED_SECONDS, ALIVE_AT, Connection

CONNECTIONS = 4


async def test_after_a_restart_one_transaction_fails_and_not_one_per_connection(
    desk: Desk, database_url: str
) -> None:
    barrier = asyncio.Barrier(CONNECTIONS)

    async def take_one_each(connection: Connection) -> int:
        number = int(await connection.value("SELECT CONNECTION_ID()"))
        await barrier.wait()
        return number

    numbers = await asyncio.gather(*(transactions.run(desk.engine, take_one_each) for _ in range(CONNECTIONS)))
    assert len(set(numbers)) == CONNECTIONS
    killer = Desk(open_shards([database_url]))
    for number in numbers:
        await killer.write(f"KILL {number}")
    await killer.shards.close()

    async def look(connection: Connection) -> int:
        return int(await connection.value("SELECT 1"))

    with pytest.raises(DatabaseUnavailable):
        await transactions.run(desk.engine, look)
    assert await transactions.run(desk.engine, look) == 1


async def test_a_connection_that_idled_for_long_is_not_tried(desk: Desk) -> None:
    """MySQL has closed it meanwhile, or is about to."""

    async def number(connection: Connection) -> int:
        return int(await connection.value("SELECT CONNECTION_ID()"))

    first = await transactions.run(desk.engine, number)
    assert await transactions.run(desk.engine, number) == first
    pooled = await desk.engine.raw_connection()
    pooled.info[ALIVE_AT] -= ABANDONED_SECONDS
    pooled.close()
    assert await transactions.run(desk.engine, number) != first

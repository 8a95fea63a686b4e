"""One connection found dead is enough: the others of the pool are not tried first."""

from __future__ import annotations

import asyncio

import pytest

from tests.db.desk import Desk
from timer_db import transactions
from timer_db.domain.errors import DatabaseUnavailable
from timer_db.transactions import Connection

CONNECTIONS = 4


async def test_after_a_restart_one_transaction_fails_and_not_one_per_connection(desk: Desk) -> None:
    barrier = asyncio.Barrier(CONNECTIONS)

    async def take_one_each(connection: Connection) -> int:
        number = int(await connection.value("SELECT CONNECTION_ID()"))
        await barrier.wait()
        return number

    numbers = await asyncio.gather(*(transactions.run(desk.engine, take_one_each) for _ in range(CONNECTIONS)))
    assert len(set(numbers)) == CONNECTIONS
    killer = await desk.engine.raw_connection()
    driver = killer.driver_connection
    assert driver is not None
    for number in set(numbers) - {driver.thread_id()}:
        await driver.query(f"KILL {number}")
    killer.invalidate()
    killer.close()

    async def look(connection: Connection) -> int:
        return int(await connection.value("SELECT 1"))

    with pytest.raises(DatabaseUnavailable):
        await transactions.run(desk.engine, look)
    assert await transactions.run(desk.engine, look) == 1

"""A connection over which nothing comes any more, and which nobody closes: seen from here, and from the server."""

from __future__ import annotations

import time

import pytest

from tests.db.desk import Desk, new_timers
from timer_db import transactions
from timer_db.domain.errors import DatabaseUnavailable
from timer_db.statements import claims
from timer_db.transactions import ABANDONED_SECONDS, Connection


async def test_a_transaction_that_never_ends_is_given_up(desk: Desk) -> None:
    async def hang(connection: Connection) -> None:
        await connection.rows("SELECT SLEEP(30)")

    with pytest.raises(DatabaseUnavailable):
        await transactions.run(desk.engine, hang, patience_seconds=0.2)

    async def look(connection: Connection) -> int:
        return int(await connection.value("SELECT 1"))

    assert await transactions.run(desk.engine, look) == 1


async def test_the_locks_of_a_client_that_says_nothing_more_are_given_up(desk: Desk) -> None:
    """Frozen, or cut off, in the middle of a transaction: what it holds can be had within seconds."""
    controller = await desk.join()
    await desk.add(*new_timers(3))
    entries = await desk.claim(controller)
    pooled = await desk.engine.raw_connection()
    driver = pooled.driver_connection
    assert driver is not None
    await (await driver.cursor()).execute(claims.lock(controller, [1]))
    began_at = time.monotonic()

    await desk.give_back(controller, 1, entries, is_done=True)

    assert time.monotonic() - began_at > ABANDONED_SECONDS - 1, "it did wait"
    assert await desk.in_hand() == {}
    pooled.invalidate()
    pooled.close()

"""Transactions that stay open as long as a test wants."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from pymysql.err import OperationalError
from sqlalchemy.util import greenlet_spawn

from tests.db.desk import Desk
from timer_db.transactions import Connection, is_deadlock


class Waits(AssertionError):
    """A statement waited for a lock."""


class Hand:
    """One open transaction, which waits for locks no longer than a second."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def rows(self, sql: str, values: tuple[Any, ...] | None = None) -> list[tuple[Any, ...]]:
        """Read. Raises Waits when a lock was in the way."""
        try:
            return await self._connection.rows(sql, values)
        except OperationalError as error:
            raise _named(error, sql) from error

    async def write(self, sql: str, values: tuple[Any, ...] | None = None) -> int:
        """Write; gives the count. Raises Waits when a lock was in the way."""
        try:
            return await self._connection.write(sql, values)
        except OperationalError as error:
            raise _named(error, sql) from error


def _named(error: OperationalError, sql: str) -> Exception:
    return Waits(f"{error}: {sql[:300]}") if is_deadlock(error) else error


@asynccontextmanager
async def hand(desk: Desk, isolation: str = "READ COMMITTED") -> AsyncIterator[Hand]:
    """An open transaction; it is rolled back at the end."""
    pooled = await desk.engine.raw_connection()
    driver = pooled.driver_connection
    assert driver is not None
    opened = Connection(await driver.cursor())
    try:
        await opened.write("SET SESSION innodb_lock_wait_timeout = 1")
        await opened.write(f"SET SESSION TRANSACTION ISOLATION LEVEL {isolation}")
        await driver.commit()
        yield Hand(opened)
    finally:
        # Its settings are the test's, so it does not go back to the others.
        await greenlet_spawn(pooled.invalidate)
        pooled.close()

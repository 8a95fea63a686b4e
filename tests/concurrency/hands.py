"""Transactions that stay open as long as a test wants, and a count of those that had to give way."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from tests.db.desk import Desk
from timer_db.transactions import Connection, code_of, is_deadlock


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
    return Waits(f"{error.orig}: {sql[:300]}") if is_deadlock(error) else error


@asynccontextmanager
async def hand(desk: Desk, isolation: str = "READ COMMITTED") -> AsyncIterator[Hand]:
    """An open transaction; it is rolled back at the end."""
    async with desk.engine.connect() as connection:
        await connection.exec_driver_sql("SET SESSION innodb_lock_wait_timeout = 1")
        await connection.exec_driver_sql(f"SET SESSION TRANSACTION ISOLATION LEVEL {isolation}")
        await connection.commit()
        try:
            yield Hand(Connection(connection))
        finally:
            # Its settings are the test's, so it does not go back to the others.
            await connection.invalidate()


def count_gave_way(desk: Desk) -> Counter[str]:
    """Counts, from now on, the statements that met a deadlock or waited for too long."""
    counts: Counter[str] = Counter()

    @event.listens_for(desk.engine.sync_engine, "handle_error")
    def note(context: Any) -> None:
        error = context.sqlalchemy_exception
        if is_deadlock(error):
            counts[f"{code_of(error)} {str(context.statement)[:60]}"] += 1

    return counts

"""The only place that commits, rolls back, and tries a transaction again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from pymysql.constants import CR, ER
from sqlalchemy import Connection as SyncConnection
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from timer_db.domain.errors import DatabaseUnavailable, UnexpectedCount

Result = TypeVar("Result")


class Connection:
    """One open transaction: statements as `timer_db.statements` returns them, with or without parameters."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def rows(self, sql: str, values: tuple[Any, ...] | None = None) -> list[tuple[Any, ...]]:
        """Read every row."""
        result = await self._connection.exec_driver_sql(sql, values)
        return [tuple(row) for row in result.all()]

    async def value(self, sql: str) -> Any:
        """Read the one value of the one row."""
        return (await self._connection.exec_driver_sql(sql)).scalar_one()

    async def write(self, sql: str, values: tuple[Any, ...] | None = None, *, count: int | None = None) -> int:
        """Write, and give how many rows matched. Another number than `count` raises UnexpectedCount."""
        found = (await self._connection.exec_driver_sql(sql, values)).rowcount
        if count is not None and found != count:
            raise UnexpectedCount(sql, found, count)
        return found

    async def run_sync(self, work: Callable[[SyncConnection], Result]) -> Result:
        """For alembic, which knows no asyncio."""
        return await self._connection.run_sync(work)

    async def insert(self, sql: str, values: tuple[Any, ...] | None = None) -> int:
        """Insert one row, and give the number that the server chose for it."""
        return int((await self._connection.exec_driver_sql(sql, values)).lastrowid)


Work = Callable[[Connection], Awaitable[Result]]

_DEADLOCK = frozenset({ER.LOCK_DEADLOCK, ER.LOCK_WAIT_TIMEOUT})
# The server is going, gone, full, refuses writes or refuses us for now: nothing is wrong with the statement.
_AWAY = frozenset(
    {
        CR.CR_CONNECTION_ERROR,
        CR.CR_CONN_HOST_ERROR,
        CR.CR_SERVER_GONE_ERROR,
        CR.CR_SERVER_LOST,
        CR.CR_SERVER_LOST_EXTENDED,
        CR.CR_IPSOCK_ERROR,
        CR.CR_UNKNOWN_HOST,
        ER.SERVER_SHUTDOWN,
        ER.CON_COUNT_ERROR,
        ER.TOO_MANY_USER_CONNECTIONS,
        ER.QUERY_INTERRUPTED,
        ER.NEW_ABORTING_CONNECTION,
        ER.ABORTING_CONNECTION,
        ER.DISK_FULL,
        ER.RECORD_FILE_FULL,
        ER.OPTION_PREVENTS_STATEMENT,
        1927,  # MariaDB: connection was killed
        3100,  # Group Replication: the before-commit hook failed, as in a minority
        4031,  # MySQL 8: disconnected for inactivity
    }
)


async def run(engine: AsyncEngine, work: Work[Result]) -> Result:
    """`work` in one transaction, committed when it returns, rolled back when it raises.

    A deadlock or a lock wait that timed out is tried again, a few times. A connection that is lost raises
    `DatabaseUnavailable`, and then nobody knows whether a COMMIT under way happened: the caller must be able
    to repeat `work` safely, or to read back what it did. A cancelled caller leaves the transaction to end by
    itself: a query in flight is never cut, since aiomysql's connection would be useless and its lock alive.
    """
    return await _unbroken(_run_with_retries(engine, work))


async def _unbroken(transaction: Awaitable[Result]) -> Result:
    task = asyncio.ensure_future(transaction)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        # The caller is gone; what it started ends first, and its error has nobody left to hear it.
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()
        raise


async def _run_with_retries(engine: AsyncEngine, work: Work[Result]) -> Result:
    policy = AsyncRetrying(
        retry=retry_if_exception(is_deadlock),
        stop=stop_after_attempt(6),
        wait=wait_random_exponential(multiplier=0.01, max=0.5),
        reraise=True,
    )
    try:
        return await policy(_run_once, engine, work)
    except OperationalError as error:
        if is_deadlock(error):
            raise DatabaseUnavailable(f"the database's locks were not to be had: {error.orig}") from error
        raise


async def _run_once(engine: AsyncEngine, work: Work[Result]) -> Result:
    try:
        connection = await engine.connect()
    except (TimeoutError, PoolTimeout, DBAPIError, OSError) as error:
        raise _named(error) from error
    try:
        result = await work(Connection(connection))
        await connection.commit()
    except BaseException as error:
        # After any error the connection's state is not worth a guess; the server rolls back when it closes.
        await connection.invalidate()
        if isinstance(error, (DBAPIError, OSError, asyncio.TimeoutError)):
            named = _named(error)
            if named is not error:
                raise named from error
        raise
    finally:
        await connection.close()
    return result


def _named(error: Exception) -> Exception:
    """`DatabaseUnavailable` for errors that say so, else the error itself."""
    if isinstance(error, PoolTimeout):
        return DatabaseUnavailable("all connections to the database are in use")
    if not isinstance(error, DBAPIError):
        return DatabaseUnavailable(f"no connection to the database: {error or type(error).__name__}")
    if error.connection_invalidated or isinstance(error, InterfaceError) or code_of(error) in _AWAY:
        return DatabaseUnavailable(f"no connection to the database: {error.orig}")
    return error


def is_deadlock(error: BaseException) -> bool:
    """Whether the server gave this transaction up for another one's sake."""
    return isinstance(error, OperationalError) and code_of(error) in _DEADLOCK


def code_of(error: DBAPIError) -> int | None:
    """The server's or driver's error number."""
    arguments = getattr(error.orig, "args", ())
    return arguments[0] if arguments and isinstance(arguments[0], int) else None

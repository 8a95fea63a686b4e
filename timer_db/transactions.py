"""The only place that commits, rolls back, and tries a transaction again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from pymysql.constants import CR, ER
from pymysql.err import InterfaceError, InternalError, MySQLError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import PoolProxiedConnection
from sqlalchemy.util import greenlet_spawn
from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from timer_db.domain.errors import DatabaseUnavailable, UnexpectedCount

Result = TypeVar("Result")


class Traffic:
    """What this process has asked of its databases, for whoever watches it."""

    __slots__ = ("failures", "retries", "statements", "transactions")

    def __init__(self) -> None:
        self.transactions = self.statements = self.retries = self.failures = 0


TRAFFIC = Traffic()


class Connection:
    """One open transaction: statements as `timer_db.statements` returns them, with or without parameters.

    They go to aiomysql's cursor as they are. SQLAlchemy keeps the connections, and stays out of the way
    otherwise: its own execution costs some 80 µs a statement, more than many of them cost the server.
    """

    __slots__ = ("_cursor", "is_committed")

    def __init__(self, cursor: Any) -> None:
        self._cursor = cursor
        self.is_committed = False
        """Whether `write_last` has ended the transaction."""

    async def rows(self, sql: str, values: tuple[Any, ...] | None = None) -> list[tuple[Any, ...]]:
        """Read every row."""
        TRAFFIC.statements += 1
        await self._cursor.execute(sql, values)
        return list(await self._cursor.fetchall())

    async def value(self, sql: str) -> Any:
        """Read the one value of the one row."""
        [[value]] = await self.rows(sql)
        return value

    async def write(self, sql: str, values: tuple[Any, ...] | None = None, *, count: int | None = None) -> int:
        """Write, and give how many rows matched. Another number than `count` raises UnexpectedCount."""
        TRAFFIC.statements += 1
        await self._cursor.execute(sql, values)
        found = int(self._cursor.rowcount)
        if count is not None and found != count:
            raise UnexpectedCount(sql, found, count)
        return found

    async def write_last(self, writes: Sequence[tuple[str, int | None]]) -> None:
        """The last statements of the transaction with their counts (None: any), and its COMMIT, in one piece: one
        wait for the server instead of several.

        Only for statements that write as many rows as were given or fail, such as plain inserts: a statement that
        fails is the last that the server looks at, but another count than expected is seen after the COMMIT.
        """
        TRAFFIC.statements += 1
        await self._cursor.execute(";".join([*[sql for sql, _ in writes], "COMMIT"]))
        for sql, count in writes:
            if count is not None and self._cursor.rowcount != count:
                raise UnexpectedCount(sql, int(self._cursor.rowcount), count)
            await self._cursor.nextset()
        self.is_committed = True

    async def insert(self, sql: str, values: tuple[Any, ...] | None = None) -> int:
        """Insert one row, and give the number that the server chose for it."""
        TRAFFIC.statements += 1
        await self._cursor.execute(sql, values)
        return int(self._cursor.lastrowid)


Work = Callable[[Connection], Awaitable[Result]]

PATIENCE_SECONDS = 20.0
"""The longest that a transaction may take: else a connection whose packets are lost on the way would be waited for
until the system gives it up, for hours."""

ABANDONED_SECONDS = 5
"""So long after the last statement of an open transaction the server gives it up, and its locks: a client that is
frozen or cut off would keep them for hours, and nobody could take its claims over."""

ALIVE_AT = "alive_at"
"""Where a pooled connection notes when it was opened or did its last work, in monotonic seconds."""

# MySQL gives up idle connections as well, so those are not used when they were idle for nearly as long.
_IDLE_SECONDS_MAX = ABANDONED_SECONDS - 1

_DEADLOCK = frozenset({ER.LOCK_DEADLOCK, ER.LOCK_WAIT_TIMEOUT})
# The connection is gone, and so are probably those that were opened before.
_LOST = frozenset(
    {
        CR.CR_CONNECTION_ERROR,
        CR.CR_CONN_HOST_ERROR,
        CR.CR_SERVER_GONE_ERROR,
        CR.CR_SERVER_LOST,
        CR.CR_SERVER_LOST_EXTENDED,
        CR.CR_COMMANDS_OUT_OF_SYNC,
        CR.CR_IPSOCK_ERROR,
        CR.CR_UNKNOWN_HOST,
        ER.SERVER_SHUTDOWN,
        4031,  # MySQL 8: disconnected for inactivity
    }
)
# The server is going, gone, full, refuses writes or refuses us for now: nothing is wrong with the statement.
_AWAY = _LOST | {
    ER.CON_COUNT_ERROR,
    ER.TOO_MANY_USER_CONNECTIONS,
    ER.QUERY_INTERRUPTED,
    ER.NEW_ABORTING_CONNECTION,
    ER.ABORTING_CONNECTION,
    ER.DISK_FULL,
    ER.ERROR_ON_WRITE,
    ER.GET_ERRNO,  # of the storage engine: the disk, mostly
    ER.RECORD_FILE_FULL,
    ER.ERROR_DURING_COMMIT,
    ER.OPTION_PREVENTS_STATEMENT,
    ER.UNKNOWN_COM_ERROR,  # Galera: a node without a majority answers every statement so
    1927,  # MariaDB: connection was killed
    3100,  # Group Replication: the before-commit hook failed, as in a minority
}
Check = Callable[[], None]
"""Raises DatabaseUnavailable while it is known that a server does not answer."""

_checks: WeakKeyDictionary[AsyncEngine, Check] = WeakKeyDictionary()

# When a connection was last found dead (monotonic seconds). Older ones would each fail a transaction first.
_lost_at: WeakKeyDictionary[AsyncEngine, float] = WeakKeyDictionary()


def refuse_while_away(engine: AsyncEngine, check: Check) -> None:
    """From now on, what `check` raises is raised by `run` at once: nobody waits for a server that is away."""
    _checks[engine] = check


async def run(
    engine: AsyncEngine,
    work: Work[Result],
    *,
    patience_seconds: float = PATIENCE_SECONDS,
    even_if_away: bool = False,
) -> Result:
    """`work` in one transaction, committed when it returns, rolled back when it raises.

    A deadlock or a lock wait that timed out is tried again, a few times. A connection that is lost raises
    `DatabaseUnavailable`, and then nobody knows whether a COMMIT under way happened: the caller must be able
    to repeat `work` safely, or to read back what it did. A cancelled caller leaves the transaction to end by
    itself: a query in flight is never cut, since aiomysql's connection would be useless and its lock alive.
    """
    if not even_if_away and (check := _checks.get(engine)):
        check()
    return await _unbroken(_run_with_retries(engine, work, patience_seconds))


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


async def _run_with_retries(engine: AsyncEngine, work: Work[Result], patience_seconds: float) -> Result:
    try:
        return await _run_once(engine, work, patience_seconds)
    except OperationalError as error:
        if not is_deadlock(error):
            raise
    TRAFFIC.retries += 1
    policy = AsyncRetrying(
        retry=retry_if_exception(is_deadlock),
        stop=stop_after_attempt(5),
        wait=wait_random_exponential(multiplier=0.01, max=0.5),
        reraise=True,
    )
    try:
        return await policy(_run_once, engine, work, patience_seconds)
    except OperationalError as error:
        if is_deadlock(error):
            raise DatabaseUnavailable(f"the database's locks were not to be had: {error}") from error
        raise


async def _run_once(engine: AsyncEngine, work: Work[Result], patience_seconds: float) -> Result:
    TRAFFIC.transactions += 1
    try:
        pooled = await _check_out(engine)
    except (TimeoutError, PoolTimeout, MySQLError, OSError) as error:
        TRAFFIC.failures += 1
        raise named(error) from error
    try:
        driver = pooled.driver_connection
        assert driver is not None
        async with asyncio.timeout(patience_seconds):
            connection = Connection(await driver.cursor())
            result = await work(connection)
            if not connection.is_committed:
                TRAFFIC.statements += 1
                await driver.commit()
        pooled.info[ALIVE_AT] = time.monotonic()
    except BaseException as error:
        TRAFFIC.failures += 1
        # After any error the connection's state is not worth a guess; the server rolls back when it closes.
        await greenlet_spawn(pooled.invalidate)
        if _is_lost(error):
            _lost_at[engine] = time.monotonic()
        if isinstance(error, (MySQLError, OSError, asyncio.TimeoutError)):
            better = named(error)
            if better is not error:
                raise better from error
        raise
    finally:
        pooled.close()
    return result


async def _check_out(engine: AsyncEngine) -> PoolProxiedConnection:
    while True:
        pooled = await engine.raw_connection()
        alive_at = pooled.info[ALIVE_AT]
        if alive_at > _lost_at.get(engine, 0.0) and time.monotonic() - alive_at < _IDLE_SECONDS_MAX:
            return pooled
        await greenlet_spawn(pooled.invalidate)
        pooled.close()


def named(error: Exception) -> Exception:
    """`DatabaseUnavailable` for errors that say so, else the error itself."""
    if isinstance(error, PoolTimeout):
        return DatabaseUnavailable("all connections to the database are in use")
    said_by_server = isinstance(error, MySQLError) and not _is_drivers(error)
    if not said_by_server or code_of(error) in _AWAY:
        return DatabaseUnavailable(f"no connection to the database: {error or type(error).__name__}")
    return error


def _is_lost(error: BaseException) -> bool:
    return isinstance(error, OSError) or _is_drivers(error) or code_of(error) in _LOST


def _is_drivers(error: BaseException) -> bool:
    """Whether the driver says it, of a connection that is closed, or on which packets came that nobody asked for,
    such as the server's farewell."""
    return isinstance(error, InterfaceError) or (isinstance(error, InternalError) and code_of(error) is None)


def is_deadlock(error: BaseException) -> bool:
    """Whether the server gave this transaction up for another one's sake."""
    return isinstance(error, OperationalError) and code_of(error) in _DEADLOCK


def code_of(error: BaseException) -> int | None:
    """The server's or driver's error number."""
    code = error.args[0] if isinstance(error, MySQLError) and error.args else None
    return code if isinstance(code, int) else None

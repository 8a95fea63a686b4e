"""Is this server fit to keep timers? Asked at start, since some servers take the words and not the locks."""

from __future__ import annotations

import os
from contextlib import suppress

from pymysql.err import MySQLError
from sqlalchemy.ext.asyncio import AsyncEngine

from timer_db import transactions
from timer_db.domain.errors import DatabaseUnavailable, DatabaseUnfit
from timer_db.statements import probe as statements
from timer_db.transactions import Connection

_PACKET_MIN_BYTES = 16 * 1024 * 1024


async def check(engine: AsyncEngine) -> list[str]:
    """Warnings about settings that endanger the promise; DatabaseUnfit when timers would be called twice."""
    await _check_locks(engine)
    return await transactions.run(engine, _settings)


async def _check_locks(engine: AsyncEngine) -> None:
    """Two connections claim from the same two rows: each must get one, and neither may wait."""
    mark = os.urandom(16)

    async def put(connection: Connection) -> None:
        await connection.write(statements.put(mark), count=2)

    async def remove(connection: Connection) -> None:
        await connection.write(statements.remove(mark), count=2)

    async def first(connection: Connection) -> int:
        mine = int(await connection.value(statements.take(mark)))
        return await _second_sees(engine, mark, mine)

    await transactions.run(engine, put)
    try:
        await transactions.run(engine, first)
    except BaseException as error:
        # What went wrong first is what counts, most of all a cancellation; two rows left behind do no harm.
        with suppress(DatabaseUnavailable):
            await transactions.run(engine, remove)
        if isinstance(error, MySQLError):
            raise DatabaseUnfit([f"it refuses SELECT … FOR UPDATE SKIP LOCKED: {error}"]) from error
        raise
    await transactions.run(engine, remove)


async def _second_sees(engine: AsyncEngine, mark: bytes, taken: int) -> int:
    async def second(connection: Connection) -> int | None:
        # A server that waits where it should skip gives up after a second, with error 1205.
        await connection.write(statements.wait_for_locks(1))
        rows = await connection.rows(statements.take(mark))
        # Only after success: a connection with an error is thrown away.
        await connection.write(statements.wait_for_locks(5))
        return int(rows[0][0]) if rows else None

    try:
        other = await transactions.run(engine, second)
    except DatabaseUnavailable as error:
        if error.__cause__ is None or not transactions.is_deadlock(error.__cause__):
            raise
        raise DatabaseUnfit(["SELECT … FOR UPDATE SKIP LOCKED waits for locked rows"]) from error
    if other == taken:
        raise DatabaseUnfit(["SELECT … FOR UPDATE SKIP LOCKED hands a locked row out twice"])
    if other is None:
        raise DatabaseUnfit(["SELECT … LIMIT 1 FOR UPDATE locks more rows than it returns"])
    return other


async def _settings(connection: Connection) -> list[str]:
    row = (await connection.rows(statements.SETTINGS))[0]
    flush, log_bin, sync_binlog, packet, doublewrite = row
    warnings = []
    if int(flush) != 1:
        warnings.append(
            f"innodb_flush_log_at_trx_commit is {flush}: a power cut loses timers that were answered 201."
            " Set it to 1"
        )
    if int(log_bin) and int(sync_binlog) != 1:
        warnings.append(
            f"sync_binlog is {sync_binlog}: a power cut can lose timers on replicas and after a"
            " point-in-time restore. Set it to 1"
        )
    if str(doublewrite).upper() in ("OFF", "0", "FALSE"):
        warnings.append("innodb_doublewrite is off: a power cut can tear pages. Set it to ON")
    if int(packet) < _PACKET_MIN_BYTES:
        warnings.append(f"max_allowed_packet is {packet}: set it to at least {_PACKET_MIN_BYTES}")
    if any(value == "OFF" for _, value in await connection.rows(statements.LOG_WRITER_THREADS)):
        warnings.append(
            "innodb_log_writer_threads is OFF: under load all commits stand still for 100 ms now and then, and"
            " calls are late by as much. Set it to ON"
        )
    return warnings

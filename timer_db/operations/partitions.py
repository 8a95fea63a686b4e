"""Keeps a partition of `attempts` ready for each of the next days."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

from pymysql.err import MySQLError
from sqlalchemy.ext.asyncio import AsyncEngine

from timer_db import transactions
from timer_db.statements import controllers, partitions
from timer_db.transactions import Connection

DAYS_AHEAD = 3
_DAY_US = 86_400_000_000
_EPOCH = date(1970, 1, 1)


async def keep(engine: AsyncEngine) -> list[str]:
    """Make the partitions that are missing, from today to `DAYS_AHEAD` days on; gives their names.

    The catch-all partition behind them is split, which is cheap because it is empty as long as this runs.
    While somebody reads the log in a long transaction nothing is made: there are some days left to do it in.
    """

    async def work(connection: Connection) -> list[str]:
        if not await connection.value(partitions.LOCK):
            return []
        try:
            now_us = int(await connection.value(controllers.NOW))
            present = {str(row[0]) for row in await connection.rows(partitions.PRESENT)}
            today = datetime.fromtimestamp(now_us / 1e6, UTC).date()
            days = [today + timedelta(days=n) for n in range(DAYS_AHEAD + 1)]
            missing = [day for day in days if name_of(day) not in present]
            # Ranges grow only at their end: a day before the last one cannot be put in between.
            missing = [day for day in missing if name_of(day) > max(present - {partitions.FUTURE}, default="")]
            return await _make(connection, missing) if missing else []
        finally:
            await connection.value(partitions.UNLOCK)

    return await transactions.run(engine, work)


async def _make(connection: Connection, days: Sequence[date]) -> list[str]:
    await connection.write(partitions.PATIENCE)
    try:
        await connection.write(partitions.split([(name_of(day), _end_us(day)) for day in days]))
    except MySQLError as error:
        if not transactions.is_deadlock(error):
            raise
        return []
    finally:
        await connection.write(partitions.PATIENCE_AS_BEFORE)
    return [name_of(day) for day in days]


def name_of(day: date) -> str:
    """The partition of a day."""
    return f"p{day:%Y%m%d}"


def _end_us(day: date) -> int:
    return ((day - _EPOCH).days + 1) * _DAY_US

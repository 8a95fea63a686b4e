"""Keeps a partition of `attempts` ready for each of the next days, and drops old ones."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from pymysql.err import MySQLError
from sqlalchemy.ext.asyncio import AsyncEngine

from timer_db import transactions
from timer_db.operations.alone import alone
from timer_db.statements import controllers, partitions
from timer_db.transactions import Connection

DAYS_AHEAD = 3
DAY_US = 86_400_000_000
_EPOCH = date(1970, 1, 1)
_MISSING = frozenset({1507, 1735})
"""ER_DROP_PARTITION_NON_EXISTENT, ER_UNKNOWN_PARTITION; the driver names neither."""


@dataclass(frozen=True, slots=True)
class Partition:
    """Attempts that finished before `end_us`, and at or after the end of the partition before."""

    name: str
    end_us: int


async def keep(engine: AsyncEngine) -> list[str] | None:
    """Make the partitions that are missing, from today to `DAYS_AHEAD` days on; gives their names.

    The catch-all partition behind them is split, which is cheap because it is empty as long as this runs. While
    somebody reads the log in a long transaction nothing is made: there are some days left to do it in. None when
    there are not, since today's is missing too: what is logged meanwhile stands in the catch-all.
    """

    async def work(connection: Connection) -> list[str] | None:
        async with alone(connection, "partitions") as is_alone:
            if not is_alone:
                return []
            now_us = int(await connection.value(controllers.NOW))
            today = datetime.fromtimestamp(now_us / 1e6, UTC).date()
            # Ranges grow only at their end: a day before the last one cannot be put in between.
            last = max((partition.name for partition in await present(connection)), default="")
            days = [today + timedelta(days=n) for n in range(DAYS_AHEAD + 1)]
            missing = [Partition(name_of(day), _end_us(day)) for day in days if name_of(day) > last]
            if not missing:
                return []
            split = partitions.split([(partition.name, partition.end_us) for partition in missing])
            if await _change(connection, split):
                return [partition.name for partition in missing]
            return None if missing[0].name == name_of(today) else []

    return await transactions.run(engine, work)


async def drop(engine: AsyncEngine, name: str) -> bool:
    """Drop a partition. False when somebody reads the log, so that it is to be tried later, or did it already."""

    async def work(connection: Connection) -> bool:
        return await _change(connection, partitions.drop(name))

    return await transactions.run(engine, work)


async def present(connection: Connection) -> list[Partition]:
    """All but the catch-all, in order of time."""
    return [Partition(str(name), int(end_us)) for name, end_us in await connection.rows(partitions.PRESENT)]


async def _change(connection: Connection, statement: str) -> bool:
    """Whether the table was to be had; it is not while somebody reads it in a transaction that does not end."""
    await connection.write(partitions.PATIENCE)
    try:
        await connection.write(statement)
    except MySQLError as error:
        if not transactions.is_deadlock(error) and not is_missing(error):
            raise
        return False
    finally:
        await connection.write(partitions.PATIENCE_AS_BEFORE)
    return True


def is_missing(error: MySQLError) -> bool:
    """Whether the statement named a partition that is not there (any more)."""
    return transactions.code_of(error) in _MISSING


def name_of(day: date) -> str:
    """The partition of a day."""
    return f"p{day:%Y%m%d}"


def _end_us(day: date) -> int:
    return ((day - _EPOCH).days + 1) * DAY_US

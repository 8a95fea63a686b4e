"""Partitions of the log of attempts: one per day, ready before the day begins."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, timedelta

import pymysql
import pytest

from tests.db import scratch
from tests.db.days import engine_at, micros
from timer_db.engine import parse_url
from timer_db.operations.partitions import DAYS_AHEAD, keep, name_of

TODAY = date(2027, 1, 15)


@pytest.fixture
def url(database: str) -> str:
    """The log as the migration makes it."""
    scratch.run(
        database,
        "DELETE FROM attempts",
        "ALTER TABLE attempts PARTITION BY RANGE (finished_at_us) (PARTITION p_future VALUES LESS THAN MAXVALUE)",
    )
    return database


def _names(first: date, last: date) -> list[str]:
    return [name_of(first + timedelta(days=n)) for n in range((last - first).days + 1)]


def _present(url: str) -> list[str]:
    rows = scratch.run(
        url,
        "SELECT PARTITION_NAME FROM information_schema.PARTITIONS WHERE TABLE_SCHEMA = DATABASE()"
        " AND TABLE_NAME = 'attempts' ORDER BY PARTITION_ORDINAL_POSITION",
    )
    return [str(row[0]) for row in rows]


def _log_attempt(url: str, day: date, clock: str) -> None:
    scratch.run(
        url,
        "INSERT INTO attempts (timer_id, attempt, finished_at_us, controller_id, batch, started_at_us, outcome,"
        " state, reason, answer)"
        f" VALUES (RANDOM_BYTES(16), 1, {micros(day, clock)}, 1, 1, 0, 'delivered', 'delivered', '', '')",
    )


def _rows_in(url: str, partition: str) -> int:
    return int(str(scratch.run(url, f"SELECT COUNT(*) FROM attempts PARTITION ({partition})")[0][0]))


async def test_the_next_days_are_ready(url: str) -> None:
    async with engine_at(url, TODAY) as engine:
        made = await keep(engine)
        assert made == _names(TODAY, TODAY + timedelta(days=DAYS_AHEAD))
        assert _present(url) == [*made, "p_future"]
        assert await keep(engine) == []


@pytest.mark.parametrize("clock", ["00:00:00.000000", "23:59:59.999999"])
async def test_a_day_is_a_day_of_utc(url: str, clock: str) -> None:
    async with engine_at(url, TODAY, clock) as engine:
        await keep(engine)
    _log_attempt(url, TODAY, clock)
    assert _rows_in(url, name_of(TODAY)) == 1


async def test_each_day_one_more(url: str) -> None:
    for day in (TODAY, TODAY + timedelta(days=1), TODAY + timedelta(days=2)):
        async with engine_at(url, day) as engine:
            made = await keep(engine)
            assert made[-1] == name_of(day + timedelta(days=DAYS_AHEAD))
    assert _present(url) == [*_names(TODAY, TODAY + timedelta(days=2 + DAYS_AHEAD)), "p_future"]


async def test_after_a_long_absence_it_goes_on(url: str) -> None:
    """What was logged meanwhile stands in the catch-all, and moves into the next partition."""
    async with engine_at(url, TODAY) as engine:
        await keep(engine)
    later = TODAY + timedelta(days=40)
    _log_attempt(url, TODAY + timedelta(days=20), "12:00")
    assert _rows_in(url, "p_future") == 1

    async with engine_at(url, later) as engine:
        assert await keep(engine) == _names(later, later + timedelta(days=DAYS_AHEAD))

    _log_attempt(url, later, "12:00")
    assert _rows_in(url, name_of(later)) == 2
    assert _rows_in(url, "p_future") == 0


async def test_a_clock_that_was_set_back_makes_none(url: str) -> None:
    async with engine_at(url, TODAY) as engine:
        await keep(engine)
    before = _present(url)
    async with engine_at(url, TODAY - timedelta(days=30)) as engine:
        assert await keep(engine) == []
    assert _present(url) == before


async def test_of_many_at_once_one_makes_them(url: str) -> None:
    async with engine_at(url, TODAY) as engine:
        made = await asyncio.gather(*(keep(engine) for _ in range(4)))
        assert sorted(name for names in made for name in names or []) == _names(
            TODAY, TODAY + timedelta(days=DAYS_AHEAD)
        )


@contextmanager
def _open_read(url: str) -> Iterator[None]:
    """Somebody reads the log in a transaction that does not end, as a backup does."""
    parts = parse_url(url)
    connection = pymysql.connect(
        host=parts.host, port=parts.port or 3306, user=parts.username, password=str(parts.password),
        database=parts.database,
    )  # fmt: skip
    with connection, connection.cursor() as cursor:
        cursor.execute("START TRANSACTION")
        cursor.execute("SELECT COUNT(*) FROM attempts")
        yield


async def test_a_long_read_of_the_log_holds_nobody_up(url: str) -> None:
    """A change of the table waits for every open reader, and all later writers wait behind it: it must give up."""
    async with engine_at(url, TODAY) as engine:
        with _open_read(url):
            async with asyncio.timeout(20):
                assert await keep(engine) is None
            _log_attempt(url, TODAY, "12:00")
        assert await keep(engine)
        async with engine_at(url, TODAY + timedelta(days=1)) as tomorrow:
            with _open_read(url):
                # There is one for today, so it does not hurry.
                assert await keep(tomorrow) == []
            assert await keep(tomorrow) == _names(*[TODAY + timedelta(days=1 + DAYS_AHEAD)] * 2)


def test_names_sort_as_days() -> None:
    days: list[date] = [date(2026, 12, 31), date(2027, 1, 1), date(2027, 10, 2)]
    key: Callable[[date], str] = name_of
    assert sorted(days, key=key) == days
    assert name_of(days[1]) == "p20270101"

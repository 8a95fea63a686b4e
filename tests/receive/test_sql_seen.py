"""The note of a call and the receiver's work are one transaction: on MySQL, MariaDB and SQLite."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import (
    Column,
    Connection,
    Engine,
    Integer,
    MetaData,
    Table,
    create_engine,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.ext.asyncio import create_async_engine

from tests.db.scratch import run, scratch_database
from tests.system import poll
from timer_client.receive import Seen
from timer_client.receive.sql import SqlSeen, seen_table
from timer_db.embedded import EmbeddedServer
from timer_db.engine import parse_url

METADATA = MetaData()
SEEN = seen_table(METADATA)
WORK = Table("work", METADATA, Column("number", Integer))


@pytest.fixture(scope="module")
def url(server: EmbeddedServer) -> Iterator[str]:
    with scratch_database(server.url) as made:
        yield made


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    yield from _with_tables(create_engine(parse_url(url).set(drivername="mysql+pymysql")))


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Engine]:
    yield from _with_tables(create_engine(f"sqlite:///{tmp_path}/receiver.db"))


def _with_tables(engine: Engine) -> Iterator[Engine]:
    METADATA.drop_all(engine)
    METADATA.create_all(engine)
    yield engine
    engine.dispose()


def take(connection: Connection, webhook_id: str) -> bool:
    """What a receiver does with a call."""
    seen: Seen = SqlSeen(connection, SEEN)
    is_new = seen.add(webhook_id)
    if is_new:
        connection.execute(insert(WORK).values(number=1))
    return is_new


def work_done(engine: Engine) -> int:
    with engine.connect() as connection:
        return int(connection.execute(select(func.count()).select_from(WORK)).scalar_one())


def check(engine: Engine) -> None:
    """A repeat is dropped if the work was committed, and only then."""
    with pytest.raises(ZeroDivisionError), engine.begin() as connection:
        _ = take(connection, "a") / 0
    assert work_done(engine) == 0
    for expected in (True, False, False):
        with engine.begin() as connection:
            assert take(connection, "a") is expected
    with engine.begin() as connection:
        assert take(connection, "b")
        assert not take(connection, "b")
    assert work_done(engine) == 2


def test_on_a_server(engine: Engine) -> None:
    check(engine)


def test_on_sqlite(sqlite: Engine) -> None:
    check(sqlite)


@pytest.mark.parametrize("commits", [True, False])
async def test_a_repeat_waits_for_what_becomes_of_the_first(url: str, engine: Engine, commits: bool) -> None:
    def repeat() -> bool:
        with engine.begin() as connection:
            return take(connection, "a")

    async def is_waiting() -> bool:
        return bool(run(url, "SELECT 1 FROM information_schema.processlist WHERE info LIKE 'INSERT IGNORE%'"))

    with engine.connect() as first, first.begin() as transaction:
        assert take(first, "a")
        second = asyncio.create_task(asyncio.to_thread(repeat))
        await poll(is_waiting, 30, "the repeat to wait")
        assert not second.done()
        if commits:
            transaction.commit()
        else:
            transaction.rollback()
    assert await second is not commits
    assert work_done(engine) == 1


async def test_in_an_asynchronous_transaction(url: str, engine: Engine) -> None:
    other = create_async_engine(parse_url(url).set(drivername="mysql+aiomysql"))
    for expected in (True, False):
        async with other.begin() as connection:
            assert await connection.run_sync(lambda sync: SqlSeen(sync, SEEN).add("a")) is expected
    await other.dispose()


def test_what_is_old_can_be_forgotten(sqlite: Engine) -> None:
    with sqlite.begin() as connection:
        seen = SqlSeen(connection, SEEN)
        seen.add("old")
        connection.execute(update(SEEN).values(seen_at=SEEN.c.seen_at - 86_400))
        seen.add("new")
        assert seen.forget(timedelta(days=2)) == 0
        assert seen.forget(timedelta(hours=23)) == 1
        assert [seen.add(name) for name in ("old", "new")] == [True, False]

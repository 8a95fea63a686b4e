"""What tests of the process have in common: a look past it, writes held back, its end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import pymysql

from tests.system import Api, Service, poll
from timer_db.engine import parse_url


@contextmanager
def connection_to(url: str) -> Iterator[pymysql.connections.Connection]:
    parts = parse_url(url)
    connection = pymysql.connect(
        host=parts.host,
        port=parts.port or 3306,
        user=parts.username,
        password=str(parts.password or ""),
        database=parts.database,
        autocommit=True,
    )
    with connection:
        yield connection


@asynccontextmanager
async def writes_held_back(url: str) -> AsyncIterator[None]:
    """Whoever writes timers meanwhile waits, without an error."""
    with connection_to(url) as connection, connection.cursor() as cursor:
        cursor.execute("LOCK TABLES timers WRITE")
        yield
        cursor.execute("UNLOCK TABLES")


async def timers_waiting_to_be_written(url: str) -> None:
    with connection_to(url) as connection, connection.cursor() as cursor:

        async def look() -> bool:
            cursor.execute("SHOW PROCESSLIST")
            return any("INSERT INTO timers" in str(row[7]) for row in cursor.fetchall())

        await poll(look, 30, "a writer to wait")


async def ended(service: Service) -> int:
    assert service.process
    async with asyncio.timeout(30):
        return await service.process.wait()


async def until_it_listens_no_more(api: Api) -> None:
    host, _, port = api.url.removeprefix("http://").partition(":")

    async def look() -> bool:
        try:
            _, writer = await asyncio.open_connection(host, int(port))
        except ConnectionRefusedError:
            return True
        writer.close()
        return False

    await poll(look, 30, "the API to stop listening")

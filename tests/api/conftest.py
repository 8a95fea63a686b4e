"""One application for the whole folder, without sockets in front of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from sqlalchemy import text

from tests.db.scratch import scratch_database
from tests.one_engine import alternate_engines, keep_one_engine
from tests.system import poll
from timer_api.app import FrontDoor, create_app
from timer_api.settings import ApiSettings
from timer_db.embedded import EmbeddedServer
from timer_db.engine import Engine, Pool, open_engine, parse_url
from timer_db.migrate import upgrade

CountTimers = Callable[[], Awaitable[int]]


@pytest.fixture(scope="package")
def database_url(server: EmbeddedServer) -> str:
    """The URL of a database with tables. It fills up: tests here look at what they add."""
    return server.url


@pytest.fixture(scope="package")
def keys_url(server: EmbeddedServer) -> Iterator[str]:
    """A database of their own for tests of API keys: once one is in it, nobody gets in without."""
    with scratch_database(server.url) as url:
        engine = open_engine(parse_url(url), Pool(size=2))
        asyncio.run(_upgrade(engine))
        yield url


async def _upgrade(engine: Engine) -> None:
    await upgrade(engine)
    await engine.dispose()


@asynccontextmanager
async def running(app: FrontDoor) -> AsyncIterator[httpx.AsyncClient]:
    """The application at work, and a client that calls it without sockets."""
    app.service.start()
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://timer.test") as client:
        yield client
    await app.service.stop()


@asynccontextmanager
async def ready(
    settings: ApiSettings, monotonic: Callable[[], float] = time.monotonic
) -> AsyncIterator[tuple[FrontDoor, httpx.AsyncClient]]:
    """An application in touch with its database, and a client of it."""
    fatal: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    app = create_app(settings, fatal.set_result, monotonic)
    async with running(app) as client:
        reached = asyncio.create_task(app.service.reached.wait())
        either: set[asyncio.Future[Any]] = {reached, fatal}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if fatal.done():
            reached.cancel()
            pytest.fail(fatal.result())
        yield app, client


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def served(database_url: str) -> AsyncIterator[tuple[FrontDoor, httpx.AsyncClient]]:
    """One application for all tests of the folder."""
    async with ready(ApiSettings(db_url=database_url)) as parts:
        yield parts


@pytest_asyncio.fixture(loop_scope="package")
async def client(served: tuple[FrontDoor, httpx.AsyncClient]) -> httpx.AsyncClient:
    """Calls an application that is in touch with the database."""
    app, client = served

    # Between tests on this loop time passes in which nobody looks at the database's clock.
    async def look() -> bool:
        return app.service.keeper.is_ready

    await poll(look, 30, "the application to be in touch with the database")
    return client


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def count_timers(database_url: str) -> CountTimers:
    """How many rows there are, by a look past the application."""

    async def count() -> int:
        # Anew each time: between two tests the server may have been restarted.
        engine = open_engine(parse_url(database_url), Pool(size=1))
        async with engine.connect() as connection:
            counted = int((await connection.execute(text("SELECT COUNT(*) FROM timers"))).scalar_one())
        await engine.dispose()
        return counted

    return count


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What is refused before the database is asked is refused on any. What the statements do on each engine, is
    shown by tests/db: here each test meets one of them."""
    names = ("test_bad_input.py", "test_documents.py", "test_due.py")
    keep_one_engine(config, items, *[Path(__file__).with_name(name) for name in names])
    rest = {
        item.path for item in items if item.path.parent == Path(__file__).parent and item.path.name not in names
    }
    alternate_engines(config, items, *rest)

"""A real server of each engine for the whole run; every test that asks for a database finds it empty.

pytest                       both engines
pytest --engine mariadb      one of them
pytest -n 2                  two workers, each with servers of its own
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from functools import cache

import pymysql
import pytest
import pytest_asyncio
from xdist import is_xdist_worker
from xdist.remote import Producer

from tests.system import System, free_port
from tests.workers import ByFileAndEngine, longest_first
from timer_db.embedded import EmbeddedServer, EngineKind, find_engine
from timer_db.engine import Pool, open_shards, parse_url
from timer_db.migrate import upgrade
from timer_db.models import metadata
from timer_db.shards import Shards

ServerOf = Callable[[EngineKind], EmbeddedServer]
_DEFAULT_COLLECTION = (
    "UPDATE collections SET is_paused = 0, defaults = NULL, retention_days = NULL, waiting_max = NULL,"
    " egress_allow = NULL WHERE id = 1"
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--engine", choices=["all", *EngineKind], default="all", help="the database to test against")


def pytest_configure() -> None:
    """A shell that runs us in the background lets Ctrl-C be ignored, by us and by what we start."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Whatever rests on the database runs once per engine."""
    if "engine_kind" in metafunc.fixturenames:
        chosen = metafunc.config.getoption("--engine")
        kinds = list(EngineKind) if chosen == "all" else [EngineKind(chosen)]
        metafunc.parametrize("engine_kind", kinds, scope="session")


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByFileAndEngine:
    config.option.loadscopereorder = False
    return ByFileAndEngine(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(session: pytest.Session, items: list[pytest.Item]) -> None:
    if is_xdist_worker(session):
        longest_first(items)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What a test tells of what it did (`record_property("told", text)`), also when it passed."""
    for report in terminalreporter.getreports("passed"):
        if told := dict(report.user_properties).get("told"):
            terminalreporter.section(report.nodeid)
            terminalreporter.write(str(told))


@pytest.fixture(scope="session")
def server_of(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerOf]:
    """The server of an engine: started when it is first asked for, and not before the end stopped."""
    with ExitStack() as stack:

        @cache
        def server_of(kind: EngineKind) -> EmbeddedServer:
            folder = tmp_path_factory.mktemp(kind)
            server = EmbeddedServer(
                find_engine(kind), folder / "db", port=free_port(), buffer_pool_mb=128, redo_log_mb=64
            )
            stack.enter_context(server)
            asyncio.run(upgrade_at(server.url))
            return server

        yield server_of


@pytest.fixture(scope="session")
def server(engine_kind: EngineKind, server_of: ServerOf) -> EmbeddedServer:
    """A server with our tables. It may be stopped and killed, as long as it runs again at the end."""
    return server_of(engine_kind)


async def upgrade_at(url: str) -> None:
    """Make our tables in a database, or bring them up to date."""
    shards = open_shards([url])
    for shard in shards:
        await upgrade(shard.engine)
    await shards.close()


@pytest.fixture
def database_url(server: EmbeddedServer) -> str:
    """The URL of an empty database."""
    empty(server.url)
    return server.url


@pytest_asyncio.fixture
async def shards(database_url: str) -> AsyncIterator[Shards]:
    """Connections to an empty database."""
    opened = open_shards([database_url], Pool(size=8))
    yield opened
    await opened.close()


@pytest_asyncio.fixture
async def system(server: EmbeddedServer, database_url: str) -> AsyncIterator[System]:
    """Real processes on an empty database, none started yet, and a receiver."""
    async with System(server, database_url) as made:
        yield made


def empty(url: str) -> None:
    """Delete every row that tests and services made."""
    parts = parse_url(url)
    connection = pymysql.connect(
        host=parts.host, port=parts.port or 3306, user=parts.username, password=str(parts.password or ""),
        database=parts.database, autocommit=True,
    )  # fmt: skip
    with connection, connection.cursor() as cursor:
        for table in metadata.sorted_tables:
            # The one collection that the migration made stays, as it made it.
            cursor.execute(f"DELETE FROM {table.name}{' WHERE id <> 1' if table.name == 'collections' else ''}")
        cursor.execute(_DEFAULT_COLLECTION)

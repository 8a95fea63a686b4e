"""An empty database with nobody on it, and one of a file's own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.db import scratch
from tests.db.desk import Desk
from tests.one_engine import alternate_engines
from timer_db.embedded import EmbeddedServer
from timer_db.engine import Pool, open_engine, open_shards, parse_url
from timer_db.migrate import upgrade
from timer_db.shards import Shards

# Its asserts tell what they compared, as those of test files do.
pytest.register_assert_rewrite("tests.db.forgetting")

IN_TURN = (
    "test_bulk.py",
    "test_finding.py",
    "test_inspect.py",
    "test_plan_runs.py",
    "test_retention.py",
    "test_retention_own.py",
    "test_retention_passes.py",
)
"""Long ones, of statements that take no lock from each other. Their plans are looked at on both engines."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    alternate_engines(config, items, *[Path(__file__).with_name(name) for name in IN_TURN])


@pytest.fixture
def desk(shards: Shards) -> Desk:
    """One empty database."""
    return Desk(shards)


@pytest_asyncio.fixture
async def two_shards(database_url: str, shards: Shards) -> AsyncIterator[Shards]:
    """Two of them; both happen to be the same server."""
    opened = open_shards([database_url, database_url], Pool(size=2))
    yield opened
    await opened.close()


@pytest.fixture(scope="module")
def database(server: EmbeddedServer) -> Iterator[str]:
    """A database of the file's own, for tests that make and drop partitions."""
    with scratch.scratch_database(server.url) as made:
        asyncio.run(_upgrade(made))
        yield made


async def _upgrade(url: str) -> None:
    engine = open_engine(parse_url(url), Pool(size=1))
    await upgrade(engine)
    await engine.dispose()


@pytest.fixture
def url(database: str) -> str:
    """As the migrations leave it."""
    tables = "timers, due_queue, deferred_queue, claim_batches, attempts, endings, controllers, timer_names"
    scratch.run(
        database,
        *(f"DELETE FROM {table}" for table in tables.split(", ")),
        "ALTER TABLE attempts PARTITION BY RANGE (finished_at_us) (PARTITION p_future VALUES LESS THAN MAXVALUE)",
    )
    return database

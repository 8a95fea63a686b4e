"""Databases without tables, and the same empty database as in `tests/db`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from tests.db.conftest import desk
from tests.db.scratch import scratch_database
from timer_db.embedded import EmbeddedServer
from timer_db.engine import Engine, Pool, open_engine, parse_url

__all__ = ["desk"]


@pytest.fixture
def bare_url(server: EmbeddedServer) -> Iterator[str]:
    """A database without tables."""
    with scratch_database(server.url) as url:
        yield url


@pytest_asyncio.fixture
async def bare(bare_url: str) -> AsyncIterator[Engine]:
    """Connections to it."""
    engine = open_engine(parse_url(bare_url), Pool(size=4))
    yield engine
    await engine.dispose()

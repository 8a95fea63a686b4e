"""An empty database with nobody on it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.db.desk import Desk
from timer_db.engine import Pool, open_shards
from timer_db.shards import Shards


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

"""A filled database per engine, which every test only reads."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from tests.db.scratch import scratch_database
from tests.plans.fill import fill
from tests.plans.planner import Planner
from timer_db.embedded import EmbeddedServer
from timer_db.engine import Pool, open_engine, parse_url
from timer_db.migrate import upgrade


@pytest.fixture(scope="module")
def planner(server: EmbeddedServer) -> Iterator[Planner]:
    """Tells how this server would run a statement on a filled database."""
    with scratch_database(server.url) as url:
        asyncio.run(upgraded(url))
        fill(url)
        with Planner(url) as planner:
            yield planner


async def upgraded(url: str) -> None:
    """Make our tables."""
    engine = open_engine(parse_url(url), Pool(size=1))
    await upgrade(engine)
    await engine.dispose()

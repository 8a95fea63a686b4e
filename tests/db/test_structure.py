"""The doctor names what is missing of the tables, and its advice puts it right."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.db.scratch import run, scratch_database
from timer_db.embedded import EmbeddedServer
from timer_db.engine import Engine, Pool, open_engine, parse_url
from timer_db.migrate import upgrade
from timer_db.models import metadata
from timer_db.operations import doctor
from timer_db.shards import Shard


@pytest_asyncio.fixture
async def own(server: EmbeddedServer) -> AsyncIterator[tuple[str, Engine]]:
    """A database whose tables may be broken."""
    with scratch_database(server.url) as url:
        engine = open_engine(parse_url(url), Pool(size=2))
        await upgrade(engine)
        yield url, engine
        await engine.dispose()


async def _faults(engine: Engine) -> list[str]:
    return (await doctor.examine(Shard(0, engine))).faults


async def test_every_index_is_missed_and_the_advice_makes_it_again(own: tuple[str, Engine]) -> None:
    url, engine = own
    assert await _faults(engine) == []
    indexes = [index for table in metadata.sorted_tables for index in table.indexes]
    assert indexes
    for index in indexes:
        assert index.table is not None
        run(url, f"DROP INDEX {index.name} ON {index.table.name}")
        [fault] = await _faults(engine)
        assert fault.startswith(f"{index.table.name} has no index (")
        run(url, fault.partition("table instead. ")[2])
        assert await _faults(engine) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("DROP TABLE endings", "the table endings is missing"),
        ("ALTER TABLE endings DROP COLUMN ended_at_us", "the column endings.ended_at_us is missing"),
        ("ALTER TABLE deferred_queue DROP PRIMARY KEY", "deferred_queue has no primary key"),
    ],
)
async def test_what_only_a_backup_has_is_named(own: tuple[str, Engine], change: str, said: str) -> None:
    url, engine = own
    run(url, change)
    faults = await _faults(engine)
    assert any(fault.startswith(said) and "from a backup" in fault for fault in faults)


async def test_more_than_is_needed_is_no_fault(own: tuple[str, Engine]) -> None:
    url, engine = own
    run(url, "CREATE INDEX of_somebody ON timers (due_at_us)")
    run(url, "CREATE TABLE of_somebody (a INT)")
    assert await _faults(engine) == []

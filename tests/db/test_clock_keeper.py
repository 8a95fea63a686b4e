"""First contact with the database, and staying in touch."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
import pytest_asyncio
from tenacity import RetryCallState, wait_exponential_jitter

from tests.db.desk import Desk
from tests.db.proxy import Proxy
from tests.db.scratch import scratch_database
from tests.system import poll
from timer_db import schema
from timer_db.clock import DatabaseClock
from timer_db.domain.errors import Away, DatabaseUnavailable, DatabaseUnfit, SchemaMismatch
from timer_db.embedded import EmbeddedServer
from timer_db.engine import Pool, open_shards
from timer_db.operations import probe, watch
from timer_db.operations.watch import ClockKeeper, ConnectRetry, look, reach
from timer_db.shards import Shards

SOON = ConnectRetry(wait_seconds=0.01, wait_max_seconds=0.02)


@pytest_asyncio.fixture
async def proxy(database_url: str) -> AsyncIterator[Proxy]:
    """A server that can be away."""
    async with Proxy(database_url) as made:
        yield made


@pytest_asyncio.fixture
async def far(proxy: Proxy) -> AsyncIterator[Shards]:
    """Connections to it."""
    opened = open_shards([proxy.url], Pool(size=2))
    yield opened
    await opened.close()


async def test_a_look_tells_the_servers_time(desk: Desk) -> None:
    clock = DatabaseClock()
    before_us = await desk.now_us()
    said_us = await look(desk.engine, clock)
    after_us = await desk.now_us()
    assert before_us <= said_us <= after_us
    # The next answer comes from a later moment than the bounds tell, and by little.
    assert said_us <= clock.earliest_us() <= clock.latest_us()
    assert clock.earliest_us() <= await desk.now_us() + 1000


async def test_a_database_that_comes_late_is_waited_for(
    proxy: Proxy, far: Shards, caplog: pytest.LogCaptureFixture
) -> None:
    proxy.is_refusing = True
    clock = DatabaseClock()
    keeper = ClockKeeper(far, clock, SOON)
    assert not keeper.is_ready
    contact = asyncio.create_task(keeper.wait_until_ready())
    await poll(lambda: _is(proxy.refused >= 3), 20, "some tries")
    assert not contact.done()
    assert not keeper.is_ready
    assert "no connection to the database" in caplog.text

    proxy.is_refusing = False
    await contact

    assert keeper.is_ready
    assert clock.is_set


async def _is(condition: bool) -> bool:
    return condition


@pytest.mark.parametrize("attempts", [1, 3])
async def test_tries_are_used_up(proxy: Proxy, far: Shards, attempts: int) -> None:
    proxy.is_refusing = True
    keeper = ClockKeeper(far, DatabaseClock(), ConnectRetry(attempts, 0.01, 0.02))
    with pytest.raises(DatabaseUnavailable):
        await keeper.wait_until_ready()
    assert proxy.refused == attempts
    assert not keeper.is_ready


async def test_waits_grow_up_to_the_maximum(proxy: Proxy, far: Shards, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []

    class Noted(wait_exponential_jitter):
        def __call__(self, retry_state: RetryCallState) -> float:
            waits.append(super().__call__(retry_state))
            return 0

    monkeypatch.setattr(watch, "wait_exponential_jitter", Noted)
    proxy.is_refusing = True
    with pytest.raises(DatabaseUnavailable):
        await reach(far, ConnectRetry(8, 0.5, 5.0))
    # The last try is followed by none.
    for wait, base in zip(waits[:7], [0.5, 1, 2, 4, 5, 5, 5], strict=True):
        assert base <= wait <= min(base + 0.5, 5.0)


async def test_an_empty_database_is_refused_at_once(server: EmbeddedServer) -> None:
    with scratch_database(server.url) as url:
        shards = open_shards([url], Pool(size=2))
        with pytest.raises(SchemaMismatch, match="missing"):
            await ClockKeeper(shards, DatabaseClock(), SOON).wait_until_ready()
        # Only whoever is about to make the tables takes it as it is.
        await reach(shards, SOON)
        await shards.close()


async def test_an_unfit_database_is_refused_at_once(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(_engine: object) -> list[str]:
        raise DatabaseUnfit(["it forgets"])

    monkeypatch.setattr(probe, "check", refuse)
    keeper = ClockKeeper(desk.shards, DatabaseClock(), SOON)
    with pytest.raises(DatabaseUnfit, match="it forgets"):
        await keeper.wait_until_ready()
    assert not keeper.is_ready


async def test_every_shard_must_answer(proxy: Proxy, database_url: str) -> None:
    proxy.is_refusing = True
    shards = open_shards([database_url, proxy.url], Pool(size=2))
    with pytest.raises(DatabaseUnavailable):
        await ClockKeeper(shards, DatabaseClock(), ConnectRetry(2, 0.01, 0.01)).wait_until_ready()
    await shards.close()


async def test_an_outage_is_noticed_and_its_end_too(
    proxy: Proxy, far: Shards, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(watch, "LOOK_SECONDS", 0.01)
    keeper = ClockKeeper(far, DatabaseClock(), SOON)
    await keeper.wait_until_ready()
    running = asyncio.create_task(keeper.run())

    proxy.is_refusing = True
    proxy.cut_all()
    await poll(lambda: _is(not keeper.is_ready), 20, "the outage to be noticed")
    assert "no connection to the database" in caplog.text

    proxy.is_refusing = False
    await poll(lambda: _is(keeper.is_ready), 20, "the end of the outage to be noticed")
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


async def test_each_of_several_is_known_to_answer_or_not(
    proxy: Proxy, database_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(watch, "LOOK_SECONDS", 0.01)
    shards = open_shards([database_url, proxy.url], Pool(size=2))
    told: list[int] = []
    keeper = ClockKeeper(shards, DatabaseClock(), SOON, told.append)
    assert keeper.away == {0, 1}
    running = asyncio.create_task(keeper.run())
    # Also while one that does not answer keeps the first contact from being made.
    proxy.is_refusing = True
    proxy.cut_all()
    await poll(lambda: _is(keeper.away == {1}), 20, "the first to answer")
    proxy.is_refusing = False
    await keeper.wait_until_ready()
    assert keeper.away == frozenset()

    proxy.is_refusing = True
    proxy.cut_all()
    await poll(lambda: _is(keeper.away == {1}), 20, "the outage to be noticed")
    assert keeper.is_ready, "the first one answers"
    assert "database 1 is away: no connection to the database" in caplog.text
    assert told == [1, 1], "once in each outage"
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running

    keeper.refuse_while_away()
    home, other = shards
    await schema.check(home.engine)
    refused = proxy.refused
    with pytest.raises(Away, match="database 1 does not answer"):
        await schema.check(other.engine)
    assert proxy.refused == refused, "it was not asked"
    proxy.is_refusing = False
    await look(other.engine, DatabaseClock())
    await shards.close()


async def test_one_that_lets_nobody_in_is_away(database_url: str) -> None:
    shards = open_shards([database_url, f"{database_url}_that_is_not_there"], Pool(size=2))
    keeper = ClockKeeper(shards, DatabaseClock(), SOON)
    running = asyncio.create_task(keeper.run())
    await poll(lambda: _is(keeper.away == {1}), 20, "the first to answer")
    assert not running.done()
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    await shards.close()


async def test_an_answer_that_does_not_come_is_an_outage_too(desk: Desk) -> None:
    """A look that hangs raises nothing: then the age of the last answer tells."""
    ahead = 0.0
    clock = DatabaseClock(lambda: time.monotonic() + ahead)
    keeper = ClockKeeper(desk.shards, clock, SOON)
    await keeper.wait_until_ready()
    assert keeper.is_ready
    ahead = 10.0
    assert not keeper.is_ready

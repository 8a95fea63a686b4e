"""The log says when a lease has run out and when it runs again: once each, and only if it ran before."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.db.proxy import Proxy
from timer_controller.heartbeat import Heartbeat
from timer_controller.lease import Lease
from timer_db.clock import DatabaseClock
from timer_db.domain.errors import DatabaseUnavailable
from timer_db.engine import Pool, open_shards
from timer_db.operations.membership import join

LEASE_SECONDS = 5.0
RUN_OUT = "the lease has run out: no call begins until the database takes a beat again"
AGAIN = "the lease runs again: calls begin again"


class _Scene:
    """A controller's heart behind a server that can be away, and a clock that is moved by hand."""

    def __init__(self, proxy: Proxy, heart: Heartbeat, caplog: pytest.LogCaptureFixture) -> None:
        self.proxy, self.heart, self._caplog = proxy, heart, caplog
        self.now = 100.0

    async def fail(self) -> None:
        with pytest.raises(DatabaseUnavailable):
            await self.heart.run_once()

    def go_away(self) -> None:
        self.proxy.is_refusing = True
        self.proxy.cut_all()

    def said(self) -> list[str]:
        return [r.getMessage() for r in self._caplog.records if r.name == "timer_controller.heartbeat"]


@pytest_asyncio.fixture
async def scene(database_url: str, caplog: pytest.LogCaptureFixture) -> AsyncIterator[_Scene]:
    caplog.set_level(logging.INFO)
    async with Proxy(database_url) as proxy:
        shards = open_shards([proxy.url], Pool(size=2))
        engine = shards.home.engine
        controller_id = await join(engine, "here", 1, "0")

        def now() -> float:
            return made.now

        heart = Heartbeat(
            engine,
            controller_id,
            clock=DatabaseClock(now),
            lease=Lease(LEASE_SECONDS, now),
            settled_at_us=lambda: 0,
            on_renewed=lambda _: None,
            monotonic=now,
        )
        made = _Scene(proxy, heart, caplog)
        yield made
        await shards.close()


async def test_a_lease_that_runs_out_is_told_once_and_so_is_its_return(scene: _Scene) -> None:
    await scene.heart.run_once()
    scene.go_away()
    scene.now += LEASE_SECONDS / 2
    await scene.fail()
    assert scene.said() == [], "the lease still runs"
    scene.now += LEASE_SECONDS
    await scene.fail()
    await scene.fail()
    assert scene.said() == [RUN_OUT]
    scene.proxy.is_refusing = False
    await scene.heart.run_once()
    await scene.heart.run_once()
    assert scene.said() == [RUN_OUT, AGAIN]


async def test_a_lease_that_never_ran_cannot_run_out(scene: _Scene) -> None:
    scene.go_away()
    await scene.fail()
    scene.proxy.is_refusing = False
    await scene.heart.run_once()
    assert scene.said() == []

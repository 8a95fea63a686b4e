"""Stay in touch with the servers: first contact, the start-up probe, and the clock."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncEngine
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception_type,
    stop_after_attempt,
    stop_never,
    wait_exponential_jitter,
)

from timer_db import schema, transactions
from timer_db.clock import DatabaseClock
from timer_db.domain.errors import DatabaseUnavailable
from timer_db.operations import probe
from timer_db.shards import Shards
from timer_db.statements import controllers
from timer_db.transactions import Connection

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
_STALE_SECONDS = 3 * LOOK_SECONDS


@dataclass(frozen=True, slots=True)
class ConnectRetry:
    """How often and how long first contact is tried: `attempts` 0 is for ever; waits grow, with jitter."""

    attempts: int = 0
    wait_seconds: float = 0.5
    wait_max_seconds: float = 5.0


class ClockKeeper:
    """Looks at the first server's clock every second, and so knows whether the database answers.

    All shards are taken to agree on the time (NTP); `python -m timer_db check` compares them.
    """

    def __init__(self, shards: Shards, clock: DatabaseClock, retry: ConnectRetry) -> None:
        self._shards = shards
        self._clock = clock
        self._retry = retry
        self._is_answering = False

    @property
    def is_ready(self) -> bool:
        """Whether the database is fit and answered lately; the log says why not."""
        return self._is_answering and self._clock.age_seconds < _STALE_SECONDS

    async def wait_until_ready(self) -> None:
        """First contact with every shard: reach it, probe it, compare its schema.

        Raises DatabaseUnfit or SchemaMismatch at once, DatabaseUnavailable when the tries are used up.
        """
        await _until_reached(self._contact, self._retry)
        self._is_answering = True

    async def run(self) -> None:
        """Look at the clock for ever. Cancel it to stop."""
        while True:
            try:
                await look(self._engine, self._clock)
            except DatabaseUnavailable as error:
                if self._is_answering:
                    log.warning("the database is away: %s", error)
                self._is_answering = False
            else:
                if not self._is_answering:
                    log.info("the database is back")
                self._is_answering = True
            await asyncio.sleep(LOOK_SECONDS)

    @property
    def _engine(self) -> AsyncEngine:
        return self._shards.home.engine

    async def _contact(self) -> None:
        for shard in self._shards:
            await schema.check(shard.engine)
            for warning in await probe.check(shard.engine):
                log.warning("database %d: %s", shard.number, warning)
        await look(self._engine, self._clock)


async def reach(shards: Shards, retry: ConnectRetry) -> None:
    """Wait until every shard answers, whatever its schema. Raises DatabaseUnavailable as `retry` says."""

    async def contact() -> None:
        for shard in shards:
            await look(shard.engine, DatabaseClock())

    await _until_reached(contact, retry)


async def _until_reached(contact: Callable[[], Awaitable[None]], retry: ConnectRetry) -> None:
    def before_sleep(state: RetryCallState) -> None:
        reason = str(state.outcome.exception()) if state.outcome else ""
        log.warning("waiting for the database (try %d): %s", state.attempt_number, reason)

    policy = AsyncRetrying(
        retry=retry_if_exception_type(DatabaseUnavailable),
        stop=stop_after_attempt(retry.attempts) if retry.attempts else stop_never,
        wait=wait_exponential_jitter(
            multiplier=retry.wait_seconds, max=retry.wait_max_seconds, jitter=retry.wait_seconds
        ),
        before_sleep=before_sleep,
        reraise=True,
    )
    await policy(contact)


async def look(engine: AsyncEngine, clock: DatabaseClock) -> int:
    """Read the server's clock into `clock`; gives the server's time in microseconds."""

    async def work(connection: Connection) -> int:
        asked_at = time.monotonic()
        server_us = int(await connection.value(controllers.NOW))
        clock.learn(server_us, asked_at, time.monotonic())
        return server_us

    return await transactions.run(engine, work)

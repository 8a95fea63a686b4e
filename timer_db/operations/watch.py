"""Stay in touch with the servers: first contact, the start-up probe, and the clock."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from weakref import ref

from pymysql.err import MySQLError
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
from timer_db.domain.errors import Away, DatabaseUnavailable
from timer_db.operations import probe
from timer_db.shards import Shard, Shards
from timer_db.statements import controllers
from timer_db.transactions import Connection

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
STALE_SECONDS = 3 * LOOK_SECONDS
"""A server that has not answered for so long is away, until it does."""

# One that lets nobody in any more keeps nobody from the others.
_REFUSALS = (DatabaseUnavailable, MySQLError)


@dataclass(frozen=True, slots=True)
class ConnectRetry:
    """How often and how long first contact is tried: `attempts` 0 is for ever; waits grow, with jitter."""

    attempts: int = 0
    wait_seconds: float = 0.5
    wait_max_seconds: float = 5.0


OnAway = Callable[[int], None]
"""Told the number of a server when it does not answer any more."""


class _Watch:
    """One server, and whether it answers."""

    def __init__(self, shard: Shard, name: str, clock: DatabaseClock, on_away: OnAway) -> None:
        self.shard = shard
        self._name = name
        self._clock = clock
        self._on_away = on_away
        self._has_answered = self._is_told = False

    @property
    def is_answering(self) -> bool:
        """A look that hangs raises nothing: then the age of the last answer tells."""
        return self._has_answered and self._clock.age_seconds < STALE_SECONDS

    async def look(self) -> None:
        """Ask it for the time. Raises one of `_REFUSALS`."""
        try:
            await look(self.shard.engine, self._clock)
        except _REFUSALS:
            self._has_answered = False
            raise
        self._has_answered = True

    async def run(self) -> None:
        """For ever. Who is cancelled goes at once, and does not stay until a server that hangs has answered."""
        while True:
            looking = asyncio.ensure_future(self.look())
            looking.add_done_callback(lambda looked: looked.cancelled() or looked.exception())
            if not (await asyncio.wait([looking], timeout=STALE_SECONDS))[0]:
                self._tell_away("it takes long to answer")
                await asyncio.wait([looking])
            try:
                looking.result()
            except _REFUSALS as error:
                self._tell_away(str(error))
            else:
                if self._is_told:
                    log.info("%s is back", self._name)
                self._is_told = False
            await asyncio.sleep(LOOK_SECONDS)

    def _tell_away(self, why: str) -> None:
        if not self._is_told:
            log.warning("%s is away: %s", self._name, why)
            self._on_away(self.shard.number)
        self._is_told = True


class ClockKeeper:
    """Looks at every server's clock each second, and so knows which of them answer. The first one's is the time.

    All shards are taken to agree on it (NTP); `python -m timer_db check` compares them.
    """

    def __init__(
        self, shards: Shards, clock: DatabaseClock, retry: ConnectRetry, on_away: OnAway = lambda _: None
    ) -> None:
        names = ["the database"] if len(shards) == 1 else [f"database {shard.number}" for shard in shards]
        self._watches = [
            _Watch(shard, name, clock if shard is shards.home else DatabaseClock(), on_away)
            for shard, name in zip(shards, names, strict=True)
        ]
        self._home = self._watches[0]
        self._retry = retry
        self._is_fit = False

    @property
    def is_ready(self) -> bool:
        """Whether the databases were found fit, and the first one answered lately; the log says why not."""
        return self._is_fit and self._home.is_answering

    @property
    def away(self) -> frozenset[int]:
        """Servers that have not answered lately, by their numbers."""
        return frozenset(watch.shard.number for watch in self._watches if not watch.is_answering)

    def check(self, number: int) -> None:
        """Raises Away when this server has not answered lately."""
        if not self._watches[number].is_answering:
            raise Away([number], len(self._watches))

    def refuse_while_away(self) -> None:
        """From now on every transaction on a server that is away is refused at once, in this process. Only for who
        runs this keeper, which tells when the server is back."""
        # Not by a reference that would keep the engines, under which it is kept, for ever.
        keeper = ref(self)

        def check(number: int) -> None:
            if living := keeper():
                living.check(number)

        for watch in self._watches:
            transactions.refuse_while_away(watch.shard.engine, partial(check, watch.shard.number))

    async def wait_until_ready(self) -> None:
        """First contact with every shard: reach it, probe it, compare its schema.

        Raises DatabaseUnfit or SchemaMismatch at once, DatabaseUnavailable when the tries are used up.
        """
        await _until_reached(self._contact, self._retry)
        self._is_fit = True

    async def run(self) -> None:
        """Look at the clocks for ever, also before first contact. Cancel it to stop."""
        running = [asyncio.ensure_future(watch.run()) for watch in self._watches]
        try:
            await asyncio.gather(*running)
        finally:
            # One that has failed leaves none of the others behind.
            for each in running:
                each.cancel()

    async def _contact(self) -> None:
        for watch in self._watches:
            await schema.check(watch.shard.engine)
            for warning in await probe.check(watch.shard.engine):
                log.warning("database %d: %s", watch.shard.number, warning)
            await watch.look()


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

    return await transactions.run(engine, work, even_if_away=True)

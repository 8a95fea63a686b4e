"""What the calls work with: the database, its clock, and the line of creates; made and ended together."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Sequence
from typing import Any

from timer_api import errors
from timer_api.admission import Admission
from timer_api.api_keys.gate import Gate
from timer_api.errors import Problem
from timer_api.intake import IntakeLimits, Stored
from timer_api.lines import Lines
from timer_api.metrics.collector import ApiCollector
from timer_api.metrics.tally import Tally
from timer_api.settings import ApiSettings
from timer_api.waiting import WaitingLimits
from timer_db.clock import DatabaseClock
from timer_db.domain.errors import Away, DatabaseError, DatabaseUnavailable, KeyReused, NameTaken
from timer_db.domain.idempotency import AnswerGiven, KeyAsked, KeyHeld
from timer_db.domain.ids import shard_of
from timer_db.domain.timer import NewTimer
from timer_db.engine import Pool, open_shards
from timer_db.metrics import Metrics
from timer_db.operations.directory import DirectoryKeeper
from timer_db.operations.idempotency import hold_keys, home_of, keep_answers
from timer_db.operations.schedule import Scheduled, schedule
from timer_db.operations.watch import ClockKeeper, ConnectRetry

log = logging.getLogger(__name__)

_KEY_BYTES = 100
"""What a key that waits takes."""
_ANSWERS_BYTES = 1024 * 1024
"""Answers that are kept in one commit; the largest of them comes on top."""


def _number_of(timer: NewTimer) -> int:
    return shard_of(timer.id)


OnFatal = Callable[[str], None]
"""Told, once and in one line, why the service cannot go on."""


class Service:
    """One API process's parts. `on_fatal` is called when it can't do its work, now or ever."""

    def __init__(
        self, settings: ApiSettings, on_fatal: OnFatal, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self.settings = settings
        self.shards = open_shards(settings.db_urls, Pool(size=settings.db_pool_size), settings.keyring)
        self.clock = DatabaseClock()
        retry = ConnectRetry(
            attempts=settings.db_connect_attempts,
            wait_seconds=settings.db_connect_wait_seconds,
            wait_max_seconds=settings.db_connect_wait_max_seconds,
        )
        self.keeper = ClockKeeper(self.shards, self.clock, retry, self._refuse_what_waits)
        place = (self.shards, self.keeper)
        limits = IntakeLimits(line_timers=settings.api_queue_timers, line_bytes=settings.api_queue_bytes)
        self._creates = Lines(*place, _number_of, self._schedule, limits)
        # Batches have lines and writers of their own, so that no single create stands behind one.
        self._batches = Lines(*place, _number_of, self._schedule, name="batch writer")
        self._keys = Lines(*place, self._home_of, self._hold_keys, name="key writer")
        kept = IntakeLimits(batch_bytes=_ANSWERS_BYTES)
        self._answers = Lines(*place, self._home_of, self._keep_answers, kept, name="answer writer")
        self._lines: tuple[Lines[Any, Any], ...] = (self._keys, self._creates, self._batches, self._answers)
        self.admission = Admission(settings.api_batch_queue_bytes)
        self.gate = Gate(self.shards, settings.api_keys_given, monotonic)
        self.directory = DirectoryKeeper(self.shards)
        self.tally = Tally()
        self.metrics = Metrics(
            "api",
            ApiCollector(
                self.tally,
                is_ready=lambda: self.unready_because is None,
                lines=lambda: {"creates": self._creates.waiting, "batches": self._batches.waiting},
            ),
        )
        self._limits = WaitingLimits(self.shards, self.directory, monotonic)
        self.reached = asyncio.Event()
        """Set when the database was reached for the first time, and the keys were read from it."""
        self._on_fatal = on_fatal
        self._watch: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin; nothing waits for the database."""
        for line in self._lines:
            line.start()
        self._watch = asyncio.create_task(self._watch_database(), name="watch database")

    async def stop(self) -> None:
        """Store what waits, and close every connection."""
        within_seconds = self.settings.api_stop_seconds
        await asyncio.gather(*(line.stop(within_seconds) for line in self._lines))
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.wait([self._watch])
        await self.shards.close()

    def now_us(self) -> int:
        """The database's time, at the latest; 503 while nobody could tell it."""
        if not self.keeper.is_ready:
            raise self.unavailable
        return self.clock.latest_us()

    @property
    def avoided(self) -> Collection[int]:
        """Servers that are away, for a timer that may go to any."""
        return self.keeper.away if len(self.shards) > 1 else ()

    @property
    def unavailable(self) -> Problem:
        """What to answer while it is not ready."""
        return errors.from_error(Away(self.keeper.away, len(self.shards)))

    async def hold(self, asked: KeyAsked) -> KeyHeld:
        """An idempotency key for a request. Raises KeyReused, and LineFull when too much waits."""
        return await self._keys.put(asked, _KEY_BYTES)

    async def keep_answer(self, given: AnswerGiven) -> bytes:
        """What the request with this key is to be answered, packed. Raises LineFull when too much waits."""
        return await self._answers.put(given, len(given.packed))

    async def store(self, timer: NewTimer, size_bytes: int) -> Scheduled:
        """As `Lines.put`. Raises CollectionFull when too many of its collection wait."""
        if timer.owner.collection_id not in self.directory.current.limited:
            return await self._creates.put(timer, size_bytes)
        async with self._limits.admit([timer]) as refused:
            if refused:
                raise refused[timer.id]
            return await self._creates.put(timer, size_bytes)

    async def store_all(self, timers: Sequence[NewTimer], size_bytes: int) -> Sequence[Stored]:
        """As `Lines.put_all` of batches, with CollectionFull for those of which too many wait."""
        try:
            async with self._limits.admit(timers) as refused:
                kept = [timer for timer in timers if timer.id not in refused]
                stored = iter(await self._batches.put_all(kept, size_bytes) if kept else ())
                return [refused[timer.id] if timer.id in refused else next(stored) for timer in timers]
        except DatabaseUnavailable as error:
            return [error] * len(timers)  # how many there are could not be read

    @property
    def unready_because(self) -> str | None:
        """Why calls should be sent elsewhere; None when all is well. Anybody may ask, so what the driver says,
        which names the server and its user, is left to the log."""
        if not self.keeper.is_ready:
            return "the database cannot be used now; the log says why"
        return None if self.gate.is_known else "the API keys were not read yet"

    def _home_of(self, about: KeyAsked | AnswerGiven) -> int:
        return home_of(self.shards, about.key_sha256).number

    def _refuse_what_waits(self, number: int) -> None:
        for lines in self._lines:
            lines.refuse(Away([number], len(self.shards)))

    async def _schedule(self, timers: Sequence[NewTimer]) -> Sequence[Scheduled | NameTaken]:
        stored = await schedule(self.shards, timers)
        self.tally.committed.add(len(timers))
        return stored

    async def _hold_keys(self, asked: Sequence[KeyAsked]) -> Sequence[KeyHeld | KeyReused]:
        return await hold_keys(self.shards, asked)

    async def _keep_answers(self, given: Sequence[AnswerGiven]) -> Sequence[bytes]:
        return await keep_answers(self.shards, given)

    async def _watch_database(self) -> None:
        # Which databases answer is known also while one that does not keeps the rest from beginning.
        parts = [asyncio.ensure_future(part) for part in (self.keeper.run(), self._keep_in_touch())]
        try:
            await asyncio.gather(*parts)
        except DatabaseError as error:
            self._on_fatal(str(error))
        except Exception as error:
            log.exception("the watch over the database failed")
            self._on_fatal(f"the watch over the database failed: {error!r}")
        finally:
            for part in parts:
                part.cancel()

    async def _keep_in_touch(self) -> None:
        await self.keeper.wait_until_ready()
        self.keeper.refuse_while_away()
        await self.gate.wait_until_known()
        await self.directory.refresh()
        self.reached.set()
        log.info("ready: the database answers")
        await asyncio.gather(self.gate.run(), self.directory.run())

"""Group commit: creates that come at the same time share one transaction.

Each create waits in a line. A writer takes everything that waits, up to a bound, stores it in one commit,
and answers all of it. It never waits for company: a lone create is stored at once, and while one commit is
under way the next batch gathers by itself.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from timer_db.domain.errors import DatabaseUnavailable, NameTaken
from timer_db.domain.timer import NewTimer
from timer_db.operations.schedule import Scheduled

log = logging.getLogger(__name__)

Schedule = Callable[[Sequence[NewTimer]], Awaitable[Sequence[Scheduled | NameTaken]]]
"""Stores timers in one commit, answers in their order, and may be repeated with the same timers."""


class LineFull(Exception):
    """Too many creates wait already, or the service is stopping."""


@dataclass(frozen=True, slots=True)
class IntakeLimits:
    """How much may wait, and how much one commit takes."""

    line_timers: int = 4096
    line_bytes: int = 64 * 1024 * 1024
    batch_timers: int = 500
    batch_bytes: int = 4 * 1024 * 1024
    writers: int = 2
    """While one batch is being committed, the next can be sent; a third only made batches smaller."""


@dataclass(slots=True)
class _Waiting:
    timer: NewTimer
    size_bytes: int
    answer: asyncio.Future[Scheduled | NameTaken]


class Intake:
    """The line of creates and its writers."""

    def __init__(self, schedule: Schedule, limits: IntakeLimits | None = None) -> None:
        self._schedule = schedule
        self._limits = limits or IntakeLimits()
        self._line: deque[_Waiting] = deque()
        self._line_bytes = 0
        self._idle: deque[asyncio.Future[None]] = deque()
        self._writers: list[asyncio.Task[None]] = []
        self._stopping = False

    def start(self) -> None:
        """Begin to write."""
        self._writers = [
            asyncio.create_task(self._write(), name=f"writer {number}") for number in range(self._limits.writers)
        ]

    async def stop(self, within_seconds: float) -> None:
        """Refuse new creates, store what waits, and end; what takes too long is left unanswered."""
        self._stopping = True
        while self._idle:
            self._wake_one()
        if self._writers:
            _, late = await asyncio.wait(self._writers, timeout=within_seconds)
            for writer in late:
                log.warning("%s: the database did not answer in time", writer.get_name())
                writer.cancel()

    async def put(self, timer: NewTimer, size_bytes: int) -> Scheduled | NameTaken:
        """Store one timer; returns when it is committed.

        Raises LineFull when too much waits, and what `schedule` raised for this timer.
        """
        limits = self._limits
        full = len(self._line) >= limits.line_timers or self._line_bytes + size_bytes > limits.line_bytes
        # An empty line takes any one create, however large.
        if self._stopping or (full and self._line):
            raise LineFull
        answer: asyncio.Future[Scheduled | NameTaken] = asyncio.get_running_loop().create_future()
        self._line.append(_Waiting(timer, size_bytes, answer))
        self._line_bytes += size_bytes
        self._wake_one()
        return await answer

    def _wake_one(self) -> None:
        while self._idle:
            sleeper = self._idle.popleft()
            if not sleeper.done():
                sleeper.set_result(None)
                return

    async def _write(self) -> None:
        while True:
            batch = self._take()
            if batch:
                await self._store(batch)
            elif self._stopping:
                return
            else:
                sleeper: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                self._idle.append(sleeper)
                await sleeper

    def _take(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        size = 0
        while self._line and len(batch) < self._limits.batch_timers:
            if batch and size + self._line[0].size_bytes > self._limits.batch_bytes:
                break
            waiting = self._line.popleft()
            self._line_bytes -= waiting.size_bytes
            # Whoever asked has gone before anything was done about it.
            if waiting.answer.cancelled():
                continue
            size += waiting.size_bytes
            batch.append(waiting)
        return batch

    async def _store(self, batch: list[_Waiting]) -> None:
        try:
            results = await self._schedule_twice([waiting.timer for waiting in batch])
        except DatabaseUnavailable as error:
            self._refuse(batch, error)
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not end the writer
            await self._isolate(batch, error)
        else:
            for waiting, result in zip(batch, results, strict=True):
                if not waiting.answer.done():
                    waiting.answer.set_result(result)

    async def _schedule_twice(self, timers: Sequence[NewTimer]) -> Sequence[Scheduled | NameTaken]:
        """Once more after a lost connection: the first try may have met one that was stale."""
        try:
            return await self._schedule(timers)
        except DatabaseUnavailable:
            return await self._schedule(timers)

    async def _isolate(self, batch: list[_Waiting], error: Exception) -> None:
        """One create that cannot be stored must not fail the others: halves find it in few steps."""
        if len(batch) == 1:
            self._refuse(batch, error)
            return
        log.warning("a batch of %d creates failed and is split: %r", len(batch), error)
        middle = len(batch) // 2
        await self._store(batch[:middle])
        await self._store(batch[middle:])

    def _refuse(self, batch: Sequence[_Waiting], error: Exception) -> None:
        for waiting in batch:
            if not waiting.answer.done():
                waiting.answer.set_exception(error)

"""Group commit: creates that come at the same time share one transaction.

Each create waits in a line, alone or with others that came with it. A writer takes everything that waits, up to a
bound, stores it in one commit, and answers all of it. It never waits for company: a lone create is stored at once,
and while one commit is under way the next batch gathers by itself.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from timer_db.domain.errors import Away, DatabaseUnavailable
from timer_db.operations.schedule import Scheduled

log = logging.getLogger(__name__)

Item = TypeVar("Item")
Made = TypeVar("Made")

Store = Callable[[Sequence[Item]], Awaitable[Sequence[Made | Exception]]]
"""Stores items in one commit, answers in their order, and may be repeated with the same items."""

Stored = Scheduled | Exception
"""What came of one timer; an exception says why it is not stored."""


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
    crowd_timers: int = 24
    """So many must wait for a second writer to begin: two small commits cost twice what a larger one does."""


@dataclass(slots=True)
class _Waiting(Generic[Item, Made]):
    items: Sequence[Item]
    size_bytes: int
    answer: asyncio.Future[Sequence[Made | Exception]]


class Intake(Generic[Item, Made]):
    """The line of creates and its writers. An item is a timer, or what else is stored in the same way."""

    def __init__(self, store: Store[Item, Made], limits: IntakeLimits | None = None, name: str = "writer") -> None:
        self._store_together = store
        self._limits = limits or IntakeLimits()
        self._name = name
        self._line: deque[_Waiting[Item, Made]] = deque()
        self._line_timers = 0
        self._line_bytes = 0
        self._idle: deque[asyncio.Future[None]] = deque()
        self._writers: list[asyncio.Task[None]] = []
        self._storing = 0
        self._stopping = False

    def start(self) -> None:
        """Begin to write."""
        self._writers = [
            asyncio.create_task(self._write(), name=f"{self._name} {number}")
            for number in range(self._limits.writers)
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

    @property
    def waiting(self) -> int:
        """Items in the line."""
        return self._line_timers

    def refuse(self, refusal: Exception) -> None:
        """Nothing of what waits and was not begun is stored: this comes of each."""
        while self._line:
            waiting = self._line.popleft()
            if not waiting.answer.done():
                waiting.answer.set_result([refusal] * len(waiting.items))
        self._line_timers = self._line_bytes = 0

    async def put(self, item: Item, size_bytes: int) -> Made:
        """Store one item; returns when it is committed.

        Raises LineFull when too much waits, and why this item is not stored.
        """
        (stored,) = await self.put_all((item,), size_bytes)
        if isinstance(stored, Exception):
            raise stored
        return stored

    async def put_all(self, items: Sequence[Item], size_bytes: int) -> Sequence[Made | Exception]:
        """Store items that came together, in one commit; gives what came of each, in their order.

        Raises LineFull when too much waits. DatabaseUnavailable for an item means that nobody knows about it.
        """
        limits = self._limits
        full = (
            self._line_timers + len(items) > limits.line_timers
            or self._line_bytes + size_bytes > limits.line_bytes
        )
        # An empty line takes any one create, however large.
        if self._stopping or (full and self._line):
            raise LineFull
        answer: asyncio.Future[Sequence[Made | Exception]] = asyncio.get_running_loop().create_future()
        self._line.append(_Waiting(items, size_bytes, answer))
        self._line_timers += len(items)
        self._line_bytes += size_bytes
        if self._is_worth_a_writer():
            self._wake_one()
        return await answer

    def _is_worth_a_writer(self) -> bool:
        """Whether one more writer should take from the line now."""
        crowded = self._line_timers >= self._limits.crowd_timers
        return bool(self._line) and (not self._storing or crowded or self._stopping)

    def _wake_one(self) -> None:
        while self._idle:
            sleeper = self._idle.popleft()
            if not sleeper.done():
                sleeper.set_result(None)
                return

    async def _write(self) -> None:
        while True:
            if self._is_worth_a_writer():
                if batch := self._take():
                    await self._store(batch)
            elif self._stopping:
                return
            else:
                sleeper: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                self._idle.append(sleeper)
                await sleeper

    def _take(self) -> list[_Waiting[Item, Made]]:
        batch: list[_Waiting[Item, Made]] = []
        count = size = 0
        while self._line:
            first = self._line[0]
            if batch and (
                count + len(first.items) > self._limits.batch_timers
                or size + first.size_bytes > self._limits.batch_bytes
            ):
                break
            self._line.popleft()
            self._line_timers -= len(first.items)
            self._line_bytes -= first.size_bytes
            # Whoever asked has gone before anything was done about it.
            if first.answer.cancelled():
                continue
            count += len(first.items)
            size += first.size_bytes
            batch.append(first)
        return batch

    async def _store(self, batch: list[_Waiting[Item, Made]]) -> None:
        self._storing += 1
        try:
            results = await self._stored([item for waiting in batch for item in waiting.items])
        finally:
            self._storing -= 1
        position = 0
        for waiting in batch:
            behind = position + len(waiting.items)
            if not waiting.answer.done():
                waiting.answer.set_result(results[position:behind])
            position = behind

    async def _stored(self, items: Sequence[Item]) -> Sequence[Made | Exception]:
        try:
            return await self._store_twice(items)
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not end the writer
            if len(items) == 1 or isinstance(error, DatabaseUnavailable):
                return [error] * len(items)
            # One create that cannot be stored must not fail the others: halves find it in few steps.
            log.warning("a batch of %d creates failed and is split: %r", len(items), error)
            middle = len(items) // 2
            return [*await self._stored(items[:middle]), *await self._stored(items[middle:])]

    async def _store_twice(self, items: Sequence[Item]) -> Sequence[Made | Exception]:
        """Once more after a lost connection: the first try may have met one that was stale."""
        try:
            return await self._store_together(items)
        except Away:
            raise
        except DatabaseUnavailable as lost:
            try:
                return await self._store_together(items)
            except Away:
                # That nothing was begun is true of the second try only.
                raise lost from None

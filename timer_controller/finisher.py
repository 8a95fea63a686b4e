"""Writes down what became of claims, many in one transaction."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from uuid import UUID

from timer_controller.hands import Hands
from timer_db.domain.claim import Finished, Returned
from timer_db.domain.errors import DatabaseUnavailable, Fenced
from timer_db.domain.states import TimerState
from timer_db.engine import Engine
from timer_db.operations.claim import BATCH_MAX, release
from timer_db.operations.finish import finish

log = logging.getLogger(__name__)

GATHER_SECONDS = 0.01
_BAD_ENDS = (TimerState.failed, TimerState.unknown)


class Finisher:
    """Outcomes, and claims that go back unsent, wait here until they are written. `on_written` is called when
    hands became free, with what went back; `on_logged` hears of the outcomes.

    Nobody else writes to this controller's batches, so it knows which of them ends with what it writes.
    """

    def __init__(
        self,
        engine: Engine,
        controller_id: int,
        hands: Hands,
        on_written: Callable[[Sequence[Returned]], None],
        on_logged: Callable[[Sequence[Finished]], None] | None = None,
    ) -> None:
        self._engine = engine
        self._controller_id = controller_id
        self._hands = hands
        self._on_written = on_written
        self._on_logged = on_logged
        self._outcomes: list[Finished] = []
        self._returned: list[Returned] = []
        self._to_write: list[Finished] = []
        self._to_return: list[Returned] = []
        self._is_repeat = False
        self._writing = asyncio.Lock()
        self._first = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def put(self, finished: Finished) -> None:
        """An attempt has ended."""
        self._outcomes.append(finished)
        self._idle.clear()
        self._first.set()

    def give_back(self, returned: Returned) -> None:
        """A claim is not used."""
        self._returned.append(returned)
        self._idle.clear()
        self._first.set()

    async def release(self, unsent: Mapping[int, int]) -> None:
        """As the operation. It locks the batches that a finish locks: better to wait here than in the server."""
        async with self._writing:
            await release(self._engine, self._controller_id, unsent)

    async def all_written(self) -> None:
        """Wait until nothing is left to write."""
        await self._idle.wait()

    async def run_once(self) -> float:
        """Write what has gathered; gives 0. Raises Fenced when claims were taken over.

        When the database is away the same is tried again by the next step: nothing is ever dropped while the
        claims are ours.
        """
        if not self._to_write and not self._to_return:
            await self._first.wait()
            if len(self._outcomes) < BATCH_MAX and len(self._returned) < BATCH_MAX:
                # A short wait for company: one commit for all that ends within it.
                await asyncio.sleep(GATHER_SECONDS)
            self._take()
        await self._write()
        if self._on_logged is not None and self._to_write:
            self._on_logged(self._to_write)
        returned = self._to_return
        self._to_write, self._to_return, self._is_repeat = [], [], False
        if not self._outcomes and not self._returned:
            self._idle.set()
        self._on_written(returned)
        return 0

    def _take(self) -> None:
        self._to_write = self._outcomes[:BATCH_MAX]
        del self._outcomes[:BATCH_MAX]
        self._to_return = self._returned[:BATCH_MAX]
        del self._returned[:BATCH_MAX]
        if not self._outcomes and not self._returned:
            self._first.clear()

    async def _write(self) -> None:
        leaving: list[Finished | Returned] = [*self._to_write, *self._to_return]
        done = self._hands.done_with(leaving)
        try:
            async with self._writing:
                written = await finish(
                    self._engine,
                    self._controller_id,
                    self._to_write,
                    self._to_return,
                    done,
                    is_repeat=self._is_repeat,
                )
        except DatabaseUnavailable:
            self._is_repeat = True
            raise
        for claim in leaving:
            self._hands.let_go(claim.batch, [claim.entry])
        lost = {id(f) for f in written.lost}
        for f in self._to_write:
            if id(f) in lost:
                timer_id = str(UUID(bytes=f.entry.timer_id))
                log.error(
                    "timer %s: %s, but the claim had been taken over",
                    timer_id,
                    f.outcome,
                    extra={"timer_id": timer_id, "outcome": f.outcome},
                )
            elif f.state in _BAD_ENDS:
                _tell_end(f)
        if written.lost_batches:
            raise Fenced(f"controller {self._controller_id} lost {len(written.lost_batches)} batches")


def _tell_end(finished: Finished) -> None:
    """Somebody has to look at this timer: the log leads to it."""
    timer_id = str(UUID(bytes=finished.entry.timer_id))
    log.warning(
        "timer %s ended as %s at attempt %d: %s",
        timer_id,
        finished.state,
        finished.attempt,
        finished.reason,
        extra={
            "timer_id": timer_id,
            "state": finished.state,
            "attempt": finished.attempt,
            "reason": finished.reason,
            "http_status": finished.http_status,
        },
    )

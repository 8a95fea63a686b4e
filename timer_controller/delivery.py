"""Makes the calls: prepare, send, judge."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable

from timer_controller.calls import call_of
from timer_controller.lease import Lease
from timer_controller.sender.protocol import Result, Sender
from timer_db.clock import DatabaseClock
from timer_db.domain.claim import Claim, Finished
from timer_db.domain.errors import DatabaseUnavailable
from timer_db.domain.policy import after_attempt
from timer_db.domain.states import Outcome

log = logging.getLogger(__name__)


class Delivery:
    """Calls in flight. `on_finished` takes each outcome; `on_refused` takes a claim back that may not be sent;
    `on_room` is told after each call that another may begin."""

    def __init__(
        self,
        sender: Sender,
        *,
        clock: DatabaseClock,
        lease: Lease,
        calls_max: int,
        on_finished: Callable[[Finished], None],
        on_refused: Callable[[Claim], None],
        on_room: Callable[[], None],
        load_whole: Callable[[Claim], Awaitable[Claim]],
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._sender = sender
        self._clock = clock
        self._lease = lease
        self._calls_max = calls_max
        self._on_finished = on_finished
        self._on_refused = on_refused
        self._on_room = on_room
        self._load_whole = load_whole
        self._draw = draw
        self._in_flight: set[asyncio.Task[None]] = set()

    @property
    def in_flight(self) -> int:
        """Calls under way."""
        return len(self._in_flight)

    def may_start(self) -> int:
        """How many more calls may begin now; none without a lease."""
        return self._calls_max - len(self._in_flight) if self._lease.may_send() else 0

    def start(self, claim: Claim) -> None:
        """Begin one call."""
        task = asyncio.get_running_loop().create_task(self._deliver(claim))
        self._in_flight.add(task)
        task.add_done_callback(self._leave)

    async def ended(self) -> None:
        """Wait until no call is in flight."""
        while self._in_flight:
            await asyncio.wait(self._in_flight)

    async def abandon(self) -> None:
        """Cut the calls in flight; their outcomes stay unknown."""
        for task in self._in_flight:
            task.cancel()
        await self.ended()

    def _leave(self, task: asyncio.Task[None]) -> None:
        self._in_flight.discard(task)
        self._on_room()

    async def _deliver(self, claim: Claim) -> None:
        if claim.is_large:
            try:
                claim = await self._load_whole(claim)
            except DatabaseUnavailable:
                self._on_refused(claim)
                return
        began_at = time.monotonic()
        was_refused = False

        def may_send() -> bool:
            nonlocal was_refused
            was_refused = not self._lease.may_send()
            return not was_refused

        result = await self._send(claim, may_send)
        if was_refused:
            self._on_refused(claim)
        else:
            self._on_finished(self._judge(claim, result, began_at))

    async def _send(self, claim: Claim, may_send: Callable[[], bool]) -> Result:
        try:
            return await self._sender.send(call_of(claim, self._clock.earliest_us()), may_send)
        except Exception as error:
            log.exception("timer %s: a fault in the sender", claim.timer.id)
            return Result(Outcome.unknown, f"internal fault: {type(error).__name__}", finished_at=time.monotonic())

    def _judge(self, claim: Claim, result: Result, began_at: float) -> Finished:
        finished_at_us = self._clock.earliest_us_at(result.finished_at)
        first_byte_at = began_at if result.first_byte_at is None else result.first_byte_at
        following = after_attempt(
            outcome=result.outcome,
            http_status=result.status,
            retry_after_seconds=result.retry_after_seconds,
            attempt=claim.attempt,
            retry=claim.timer.retry,
            on_unknown=claim.timer.on_unknown,
            now_us=self._clock.latest_us(),
            draw=self._draw(),
        )
        return Finished(
            batch=claim.batch,
            entry=claim.entry,
            attempt=claim.attempt,
            outcome=result.outcome,
            state=following.state,
            started_at_us=self._clock.earliest_us_at(first_byte_at),
            finished_at_us=finished_at_us,
            reason=result.reason,
            http_status=result.status,
            latency_us=round((result.finished_at - began_at) * 1_000_000),
            answer=result.answer,
            retry_at_us=following.retry_at_us,
        )

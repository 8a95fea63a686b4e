"""Makes the calls: prepare, send, judge."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING

from timer_controller.calls import call_of
from timer_controller.destinations import Destination
from timer_controller.groups import Groups
from timer_controller.lease import Lease
from timer_controller.sender.answer import forbidden
from timer_controller.sender.protocol import Cancel, Result, Sender
from timer_controller.signing import Signer
from timer_db.clock import DatabaseClock
from timer_db.domain.backoff import RetryPolicy
from timer_db.domain.claim import Claim, Finished
from timer_db.domain.claimed_timer import ClaimedTimer
from timer_db.domain.directory import ONLY_DEFAULT, Directory
from timer_db.domain.errors import ContentUnreadable, DatabaseUnavailable, TimerNotFound
from timer_db.domain.owner import BY_DEFAULT, Owner
from timer_db.domain.policy import Next, after_attempt
from timer_db.domain.queue_entry import QueueEntry
from timer_db.domain.states import Outcome, TimerState
from timer_db.encryption import NO_KEYS, Keyring

if TYPE_CHECKING:
    from timer_controller.traces import Traces

log = logging.getLogger(__name__)

_AGAIN_SECONDS = 0.25
_READ_AT_ONCE = 4
"""Large timers that are read at one time: the beat must not wait for a connection behind hundreds of them."""
_DELIVERED = Next(TimerState.delivered)
"""What nearly all attempts lead to."""


Left = Callable[[Claim, Destination, Result | None, float], None]
"""Told when a call has left: what came of it, or None when it was not made, and when it began (monotonic)."""


class Delivery:
    """Calls in flight. `on_finished` takes each outcome; `on_refused` takes a claim back that may not be sent;
    `on_left` is told first, so that another call may begin.

    A call is a callback, not a task: that halves what it costs beside the sender.
    """

    def __init__(
        self,
        sender: Sender,
        *,
        clock: DatabaseClock,
        lease: Lease,
        calls_max: int,
        on_finished: Callable[[Finished], None],
        on_refused: Callable[[Claim], None],
        on_left: Left,
        load_whole: Callable[[Claim], Awaitable[Claim]],
        groups: Groups,
        directory: Callable[[], Directory] = lambda: ONLY_DEFAULT,
        signer: Signer | None = None,
        keyring: Keyring = NO_KEYS,
        traces: Traces | None = None,
        draw: Callable[[], float] = random.random,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sender = sender
        self._clock = clock
        self._lease = lease
        self.calls_max = calls_max
        self._on_finished = on_finished
        self._on_refused = on_refused
        self._on_left = on_left
        self._load_whole = load_whole
        self._directory = directory
        self._groups = groups
        self._signer = signer
        self._keyring = keyring
        self._traces = traces
        self._unreadable: set[str] = set()
        self._draw = draw
        self._monotonic = monotonic
        self._reading = asyncio.Semaphore(_READ_AT_ONCE)
        self._in_flight: dict[QueueEntry, Cancel | None] = {}
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def in_flight(self) -> int:
        """Calls under way."""
        return len(self._in_flight)

    @property
    def room(self) -> int:
        """How many more there may be."""
        return self.calls_max - len(self._in_flight)

    def may_start(self) -> int:
        """How many more calls may begin now; none without a lease."""
        return self.calls_max - len(self._in_flight) if self._lease.may_send() else 0

    def start(self, claim: Claim, destination: Destination) -> None:
        """Begin one call."""
        self._idle.clear()
        if claim.is_large:
            reading = asyncio.get_running_loop().create_task(self._start_whole(claim, destination))
            self._in_flight[claim.entry] = partial(_cancel, reading)
            return
        self._in_flight[claim.entry] = None
        now_us = self._clock.earliest_us()
        ended: Callable[[Result], None] = partial(self._ended, claim, destination, self._monotonic(), now_us)
        traceparent, trace = claim.timer.traceparent, None
        if self._traces is not None:
            trace = self._traces.begin(claim)
        if trace is not None:
            traceparent, ended = trace.traceparent, trace.ending(ended)
        try:
            call = call_of(claim, now_us, self._signer, self._keyring, self._directory(), traceparent)
            if trace is not None:
                trace.note(call)
            cancel = self._sender.start(call, self._may_send_of(claim.timer.owner), ended)
        except ContentUnreadable as error:
            self._note_unreadable(error)
            ended(forbidden(error.reason))
            return
        except Exception as error:
            log.exception("timer %s: a fault in the sender", claim.timer.id)
            reason = f"internal fault: {type(error).__name__}"
            ended(Result(Outcome.unknown, reason, finished_at=self._monotonic(), forbidden=True))
            return
        if claim.entry in self._in_flight:
            self._in_flight[claim.entry] = cancel

    def _may_send_of(self, owner: Owner) -> Callable[[], bool]:
        """What is asked right before the first byte of a call leaves."""
        return self._may_send_by_default if owner is BY_DEFAULT else partial(self._may_send, owner)

    def _may_send_by_default(self) -> bool:
        return self._lease.may_send() and not self._groups.default_is_stopped

    def _may_send(self, owner: Owner) -> bool:
        return self._lease.may_send() and self._groups.stopping(owner) is None

    def _note_unreadable(self, error: ContentUnreadable) -> None:
        """Once for each reason: a key that is missing may concern every timer."""
        if error.reason not in self._unreadable:
            self._unreadable.add(error.reason)
            log.error("%s; other timers of this key will not be named", error)

    def give_up(self, claim: Claim, reason: str) -> None:
        """An attempt that is over without a call."""
        result = Result(Outcome.not_sent, reason, finished_at=self._monotonic())
        self._on_finished(self._judge(claim, result, result.finished_at, self._clock.earliest_us()))

    async def ended(self) -> None:
        """Wait until no call is in flight."""
        await self._idle.wait()

    def abandon(self) -> None:
        """Cut the calls in flight; nobody is told what became of them."""
        for cancel in self._in_flight.values():
            if cancel is not None:
                cancel()
        self._in_flight.clear()
        self._idle.set()

    async def _start_whole(self, claim: Claim, destination: Destination) -> None:
        """What is large is read only now."""
        began_at = self._monotonic()
        try:
            async with self._reading:
                whole = await self._load_whole(claim)
        except DatabaseUnavailable:
            await asyncio.sleep(_AGAIN_SECONDS)
            self._leave(claim, destination, None, began_at)
            self._on_refused(claim)
        except TimerNotFound as error:
            log.error("claimed, but: %s", error)
            self._leave(claim, destination, None, began_at)
        except Exception as error:
            log.exception("timer %s: a fault while it was read", claim.timer.id)
            reason = f"internal fault: {type(error).__name__}"
            result = Result(Outcome.not_sent, reason, finished_at=self._monotonic(), forbidden=True)
            self._ended(claim, destination, began_at, self._clock.earliest_us(), result)
        else:
            whole.waited_for, whole.claimed_at_ns = claim.waited_for, claim.claimed_at_ns
            self.start(whole, destination)

    def _ended(
        self, claim: Claim, destination: Destination, began_at: float, began_us: int, result: Result
    ) -> None:
        if claim.entry not in self._in_flight:
            return  # it was abandoned
        if result.withheld:
            self._leave(claim, destination, None, began_at)
            self._on_refused(claim)
        else:
            try:
                self._leave(claim, destination, result, began_at)
            finally:
                # Whatever goes wrong with the next call, this one was made.
                self._on_finished(self._judge(claim, result, began_at, began_us))

    def _leave(self, claim: Claim, destination: Destination, result: Result | None, began_at: float) -> None:
        del self._in_flight[claim.entry]
        if not self._in_flight:
            self._idle.set()
        self._on_left(claim, destination, result, began_at)

    def _retry_of(self, timer: ClaimedTimer) -> RetryPolicy:
        """Its own policy, else that of its route, as it is now."""
        if timer.retry_json or not timer.owner.route_id:
            return timer.retry
        return self._directory().routes[timer.owner.route_id].settings.retry

    def _judge(self, claim: Claim, result: Result, began_at: float, began_us: int) -> Finished:
        """`began_at` (monotonic) and `began_us` (the database's clock) are the same moment: what follows is told
        from it, so that no look at the clock in between makes a call seem early."""
        first_byte_at = began_at if result.first_byte_at is None else result.first_byte_at
        latency_us = round((result.finished_at - began_at) * 1_000_000)
        finished_at_us = began_us + latency_us
        following = _DELIVERED
        if result.outcome is not Outcome.delivered:
            following = after_attempt(
                outcome=result.outcome,
                http_status=result.status,
                retry_after_seconds=result.retry_after_seconds,
                attempt=claim.attempt - claim.timer.attempts_before,
                retry=self._retry_of(claim.timer),
                on_unknown=claim.timer.on_unknown,
                # A delay that starts here must not end early, so it starts at the end of the bound.
                now_us=max(finished_at_us, self._clock.latest_us()),
                draw=self._draw(),
            )
        # By position: see the note at `NewTimer`.
        return Finished(
            claim.batch,
            claim.entry,
            claim.attempt,
            result.outcome,
            following.state,
            began_us + round((first_byte_at - began_at) * 1_000_000),
            finished_at_us,
            result.reason,
            result.status,
            latency_us,
            result.answer,
            following.retry_at_us,
            claim.timer.owner,
        )


def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()

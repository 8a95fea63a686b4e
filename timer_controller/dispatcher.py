"""Starts what is due: in the order of the queue, and at each receiver as many calls as it may have."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from heapq import heappop, heappush

from timer_controller.breaker import in_words
from timer_controller.deferrer import Deferrer
from timer_controller.delivery import Delivery
from timer_controller.destinations import Destination, Destinations, Due
from timer_controller.sender.protocol import Result
from timer_db.domain.claim import Claim
from timer_db.domain.states import Outcome

# Answers of a proxy or a load balancer whose server is away, and of servers that say so of themselves.
_AWAY = frozenset({502, 503, 504})


class Dispatcher:
    """Between the wheel and the calls. Everything due stands in one heap, and is started in its order as far as
    calls may begin at all. Who finds the destination full goes into its line; when a call there ends, the
    first of the line comes back into the heap. So no order is lost, and nobody waits behind a full destination.

    The fewer places are free, the fewer of them one destination may have: so that many that hang do not soon
    have all of them.
    """

    def __init__(
        self,
        delivery: Delivery,
        destinations: Destinations,
        deferrer: Deferrer,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._delivery = delivery
        self._destinations = destinations
        self._deferrer = deferrer
        self._share = deferrer.share_of_room
        self._monotonic = monotonic
        self._due: list[Due] = []
        self._is_turning = False

    @property
    def waiting(self) -> int:
        """How many claims are due and can be expected to be sent in a moment."""
        return len(self._due) + self._deferrer.soon_in_lines()

    def put(self, claims: Iterable[Claim]) -> None:
        """These are due, newly claimed."""
        for claim in claims:
            rank, due_key = claim.entry
            heappush(self._due, (rank, due_key, claim, None))
        self.turn()

    def take_back(self, claims: Iterable[Claim]) -> None:
        """These are due, and were deferred before."""
        for claim in claims:
            rank, due_key = claim.entry
            heappush(self._due, (rank, due_key, claim, self._destinations.of(claim.timer.url)))
        self.turn()

    def turn(self) -> None:
        """Start what may be started. Called when claims come, a call ends, or the lease is renewed."""
        if self._is_turning:
            return  # a call ended as soon as it was started; the turn under way goes on
        self._is_turning = True
        due, may_start = self._due, self._delivery.may_start
        try:
            while due and (room := may_start()) > 0:
                self._offer(heappop(due), room)
        finally:
            self._is_turning = False

    def left(self, claim: Claim, destination: Destination, result: Result | None, began_at: float) -> None:
        """A call has ended; without a result, it was not made."""
        destination.calls -= 1
        if not destination.is_calm or result is None or result.outcome is not Outcome.delivered:
            destination.ended += 1
            self._learn(claim, destination, result, began_at)
        elif destination.line:
            destination.ended += 1
        line = destination.line
        if line:
            heappush(self._due, heappop(line))
            # One more than has left: so a line moves up that waited for others to leave room.
            if line and destination.calls + 1 < (self._delivery.room - 1) * self._share:
                heappush(self._due, heappop(line))
        if destination.is_backed_up:
            self._deferrer.offer_room(destination)
        self.turn()

    def empty(self) -> list[Claim]:
        """Everything that is due and was not started; nothing is held afterwards."""
        claims = [due[2] for due in self._due] + self._deferrer.empty_lines()
        self._due.clear()
        return claims

    def _offer(self, due: Due, room: int) -> None:
        rank, due_key, claim, known = due
        destination = known or self._destinations.of(claim.timer.url)
        if not destination.is_calm and not self._may_go_on(claim, destination, is_new=known is None):
            return
        if destination.calls < room * self._share:
            destination.calls += 1
            self._delivery.start(claim, destination)
        else:
            heappush(destination.line, due if known else (rank, due_key, claim, destination))
            self._deferrer.watch(destination)

    def _may_go_on(self, claim: Claim, destination: Destination, *, is_new: bool) -> bool:
        """Whether the claim is called or stands in line as usual; else it is dealt with here."""
        breaker = destination.breaker
        if breaker.is_closed:
            if is_new and destination.is_backed_up:
                self._deferrer.defer(destination, [claim])
                return False
            return True
        now = self._monotonic()
        if breaker.may_probe(now):
            breaker.begin_probe()
            destination.probe = claim.entry
            destination.calls += 1
            self._delivery.start(claim, destination)
        elif breaker.is_given_up(now):
            down = in_words(now - (breaker.down_since or now))
            self._delivery.give_up(claim, f"not tried: the receiver has failed for {down}: {breaker.reason}")
        else:
            self._deferrer.defer(destination, [claim])
        return False

    def _learn(self, claim: Claim, destination: Destination, result: Result | None, began_at: float) -> None:
        breaker = destination.breaker
        is_probe = destination.probe == claim.entry
        if is_probe:
            destination.probe = None
        if result is None or result.forbidden:
            # It says nothing about the receiver.
            if is_probe:
                breaker.withdraw_probe()
            return
        now = self._monotonic()
        has_failed = result.outcome in (Outcome.not_sent, Outcome.unknown) or result.status in _AWAY
        if is_probe and has_failed:
            breaker.note_probe_failure(now, result.reason)
        elif is_probe:
            down_seconds = now - (breaker.down_since or now)
            breaker.note_probe_success(now)
            self._deferrer.note_closed(destination, down_seconds)
        elif breaker.is_closed and not has_failed:
            breaker.note_success()
        elif breaker.is_closed and breaker.note_failure(began_at, now, result.reason):
            self._deferrer.note_opened(destination)
        destination.settle()

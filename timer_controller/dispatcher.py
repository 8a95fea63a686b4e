"""Starts what is due: in the order of the queue, and at each receiver as many calls as it may have."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from heapq import heappop, heappush
from math import isinf

from timer_controller.bottleneck import Due
from timer_controller.breaker import in_words
from timer_controller.deferrer import Deferrer
from timer_controller.delivery import Delivery
from timer_controller.destinations import Destination, Destinations
from timer_controller.groups import Groups, RouteGroup
from timer_controller.sender.protocol import Result
from timer_db.domain.claim import Claim
from timer_db.domain.owner import BY_DEFAULT
from timer_db.domain.states import Outcome

# Answers of a proxy or a load balancer whose server is away, and of servers that say so of themselves.
_AWAY = frozenset({502, 503, 504})
# Event loops round timers to milliseconds; a shorter wait would spin.
_TICK_SECONDS = 0.001


class Dispatcher:
    """Between the wheel and the calls. Everything due stands in one heap, and is started in its order as far as
    calls may begin at all. Who finds the destination full goes into its line; when a call there ends, the
    first of the line comes back into the heap. So no order is lost, and nobody waits behind a full destination.

    A route with a limit has a line as well, for what its destination would take and the limit does not allow. Who
    is held up by its collection or its route waits in the database.

    The fewer places are free, the fewer of them one destination may have: so that many that hang do not soon
    have all of them.
    """

    def __init__(
        self,
        delivery: Delivery,
        destinations: Destinations,
        groups: Groups,
        deferrer: Deferrer,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._delivery = delivery
        self._destinations = destinations
        self._groups = groups
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
        """These are due."""
        for claim in claims:
            rank, due_key = claim.entry
            heappush(self._due, (rank, due_key, claim, None))
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

    async def sweep(self) -> float:
        """The deferrer's look at the lines, and one for what may leave them; gives the seconds until the next."""
        delay_seconds = await self._deferrer.run_once()
        for route in self._groups.routes():
            self._move_up(route)
        self.turn()
        return delay_seconds

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
        route = self._groups.route_of(claim.timer.owner)
        if route is not None:
            route.left(result, self._monotonic())
            self._move_up(route)
            if route.is_backed_up:
                self._deferrer.offer_room(route)
        if destination.is_backed_up:
            self._deferrer.offer_room(destination)
        self.turn()

    def empty(self) -> list[Claim]:
        """Everything that is due and was not started; nothing is held afterwards."""
        claims = [due[2] for due in self._due] + self._deferrer.empty_lines()
        self._due.clear()
        for route in self._groups.routes():
            _sleep_no_more(route)
        return claims

    def _offer(self, due: Due, room: int) -> None:
        rank, due_key, claim, known = due
        owner = claim.timer.owner
        route = None
        if owner is not BY_DEFAULT or not self._groups.default_is_free:
            gates = self._groups.gates_of(owner)
            if gates is not None:
                holder = gates.holder(claim, is_new=known is None)
                if holder is not None:
                    self._deferrer.defer(holder, [claim])
                    self._follow(known)
                    return
                route = gates.route
        # A route may lead elsewhere by now.
        destination = self._of_route(route) if route is not None else known or self._of(claim)
        if not destination.is_calm and not self._may_go_on(claim, destination, route, is_new=known is None):
            self._follow(known)
            return
        if destination.calls >= room * self._share:
            heappush(destination.line, (rank, due_key, claim, destination))
            self._deferrer.watch(destination)
        elif route is None or self._take(route, (rank, due_key, claim, destination)):
            destination.calls += 1
            self._delivery.start(claim, destination)
        else:
            self._follow(known)

    def _of(self, claim: Claim) -> Destination:
        return self._destinations.of(claim.timer.url)

    def _of_route(self, route: RouteGroup) -> Destination:
        return self._destinations.of(route.route.settings.url if route.route else "")

    def _follow(self, known: Destination | None) -> None:
        """Who came out of a line went elsewhere: the next one comes out instead."""
        if known is not None and known.line:
            heappush(self._due, heappop(known.line))

    def _take(self, route: RouteGroup, due: Due) -> bool:
        """Whether a call of the route may begin; else it stands in the route's line."""
        wait_seconds = route.take(self._monotonic())
        if not wait_seconds:
            return True
        heappush(route.line, due)
        self._deferrer.watch(route)
        if route.wake is None and not isinf(wait_seconds):
            loop = asyncio.get_running_loop()
            route.wake = loop.call_later(max(wait_seconds, _TICK_SECONDS), self._come_back, route)
        return False

    def _come_back(self, route: RouteGroup) -> None:
        route.wake = None
        self._move_up(route)
        self.turn()

    def _move_up(self, route: RouteGroup) -> None:
        """As many of its line as calls could begin go back into the heap, and one to wait for the next token."""
        line = route.line
        if line:
            waits_for_token = route.tokens is not None and route.wake is None
            for _ in range(min(len(line), route.slots(self._monotonic()) + waits_for_token)):
                heappush(self._due, heappop(line))

    def _may_go_on(
        self, claim: Claim, destination: Destination, route: RouteGroup | None, *, is_new: bool
    ) -> bool:
        """Whether the claim is called or stands in line as usual; else it is dealt with here."""
        breaker = destination.breaker
        if breaker.is_closed:
            # Timers of a route have the route's backlog.
            is_latecomer = is_new and route is None and claim.waited_for != destination.key
            if is_latecomer and destination.is_backed_up:
                self._deferrer.defer(destination, [claim])
                return False
            return True
        now = self._monotonic()
        if breaker.may_probe(now):
            if route is None or self._take(route, (*claim.entry, claim, destination)):
                breaker.begin_probe()
                destination.probe = claim.entry
                destination.calls += 1
                self._delivery.start(claim, destination)
        elif breaker.is_given_up(now):
            down = in_words(now - (breaker.down_since or now))
            self._delivery.give_up(claim, f"not tried: the receiver has failed for {down}: {breaker.reason}")
        else:
            self._deferrer.defer(route or destination, [claim])
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


def _sleep_no_more(route: RouteGroup) -> None:
    if route.wake is not None:
        route.wake.cancel()
        route.wake = None

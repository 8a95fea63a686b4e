"""Gives claims back that will not be sent soon: they wait in the database, and hands become free."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from heapq import heapify
from math import ceil

from timer_controller.bottleneck import Bottleneck
from timer_controller.breaker import in_words
from timer_controller.delivery import Delivery
from timer_controller.destinations import Destination, Destinations
from timer_controller.groups import Group, Groups, RouteGroup
from timer_controller.hands import Hands
from timer_controller.lease import Lease
from timer_db.domain.claim import Claim, Returned

log = logging.getLogger(__name__)

SWEEP_SECONDS = 0.25
PATIENCE_SECONDS = 1.0
"""How long a line may last that is longer than what its receiver takes in a second."""
CROWDED_PATIENCE_SECONDS = 0.25
"""The same while hands are scarce."""
SOON_SECONDS = 0.2
TELL_SECONDS = 60.0
SHARE_OF_HANDS = 4
"""One part in so many is for all receivers together that are backed up."""


class Deferrer:
    """Looks at the lines four times a second. What a receiver took in the last second, it is expected to take in
    the next; what stands in its line beyond that goes into its backlog, in the database. From then on the receiver
    is backed up: new timers of it go there too. Routes with a limit have lines of their own, and timers of a route
    wait in its backlog, wherever it leads by then. `on_room` hears where there is room for timers of a backlog.
    """

    def __init__(
        self,
        destinations: Destinations,
        groups: Groups,
        delivery: Delivery,
        *,
        hands: Hands,
        lease: Lease,
        destination_calls_max: int,
        give_back: Callable[[Returned], None],
        on_room: Callable[[bytes], None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._destinations = destinations
        self._groups = groups
        self._delivery = delivery
        self._hands = hands
        self._lease = lease
        self.share_of_room = destination_calls_max / delivery.calls_max
        """Of the calls that may still begin, how many one receiver may have in flight: all it is allowed while
        there are no others, and fewer the more there are."""
        self._give_back = give_back
        self._on_room = on_room
        self._monotonic = monotonic
        self._watched: set[Bottleneck] = set()
        self._stops = groups.stops
        self._swept_at = monotonic()

    # What the dispatcher tells

    def watch(self, bottleneck: Bottleneck) -> None:
        """It has a line."""
        if bottleneck not in self._watched:
            bottleneck.ended = 0
            self._watched.add(bottleneck)

    def defer(self, bottleneck: Bottleneck, claims: Iterable[Claim]) -> None:
        """These wait in the database, until there is room."""
        for claim in claims:
            self._give_back(Returned(claim.batch, claim.entry, bottleneck.key))
        self._note_backlog(bottleneck)

    def defer_from_line(self, bottleneck: Bottleneck, claims: Iterable[Claim]) -> None:
        """The same for what stood in its line: timers of a route wait for that."""
        for claim in claims:
            self.defer(self._groups.route_of(claim.timer.owner) or bottleneck, [claim])

    def note_opened(self, destination: Destination) -> None:
        """Its breaker opened."""
        breaker = destination.breaker
        log.warning(
            "%s is not called for now: %d calls in a row failed, the last one: %s",
            destination.name,
            breaker.failures,
            breaker.reason,
            extra={"destination": destination.name, "failures": breaker.failures, "reason": breaker.reason},
        )
        self.defer_from_line(destination, destination.empty())

    def note_closed(self, destination: Destination, down_seconds: float) -> None:
        """Its breaker closed."""
        log.info(
            "%s answers again, after %s",
            destination.name,
            in_words(down_seconds),
            extra={"destination": destination.name, "down_seconds": round(down_seconds, 3)},
        )
        self._on_room(destination.key)

    def offer_room(self, bottleneck: Bottleneck) -> None:
        """A call of one that is backed up has ended: is a transaction for more of its timers worth it?"""
        if self.room_at(bottleneck.key) > self._soon(bottleneck) // 2:
            self._on_room(bottleneck.key)

    def empty_lines(self) -> list[Claim]:
        """Everything that stands in a line."""
        return [claim for bottleneck in self._watched for claim in bottleneck.empty()]

    def soon_in_lines(self) -> int:
        """How many claims that stand in lines will be sent within `SOON_SECONDS`, by what their receivers took
        since the last sweep or before. What a slow receiver does not take does not count."""
        elapsed = max(self._monotonic() - self._swept_at, 0.001)
        return sum(
            min(len(watched.line), ceil(max(watched.pace, watched.ended / elapsed) * SOON_SECONDS))
            for watched in self._watched
        )

    # What those who take timers back ask

    def backed_up(self) -> list[bytes]:
        """The keys of all of which timers went into the database."""
        return [watched.key for watched in self._watched if watched.is_backed_up]

    def room_at(self, key: bytes) -> int:
        """How many timers of its backlog a receiver, a route or a collection can take now."""
        group = self._groups.at(key)
        if group is not None:
            return self._room_of(group)
        destination = self._destinations.known(key)
        return self._places(0) if destination is None else self._room_at(destination)

    def note_backlog(self, key: bytes) -> None:
        """Timers of it wait in the database, whoever put them there."""
        bottleneck = self._known(key)
        if bottleneck is not None:
            self._note_backlog(bottleneck)

    def note_caught_up(self, key: bytes) -> None:
        """Nothing of it waits in the database."""
        bottleneck = self._known(key)
        if bottleneck is not None and bottleneck.is_backed_up:
            bottleneck.is_backed_up = False
            bottleneck.settle()
            if bottleneck.is_told:
                bottleneck.is_told = False
                log.info("%s has caught up", bottleneck.name)

    def _known(self, key: bytes) -> Bottleneck | None:
        return self._groups.at(key) or self._destinations.known(key)

    def _room_of(self, group: Group) -> int:
        if group.is_stopped:
            return 0
        if not isinstance(group, RouteGroup) or group.route is None:
            return self._hands.capacity
        room = self._room_at(self._destinations.of(group.route.settings.url))
        if not group.is_limited:
            return room
        if group.has_no_share:
            return 0
        return min(room, group.slots(self._monotonic()) + self._soon(group) - len(group.line))

    def _room_at(self, destination: Destination) -> int:
        breaker = destination.breaker
        if breaker.is_closed:
            return self._places(destination.calls) + self._soon(destination) - len(destination.line)
        now = self._monotonic()
        if breaker.is_given_up(now):
            return self._hands.capacity
        return 1 if breaker.may_probe(now) else 0

    # The sweep

    async def run_once(self) -> float:
        """One look at every line; gives the seconds until the next."""
        now = self._monotonic()
        elapsed = max(now - self._swept_at, 0.001)
        self._swept_at = now
        if self._stops != self._groups.stops:
            self._stops = self._groups.stops
            self._clear_out()
        while self._groups.freed:
            group = self._groups.freed.pop()
            self.watch(group)
            self._on_room(group.key)
        is_crowded = self._hands.free < self._hands.capacity // 2
        patience = CROWDED_PATIENCE_SECONDS if is_crowded else PATIENCE_SECONDS
        may_send = self._lease.may_send()
        for bottleneck in list(self._watched):
            recent = bottleneck.ended / elapsed
            bottleneck.ended = 0
            # Rises at once, and falls by and by: a pause of a moment is not the end.
            bottleneck.pace = max(recent, (bottleneck.pace + recent) / 2)
            if bottleneck.line and may_send:
                self._look(bottleneck, now, patience)
            else:
                bottleneck.lined_up_at = None
            if not bottleneck.line and not bottleneck.is_backed_up:
                bottleneck.pace = 0.0
                self._watched.discard(bottleneck)
        self._destinations.forget_idle(now)
        return SWEEP_SECONDS

    def _clear_out(self) -> None:
        """What stands in lines, and may not be called any more, waits in the database."""
        for bottleneck in list(self._watched):
            stopping = [self._groups.stopping(due[2].timer.owner) for due in bottleneck.line]
            if not any(stopping):
                continue
            line, bottleneck.line = bottleneck.line, []
            for due, group in zip(line, stopping, strict=True):
                if group is None:
                    bottleneck.line.append(due)
                else:
                    self.defer(group, [due[2]])
            heapify(bottleneck.line)

    def _note_backlog(self, bottleneck: Bottleneck) -> None:
        if not bottleneck.is_backed_up:
            bottleneck.is_backed_up = True
            bottleneck.settle()
        self.watch(bottleneck)

    def _look(self, bottleneck: Bottleneck, now: float, patience: float) -> None:
        if bottleneck.lined_up_at is None:
            bottleneck.lined_up_at = now
        line = bottleneck.line
        if now - bottleneck.lined_up_at < patience or len(line) <= bottleneck.pace:
            return
        if not bottleneck.is_backed_up:
            self._tell(bottleneck, now)
        line.sort()  # a sorted list is a heap
        soon = self._soon(bottleneck)
        excess = line[soon:]
        del line[soon:]
        self.defer_from_line(bottleneck, [due[2] for due in excess])

    def _tell(self, bottleneck: Bottleneck, now: float) -> None:
        """One that takes nearly as much as comes is backed up and catches up all the time: that is told once."""
        if now - bottleneck.told_at >= TELL_SECONDS:
            bottleneck.told_at = now
            bottleneck.is_told = True
            log.warning(
                "%s is backed up: it takes %.0f calls a second, and %d timers are due; they wait in the database",
                bottleneck.name,
                bottleneck.pace,
                len(bottleneck.line),
                extra={"destination": bottleneck.name, "due": len(bottleneck.line)},
            )

    def _soon(self, bottleneck: Bottleneck) -> int:
        """How many timers of one that is backed up may stand in line."""
        share = self._hands.capacity // SHARE_OF_HANDS // max(1, len(self._watched))
        return min(int(bottleneck.pace), max(1, share))

    def _places(self, calls: int) -> int:
        """How many more calls may begin where so many are in flight."""
        share = self.share_of_room
        spare = self._delivery.room * share - calls
        return ceil(spare / (1 + share)) if spare > 0 else 0

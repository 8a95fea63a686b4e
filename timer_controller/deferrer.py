"""Gives claims back that their receiver will not take soon: they wait in the database, and hands become free."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from math import ceil

from timer_controller.breaker import in_words
from timer_controller.delivery import Delivery
from timer_controller.destinations import Destination, Destinations
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
    is backed up: new timers of it go there too. `on_room` hears where there is room for timers of a backlog.
    """

    def __init__(
        self,
        destinations: Destinations,
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
        self._delivery = delivery
        self._hands = hands
        self._lease = lease
        self.share_of_room = destination_calls_max / delivery.calls_max
        """Of the calls that may still begin, how many one receiver may have in flight: all it is allowed while
        there are no others, and fewer the more there are."""
        self._give_back = give_back
        self._on_room = on_room
        self._monotonic = monotonic
        self._watched: set[Destination] = set()
        self._swept_at = monotonic()

    # What the dispatcher tells

    def watch(self, destination: Destination) -> None:
        """It has a line."""
        if destination not in self._watched:
            destination.ended = 0
            self._watched.add(destination)

    def defer(self, destination: Destination, claims: Iterable[Claim]) -> None:
        """These wait in the database, until there is room."""
        for claim in claims:
            self._give_back(Returned(claim.batch, claim.entry, destination.key))
        self._note_backlog(destination)

    def note_opened(self, destination: Destination) -> None:
        """Its breaker opened."""
        breaker = destination.breaker
        log.warning(
            "%s is not called for now: %d calls in a row failed, the last one: %s",
            destination.name,
            breaker.failures,
            breaker.reason,
        )
        if destination.line:
            self.defer(destination, _emptied(destination))

    def note_closed(self, destination: Destination, down_seconds: float) -> None:
        """Its breaker closed."""
        log.info("%s answers again, after %s", destination.name, in_words(down_seconds))
        self._on_room(destination.key)

    def offer_room(self, destination: Destination) -> None:
        """A call to a receiver that is backed up has ended: is a transaction for more of its timers worth it?"""
        if self.room_at(destination.key) > self._soon(destination) // 2:
            self._on_room(destination.key)

    def empty_lines(self) -> list[Claim]:
        """Everything that stands in a line."""
        return [claim for destination in self._watched for claim in _emptied(destination)]

    def soon_in_lines(self) -> int:
        """How many claims that stand in lines will be sent within `SOON_SECONDS`, by what their receivers took
        since the last sweep or before. What a slow receiver does not take does not count."""
        elapsed = max(self._monotonic() - self._swept_at, 0.001)
        return sum(
            min(len(destination.line), ceil(max(destination.pace, destination.ended / elapsed) * SOON_SECONDS))
            for destination in self._watched
        )

    # What those who take timers back ask

    def backed_up(self) -> list[bytes]:
        """The receivers of which timers went into the database."""
        return [destination.key for destination in self._watched if destination.is_backed_up]

    def room_at(self, key: bytes) -> int:
        """How many timers of its backlog a receiver can take now."""
        destination = self._destinations.known(key)
        if destination is None:
            return self._places(0)
        breaker = destination.breaker
        if breaker.is_closed:
            return self._places(destination.calls) + self._soon(destination) - len(destination.line)
        now = self._monotonic()
        if breaker.is_given_up(now):
            return self._hands.capacity
        return 1 if breaker.may_probe(now) else 0

    def note_backlog(self, key: bytes) -> None:
        """Timers of it wait in the database, whoever put them there."""
        destination = self._destinations.known(key)
        if destination is not None:
            self._note_backlog(destination)

    def note_caught_up(self, key: bytes) -> None:
        """Nothing of it waits in the database."""
        destination = self._destinations.known(key)
        if destination is not None and destination.is_backed_up:
            destination.is_backed_up = False
            destination.settle()
            if destination.is_told:
                destination.is_told = False
                log.info("%s has caught up", destination.name)

    # The sweep

    async def run_once(self) -> float:
        """One look at every line; gives the seconds until the next."""
        now = self._monotonic()
        elapsed = max(now - self._swept_at, 0.001)
        self._swept_at = now
        is_crowded = self._hands.free < self._hands.capacity // 2
        patience = CROWDED_PATIENCE_SECONDS if is_crowded else PATIENCE_SECONDS
        may_send = self._lease.may_send()
        for destination in list(self._watched):
            recent = destination.ended / elapsed
            destination.ended = 0
            # Rises at once, and falls by and by: a pause of a moment is not the end.
            destination.pace = max(recent, (destination.pace + recent) / 2)
            if destination.line and may_send:
                self._look(destination, now, patience)
            else:
                destination.lined_up_at = None
            if not destination.line and not destination.is_backed_up:
                destination.pace = 0.0
                self._watched.discard(destination)
        self._destinations.forget_idle(now)
        return SWEEP_SECONDS

    def _note_backlog(self, destination: Destination) -> None:
        destination.is_backed_up = True
        destination.settle()
        self.watch(destination)

    def _look(self, destination: Destination, now: float, patience: float) -> None:
        if destination.lined_up_at is None:
            destination.lined_up_at = now
        line = destination.line
        if now - destination.lined_up_at < patience or len(line) <= destination.pace:
            return
        if not destination.is_backed_up:
            self._tell(destination, now)
        line.sort()  # a sorted list is a heap
        soon = self._soon(destination)
        excess = line[soon:]
        del line[soon:]
        self.defer(destination, [due[2] for due in excess])

    def _tell(self, destination: Destination, now: float) -> None:
        """One that takes nearly as much as comes is backed up and catches up all the time: that is told once."""
        if now - destination.told_at >= TELL_SECONDS:
            destination.told_at = now
            destination.is_told = True
            log.warning(
                "%s is backed up: it takes %.0f calls a second, and %d timers are due; they wait in the database",
                destination.name,
                destination.pace,
                len(destination.line),
            )

    def _soon(self, destination: Destination) -> int:
        """How many timers of a receiver that is backed up may stand in line."""
        share = self._hands.capacity // SHARE_OF_HANDS // max(1, len(self._watched))
        return min(int(destination.pace), max(1, share))

    def _places(self, calls: int) -> int:
        """How many more calls may begin where so many are in flight."""
        share = self.share_of_room
        spare = self._delivery.room * share - calls
        return ceil(spare / (1 + share)) if spare > 0 else 0


def _emptied(destination: Destination) -> list[Claim]:
    claims = [due[2] for due in destination.line]
    destination.line.clear()
    return claims

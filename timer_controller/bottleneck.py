"""What can hold timers up: a receiver, a route or a collection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from timer_db.domain.claim import Claim

if TYPE_CHECKING:
    from timer_controller.destinations import Destination

Due = tuple[int, bytes, Claim, "Destination | None"]
"""A claim that is due, in the order of the queue: rank and due key in front, unique; and the receiver for which it
has stood in a line. New ones come without."""


class Bottleneck:
    """Its line, in memory, and what is known of its backlog, in the database. Used by the dispatcher, for every
    call to a receiver; so hardly any methods, no locks."""

    __slots__ = ("ended", "is_backed_up", "is_told", "key", "line", "lined_up_at", "name", "pace", "told_at")

    def __init__(self, name: str, key: bytes) -> None:
        self.name = name
        """For people."""
        self.key = key
        self.line: list[Due] = []
        """A heap of what is due and waits for room."""
        self.is_backed_up = False
        """Timers of it wait in the database; new ones go there too, so that they do not overtake them."""
        self.ended = 0
        """Calls that ended since the last sweep."""
        self.pace = 0.0
        """Calls per second that it takes when it has enough of them."""
        self.lined_up_at: float | None = None
        """Since when every sweep has found a line."""
        self.told_at = float("-inf")
        """When the log said last that it is backed up."""
        self.is_told = False
        """The log says so, and not yet that this is over."""

    def settle(self) -> None:
        """After a change of `is_backed_up`."""

    def empty(self) -> list[Claim]:
        """Everything that stands in its line; nothing stands there afterwards."""
        claims = [due[2] for due in self.line]
        self.line.clear()
        return claims

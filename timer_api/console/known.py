"""What is known of all servers after a look at each: the figures that pages show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from timer_api.console.servers import Server
from timer_db.domain.errors import DatabaseUnavailable
from timer_db.operations.membership import Member
from timer_db.operations.overview import Glance, Held

SILENT_SECONDS = 3.0
"""Controllers beat every second; one that is silent for five is taken for lost."""


def is_silent(member: Member, now_us: int) -> bool:
    """Whether a controller that has not left has not told lately that it lives."""
    return now_us - member.beat_at_us > SILENT_SECONDS * 1_000_000


@dataclass(frozen=True, slots=True)
class Told:
    """What one server told."""

    number: int
    """Which one, by its place in `TIMER_DB_URL`, from 0."""
    seen: Glance

    @property
    def alive(self) -> list[Member]:
        """Controllers that are at work there."""
        return [member for member in self.seen.members if not is_silent(member, self.seen.now_us)]

    @property
    def late_seconds(self) -> float:
        """How long the oldest due timer has been waiting that is in nobody's hands."""
        first_us = self.seen.first_at_us
        return 0.0 if first_us is None else max(0, self.seen.now_us - first_us) / 1_000_000


@dataclass(frozen=True, slots=True)
class Away:
    """A server that does not answer."""

    number: int
    silent_seconds: float | None
    """Since its last answer; None when there was none."""


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of all servers: of those that answer, or where none does, what they told last."""

    servers: int
    """How many there are."""
    told: Sequence[Told]
    away: Sequence[Away]
    is_old: bool
    """None answers."""
    age_seconds: float
    """Since the newest of it was told."""

    @property
    def told_at_us(self) -> int:
        """When the newest of it was told, by the database's clock."""
        return max(each.seen.now_us for each in self.told)

    @property
    def now_us(self) -> int:
        """The database's time now."""
        return self.told_at_us + (round(self.age_seconds * 1_000_000) if self.is_old else 0)

    @property
    def alive(self) -> int:
        """Controllers that are at work, on however many servers."""
        return len({(member.host, member.pid) for each in self.told for member in each.alive})

    @property
    def in_hand(self) -> int:
        """Timers in the hands of controllers."""
        return sum(member.claims_in_hand for each in self.told for member in each.seen.members)

    @property
    def overdue(self) -> int:
        """Timers that are due and in nobody's hands."""
        return sum(each.seen.overdue for each in self.told)

    @property
    def overdue_is_capped(self) -> bool:
        """Whether there may be more of them."""
        return any(each.seen.overdue_is_capped for each in self.told)

    @property
    def late_seconds(self) -> float:
        """How long the oldest of them has been waiting."""
        return max(each.late_seconds for each in self.told)

    @property
    def first_at_us(self) -> int | None:
        """When the first of all that wait in the queue may be called; None when nothing waits there."""
        firsts = [each.seen.first_at_us for each in self.told]
        return min((at_us for at_us in firsts if at_us is not None), default=None)

    @property
    def deferred(self) -> int:
        """Timers that wait for a receiver, a route or a collection."""
        return sum(each.seen.deferred for each in self.told)

    @property
    def deferred_is_capped(self) -> bool:
        """Whether there may be more of them."""
        return any(each.seen.deferred_is_capped for each in self.told)

    @property
    def held(self) -> list[Held]:
        """Some of those that hold timers up."""
        return [held for each in self.told for held in each.seen.held]

    @property
    def totals(self) -> Counter[str]:
        """Timers by state, and `ALL`."""
        found: Counter[str] = Counter()
        for each in self.told:
            found.update(each.seen.totals)
        return found


def known(servers: Sequence[Server]) -> Known:
    """What they told. Raises DatabaseUnavailable while that is nothing at all."""
    answering = [server for server in servers if server.seen is not None and not server.is_away]
    shown = answering or [server for server in servers if server.seen is not None]
    told = [Told(server.number, server.seen) for server in shown if server.seen is not None]
    if not told:
        raise DatabaseUnavailable("no database has answered the console yet")
    away = [Away(server.number, server.silent_seconds) for server in servers if server.is_away]
    age_seconds = min(server.silent_seconds or 0.0 for server in shown)
    return Known(len(servers), told, away, not answering, age_seconds)

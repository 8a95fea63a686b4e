"""Which timers are meant: every condition that a list can have, with numbers in the place of names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b

from timer_db.domain import marks
from timer_db.domain.owner import DEFAULT_COLLECTION_ID, Owner
from timer_db.domain.selector import EVERYTHING, Operator, Requirement, Selector
from timer_db.domain.states import TimerState
from timer_db.domain.timer import Timer

DIGEST_BYTES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """All of its conditions must hold. None, and the selector without requirements, say nothing."""

    states: frozenset[TimerState] | None = None
    selector: Selector = EVERYTHING
    collection_ids: frozenset[int] | None = None
    route_id: int | None = None
    schedule_id: int | None = None
    due_from_us: int | None = None
    """See `due_us`. At this time or later."""
    due_until_us: int | None = None
    """Before this time."""

    def matches(self, timer: Timer) -> bool:
        """Whether this timer is meant, as it stands."""
        return (
            (self.states is None or timer.state in self.states)
            and self._is_of(timer.owner)
            and (self.due_from_us is None or due_us(timer) >= self.due_from_us)
            and (self.due_until_us is None or due_us(timer) < self.due_until_us)
            and self.selector.matches(timer.labels)
        )

    def _is_of(self, owner: Owner) -> bool:
        return (
            (self.collection_ids is None or owner.collection_id in self.collection_ids)
            and (self.route_id is None or owner.route_id == self.route_id)
            and (self.schedule_id is None or owner.schedule_id == self.schedule_id)
        )

    @property
    def has_due_bounds(self) -> bool:
        """Whether it matters when a timer is due."""
        return self.due_from_us is not None or self.due_until_us is not None

    @property
    def reads_collections(self) -> bool:
        """Whether the collection must be read from each timer: those of the default one bear no mark."""
        return self.collection_ids is not None and DEFAULT_COLLECTION_ID in self.collection_ids

    @property
    def borne(self) -> list[list[bytes]]:
        """Of each of these lists, what is meant bears one mark (`domain.marks`)."""
        found = [some for requirement in self.selector.requirements if (some := _borne(requirement))]
        if self.collection_ids is not None and not self.reads_collections:
            found.append([marks.of_collection(number) for number in sorted(self.collection_ids)])
        if self.route_id is not None:
            found.append([marks.of_route(self.route_id)])
        if self.schedule_id is not None:
            found.append([marks.of_schedule(self.schedule_id)])
        return found

    @property
    def not_borne(self) -> list[bytes]:
        """What is meant bears none of these marks."""
        return [mark for requirement in self.selector.requirements for mark in _not_borne(requirement)]

    def digest(self) -> bytes:
        """The same for the same conditions, and no other ones."""
        said = (
            None if self.states is None else sorted(self.states),
            [(one.key, one.operator.value, one.values) for one in self.selector.requirements],
            None if self.collection_ids is None else sorted(self.collection_ids),
            self.route_id,
            self.schedule_id,
            self.due_from_us,
            self.due_until_us,
        )
        return blake2b(repr(said).encode(), digest_size=DIGEST_BYTES).digest()


def due_us(timer: Timer) -> int:
    """The time that filters go by: a scheduled timer's next call, which is the order in which they wait; that at
    which others were due."""
    if timer.state is TimerState.scheduled and timer.next_attempt_at_us is not None:
        return timer.next_attempt_at_us
    return timer.due_at_us


def _borne(requirement: Requirement) -> list[bytes]:
    match requirement.operator:
        case Operator.is_in:
            return [marks.of_label(requirement.key, value) for value in requirement.values]
        case Operator.exists:
            return [marks.of_key(requirement.key)]
        case _:
            return []


def _not_borne(requirement: Requirement) -> Iterator[bytes]:
    match requirement.operator:
        case Operator.is_not_in:
            yield from (marks.of_label(requirement.key, value) for value in requirement.values)
        case Operator.is_absent:
            yield marks.of_key(requirement.key)
        case _:
            pass

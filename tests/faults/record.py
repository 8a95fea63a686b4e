"""What one run of the fault suite knows: what was asked for, what was answered, what arrived, how it ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum


class Answer(StrEnum):
    """What the receiver does with a call."""

    ok = "ok"
    """A whole 2xx answer, in time."""
    busy = "busy"
    """A whole 503: the call may be made again, and is no repeat."""
    reset = "reset"
    """The connection is reset without an answer."""
    hang = "hang"
    """No answer at all."""
    late = "late"
    """2xx, after the timer's timeout."""


DOUBTFUL = frozenset({Answer.reset, Answer.hang, Answer.late})
"""The caller cannot know whether the call arrived."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """One call as the receiver saw it. Times are microseconds since the epoch."""

    number: int
    """Which timer of the load it is, by the path."""
    timer_id: str
    """`webhook-id`."""
    agrees: bool
    """Whether the id in the path and `Idempotency-Key` are the same."""
    attempt: int
    is_marked: bool
    """`Timer-Possible-Duplicate`."""
    due_at_us: int
    at_us: int
    answer: Answer


@dataclass(slots=True)
class Asked:
    """One timer of the load: what the client wanted, and every answer that it got."""

    number: int
    on_unknown: str = "resend"
    name: str | None = None
    priority: int = 0
    delay_seconds: float = 0.0
    """From its create on; 0 is due now."""
    cancel_after_seconds: float | None = None
    ids: list[str] = field(default_factory=list)
    """From each 200 or 201."""
    due_at_us: int = 0
    """As the API answered; 0 without such an answer."""
    made_at_us: int = 0
    """When the first such answer came, by the clock of this machine."""
    refused: list[str] = field(default_factory=list)
    """Answers that left it open, and connections that were lost: the timer may exist or not."""
    complaints: list[str] = field(default_factory=list)
    """Answers that no fault excuses."""
    cancelled_at_us: int = 0
    """When the answer came that it is cancelled; 0 without one."""
    may_be_cancelled: bool = False
    """A cancel was sent, and its answer was lost."""

    @property
    def is_sure(self) -> bool:
        """Whether the API answered that it is stored."""
        return bool(self.ids)


@dataclass(frozen=True, slots=True)
class Strike:
    """One blow. Times are microseconds since the epoch; `rescue_seconds` from the kill until another controller
    had taken every claim back."""

    began_at_us: int
    ended_at_us: int
    rescue_seconds: float | None = None
    in_hand: int | None = None
    """Claims of the one that was killed."""
    unknown: int | None = None
    """Those of them that nobody could know to be unsent."""


@dataclass(frozen=True, slots=True)
class Record:
    """A whole run. `ended` gives the state of each timer in the database, by id, after everything has ended."""

    asked: Sequence[Asked]
    arrivals: Sequence[Arrival]
    ended: Mapping[str, str]
    strikes: Sequence[Strike] = ()

"""One root for every error of ours. Each carries facts; services decide how to show them.

TimerError
├── DatabaseError
│   ├── DatabaseUnavailable     nobody answers, or the connection was lost: try again later
│   │   └── Away                it is known that nobody answers
│   ├── DatabaseUnfit           it answers, but cannot keep the promises (`faults` says why)
│   ├── SchemaMismatch          its tables are not those of this version
│   ├── UnexpectedCount         a write matched other rows than it must; it was rolled back
│   └── EmbeddedError           the embedded server cannot be had (timer_db.embedded)
├── TimerNotFound
├── NameNotFound                no timer of the collection has this name
├── WrongState
│   ├── NotCancellable          the timer is being called, or has ended
│   ├── NotChangeable           the same
│   └── NotReplayable           the timer has not ended, or was cancelled
├── TooFarAhead                 it would be due in more than a hundred years
├── NameInUse                   the name of a timer that ended belongs to another one that lives
├── NameTaken                   another timer with this name lives, with other content
├── KeyReused                   an idempotency key came with another request before
├── ApiKeyNotFound
├── CollectionNotFound
├── CollectionInUse             timers of it are there, a schedule makes some, or it is the default one
├── CollectionFull              as many timers of it wait as may
├── RouteNotFound
├── RouteInUse                  timers of it wait, or a schedule makes some
├── RouteUnreadable             its headers and secrets cannot be opened, as with ContentUnreadable
├── ScheduleNotFound
├── ScheduleUnreadable          what its runs are like cannot be opened, as with ContentUnreadable
├── ContentUnreadable           its encrypted content cannot be opened: the key is missing, or it was changed
└── Fenced                      this controller's claims were taken over
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from uuid import UUID

from timer_db.domain.states import TimerState

_SHOWN_CHARACTERS = 200
# A literal that was cut has no end.
_LITERAL = re.compile(r"'[^']*(?:'|$)")


class TimerError(Exception):
    """The root."""


class DatabaseError(TimerError):
    """Something is wrong with a database server."""


class DatabaseUnavailable(DatabaseError):
    """Nobody answers, or the connection was lost. What was under way may or may not have happened."""


class Away(DatabaseUnavailable):
    """Some of `servers` databases do not answer, or whichever they are. Its text is for everybody."""

    def __init__(self, numbers: Collection[int], servers: int) -> None:
        self.numbers = tuple(numbers)
        named = " and ".join(map(str, sorted(numbers)))
        if servers == 1 or not numbers:
            what = "the database cannot be reached"
        else:
            what = f"database {named} does not answer" if len(numbers) == 1 else f"databases {named} do not answer"
        super().__init__(f"{what}; try again soon")


class DatabaseUnfit(DatabaseError):
    """The server answers, but timers would not be safe with it."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = tuple(faults)


class SchemaMismatch(DatabaseError):
    """The tables are missing, or older than this version of the code needs."""

    def __init__(self, found: str | None, wanted: str) -> None:
        super().__init__(
            f"the database's schema is {found or 'missing'}, this version needs {wanted}:"
            " run 'python -m timer_db upgrade'"
        )
        self.found, self.wanted = found, wanted


class UnexpectedCount(DatabaseError):
    """A statement matched another number of rows than it must: what it rests on does not hold.

    The message tells which statement, and nothing of the values in it: those are what clients keep here.
    """

    def __init__(self, statement: str, found: int, wanted: int) -> None:
        shown = _LITERAL.sub("…", statement[:_SHOWN_CHARACTERS])
        super().__init__(f"{found} rows instead of {wanted} matched: {shown}")
        self.found, self.wanted = found, wanted


class TimerNotFound(TimerError):
    """No timer has this id."""

    def __init__(self, timer_id: UUID) -> None:
        super().__init__(f"no timer has the id {timer_id}")
        self.timer_id = timer_id


class NameNotFound(TimerError):
    """No timer has this name."""

    def __init__(self, collection: str, name: str) -> None:
        super().__init__(f"no timer of the collection {collection!r} has the name {name!r}")
        self.collection, self.name = collection, name


class WrongState(TimerError):
    """A timer is not in a state in which this can be done; subclasses say what."""

    allowed = ""

    def __init__(self, timer_id: UUID, state: TimerState) -> None:
        super().__init__(f"timer {timer_id} is {state}; only a {self.allowed}")
        self.timer_id, self.state = timer_id, state


class NotCancellable(WrongState):
    """Only a scheduled timer can be cancelled."""

    allowed = "scheduled timer can be cancelled"


class NotChangeable(WrongState):
    """Only a scheduled timer can be changed, moved or fired."""

    allowed = "scheduled timer can be changed"


class NotReplayable(WrongState):
    """Only a timer that ended otherwise than cancelled can be replayed."""

    allowed = "failed, unknown or delivered timer can be replayed"


class TooFarAhead(TimerError):
    """A timer would be due later than one can be."""

    def __init__(self, timer_id: UUID) -> None:
        super().__init__(f"timer {timer_id} would be due more than 100 years ahead")
        self.timer_id = timer_id


class NameInUse(TimerError):
    """A timer that ended cannot go on, since its name belongs to another one that lives."""

    def __init__(self, timer_id: UUID, name: str, holder: UUID) -> None:
        super().__init__(f"the name {name!r} of timer {timer_id} belongs to timer {holder}, which has not ended")
        self.timer_id, self.name, self.holder = timer_id, name, holder


class NameTaken(TimerError):
    """A living timer of the same collection has this name and other content."""

    def __init__(self, name: str, holder: UUID) -> None:
        super().__init__(f"the name {name!r} belongs to timer {holder}, which has other content")
        self.name, self.holder = name, holder


class KeyReused(TimerError):
    """An idempotency key came with another request before."""

    def __init__(self) -> None:
        super().__init__("this key came with another request before; a new request needs a new key")


class ContentUnreadable(TimerError):
    """A timer's encrypted content cannot be opened; `reason` names the key."""

    def __init__(self, timer_id: UUID, reason: str) -> None:
        super().__init__(f"timer {timer_id} cannot be read: {reason}")
        self.timer_id, self.reason = timer_id, reason


class ApiKeyNotFound(TimerError):
    """No API key has this id."""

    def __init__(self, key_id: str) -> None:
        super().__init__(f"no API key has the id {key_id}")
        self.key_id = key_id


class CollectionNotFound(TimerError):
    """No collection has this name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no collection {name!r}")
        self.name = name


class CollectionInUse(TimerError):
    """It cannot be deleted."""

    def __init__(self, name: str, because: str) -> None:
        super().__init__(f"the collection {name!r} cannot be deleted: {because}")
        self.name = name


class CollectionFull(TimerError):
    """No timer can be made in it for now."""

    def __init__(self, name: str, waiting_max: int) -> None:
        super().__init__(f"{waiting_max:,} timers of the collection {name!r} may wait, and as many do")
        self.name, self.waiting_max = name, waiting_max


class RouteNotFound(TimerError):
    """No route has this name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no route {name!r}")
        self.name = name


class RouteInUse(TimerError):
    """It cannot be deleted."""

    def __init__(self, name: str, because: str) -> None:
        super().__init__(f"the route {name!r} cannot be deleted: {because}")
        self.name = name


class RouteUnreadable(TimerError):
    """A route's encrypted headers and secrets cannot be opened; `reason` names the key."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"the route {name!r} cannot be read: {reason}")
        self.name, self.reason = name, reason


class ScheduleNotFound(TimerError):
    """No schedule has this name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no schedule {name!r}")
        self.name = name


class ScheduleUnreadable(TimerError):
    """What a schedule's runs are like is encrypted and cannot be opened; `reason` names the key."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"the schedule {name!r} cannot be read: {reason}")
        self.name, self.reason = name, reason


class Fenced(TimerError):
    """Another controller took this one's claims over; it must join again before it goes on."""

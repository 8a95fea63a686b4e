"""Find the timers that a filter means, page by page, each in bounded work: a page may hold less than it could, or
nothing, while more follow.

Where a filter names labels or groups, the rarest of them drives: its timers are walked through, newest first, and
the rest is compared. Else the states drive, one after the other, each in its own order: scheduled timers as they
wait, all others newest first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from timer_db import transactions
from timer_db.domain.cursor import BY_ID, BY_STATE, UNDECIDED, Place
from timer_db.domain.filter import Filter
from timer_db.domain.queue_entry import HEAD_KEY, QueueEntry, pack, time_bound, unpack
from timer_db.domain.selector import EVERYTHING
from timer_db.domain.states import TimerState
from timer_db.shards import Shard, Shards
from timer_db.statements import claims, finding, reading
from timer_db.statements.literals import LIST_MAX
from timer_db.transactions import Connection

LOOK_MAX = 2000
"""Marks are counted no further than this when the rarest is looked for."""
WORK_MAX = 1000
"""So many timers are looked at for a page, whatever is found."""
_MARKS_PER_WORK = 4
"""To compare marks only, of so many timers, costs as much as to read one."""
BEARING_MAX = 2000
"""So many in one step, where only marks are compared."""
RANGE_MAX = 50_000
"""So many timers that wait are looked through for each page when they are to be gone through by id."""
_STEP_LEAST = 100
"""A step costs as much as so many timers, even when there are none."""
_RANKS_MAX = 32
_ENTRY_BYTES, _ID_BYTES = 26, 16
_LAST_KEY = b"\xff" * 24
# Scheduled ones first: those that are asked for most often.
_IN_TURN = (
    TimerState.scheduled,
    TimerState.firing,
    TimerState.failed,
    TimerState.unknown,
    TimerState.cancelled,
    TimerState.delivered,
)
_IN_ENDINGS = frozenset({TimerState.failed, TimerState.unknown, TimerState.cancelled})
_LOOSELY_FOUND = frozenset({TimerState.firing, TimerState.delivered})
_ALIVE = frozenset({TimerState.scheduled, TimerState.firing})
_ANY = Filter()


@dataclass(slots=True)
class Found:
    """Ids with the server that they are on, in the order of the list, and where it goes on; None: this is the end.

    A timer may have changed since it was found: whoever needs to know looks at it again.
    """

    pages: list[tuple[Shard, list[bytes]]] = field(default_factory=list)
    next: Place | None = None


async def find(
    shards: Shards, wanted: Filter, place: Place, limit: int, work_max: int = WORK_MAX, *, by_id: bool = False
) -> Found:
    """At most `limit` timers behind a place, of so many looked at. ValueError for a place that cannot be.

    `by_id` is for those who move what they find, and must not meet it again further behind in the queue.
    """
    walk = _Walk(shards, wanted, place, by_id=by_id)
    found = Found()
    # Nobody bears a mark of a list that is empty.
    if not all(wanted.borne):
        return found
    missing, is_first = limit, True
    while walk.place is not None and missing and work_max > 0:
        # At first no more than are asked for: mostly nearly all of them are meant.
        shard, ids, work = await walk.step(missing, is_first=is_first)
        if ids:
            found.pages.append((shard, ids))
        missing, is_first = missing - len(ids), False
        work_max -= max(work, _STEP_LEAST)
    found.next = walk.place
    return found


@dataclass(frozen=True, slots=True)
class _Step:
    """Places of timers, each an id or ending in one; the place of the last that was looked at, None when no more
    follow; and how many were read."""

    places: list[bytes]
    last: bytes | None
    work: int


class _Walk:
    """Goes through the servers, and on each of them through what is meant."""

    def __init__(self, shards: Shards, wanted: Filter, place: Place, *, by_id: bool) -> None:
        self._shards = tuple(shards)
        self._wanted = wanted
        # What has ended is moved by nobody, and not among what waits.
        self._by_id = by_id and (wanted.states is None or not _ALIVE.isdisjoint(wanted.states))
        self._states = _states_of(wanted)
        self._check(place)
        self.place: Place | None = place

    def _check(self, place: Place) -> None:
        """A cursor may have been made up."""
        is_by_state = place.driver == BY_STATE and place.leg < len(self._states) and not self._by_id
        is_by_mark = place.driver < len(self._wanted.borne) and place.leg == 0
        is_by_mark = is_by_mark or (place.driver, place.leg, self._by_id) == (BY_ID, 0, True)
        length = 0
        if is_by_state or is_by_mark:
            is_entry = is_by_state and self._states[place.leg] is TimerState.scheduled
            length = _ENTRY_BYTES if is_entry else _ID_BYTES
        is_known = is_by_state or is_by_mark or (place.driver, place.leg) == (UNDECIDED, 0)
        if not is_known or place.shard >= len(self._shards) or len(place.behind) not in (0, length):
            raise ValueError("it is not a cursor of this service")

    async def step(self, missing: int, *, is_first: bool) -> tuple[Shard, list[bytes], int]:
        """At most `missing` ids, and how much work it was."""
        assert self.place is not None
        place, wanted = self.place, self._wanted
        shard = self._shards[place.shard]

        async def work(connection: Connection) -> tuple[int, _Step]:
            driver = place.driver
            if driver == UNDECIDED:
                driver = await _rarest(connection, wanted, self._states)
                if driver == BY_STATE and self._by_id:
                    driver = BY_ID
            if driver == BY_ID:
                return driver, await _by_id(connection, wanted, place.behind, missing)
            if driver == BY_STATE:
                size = missing if is_first else LIST_MAX
                state = self._states[place.leg]
                return driver, await _in_state(connection, wanted, state, place.behind, size)
            return driver, await _bearing(connection, wanted, driver, place.behind, missing if is_first else None)

        driver, step = await transactions.run(shard.engine, work)
        places = step.places[:missing]
        self.place = self._behind(place, driver, step, places)
        return shard, [each[-_ID_BYTES:] for each in places], step.work

    def _behind(self, place: Place, driver: int, step: _Step, taken: Sequence[bytes]) -> Place | None:
        last = taken[-1] if len(taken) < len(step.places) else step.last
        if last is not None:
            return Place(place.shard, driver, place.leg, last)
        if driver == BY_STATE and place.leg + 1 < len(self._states):
            return Place(place.shard, driver, place.leg + 1)
        return Place(place.shard + 1) if place.shard + 1 < len(self._shards) else None


def _states_of(wanted: Filter) -> tuple[TimerState | None, ...]:
    """What is walked through in turn when states drive; None is all of them at once."""
    if wanted.states is None and not wanted.has_due_bounds:
        return (None,)
    return tuple(state for state in _IN_TURN if wanted.states is None or state in wanted.states)


async def _rarest(connection: Connection, wanted: Filter, states: Sequence[TimerState | None]) -> int:
    """What to walk through: the number of a list of marks, or BY_STATE."""
    borne = wanted.borne
    if not borne:
        return BY_STATE
    in_states = await _count_in(connection, wanted, states)
    if in_states is None and len(borne) == 1:
        return 0
    counts = [
        (int(await connection.value(finding.count_bearing(marks, LOOK_MAX))), number)
        for number, marks in enumerate(borne)
    ]
    if in_states is not None:
        counts.append((in_states, BY_STATE))
    return min(counts)[1]


async def _count_in(connection: Connection, wanted: Filter, states: Sequence[TimerState | None]) -> int | None:
    """How many timers are in these states, none counted further than LOOK_MAX; None: that cannot be told."""
    ended = [state for state in states if state is not None and state in _IN_ENDINGS]
    count = int(await connection.value(finding.count_ended(ended, LOOK_MAX))) if ended else 0
    for state in states:
        if state is TimerState.scheduled and wanted.has_due_bounds:
            count += await _count_waiting_between(connection, wanted)
        # What is in hand is little, by nature.
        elif state is not TimerState.firing and state not in _IN_ENDINGS:
            return None
    return count


async def _bearing(connection: Connection, wanted: Filter, driver: int, behind: bytes, size: int | None) -> _Step:
    """Timers that bear one of the marks of a list; without a size, as many as are looked at in one step."""
    borne = wanted.borne
    marks, others = borne.pop(driver), borne
    rest = replace(wanted, selector=EVERYTHING, route_id=None, schedule_id=None)
    if not wanted.reads_collections:
        rest = replace(rest, collection_ids=None)
    if size is None:
        size = BEARING_MAX if rest == _ANY else LIST_MAX
    # Each mark gives so many, of which most are left out.
    size = min(size, max(_STEP_LEAST, 8 * BEARING_MAX // len(marks)))
    statement = finding.bearing(marks, others, wanted.not_borne, behind or None, size)
    [(examined, last, packed)] = await connection.rows(statement)
    places = await _fitting(connection, sorted(_split(packed, _ID_BYTES), reverse=True), rest)
    work = int(examined) // _MARKS_PER_WORK if rest == _ANY else int(examined)
    return _Step(places, bytes(last) if examined == size else None, work)


async def _in_state(
    connection: Connection, wanted: Filter, state: TimerState | None, behind: bytes, size: int
) -> _Step:
    """Timers in one state, or of all."""
    # A batch names timers that are done as well, and the log has deliveries of timers that were called again: who
    # looks for one state compares it later, but of several states each timer must be in one only.
    is_loose = state in _LOOSELY_FOUND and (wanted.states is None or len(wanted.states) > 1)
    rest = replace(wanted, states=frozenset({state}) if state is not None and is_loose else None)
    if state is TimerState.scheduled:
        step = await (_waiting_between if wanted.has_due_bounds else _waiting)(connection, wanted, behind, size)
        rest = replace(rest, due_from_us=None, due_until_us=None)
    elif state is TimerState.firing:
        step = _page_of(await _in_hand(connection, behind), size)
    else:
        packed = await connection.value(finding.packed(_ids_in(state, behind or None, size)))
        step = _page_of(sorted(_split(packed, _ID_BYTES), reverse=True), size)
    # One that was delivered again has more than one delivery in the log.
    return replace(step, places=await _fitting(connection, list(dict.fromkeys(step.places)), rest))


async def _by_id(connection: Connection, wanted: Filter, behind: bytes, size: int) -> _Step:
    """Timers that wait or are in hand, newest first. When too many wait, all timers are gone through."""
    look = _waiting_between if wanted.has_due_bounds else _waiting
    waiting = await look(connection, wanted, b"", RANGE_MAX)
    # There may be more priorities than one look goes through, too.
    if waiting.last is not None:
        step = await _in_state(connection, replace(wanted, states=None), None, behind, min(size, LIST_MAX))
        return replace(step, places=await _fitting(connection, step.places, Filter(states=wanted.states)))
    ids = {place[-_ID_BYTES:] for place in waiting.places}
    found = sorted([timer_id for timer_id in ids if not behind or timer_id < behind], reverse=True)
    in_hand = await _in_hand(connection, behind)
    step = _page_of(sorted({*found, *in_hand}, reverse=True), size)
    return replace(step, places=await _fitting(connection, step.places, wanted))


def _page_of(places: Sequence[bytes], size: int) -> _Step:
    page = list(places[:size])
    return _Step(page, page[-1] if len(page) == size else None, len(page))


def _ids_in(state: TimerState | None, behind: bytes | None, size: int) -> str:
    if state is None:
        return reading.newest(behind, size)
    if state is TimerState.delivered:
        return reading.delivered(behind, size)
    return reading.ended(state, behind, size)


async def _in_hand(connection: Connection, behind: bytes) -> list[bytes]:
    """What controllers hold, newest first."""
    batches = [bytes(entries) for _, entries in await connection.rows(claims.ALL)]
    ids = {
        entries[end - _ID_BYTES : end]
        for entries in batches
        for end in range(_ENTRY_BYTES, len(entries) + 1, _ENTRY_BYTES)
    }
    return sorted((timer_id for timer_id in ids if not behind or timer_id < behind), reverse=True)


async def _waiting(connection: Connection, _wanted: Filter, behind: bytes, size: int) -> _Step:
    return _page_of(await _places(connection, reading.waiting(unpack(behind)[0] if behind else None, size)), size)


async def _waiting_between(connection: Connection, wanted: Filter, behind: bytes, size: int) -> _Step:
    """Those that are called between two times, priority by priority."""
    start = unpack(behind)[0] if behind else QueueEntry(0, HEAD_KEY)
    low, high = _keys_between(wanted)
    ranks = await _ranks(connection, start.rank)
    places: list[bytes] = []
    for rank in ranks[:_RANKS_MAX]:
        first = max(low, start.due_key) if rank == start.rank else low
        places += await _places(connection, reading.waiting_between(rank, first, high, size - len(places)))
        if len(places) == size:
            return _page_of(places, size)
    more = [pack([QueueEntry(rank, HEAD_KEY)]) for rank in ranks[_RANKS_MAX:]]
    return _Step(places, more[0] if more else None, len(places))


async def _count_waiting_between(connection: Connection, wanted: Filter) -> int:
    low, high = _keys_between(wanted)
    count = 0
    for rank in await _ranks(connection, 0):
        count += int(await connection.value(finding.count_of(reading.waiting_between(rank, low, high, LOOK_MAX))))
        if count >= LOOK_MAX:
            break
    return count


def _keys_between(wanted: Filter) -> tuple[bytes, bytes]:
    """All due keys between these two are meant."""
    low = HEAD_KEY if wanted.due_from_us is None else time_bound(max(0, wanted.due_from_us))
    high = _LAST_KEY if wanted.due_until_us is None else time_bound(max(0, wanted.due_until_us))
    return low, high


async def _ranks(connection: Connection, first: int) -> list[int]:
    """Priorities in use, one more of them than one page goes through."""
    return [int(row[0]) for row in await connection.rows(reading.ranks(first, _RANKS_MAX + 1))]


async def _places(connection: Connection, statement: str) -> list[bytes]:
    return sorted(_split(await connection.value(finding.packed_places(statement)), _ENTRY_BYTES))


async def _fitting(connection: Connection, places: list[bytes], rest: Filter) -> list[bytes]:
    """Those of the places whose timers a filter means."""
    if rest == _ANY:
        return places
    fitting: set[bytes] = set()
    for first in range(0, len(places), LIST_MAX):
        ids = [place[-_ID_BYTES:] for place in places[first : first + LIST_MAX]]
        fitting.update(_split(await connection.value(finding.fitting(ids, rest)), _ID_BYTES))
    return [place for place in places if place[-_ID_BYTES:] in fitting]


def _split(packed: str | None, length: int) -> list[bytes]:
    """Values of so many bytes in hexadecimal, one behind the other."""
    raw = bytes.fromhex(packed or "")
    return [raw[first : first + length] for first in range(0, len(raw), length)]

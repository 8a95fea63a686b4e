"""`timer_counts`: how many timers there are, and how many ended in each state."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from timer_db.statements.literals import FORCE_KEY, of_list

MADE = "made"
"""In the place of a state: every timer that is stored."""
SLOTS = 256
SLOTS_OF_SCHEDULES = 8
"""There may be many schedules, and each has few runs at one time."""
_COLUMNS = "collection_id, route_id, schedule_id, state"
_INTO = f"INSERT INTO timer_counts ({_COLUMNS}, slot, timers)"


class Counted(NamedTuple):
    """What is counted: timers of a collection, a route and a schedule (0: of none), all (`MADE`) or those in one
    state."""

    collection_id: int
    route_id: int
    schedule_id: int
    state: str


def add(changes: Mapping[Counted, int]) -> str:
    """Count so many more, or fewer. Count: one or two rows each."""
    if len(changes) == 1:
        [(counted, more)] = changes.items()
        return f"{_INTO} VALUES ({_of(counted)}, {more}) ON DUPLICATE KEY UPDATE timers = timers + {more}"
    # In one order, so that those who share a slot never deadlock.
    rows = " UNION ALL ".join([f"SELECT {_of(counted)}, {more}" for counted, more in sorted(changes.items())])
    return (
        f"{_INTO} WITH changes (c, r, h, s, slot, more) AS ({rows}) SELECT c, r, h, s, slot, more FROM changes"
        " ON DUPLICATE KEY UPDATE timers = timer_counts.timers + changes.more"
    )


def _of(counted: Counted) -> str:
    collection_id, route_id, schedule_id, state = counted
    slots = SLOTS_OF_SCHEDULES if schedule_id else SLOTS
    return f"{collection_id}, {route_id}, {schedule_id}, '{state}', CONNECTION_ID() % {slots}"


def sums(
    collection_ids: Iterable[int] | None = None,
    route_ids: Iterable[int] | None = None,
    schedule_ids: Iterable[int] | None = None,
    *,
    per_schedule: bool = False,
) -> str:
    """(collection, route, schedule, state, timers), of some collections, routes or schedules, or of all. Without
    `per_schedule` the schedule is 0, and its runs are among the others."""
    bounds = [
        f"{column} IN ({','.join(map(str, sorted(ids))) or 'NULL'})"
        for column, ids in (
            ("collection_id", collection_ids),
            ("route_id", route_ids),
            ("schedule_id", schedule_ids),
        )
        if ids is not None
    ]
    where = f" WHERE {' AND '.join(bounds)}" if bounds else ""
    if per_schedule:
        return f"SELECT {_COLUMNS}, SUM(timers) FROM timer_counts{where} GROUP BY {_COLUMNS}"
    return (
        f"SELECT collection_id, route_id, 0, state, SUM(timers) FROM timer_counts{where}"
        " GROUP BY collection_id, route_id, state"
    )


ONE_SNAPSHOT = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"
"""For the transaction that begins with the next statement: all its reads see one moment."""

TRUE_SUMS = " UNION ALL ".join(
    f"SELECT t.collection_id, IFNULL(t.route_id, 0), IFNULL(t.schedule_id, 0), {state}, COUNT(*)"
    f" FROM timers t {of_those} GROUP BY 1, 2, 3, 4"
    for state, of_those in (
        (f"'{MADE}'", ""),
        ("a.state", "JOIN attempts a ON a.timer_id = t.id AND a.attempt = t.attempts_made + 1"),
        ("'cancelled'", "WHERE t.cancelled_at_us IS NOT NULL"),
    )
)
"""What the counts should be; reads both tables whole."""

_CLOCKS_DIFFER_US = 60_000_000


def in_batch(controller_id: int, number: int, claimed_at_us: int, timer_ids: Iterable[bytes]) -> str:
    """(collection, route, schedule, timers) of a batch, without those whose attempt in it is logged.

    The bound on the time spares a look into every partition of the log.
    """
    return (
        "SELECT t.collection_id, IFNULL(t.route_id, 0) route, IFNULL(t.schedule_id, 0) schedule, COUNT(*)"
        f" FROM timers t {FORCE_KEY}"
        f" WHERE t.id IN ({of_list(timer_ids)}) AND NOT EXISTS (SELECT 1 FROM attempts a WHERE a.timer_id = t.id"
        f" AND a.controller_id = {controller_id} AND a.batch = {number}"
        f" AND a.finished_at_us >= {claimed_at_us - _CLOCKS_DIFFER_US}) GROUP BY t.collection_id, route, schedule"
    )

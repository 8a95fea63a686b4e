"""Ended timers that are older than the retention, page by page, and what goes with them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from timer_db.domain.states import TimerState
from timer_db.statements.literals import FORCE_KEY, delete_from, of_bytes, of_list

OLDEST_CLAIM = "SELECT MIN(claimed_at_us) FROM claim_batches"
"""Null when nothing is in hand. There are some dozens of batches."""
BY_ATTEMPT = "attempts_made = {}"
"""Of timers that ended with the attempt after so many others: one that was called again since has more."""
BY_CANCEL = "cancelled_at_us IS NOT NULL"


def page(partition: str, behind: tuple[bytes, int] | None, limit: int) -> str:
    """Attempts of one partition in the order of their key: (timer, number, state)."""
    bound = ""
    if behind:
        timer_id, attempt = of_bytes(behind[0]), behind[1]
        bound = f" WHERE timer_id >= {timer_id} AND (timer_id > {timer_id} OR attempt > {attempt})"
    return (
        f"SELECT timer_id, attempt, state FROM attempts PARTITION ({partition}){bound}"
        f" ORDER BY timer_id, attempt LIMIT {limit}"
    )


def cancelled(from_us: int, behind: bytes, until_us: int, limit: int) -> str:
    """Timers that were cancelled between these times, oldest first: (timer, when). Of those of the first moment,
    the ones behind a timer."""
    return (
        "SELECT timer_id, ended_at_us FROM endings FORCE INDEX (ix_endings_ended_at_us)"
        f" WHERE ended_at_us >= {from_us} AND ended_at_us < {until_us} AND state = '{TimerState.cancelled}'"
        f" AND (ended_at_us > {from_us} OR timer_id > {of_bytes(behind)})"
        f" ORDER BY ended_at_us, state, timer_id LIMIT {limit}"
    )


class Among(NamedTuple):
    """Some collections: these, or all others."""

    numbers: tuple[int, ...]
    are_others: bool


EVERY = Among((), True)


def lock(timer_ids: Iterable[bytes], ended: str, among: Among = EVERY) -> str:
    """What goes with those that ended so and belong to these collections: (timer, name, labels, collection, route,
    schedule). They stay as they are until the commit."""
    return (
        "SELECT id, name, labels, collection_id, IFNULL(route_id, 0), IFNULL(schedule_id, 0)"
        f" FROM timers {FORCE_KEY} WHERE id IN ({of_list(timer_ids)}) AND {ended}{_of(among)} FOR UPDATE"
    )


def _of(among: Among) -> str:
    if among == EVERY:
        return ""
    listed = ",".join(map(str, among.numbers)) or "NULL"
    return f" AND collection_id {'NOT ' if among.are_others else ''}IN ({listed})"


def release_names(
    collection_id: int, names: Sequence[str], timer_ids: Iterable[bytes]
) -> tuple[str, tuple[Any, ...]]:
    """Those that still belong to these timers. They are locked in the order in which creates lock them."""
    listed = ",".join(["%s"] * len(names))
    return (
        f"{delete_from('timer_names')} WHERE collection_id = %s AND name IN ({listed})"
        f" AND timer_id IN ({of_list(timer_ids)})",
        (collection_id, *sorted(names)),
    )


def forget_endings(state: TimerState, timer_ids: Iterable[bytes], until_us: int) -> str:
    """Those before that time."""
    # The form for several tables takes a FORCE INDEX: MariaDB would go by the time, or read a small table whole.
    return (
        f"DELETE e FROM endings AS e {FORCE_KEY} WHERE e.state = '{state}'"
        f" AND e.timer_id IN ({of_list(timer_ids)}) AND e.ended_at_us < {until_us}"
    )


def forget_timers(timer_ids: Iterable[bytes], ended: str) -> str:
    """Those that ended so."""
    return f"{delete_from('timers')} WHERE id IN ({of_list(timer_ids)}) AND {ended}"


PROGRESS = "SELECT collection_id, until_us FROM retention_progress"
"""How far each collection has come with a retention of its own, and as 0 all others."""


def keep_progress(number: int, until_us: int) -> str:
    """It has come so far at most."""
    return (
        f"INSERT INTO retention_progress (collection_id, until_us) VALUES ({number}, {until_us})"
        f" ON DUPLICATE KEY UPDATE until_us = LEAST(until_us, {until_us})"
    )


def advance(number: int, from_us: int, until_us: int) -> str:
    """Count: 0 when somebody else has set it meanwhile."""
    return (
        f"UPDATE retention_progress SET until_us = {until_us}"
        f" WHERE collection_id = {number} AND until_us = {from_us}"
    )


def drop_progress(numbers: Iterable[int]) -> str:
    """They have no retention of their own any more."""
    return f"DELETE FROM retention_progress WHERE collection_id IN ({','.join(map(str, sorted(numbers)))})"


def forget_controllers(until_us: int, limit: int) -> str:
    """Those that were gone by then and whose claims were all taken back."""
    return (
        f"DELETE FROM controllers WHERE gone_at_us < {until_us}"
        " AND NOT EXISTS (SELECT 1 FROM claim_batches b WHERE b.controller_id = controllers.id)"
        f" ORDER BY gone_at_us LIMIT {limit}"
    )

"""`schedules`: what makes timers again and again. On the first server only.

`next_run_at_us` is the first run that no timer was made for; null while there is nothing to make: at the end, and
while the schedule is paused.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple

from timer_db.statements.literals import FORCE_KEY, NOW_US, of_bytes, of_list

LAST_ID = b"\xff" * 16

COLUMNS = "id, name, settings, is_paused, next_run_at_us, last_run_at_us, last_timer_id, created_at_us"
"""What `operations.schedule_rows.schedule_of` reads, in its order."""


class Planned(NamedTuple):
    """What planning changes; no last run: none was made."""

    schedule_id: int
    next_run_at_us: int | None
    last_run_at_us: int | None = None
    last_timer_id: bytes = b""


def insert(name: str, settings: str, now_us: int, next_run_at_us: int | None) -> tuple[str, tuple[Any, ...]]:
    """A new one. A duplicate name is the server's error."""
    return (
        "INSERT INTO schedules (name, settings, next_run_at_us, created_at_us, changed_at_us)"
        " VALUES (%s, %s, %s, %s, %s)",
        (name, settings, next_run_at_us, now_us, now_us),
    )


def change(
    schedule_id: int, settings: str, is_paused: bool, next_run_at_us: int | None
) -> tuple[str, tuple[Any, ...]]:
    """Count: 1."""
    return (
        f"UPDATE schedules SET settings = %s, is_paused = %s, next_run_at_us = %s, changed_at_us = {NOW_US}"
        f" WHERE id = {schedule_id}",
        (settings, int(is_paused), next_run_at_us),
    )


def empty(schedule_id: int) -> str:
    """Of one that is deleted, nothing is kept but its name. Count: 1."""
    return f"UPDATE schedules SET settings = '{{}}', next_run_at_us = NULL WHERE id = {schedule_id}"


def upcoming(from_us: int, behind_id: int, until_us: int, limit: int) -> str:
    """(id, next run, size of the settings in bytes) of those whose next run is at `from_us` or later and not after
    `until_us`, in the order of their runs; of those at `from_us`, the ones behind this id.

    Without locks: those on a secondary index stay on rows that are skipped, and whoever plans those would wait.
    """
    # Two ranges, so that those at one moment are not passed over again for each page of them.
    return (
        "SELECT id, next_run_at_us, OCTET_LENGTH(settings) FROM schedules"
        " FORCE INDEX (ix_schedules_next_run_at_us)"
        f" WHERE (next_run_at_us = {from_us} AND id > {behind_id})"
        f" OR (next_run_at_us > {from_us} AND next_run_at_us <= {until_us})"
        f" ORDER BY next_run_at_us, id LIMIT {limit}"
    )


def lock(schedule_ids: Iterable[int], until_us: int) -> str:
    """Of these, the ones that still have a run until `until_us`, locked; not those that somebody else plans."""
    return (
        f"SELECT {COLUMNS} FROM schedules {FORCE_KEY} WHERE id IN ({_list(schedule_ids)})"
        f" AND next_run_at_us <= {until_us} FOR UPDATE SKIP LOCKED"
    )


def advance(planned: Sequence[Planned]) -> str:
    """Note what was planned. Count: one each."""
    following = " ".join(
        f"WHEN {row.schedule_id} THEN {'NULL' if row.next_run_at_us is None else row.next_run_at_us}"
        for row in planned
    )
    sets = [f"next_run_at_us = CASE id {following} END"]
    if made := [row for row in planned if row.last_run_at_us is not None]:
        moments = " ".join(f"WHEN {row.schedule_id} THEN {row.last_run_at_us}" for row in made)
        timers = " ".join(f"WHEN {row.schedule_id} THEN {of_bytes(row.last_timer_id)}" for row in made)
        sets.append(f"last_run_at_us = CASE id {moments} ELSE last_run_at_us END")
        sets.append(f"last_timer_id = CASE id {timers} ELSE last_timer_id END")
    ids = _list(row.schedule_id for row in planned)
    return f"UPDATE schedules {FORCE_KEY} SET {', '.join(sets)} WHERE id IN ({ids})"


def using(group: Literal["collection_id", "route_id"], number: int) -> str:
    """The name of one whose runs belong to this collection or route. Reads the whole table."""
    return (
        "SELECT name FROM schedules WHERE deleted_at_us IS NULL"
        f" AND JSON_EXTRACT(settings, '$.{group}') = {number} LIMIT 1"
    )


KEYS_IN_USE = (
    "SELECT key_id, COUNT(*) FROM"
    " (SELECT JSON_UNQUOTE(JSON_EXTRACT(settings, '$.sealed_with')) key_id FROM schedules) found"
    " WHERE key_id IS NOT NULL GROUP BY key_id"
)
"""With which keys what runs are like is sealed."""


def runs_ahead(mark: bytes, made_at_us: int, after_us: int, until_us: int) -> str:
    """Ids of the runs of a schedule, by its mark, that were made at `made_at_us` or later, and are due after
    `after_us` and not after `until_us`."""
    first = (made_at_us // 1000).to_bytes(6) + bytes(10)
    return (
        "SELECT STRAIGHT_JOIN t.id FROM label_index l JOIN timers t ON t.id = SUBSTR(l.entry, 9)"
        f" WHERE l.entry BETWEEN {of_bytes(mark + first)} AND {of_bytes(mark + LAST_ID)}"
        f" AND t.due_at_us > {after_us} AND t.due_at_us <= {until_us}"
    )


def not_ended(timer_ids: Iterable[bytes]) -> str:
    """Of these timers, the ones that are there and have not ended."""
    return (
        "SELECT t.id FROM timers t LEFT JOIN attempts a ON a.timer_id = t.id AND a.attempt = t.attempts_made + 1"
        f" WHERE t.id IN ({of_list(timer_ids)}) AND t.cancelled_at_us IS NULL AND a.timer_id IS NULL"
    )


def _list(schedule_ids: Iterable[int]) -> str:
    return ",".join(map(str, sorted(schedule_ids)))

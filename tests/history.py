"""Many timers at once, and what the database says became of them."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

from tests.system import poll
from timer_db import transactions
from timer_db.domain.errors import DatabaseUnavailable
from timer_db.domain.filter import Filter
from timer_db.domain.states import TimerState
from timer_db.domain.timer import NewTimer
from timer_db.operations.inspect import list_timers
from timer_db.operations.schedule import choose_id, schedule
from timer_db.shards import Shards
from timer_db.transactions import Connection

_PAGE = 1000
_BATCH = 500


async def schedule_many(
    shards: Shards, count: int, url: str, *, due_in_seconds: float = 0, spread_seconds: float = 0, **fields: Any
) -> list[str]:
    """So many timers, due from `due_in_seconds` on, evenly over `spread_seconds`; gives their ids."""
    now_us = time.time_ns() // 1000
    new = [
        NewTimer(
            id=choose_id(shards, now_us, "default", None),
            due_at_us=now_us + round((due_in_seconds + spread_seconds * n / count) * 1e6),
            created_at_us=now_us,
            url=url,
            **fields,
        )
        for n in range(count)
    ]
    for first in range(0, count, _BATCH):
        await schedule(shards, new[first : first + _BATCH])
    return [str(timer.id) for timer in new]


async def count_states(shards: Shards) -> Counter[TimerState]:
    """How many timers are in each state."""
    counts: Counter[TimerState] = Counter()
    cursor = None
    while True:
        page = await list_timers(shards, Filter(), limit=_PAGE, cursor=cursor)
        counts.update(timer.state for timer in page.timers)
        cursor = page.next_cursor
        if cursor is None:
            return counts


async def wait_for_states(shards: Shards, wanted: dict[TimerState, int], timeout_seconds: float = 60) -> None:
    """Until the counts are these, and no others."""

    async def look() -> bool:
        try:
            return await count_states(shards) == Counter(wanted)
        except DatabaseUnavailable:
            return False  # our own connections are from before the outage

    try:
        await poll(look, timeout_seconds, f"the states {wanted}")
    except AssertionError as error:
        raise AssertionError(f"{error}, found {dict(await count_states(shards))}") from None


async def count_outcomes(shards: Shards) -> Counter[str]:
    """How many attempts are logged with each outcome."""

    async def work(connection: Connection) -> list[tuple[Any, ...]]:
        return await connection.rows("SELECT outcome, COUNT(*) FROM attempts GROUP BY outcome")

    counts: Counter[str] = Counter()
    for shard in shards:
        counts.update({outcome: int(n) for outcome, n in await transactions.run(shard.engine, work)})
    return counts

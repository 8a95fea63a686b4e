"""Tell with which keys the content of timers is sealed."""

from __future__ import annotations

from collections import Counter
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from timer_db import transactions
from timer_db.statements import encryption, routes, schedules
from timer_db.transactions import Connection

PAGE = 10_000
"""A transaction for each: one long read would keep the server from purging what is deleted meanwhile."""


async def count_by_key(engine: AsyncEngine) -> Counter[str | None]:
    """How many timers are sealed with each key, by its id; under the empty one, how many have plain content, and
    under None, how many have none.

    Reads the whole table. Timers that are made meanwhile may be counted or not.
    """
    counts: Counter[str | None] = Counter()
    behind, seen = bytes(16), PAGE
    while seen == PAGE:
        last = behind

        async def work(connection: Connection, behind: bytes = last) -> list[tuple[Any, ...]]:
            return await connection.rows(encryption.count_page(behind, PAGE))

        page = await transactions.run(engine, work)
        for key_id, count, _ in page:
            counts[key_id] += int(count)
        seen = sum(int(count) for _, count, _ in page)
        behind = max([bytes(row[2]) for row in page], default=behind)
    return counts


async def count_route_keys(engine: AsyncEngine) -> Counter[str]:
    """How many routes have headers and secrets that are sealed with each key."""
    return await _count(engine, routes.KEYS_IN_USE)


async def count_schedule_keys(engine: AsyncEngine) -> Counter[str]:
    """Of how many schedules it is sealed with each key what their runs are like."""
    return await _count(engine, schedules.KEYS_IN_USE)


async def _count(engine: AsyncEngine, statement: str) -> Counter[str]:
    async def work(connection: Connection) -> Counter[str]:
        return Counter({key_id: int(count) for key_id, count in await connection.rows(statement)})

    return await transactions.run(engine, work)

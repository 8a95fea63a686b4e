"""Put the counts of timers right, after services of an earlier version, which do not count, were at work."""

from __future__ import annotations

from collections import Counter

from sqlalchemy.ext.asyncio import AsyncEngine

from timer_db import transactions
from timer_db.statements import counts
from timer_db.statements.counts import Counted
from timer_db.transactions import Connection

PATIENCE_SECONDS = 3600.0
"""Whole tables are read."""


async def recount(engine: AsyncEngine) -> dict[Counted, int]:
    """Correct every count; gives by how much each was wrong, those that were right left out.

    Right also while timers are made and end: what is compared is of one moment, and the difference is written.
    """

    async def compare(connection: Connection) -> Counter[Counted]:
        await connection.rows(counts.ONE_SNAPSHOT)
        missing: Counter[Counted] = Counter()
        for *group, timers in await connection.rows(counts.TRUE_SUMS):
            missing[Counted(*group)] += int(timers)
        for *group, timers in await connection.rows(counts.sums(per_schedule=True)):
            missing[Counted(*group)] -= int(timers)
        return missing

    found = await transactions.run(engine, compare, patience_seconds=PATIENCE_SECONDS)
    wrong = {counted: more for counted, more in sorted(found.items()) if more}
    if wrong:

        async def correct(connection: Connection) -> None:
            await connection.write(counts.add(wrong))

        await transactions.run(engine, correct)
    return wrong

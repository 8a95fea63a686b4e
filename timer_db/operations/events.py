"""Look at what happened."""

from __future__ import annotations

from typing import NamedTuple

from timer_db import transactions
from timer_db.domain.event import Event, EventKind
from timer_db.shards import Shards
from timer_db.statements import events as statements
from timer_db.transactions import Connection


class EventPage(NamedTuple):
    """Some events, and the cursor of the next page; None when this is the last."""

    events: list[Event]
    next_cursor: int | None


async def list_events(shards: Shards, kind: EventKind | None, limit: int, cursor: int | None = None) -> EventPage:
    """A page of at most `limit` events, newest first, from before the one with the number `cursor`."""

    async def work(connection: Connection) -> EventPage:
        rows = await connection.rows(statements.page(kind, cursor, limit + 1))
        found = [Event(row[0], row[1], EventKind(row[2]), row[3], row[4]) for row in rows[:limit]]
        return EventPage(found, found[-1].id if len(rows) > limit else None)

    return await transactions.run(shards.home.engine, work)

"""Reads what there is of collections, routes and schedules, and keeps what was read."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from timer_db import transactions
from timer_db.domain.directory import ONLY_DEFAULT, Collection, Directory, Route, Schedule
from timer_db.domain.errors import DatabaseUnavailable
from timer_db.domain.owner import BY_DEFAULT, Owner
from timer_db.shards import Shards
from timer_db.statements import directory as statements
from timer_db.transactions import Connection

log = logging.getLogger(__name__)

REFRESH_SECONDS = 1.0
"""So long after a change others may go by what was before."""

Stamp = tuple[tuple[Any, ...], ...]


class DirectoryKeeper:
    """The directory of one process. Everything in it is on the first server."""

    def __init__(self, shards: Shards) -> None:
        self._shards = shards
        self._stamp: Stamp = ()
        self._refreshing = asyncio.Lock()
        self.current = ONLY_DEFAULT
        """As it was read last."""

    async def refresh(self) -> None:
        """Read it, if it has changed. Raises DatabaseUnavailable."""
        # One at a time: an older answer must not come last.
        async with self._refreshing:
            found = await _read(next(iter(self._shards)).engine, self._stamp)
            if found is not None:
                self._stamp, self.current = found

    async def covering(self, owners: Iterable[Owner]) -> Directory:
        """The directory, once it knows all of these. KeyError for numbers that nobody knows."""
        unknown = {owner for owner in owners if owner is not BY_DEFAULT and not self.current.knows(owner)}
        if unknown:
            await self.refresh()
            for owner in unknown:
                self.current.names_of(owner)
        return self.current

    async def run(self) -> None:
        """Read it again for ever. Cancel it to stop."""
        is_away = False
        while True:
            await asyncio.sleep(REFRESH_SECONDS)
            try:
                await self.refresh()
            except DatabaseUnavailable as error:
                if not is_away:
                    log.warning("collections and routes cannot be read; those known last stay valid: %s", error)
                is_away = True
            else:
                is_away = False


async def _read(engine: AsyncEngine, known: Stamp) -> tuple[Stamp, Directory] | None:
    """None when nothing has changed since `known`."""

    async def work(connection: Connection) -> tuple[Stamp, Directory] | None:
        stamp = tuple(await connection.rows(statements.STAMP))
        if stamp == known:
            return None
        return stamp, Directory(
            {row[0]: Collection(*row) for row in await connection.rows(statements.COLLECTIONS)},
            {row[0]: Route(*row) for row in await connection.rows(statements.ROUTES)},
            {row[0]: Schedule(*row) for row in await connection.rows(statements.SCHEDULES)},
        )

    return await transactions.run(engine, work)

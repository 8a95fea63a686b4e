"""Reads what there is of collections, routes and schedules, and keeps what was read."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from timer_db import transactions
from timer_db.domain.directory import ONLY_DEFAULT, Directory, Named, Schedule
from timer_db.domain.errors import DatabaseUnavailable
from timer_db.domain.owner import BY_DEFAULT, Owner
from timer_db.operations.collections import collection_of
from timer_db.operations.routes import route_of
from timer_db.shards import Shard, Shards
from timer_db.statements import collections as of_collections
from timer_db.statements import directory as statements
from timer_db.statements import groups
from timer_db.statements import routes as of_routes
from timer_db.statements.groups import Kind
from timer_db.transactions import Connection

log = logging.getLogger(__name__)

REFRESH_SECONDS = 1.0
"""So long after a change others may go by what was before."""

_TABLES: tuple[Kind, ...] = ("collections", "routes", "schedules")
"""In the order of the stamp."""
OVERLAP_US = 60_000_000
"""What was changed so long before the latest change is read once more: it may have been committed after it."""

Stamp = tuple[tuple[Any, ...], ...]


class DirectoryKeeper:
    """The directory of one process. Everything in it is on the first server."""

    def __init__(self, shards: Shards) -> None:
        self._home = shards.home
        self._stamp: Stamp = ()
        self._refreshing = asyncio.Lock()
        self._listeners: list[Callable[[], None]] = []
        self.current = ONLY_DEFAULT
        """As it was read last."""

    @property
    def engine(self) -> AsyncEngine:
        """Where it is read from."""
        return self._home.engine

    @contextmanager
    def telling(self, listener: Callable[[], None]) -> Iterator[None]:
        """While it lasts, the listener is called right after each change."""
        self._listeners.append(listener)
        try:
            yield
        finally:
            self._listeners.remove(listener)

    def learn(self, directory: Directory) -> None:
        """From now on this is what there is."""
        self.current = directory
        for tell in self._listeners:
            tell()

    async def refresh(self) -> None:
        """Read it, if it has changed. Raises DatabaseUnavailable."""
        # One at a time: an older answer must not come last.
        async with self._refreshing:
            found = await _read(self._home, self._stamp, self.current)
            if found is not None:
                self._stamp, directory = found
                self.learn(directory)

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


async def _read(home: Shard, known: Stamp, before: Directory) -> tuple[Stamp, Directory] | None:
    """None when nothing has changed since `known`; else what was `before`, with what has changed."""

    async def work(connection: Connection) -> tuple[Stamp, Directory] | None:
        stamp = tuple(await connection.rows(statements.STAMP))
        if stamp == known:
            return None
        # Numbers that fall are those of another database, such as one that was restored.
        goes_on = bool(known) and all(new >= old for new, old in zip(chain(*stamp), chain(*known), strict=True))

        async def changed(table: Kind, columns: str, of: Callable[[tuple[Any, ...]], Named]) -> dict[int, Named]:
            from_us = int(known[_TABLES.index(table)][2]) - OVERLAP_US if goes_on else 0
            rows = await connection.rows(groups.changed_since(table, columns, from_us))
            return {row[0]: of(row) for row in rows}

        collections = await changed("collections", of_collections.COLUMNS, collection_of)
        routes = await changed("routes", of_routes.COLUMNS, lambda row: route_of(row, home.keyring))
        schedules = await changed("schedules", statements.SCHEDULES, lambda row: Schedule(*row))
        kept = before if goes_on else ONLY_DEFAULT
        return stamp, Directory(
            {**kept.collections, **collections},
            {**kept.routes, **routes},
            {**kept.schedules, **schedules},
        )

    return await transactions.run(home.engine, work)

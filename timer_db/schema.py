"""The schema's version: what it is, and what it should be. `migrate` gets there."""

from __future__ import annotations

import logging
from functools import cache
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncEngine

from timer_db import transactions
from timer_db.domain.errors import SchemaMismatch

log = logging.getLogger(__name__)

_MIGRATIONS = Path(__file__).parent / "migrations/versions"


@cache
def wanted_version() -> str:
    """The revision that this version of the code needs: the name of each migration's file begins with its own."""
    return max(path.name for path in _MIGRATIONS.glob("[0-9]*.py")).partition("_")[0]


async def check(engine: AsyncEngine) -> str:
    """The revision of the server's tables. Raises SchemaMismatch when they are missing or older than this version.

    Newer ones do: each migration leaves to the version before it what that needs, so that services of both can run
    while they are replaced one by one (`docs/operations.md`).
    """

    async def work(connection: transactions.Connection) -> str | None:
        if not await connection.rows("SHOW TABLES LIKE 'alembic_version'"):
            return None
        versions = await connection.rows("SELECT version_num FROM alembic_version")
        return str(versions[0][0]) if versions else None

    found = await transactions.run(engine, work)
    wanted = wanted_version()
    if found is None or found < wanted:
        raise SchemaMismatch(found, wanted)
    if found > wanted:
        log.warning(
            "the database's schema is %s, and this version's is %s: upgrade the services too", found, wanted
        )
    return found

"""The schema's version: what it is, what it should be, and how to get there."""

from __future__ import annotations

import logging
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine

from timer_db import transactions
from timer_db.domain.errors import DatabaseError, SchemaMismatch

log = logging.getLogger(__name__)

_LOCK = "timer_db.upgrade"
_LOCK_WAIT_SECONDS = 300
_TABLE_WAIT_SECONDS = 5
"""A change of a table waits for whoever reads it in a transaction, a backup perhaps; and all who come later, every
create and every claim, wait behind the change."""


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


def wanted_version() -> str:
    """The revision that this version of the code needs."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    assert head is not None
    return head


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


async def upgrade(engine: AsyncEngine) -> tuple[str | None, str]:
    """Bring one server's tables to this version; gives the version before and after.

    Of several that try at once, one does the work and the others wait for it. Tables that are newer stay as they
    are. DatabaseError when somebody reads a table in a transaction that does not end; what was done by then stays,
    and the next try goes on from there.
    """
    async with engine.connect() as connection:
        got = await connection.scalar(text(f"SELECT GET_LOCK('{_LOCK}', {_LOCK_WAIT_SECONDS})"))
        if got != 1:
            raise DatabaseError(f"another upgrade has held its lock for {_LOCK_WAIT_SECONDS} s")
        try:
            await connection.execute(text(f"SET SESSION lock_wait_timeout = {_TABLE_WAIT_SECONDS}"))
            return await connection.run_sync(_upgrade)
        except OperationalError as error:
            if error.orig is None or not transactions.is_deadlock(error.orig):
                raise
            raise DatabaseError(
                f"a table was in use for {_TABLE_WAIT_SECONDS} s, by a backup perhaps: try again when that is over"
            ) from error
        finally:
            await connection.execute(text("SET SESSION lock_wait_timeout = DEFAULT"))
            await connection.execute(text(f"SELECT RELEASE_LOCK('{_LOCK}')"))


def _upgrade(connection: Connection) -> tuple[str | None, str]:
    before = MigrationContext.configure(connection).get_current_revision()
    if before is not None and before > wanted_version():
        return before, before
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    connection.commit()
    return before, wanted_version()

"""The schema's version: what it is, what it should be, and how to get there."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncEngine

from timer_db import transactions
from timer_db.domain.errors import DatabaseError, SchemaMismatch

_LOCK = "timer_db.upgrade"
_LOCK_WAIT_SECONDS = 300


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


def wanted_version() -> str:
    """The revision that this version of the code needs."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    assert head is not None
    return head


async def check(engine: AsyncEngine) -> None:
    """Raises SchemaMismatch unless the server's tables are those of this version."""

    async def work(connection: transactions.Connection) -> str | None:
        if not await connection.rows("SHOW TABLES LIKE 'alembic_version'"):
            return None
        versions = await connection.rows("SELECT version_num FROM alembic_version")
        return str(versions[0][0]) if versions else None

    found = await transactions.run(engine, work)
    wanted = wanted_version()
    if found != wanted:
        raise SchemaMismatch(found, wanted)


async def upgrade(engine: AsyncEngine) -> tuple[str | None, str]:
    """Bring one server's tables to this version; gives the version before and after.

    Of several that try at once, one does the work and the others wait for it.
    """
    async with engine.connect() as connection:
        got = await connection.scalar(text(f"SELECT GET_LOCK('{_LOCK}', {_LOCK_WAIT_SECONDS})"))
        if got != 1:
            raise DatabaseError(f"another upgrade has held its lock for {_LOCK_WAIT_SECONDS} s")
        try:
            return await connection.run_sync(_upgrade)
        finally:
            await connection.execute(text(f"SELECT RELEASE_LOCK('{_LOCK}')"))


def _upgrade(connection: Connection) -> tuple[str | None, str]:
    before = MigrationContext.configure(connection).get_current_revision()
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    connection.commit()
    return before, wanted_version()

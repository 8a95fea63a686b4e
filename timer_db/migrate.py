"""Brings a server's tables to the version of this code.

Not in `schema`: to import alembic takes a tenth of a second, and services only look.
"""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine

from timer_db import transactions
from timer_db.domain.errors import DatabaseError
from timer_db.schema import wanted_version

_LOCK = "timer_db.upgrade"
_LOCK_WAIT_SECONDS = 300
_TABLE_WAIT_SECONDS = 5
"""A change of a table waits for whoever reads it in a transaction, a backup perhaps; and all who come later, every
create and every claim, wait behind the change."""


def config() -> Config:
    """Alembic's, which says where the migrations are."""
    made = Config()
    made.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return made


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
    alembics = config()
    alembics.attributes["connection"] = connection
    command.upgrade(alembics, "head")
    connection.commit()
    return before, wanted_version()

"""A table of calls in the receiver's own database, which commits with the receiver's own work.

So a repeat is dropped if that work was committed, and only then: also when the receiver crashed in between, before
it could answer. A repeat that comes while the first is at work waits for the end of its transaction. Needs
SQLAlchemy (`pip install 'timer-client[sql]'`).
"""

from __future__ import annotations

import time
from datetime import timedelta

from sqlalchemy import BigInteger, Column, Connection, Insert, MetaData, String, Table, delete
from sqlalchemy.dialects import mysql, postgresql, sqlite


def seen_table(metadata: MetaData, name: str = "timer_calls") -> Table:
    """The table of the calls that were taken; `metadata.create_all` or your migrations create it."""
    return Table(
        name,
        metadata,
        Column("webhook_id", String(64), primary_key=True),
        # Unix time in seconds.
        Column("seen_at", BigInteger, nullable=False, index=True),
    )


class SqlSeen:
    """The calls that were taken, in a transaction of yours: this connection's."""

    def __init__(self, connection: Connection, table: Table) -> None:
        self._connection, self._table = connection, table

    def add(self, webhook_id: str) -> bool:
        """Note it: True for a new one, False for a repeat. It is kept when you commit."""
        statement = _insert_unless_there(self._table, self._connection.dialect.name)
        values = {"webhook_id": webhook_id, "seen_at": int(time.time())}
        # Of an insert, SQLAlchemy keeps the count only when it is asked to.
        counted = self._connection.execute(statement, values, execution_options={"preserve_rowcount": True})
        return counted.rowcount == 1

    def forget(self, older_than: timedelta) -> int:
        """Delete what is older, and give how many that were: more time than that lies between no two attempts."""
        before = time.time() - older_than.total_seconds()
        return self._connection.execute(delete(self._table).where(self._table.c.seen_at < before)).rowcount


def _insert_unless_there(table: Table, dialect: str) -> Insert:
    # Not by catching the error: in PostgreSQL that would end the transaction.
    match dialect:
        case "mysql" | "mariadb":
            return mysql.insert(table).prefix_with("IGNORE")
        case "postgresql":
            return postgresql.insert(table).on_conflict_do_nothing()
        case "sqlite":
            return sqlite.insert(table).on_conflict_do_nothing()
        case _:
            raise NotImplementedError(f"SqlSeen knows MySQL, MariaDB, PostgreSQL and SQLite, not {dialect}")

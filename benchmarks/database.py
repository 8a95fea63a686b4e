"""A look into the database from beside: its counters, and what was written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pymysql

from timer_db.engine import parse_url
from timer_db.models import metadata

if TYPE_CHECKING:
    from benchmarks.loading import Load

STATUS = (
    "Questions",
    "Com_select",
    "Com_insert",
    "Com_insert_select",
    "Com_update",
    "Com_update_multi",
    "Com_delete",
    "Com_delete_multi",
    "Com_commit",
    "Com_rollback",
    "Innodb_row_lock_waits",
    "Innodb_row_lock_time",
    "Innodb_os_log_fsyncs",
    "Bytes_received",
    "Bytes_sent",
)
_SETTINGS = (
    "innodb_flush_log_at_trx_commit",
    "sync_binlog",
    "log_bin",
    "binlog_format",
    "innodb_doublewrite",
    "innodb_buffer_pool_size",
    "innodb_redo_log_capacity",
    "innodb_log_file_size",
    "transaction_isolation",
    "tx_isolation",
)
_KEPT = frozenset({"collections"})


def connect(url: str) -> pymysql.Connection[Any]:
    """A plain connection with the session settings of the product."""
    parts = parse_url(url)
    return pymysql.connect(
        host=parts.host, port=parts.port or 3306, user=parts.username, password=str(parts.password or ""),
        database=parts.database, autocommit=True, charset="utf8mb4",
        init_command="SET SESSION sql_mode='STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION,ERROR_FOR_DIVISION_BY_ZERO',"
        " time_zone='+00:00', innodb_lock_wait_timeout=5",
    )  # fmt: skip


class Observer:
    """One connection that asks seldom, so that it does not weigh on what it looks at."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection = connect(url)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Every row of an answer."""
        with self._connection.cursor() as cursor:
            cursor.execute(sql)
            return list(cursor.fetchall())

    def run(self, *statements: str) -> None:
        """Statements of a workload, each a transaction."""
        with self._connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    def number(self, sql: str) -> int:
        """The one number of an answer."""
        return int(self.rows(sql)[0][0])

    def status(self) -> dict[str, int]:
        """The server's counters since its start."""
        names = ",".join(f"'{name}'" for name in STATUS)
        return {
            name: int(value) for name, value in self.rows(f"SHOW GLOBAL STATUS WHERE Variable_name IN ({names})")
        }

    def settings(self) -> dict[str, str]:
        """The settings that speed and safety depend on, as far as this engine has them."""
        names = ",".join(f"'{name}'" for name in _SETTINGS)
        return dict(self.rows(f"SHOW GLOBAL VARIABLES WHERE Variable_name IN ({names})"))

    def empty(self) -> None:
        """Every table as it was made; nothing is left to purge."""
        with self._connection.cursor() as cursor:
            for table in metadata.sorted_tables:
                if table.name not in _KEPT:
                    cursor.execute(f"TRUNCATE TABLE {table.name}")

    def take_back(self, loads: Iterable[Load]) -> None:
        """Delete loaded timers that nobody has claimed yet."""
        with self._connection.cursor() as cursor:
            for load in loads:
                between = f"BETWEEN x'{load.first_id.hex()}' AND x'{load.last_id.hex()}'"
                cursor.execute(f"DELETE FROM due_queue WHERE SUBSTR(due_key, 9) {between}")
                cursor.execute(f"DELETE FROM timers WHERE id {between}")

    def forget_outcomes(self) -> None:
        """What was delivered is no longer counted; what waits stays."""
        with self._connection.cursor() as cursor:
            for table in ("attempts", "endings", "claim_batches", "controllers"):
                cursor.execute(f"TRUNCATE TABLE {table}")

    @contextmanager
    def old_state(self) -> Iterator[None]:
        """Somebody reads the database as it is now, as a backup does: nothing that is deleted is purged."""
        with connect(self._url) as reader, reader.cursor() as cursor:
            cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            cursor.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT")
            yield

    def dirty_share(self) -> float:
        """Pages of the buffer pool that are not on disk yet."""
        names = "'Innodb_buffer_pool_pages_dirty', 'Innodb_buffer_pool_pages_total'"
        found = dict(self.rows(f"SHOW GLOBAL STATUS WHERE Variable_name IN ({names})"))
        return int(found["Innodb_buffer_pool_pages_dirty"]) / int(found["Innodb_buffer_pool_pages_total"])

    def controllers(self) -> int:
        """Controllers that have joined and not left."""
        return self.number("SELECT COUNT(*) FROM controllers WHERE gone_at_us IS NULL")

    def is_all_written(self) -> bool:
        """Whether no claim waits for its outcome."""
        return self.number("SELECT COUNT(*) FROM claim_batches") == 0

    def batches(self) -> int:
        """Batches of which an outcome was logged."""
        return self.number("SELECT COUNT(*) FROM (SELECT DISTINCT controller_id, batch FROM attempts) b")

    def delivered(self) -> int:
        """Timers whose delivery is logged."""
        return self.number("SELECT COUNT(*) FROM attempts WHERE state = 'delivered'")

    def first_bytes_us(self) -> list[tuple[bytes, int]]:
        """When the first byte of each call left, by the log of attempts: (id, microseconds)."""
        return [(bytes(row[0]), int(row[1])) for row in self.rows("SELECT timer_id, started_at_us FROM attempts")]

"""Literals for values that are ours: bytes and integers; text only as hexadecimal."""

from __future__ import annotations

from collections.abc import Iterable

from timer_db.domain.queue_entry import QueueEntry

NOW_US = "CAST(UNIX_TIMESTAMP(NOW(6)) * 1000000 AS SIGNED)"
"""The database's clock."""

MYSQL_ROW = "/*!80019 ROW*/"
"""Before each row of a VALUES that stands by itself: MySQL wants the word; MariaDB wants none, and skips this."""

LIST_MAX = 900
"""The longest IN list: beyond some thousand values the planners give ranges up and scan."""


FORCE_KEY = "FORCE INDEX (PRIMARY)"
"""For statements that lock rows by a list: when the list is a good part of the table, both planners prefer a scan,
and a scan waits for every row that others have locked. They would wait for each other then, and deadlock."""


def delete_from(table: str) -> str:
    """The head of a DELETE, which takes no FORCE INDEX, for the same end.

    MySQL has a hint for it. MariaDB has none before 12; its safe updates go by key at whatever price.
    """
    return f"/*M! SET STATEMENT sql_safe_updates=1 FOR */ DELETE /*+ INDEX({table} `PRIMARY`) */ FROM {table}"


def of_bytes(value: bytes) -> str:
    """A binary literal."""
    return f"x'{value.hex()}'"


def of_text(value: str) -> str:
    """A text literal that needs no escaping, whatever is in it. What is no UTF-8 becomes a question mark."""
    return f"_utf8mb4 x'{value.encode(errors='replace').hex()}'"


def of_value(value: str | int | bytes | None) -> str:
    """A literal of any kind that our columns have; a quarter of what the driver's escaping costs."""
    if value is None:
        return "NULL"
    if isinstance(value, str):
        return of_text(value)
    if isinstance(value, int):
        return str(value)
    return of_bytes(value)


def of_list(values: Iterable[bytes]) -> str:
    """An IN list, sorted: rows are locked in the order of the list, and locks taken in one order never
    deadlock."""
    return ",".join([f"x'{value.hex()}'" for value in sorted(values)])


def of_entries(entries: Iterable[QueueEntry]) -> str:
    """Rows for `due_queue`."""
    return ",".join([f"({rank},x'{due_key.hex()}')" for rank, due_key in sorted(entries)])

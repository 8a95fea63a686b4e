"""Databases of a test's own, on the server that all share."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import pymysql
from sqlalchemy.engine import make_url

from timer_db.engine import parse_url


@contextmanager
def scratch_database(url: str) -> Iterator[str]:
    """The URL of a new database without tables; it is dropped at the end."""
    parts = make_url(url)
    name = f"{parts.database}_{secrets.token_hex(4)}"
    run(url, f"CREATE DATABASE {name} CHARACTER SET utf8mb4 COLLATE utf8mb4_bin")
    try:
        yield parts.set(database=name).render_as_string(hide_password=False)
    finally:
        run(url, f"DROP DATABASE {name}")


def run(url: str, *statements: str) -> list[tuple[object, ...]]:
    """Statements one after the other, past the data layer; gives the rows of the last."""
    parts = parse_url(url)
    connection = pymysql.connect(
        host=parts.host, port=parts.port or 3306, user=parts.username, password=str(parts.password or ""),
        database=parts.database, autocommit=True,
    )  # fmt: skip
    with connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        return list(cursor.fetchall())

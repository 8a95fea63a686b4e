"""What the tests of the embedded server share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pymysql

from timer_db.embedded import EmbeddedServer

ServerMaker = Callable[..., EmbeddedServer]


def query(server: EmbeddedServer, *statements: str, **options: Any) -> list[tuple[Any, ...]]:
    """The rows of the last statement."""
    url = urlsplit(server.url)
    assert url.hostname
    assert url.port
    assert url.username
    assert url.password
    settings = {"host": url.hostname, "port": url.port, "user": url.username, "password": url.password}
    connection = pymysql.connect(**{**settings, "database": url.path[1:], "autocommit": True, **options})
    try:
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return list(cursor.fetchall())
    finally:
        connection.close()

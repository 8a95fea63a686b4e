"""Connections to the servers, from explicit arguments."""

from __future__ import annotations

import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import aiomysql
from sqlalchemy import Engine as SyncEngine
from sqlalchemy import event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from timer_db.encryption import NO_KEYS, Keyring
from timer_db.shards import Shards
from timer_db.transactions import ABANDONED_SECONDS, ALIVE_AT

Engine = AsyncEngine
"""A pool of connections to one server, as the operations take it."""

_FORM = "mysql://user:password@host:3306/database"
_SCHEMES = ("mysql", "mariadb", "mysql+aiomysql", "mariadb+aiomysql")

# Strict: a value that does not fit is an error, never cut. Waits for row locks are milliseconds here,
# so five seconds mean that something is wrong.
_SESSION = (
    "SET SESSION sql_mode='STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION,ERROR_FOR_DIVISION_BY_ZERO',"
    " time_zone='+00:00', innodb_lock_wait_timeout=5,"
    # What `statements.timers.packed` gives is one value.
    " group_concat_max_len=67108864"
)
# MySQL knows one limit for all connections that say nothing; MariaDB one for those with an open transaction.
_ABANDONED_MYSQL = f", wait_timeout={ABANDONED_SECONDS}"
_ABANDONED_MARIADB = f", idle_transaction_timeout={ABANDONED_SECONDS}"


@dataclass(frozen=True, slots=True)
class Pool:
    """How many connections to each server a process keeps, and how long it waits for one."""

    size: int = 8
    wait_seconds: float = 5.0
    connect_timeout_seconds: float = 5.0


class _Opener:
    """Opens connections, and closes at the end what is left of them: where a first contact is cancelled, neither
    aiomysql nor the pool closes what was opened."""

    def __init__(self) -> None:
        self._opened: set[aiomysql.Connection] = set()

    async def open(self, **arguments: Any) -> aiomysql.Connection:
        """As `aiomysql.connect`."""
        connection = aiomysql.Connection(**arguments)
        try:
            await connection._connect()
        except BaseException:
            connection.close()
            raise
        self._opened = {each for each in self._opened if not each.closed} | {connection}
        return connection

    def close_rest(self, _engine: SyncEngine) -> None:
        for connection in self._opened:
            connection.close()


def parse_url(text: str) -> URL:
    """`mysql://user:password@host:3306/timer` as SQLAlchemy's URL. ValueError says what is wrong with it."""
    try:
        url = make_url(text.strip())
    except (ArgumentError, ValueError):
        # Without the error's own text: what stands where the port should be may be a piece of a password.
        raise ValueError(f"it must read {_FORM}") from None
    if url.drivername not in _SCHEMES:
        raise ValueError(f"it begins with {url.drivername}://; mysql:// or mariadb:// is needed")
    if not url.host or not url.database:
        raise ValueError(f"it must name a host and a database: {_FORM}")
    unknown = set(url.query) - {"charset", "ssl_ca"}
    if unknown:
        # Unnamed, for the same reason.
        raise ValueError("it has an option other than ssl_ca and charset; in a password, @ / ? are %40 %2F %3F")
    return url.set(drivername="mysql+aiomysql")


def open_engine(url: URL, pool: Pool) -> AsyncEngine:
    """A pool of connections to one server. Nothing is connected yet."""
    opener = _Opener()
    arguments: dict[str, object] = {
        "async_creator_fn": opener.open,
        "connect_timeout": pool.connect_timeout_seconds,
        "charset": "utf8mb4",
    }
    certificates = url.query.get("ssl_ca")
    if isinstance(certificates, str):
        arguments["ssl"] = ssl.create_default_context(cafile=certificates)
    engine = create_async_engine(
        url.set(query={}),
        # REPEATABLE READ locks gaps: claims would then make inserts wait.
        isolation_level="READ COMMITTED",
        pool_size=pool.size,
        max_overflow=0,
        pool_timeout=pool.wait_seconds,
        # The same few are used again and again, so that they do not idle for too long.
        pool_use_lifo=True,
        pool_pre_ping=False,
        # Every transaction of ours ends in a commit or throws its connection away: no ROLLBACK to make sure.
        pool_reset_on_return=None,
        connect_args=arguments,
    )
    event.listen(engine.sync_engine, "connect", _prepare_session)
    event.listen(engine.sync_engine, "engine_disposed", opener.close_rest)
    return engine


def open_shards(urls: Sequence[str], pool: Pool | None = None, keyring: Keyring = NO_KEYS) -> Shards:
    """The servers of a `TIMER_DB_URL`, in order. ValueError for a URL that cannot be."""
    return Shards([open_engine(parse_url(url), pool or Pool()) for url in urls], keyring)


def _prepare_session(connection: DBAPIConnection, entry: ConnectionPoolEntry) -> None:
    entry.info[ALIVE_AT] = time.monotonic()
    driver = entry.driver_connection
    assert driver is not None
    cursor = connection.cursor()
    cursor.execute(_SESSION + (_ABANDONED_MARIADB if "MariaDB" in driver.get_server_info() else _ABANDONED_MYSQL))
    cursor.close()

"""Timers by the million, in the rows that `timer_db.operations.schedule` writes, made inside the server.

One timer is scheduled by the product's own code; the server then repeats its row with other ids and due times. A
test compares the rows with scheduled ones. The last 4 bytes of an id are the timer's number, so that a line in the
receiver's log tells which timer it was and when that was due.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from uuid import UUID

from pymysql.cursors import Cursor

from benchmarks.database import connect
from benchmarks.figures import BenchmarkError
from timer_db.domain import ids
from timer_db.domain.queue_entry import entry_of
from timer_db.domain.timer import NewTimer
from timer_db.engine import open_shards
from timer_db.operations.schedule import schedule

CHUNK = 50_000
_NEVER_US = 10 * 365 * 86_400_000_000
_DUE = "({first_due_us} + {step_us} * CAST(n AS SIGNED))"
_ID = "UNHEX(CONCAT('{prefix}', LPAD(HEX({offset} + n), 8, '0')))"


@dataclass(frozen=True, slots=True)
class Load:
    """Timers number 0 to `count - 1`; number n is due at `first_due_us + n * step_us`."""

    count: int
    first_due_us: int
    step_us: int
    first_id: bytes
    last_id: bytes
    seconds: float

    def due_us(self, timer_id: bytes) -> int:
        """When the timer with this id is due."""
        return self.first_due_us + int.from_bytes(timer_id[12:], "big") * self.step_us


def template(url: str) -> NewTimer:
    """What a client asks for with `{"url": …, "delay": …, "meta": {"order": 4711}}`."""
    now_us = time.time_ns() // 1000
    return NewTimer(
        id=UUID(int=0), due_at_us=now_us, created_at_us=now_us, url=url, meta={"order": 4711}, due_as_given=""
    )


def load(
    server_url: str,
    timer: NewTimer,
    count: int,
    first_due_us: int,
    step_us: int = 0,
    columns: Mapping[str, str] | None = None,
) -> Load:
    """Store `count` timers like `timer`; some seconds per million. `columns` have other values than its own, by
    SQL in which `{number}` is the timer's number."""
    began = time.monotonic()
    prefix = f"{timer.created_at_us // 1000:012x}70008{secrets.randbits(28):07x}"
    # Due after all others, so that nobody claims it meanwhile.
    pattern = replace(timer, id=ids.new_id(timer.created_at_us), due_at_us=first_due_us + _NEVER_US)
    asyncio.run(_schedule(server_url, pattern))
    connection = connect(server_url)
    connection.autocommit(False)
    with connection, connection.cursor() as cursor:
        rank, names = _set_aside(cursor, pattern)
        for first in range(0, count, CHUNK):
            due = _DUE.format(first_due_us=first_due_us + first * step_us, step_us=step_us)
            own = {name: sql.format(number=f"({first} + n)") for name, sql in (columns or {}).items()}
            made = {"id": _ID.format(prefix=prefix, offset=first), "due_at_us": due, "next_at_us": due, **own}
            where = f"WHERE n < {min(CHUNK, count - first)} ORDER BY n"
            values = ", ".join(made.get(name, f"p.{name}") for name in names)
            cursor.execute(
                f"INSERT INTO timers ({', '.join(names)}) SELECT {values} FROM numbers, pattern p {where}"
            )
            key = f"CONCAT(UNHEX(LPAD(HEX({due}), 16, '0')), {made['id']})"
            cursor.execute(
                f"INSERT INTO due_queue (priority_rank, due_key) SELECT {rank}, {key} FROM numbers {where}"
            )
            connection.commit()
    first_id, last_id = (bytes.fromhex(f"{prefix}{number:08x}") for number in (0, count - 1))
    return Load(count, first_due_us, step_us, first_id, last_id, time.monotonic() - began)


async def _schedule(server_url: str, timer: NewTimer) -> None:
    shards = open_shards([server_url])
    await schedule(shards, [timer])
    await shards.close()


def _set_aside(cursor: Cursor, pattern: NewTimer) -> tuple[int, list[str]]:
    """Move the scheduled timer into a table of its own, beside one of numbers; gives its rank and its columns."""
    timer_id, entry = pattern.id.hex, entry_of(pattern.id, pattern.priority, pattern.due_at_us)
    cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
    cursor.execute("CREATE TEMPORARY TABLE numbers (n INT UNSIGNED NOT NULL PRIMARY KEY)")
    for first in range(0, CHUNK, 5000):
        cursor.execute(f"INSERT INTO numbers VALUES {','.join(f'({n})' for n in range(first, first + 5000))}")
    cursor.execute(f"CREATE TEMPORARY TABLE pattern SELECT * FROM timers WHERE id = x'{timer_id}'")
    _delete_one(cursor, f"FROM timers WHERE id = x'{timer_id}'")
    _delete_one(
        cursor, f"FROM due_queue WHERE priority_rank = {entry.rank} AND due_key = x'{entry.due_key.hex()}'"
    )
    cursor.execute("SHOW COLUMNS FROM pattern")
    return entry.rank, [str(row[0]) for row in cursor.fetchall()]


def _delete_one(cursor: Cursor, what: str) -> None:
    if cursor.execute(f"DELETE {what}") != 1:
        raise BenchmarkError(f"a scheduled timer is not where it was expected: {what}")

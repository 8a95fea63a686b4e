"""How long each migration takes on a filled database, and how long a create has to wait meanwhile.

python -m tests.migration.durations --engine mysql --timers 1000000
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from tests.db import scratch
from timer_db import migrate
from timer_db.embedded import EmbeddedServer, EngineKind, find_engine
from timer_db.engine import Engine, Pool, open_engine, parse_url

_DUE_US = 1_900_000_000_000_000
_FIRST_ROWS = 1000
_NUMBERS = itertools.count(50_000_000)
"""Of timers that are made meanwhile."""
_ID = "UNHEX(CONCAT(LPAD(HEX(1800000000000 + n), 12, '0'), '7000', '8', LPAD(HEX(n * 7919), 15, '0')))"
_TIMERS = (
    "INSERT INTO timers (id, priority, due_at_us, next_at_us, created_at_us, url, append_id, method, headers,"
    " body_is_json, meta, timeout_ms, on_unknown)"
)


def _fill(url: str, timers: int) -> None:
    """As many timers that wait, with a queue entry and an attempt each; doubled until there are enough."""
    digits = "(SELECT 0 d" + "".join(f" UNION ALL SELECT {n}" for n in range(1, 10)) + ")"
    scratch.run(
        url,
        "CREATE TABLE numbers (n INT PRIMARY KEY)",
        f"INSERT INTO numbers SELECT a.d + 10 * b.d + 100 * c.d FROM {digits} a, {digits} b, {digits} c",
    )
    count = _FIRST_ROWS
    while count < timers:
        scratch.run(url, f"INSERT INTO numbers SELECT n + {count} FROM numbers WHERE n < {timers - count}")
        count = min(2 * count, timers)
    scratch.run(
        url,
        f"{_TIMERS} SELECT {_ID}, 0, {_DUE_US} + n, {_DUE_US} + n, {_DUE_US}, 'https://example.com/hook', 1,"
        " 'POST',"
        """ '{"X-Shop":"berlin"}', 1, '{"order":17}', 10000, 'resend' FROM numbers""",
        "INSERT INTO due_queue (priority_rank, due_key)"
        " SELECT 32767 - priority, CONCAT(UNHEX(LPAD(HEX(next_at_us), 16, '0')), id) FROM timers",
        "INSERT INTO attempts (timer_id, attempt, finished_at_us, controller_id, batch, started_at_us, outcome,"
        " state, reason, answer)"
        " SELECT id, 1, 1, 1, 1, 1, 'not_sent', 'scheduled', 'connection refused', '' FROM timers",
        "DROP TABLE numbers",
    )


async def upgrade_to(engine: Engine, revision: str) -> None:
    """Bring the tables to this revision."""

    def upgrade(connection: Connection) -> None:
        config = migrate.config()
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        connection.commit()

    async with engine.connect() as connection:
        await connection.run_sync(upgrade)


async def _create_all_the_time(engine: Engine, stop: asyncio.Event) -> float:
    """The longest that one create took, in seconds."""
    longest = 0.0
    while not stop.is_set():
        number = next(_NUMBERS)
        began = time.perf_counter()
        async with engine.begin() as connection:
            values = f"{_ID.replace('n', str(number))}, 0, 1, 1, 1, 'http://x', 1, 'GET', '', 1, '', 1, 'fail'"
            await connection.exec_driver_sql(f"{_TIMERS} SELECT {values}")
        longest = max(longest, time.perf_counter() - began)
    return longest


async def _measure(url: str, timers: int) -> None:
    engine = open_engine(parse_url(url), Pool(size=4))
    scripts = ScriptDirectory.from_config(migrate.config())
    revisions = [script.revision for script in reversed(list(scripts.walk_revisions()))]
    await upgrade_to(engine, revisions[0])
    await asyncio.to_thread(_fill, url, timers)
    # MySQL gives up a connection that was idle meanwhile.
    await engine.dispose()
    engine = open_engine(parse_url(url), Pool(size=4))
    for revision in revisions[1:]:
        stop = asyncio.Event()
        creating = asyncio.create_task(_create_all_the_time(engine, stop))
        await asyncio.sleep(1)
        began = time.perf_counter()
        await upgrade_to(engine, revision)
        took = time.perf_counter() - began
        stop.set()
        sys.stdout.write(f"{revision}: {took:.3f} s, longest create {await creating:.3f} s\n")
    await engine.dispose()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine", type=EngineKind, choices=list(EngineKind), required=True)
    parser.add_argument("--timers", type=int, default=1_000_000)
    options = parser.parse_args()
    with (
        TemporaryDirectory() as folder,
        EmbeddedServer(find_engine(options.engine), Path(folder) / "db") as server,
    ):
        asyncio.run(_measure(server.url, options.timers))


if __name__ == "__main__":
    main()

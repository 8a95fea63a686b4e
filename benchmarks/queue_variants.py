"""What a claim and a finish cost the database, for each way to keep the queue.

Every variant drains the same timers through real claimers (one process each): claim a batch with
`SELECT … FOR UPDATE SKIP LOCKED`, commit, then log the outcomes and give up the claim, commit. Nothing is
sent in between. Figures are CPU microseconds per timer, of the server (/proc) and of one claimer.

    python -m benchmarks.queue_variants --engine mysql --timers 100000 --claimers 2
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import struct
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

import pymysql

from benchmarks.queue_variants_claimers import ATTEMPTS, DUE_US, VARIANTS, Claimer
from timer_db.embedded import EmbeddedServer, EngineKind, install_engine

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Figure:
    """One run: CPU in microseconds per timer, rate in timers per second."""

    engine: str
    variant: str
    claimers: int
    server_us: float
    claimer_us: float
    per_second: float
    lock_waits: int
    deadlocks: int


def connect(url: str) -> pymysql.Connection:
    parts = urlsplit(url)
    connection = pymysql.connect(
        host=parts.hostname or "127.0.0.1", port=parts.port or 3306, user=parts.username,
        password=parts.password or "", database=parts.path[1:], autocommit=False,
    )  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
        cursor.execute("SET SESSION sql_mode='STRICT_ALL_TABLES', time_zone='+00:00'")
    connection.commit()
    return connection


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def load(connection: pymysql.Connection, variant: type[Claimer], timers: int) -> None:
    cursor = connection.cursor()
    for table in ("due_queue", "claims", "claim_batches", "attempts"):
        cursor.execute(f"DROP TABLE IF EXISTS {table}")
    for statement in variant.tables:
        cursor.execute(statement)
    cursor.execute(ATTEMPTS.format(index=variant.attempts_index, partition=variant.partition))
    claimer = variant(connection, 0)
    millisecond = (DUE_US // 1000) - 60_000
    for first in range(0, timers, 1000):
        rows = [
            claimer.queue_row(DUE_US, struct.pack(">Q", (millisecond + n // 20 << 16) | 0x7000) + os.urandom(8))
            for n in range(first, min(first + 1000, timers))
        ]
        cursor.execute("INSERT INTO due_queue VALUES " + ",".join(rows))
        connection.commit()


def drain(url: str, variant: type[Claimer], controller: int, start: object, report: object) -> None:
    claimer = variant(connect(url), controller)
    start.wait()  # type: ignore[attr-defined]
    done, deadlocks = 0, 0
    cpu, began = time.process_time(), time.monotonic()
    while True:
        try:
            ids = claimer.claim()
        except pymysql.err.OperationalError as error:
            if error.args[0] != 1213:
                raise
            deadlocks += 1
            continue
        if not ids:
            break
        claimer.finish(ids)
        done += len(ids)
    report.put((done, time.process_time() - cpu, time.monotonic() - began, deadlocks))  # type: ignore[attr-defined]


def measure(server: EmbeddedServer, engine: str, name: str, timers: int, claimers: int) -> Figure:
    variant, url = VARIANTS[name], server.url
    connection = connect(url)
    load(connection, variant, timers)
    waits = lock_waits(connection)
    context = multiprocessing.get_context("fork")
    start, report = context.Event(), context.Queue()
    workers = [context.Process(target=drain, args=(url, variant, n + 1, start, report)) for n in range(claimers)]
    for worker in workers:
        worker.start()
    time.sleep(2)  # lets the server write the load's dirty pages and purge, so that they are not counted
    assert server.pid is not None
    cpu = cpu_seconds(server.pid)
    start.set()
    results = [report.get() for _ in workers]
    time.sleep(1)  # the purge of what was deleted belongs to the cost
    cpu = cpu_seconds(server.pid) - cpu
    for worker in workers:
        worker.join()
    done = sum(r[0] for r in results)
    assert done == timers, f"{name}: {done} of {timers}"
    return Figure(
        engine, name, claimers, round(cpu / done * 1e6, 1), round(sum(r[1] for r in results) / done * 1e6, 1),
        round(done / max(r[2] for r in results)), lock_waits(connection) - waits, sum(r[3] for r in results),
    )  # fmt: skip


def lock_waits(connection: pymysql.Connection) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SHOW GLOBAL STATUS LIKE 'Innodb_row_lock_waits'")
        return int(cursor.fetchone()[1])


def figures(engine: EngineKind, timers: int, claimers: int, rounds: int) -> Iterator[Figure]:
    found = install_engine(engine)
    with TemporaryDirectory() as folder, EmbeddedServer(found, Path(folder) / "data") as server:
        for _ in range(rounds):
            for name in VARIANTS:
                yield measure(server, engine.value, name, timers, claimers)


def main(write: Callable[[str], object] = sys.stdout.write) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", choices=list(EngineKind), type=EngineKind, default=EngineKind.mysql)
    parser.add_argument("--timers", type=int, default=100_000)
    parser.add_argument("--claimers", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found = []
    write(
        f"{'engine':8}{'claimers':9}{'server µs':>10}{'claimer µs':>11}"
        f"{'timers/s':>10}{'waits':>7}{'1213':>6}  variant\n"
    )
    for f in figures(options.engine, options.timers, options.claimers, options.rounds):
        found.append(asdict(f))
        write(
            f"{f.engine:8}{f.claimers:<9}{f.server_us:10.1f}{f.claimer_us:11.1f}{f.per_second:10.0f}"
            f"{f.lock_waits:7}{f.deadlocks:6}  {f.variant}\n"
        )
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()

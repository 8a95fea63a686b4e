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

from timer_db.embedded import EmbeddedServer, EngineKind, install_engine

BATCH = 900
DUE_US = 1_800_000_000_000_000
_TICKS = os.sysconf("SC_CLK_TCK")

ATTEMPTS = """CREATE TABLE attempts (
  timer_id BINARY(16) NOT NULL, attempt SMALLINT UNSIGNED NOT NULL, finished_at_us BIGINT NOT NULL,
  controller_id BIGINT NOT NULL, started_at_us BIGINT NOT NULL, outcome TINYINT NOT NULL, state TINYINT NOT NULL,
  http_status SMALLINT, latency_us INT NOT NULL, reason VARCHAR(200), answer VARBINARY(1024),
  PRIMARY KEY (timer_id, attempt, finished_at_us) {index}) {partition}"""
PARTITIONS = "PARTITION BY RANGE (finished_at_us) (" + ", ".join(
    [f"PARTITION p{day} VALUES LESS THAN ({day * 86_400_000_000})" for day in range(20_833, 20_841)]
    + ["PARTITION p_future VALUES LESS THAN MAXVALUE)"]
)
CLAIMS = """CREATE TABLE claims (
  controller_id BIGINT NOT NULL, id BINARY(16) NOT NULL, epoch INT NOT NULL,
  priority_rank SMALLINT UNSIGNED NOT NULL,
  due_at_us BIGINT NOT NULL, attempt SMALLINT UNSIGNED NOT NULL, PRIMARY KEY (controller_id, id))"""
TUPLE_QUEUE = """CREATE TABLE due_queue (
  priority_rank SMALLINT UNSIGNED NOT NULL, due_at_us BIGINT NOT NULL, id BINARY(16) NOT NULL,
  attempt SMALLINT UNSIGNED NOT NULL, PRIMARY KEY (priority_rank, due_at_us, id) {index})"""
KEY_QUEUE = """CREATE TABLE due_queue (
  priority_rank SMALLINT UNSIGNED NOT NULL, due_key BINARY(24) NOT NULL,
  attempt SMALLINT UNSIGNED NOT NULL, PRIMARY KEY (priority_rank, due_key))"""
MARK_QUEUE = """CREATE TABLE due_queue (
  priority_rank SMALLINT UNSIGNED NOT NULL, due_at_us BIGINT NOT NULL, id BINARY(16) NOT NULL,
  attempt SMALLINT UNSIGNED NOT NULL, controller_id BIGINT NOT NULL DEFAULT 0, epoch INT NOT NULL DEFAULT 0,
  PRIMARY KEY (priority_rank, due_at_us, id), KEY (id))"""
BATCHES = """CREATE TABLE claim_batches (
  controller_id BIGINT NOT NULL, batch BIGINT NOT NULL, epoch INT NOT NULL, entries MEDIUMBLOB NOT NULL,
  PRIMARY KEY (controller_id, batch))"""


def hex_list(ids: list[bytes]) -> str:
    return ",".join(["x'" + i.hex() + "'" for i in sorted(ids)])


class Claimer:
    """One variant's claim and finish over one connection."""

    tables: tuple[str, ...] = (TUPLE_QUEUE.format(index=", KEY (id)"), CLAIMS)
    attempts_index = ", KEY (state, timer_id)"
    partition = PARTITIONS
    deadlocks = 0

    def __init__(self, connection: pymysql.Connection, controller: int) -> None:
        self.cursor = connection.cursor()
        self.connection = connection
        self.controller = controller
        self.low_water = 0

    def queue_row(self, due_at_us: int, timer_id: bytes) -> str:
        return f"(0,{due_at_us},x'{timer_id.hex()}',1)"

    def claim(self) -> list[bytes]:
        self.cursor.execute(
            "SELECT id, due_at_us, attempt FROM due_queue WHERE priority_rank=0"
            f" AND due_at_us>={self.low_water} AND due_at_us<={DUE_US + 10**9}"
            f" ORDER BY priority_rank, due_at_us, id LIMIT {BATCH} FOR UPDATE SKIP LOCKED"
        )
        rows = self.cursor.fetchall()
        if rows:
            self.low_water = rows[0][1]
            c = self.controller
            self.cursor.execute(
                "INSERT INTO claims VALUES "
                + ",".join([f"({c},x'{i.hex()}',1,0,{d},{a})" for i, d, a in sorted(rows)])
            )
            self.cursor.execute(f"DELETE FROM due_queue WHERE id IN ({hex_list([r[0] for r in rows])})")
            assert self.cursor.rowcount == len(rows)
        self.connection.commit()
        return [row[0] for row in rows]

    def log(self, ids: list[bytes]) -> None:
        now, c = time.time_ns() // 1000, self.controller
        self.cursor.execute(
            "INSERT INTO attempts VALUES "
            + ",".join([f"(x'{i.hex()}',1,{now},{c},{now - 900},1,3,200,900,NULL,'ok')" for i in sorted(ids)])
        )

    def finish(self, ids: list[bytes]) -> None:
        self.cursor.execute(
            f"DELETE FROM claims WHERE controller_id={self.controller} AND epoch=1 AND id IN ({hex_list(ids)})"
        )
        assert self.cursor.rowcount == len(ids)
        self.log(ids)
        self.connection.commit()


class MoveNoListIndex(Claimer):
    """The same without the index that lists ended timers by state."""

    attempts_index = ""


class MoveNoPartitions(Claimer):
    partition = ""


class MoveKey(Claimer):
    """No index on id: the queue's key is (rank, due+id), and the delete lists keys."""

    tables = (KEY_QUEUE, CLAIMS)

    def queue_row(self, due_at_us: int, timer_id: bytes) -> str:
        return f"(0,x'{struct.pack('>Q', due_at_us).hex()}{timer_id.hex()}',1)"

    def take(self) -> list[tuple[bytes, int]]:
        high = struct.pack(">Q", DUE_US + 10**9).hex()
        low = struct.pack(">Q", self.low_water).hex()
        self.cursor.execute(
            "SELECT due_key, attempt FROM due_queue WHERE priority_rank=0"
            f" AND due_key>=x'{low}' AND due_key<x'{high}'"
            f" ORDER BY priority_rank, due_key LIMIT {BATCH} FOR UPDATE SKIP LOCKED"
        )
        rows: list[tuple[bytes, int]] = list(self.cursor.fetchall())
        if rows:
            self.low_water = struct.unpack(">Q", rows[0][0][:8])[0]
        return rows

    def drop(self, rows: list[tuple[bytes, int]]) -> None:
        self.cursor.execute(
            f"DELETE FROM due_queue WHERE priority_rank=0 AND due_key IN ({hex_list([r[0] for r in rows])})"
        )
        assert self.cursor.rowcount == len(rows)

    def claim(self) -> list[bytes]:
        rows = self.take()
        if rows:
            c = self.controller
            values = sorted((k[8:], struct.unpack(">Q", k[:8])[0], a) for k, a in rows)
            self.cursor.execute(
                "INSERT INTO claims VALUES " + ",".join([f"({c},x'{i.hex()}',1,0,{d},{a})" for i, d, a in values])
            )
            self.drop(rows)
        self.connection.commit()
        return [key[8:] for key, _ in rows]


class Packed(MoveKey):
    """A claim is one row that holds the whole batch; the finish locks the batch's row, logs, and drops it."""

    tables = (KEY_QUEUE, BATCHES)
    batch = 0

    def claim(self) -> list[bytes]:
        rows = self.take()
        if rows:
            self.batch += 1
            entries = b"".join([struct.pack(">H24sH", 0, k, a) for k, a in rows]).hex()
            self.cursor.execute(
                f"INSERT INTO claim_batches VALUES ({self.controller},{self.batch},1,x'{entries}')"
            )
            self.drop(rows)
        self.connection.commit()
        return [key[8:] for key, _ in rows]

    def finish(self, ids: list[bytes]) -> None:
        self.cursor.execute(
            f"DELETE FROM claim_batches WHERE controller_id={self.controller} AND batch={self.batch} AND epoch=1"
        )
        assert self.cursor.rowcount == 1
        self.log(ids)
        self.connection.commit()


class PackedIdIndex(Claimer):
    """The same over a queue that has its index on id (a timer is found in the queue by its id alone)."""

    tables = (TUPLE_QUEUE.format(index=", KEY (id)"), BATCHES)
    batch = 0
    finish = Packed.finish

    def claim(self) -> list[bytes]:
        self.cursor.execute(
            "SELECT id, due_at_us, attempt FROM due_queue WHERE priority_rank=0"
            f" AND due_at_us>={self.low_water} AND due_at_us<={DUE_US + 10**9}"
            f" ORDER BY priority_rank, due_at_us, id LIMIT {BATCH} FOR UPDATE SKIP LOCKED"
        )
        rows = self.cursor.fetchall()
        if rows:
            self.low_water = rows[0][1]
            self.batch += 1
            entries = b"".join([struct.pack(">HQ16sH", 0, d, i, a) for i, d, a in rows]).hex()
            self.cursor.execute(
                f"INSERT INTO claim_batches VALUES ({self.controller},{self.batch},1,x'{entries}')"
            )
            self.cursor.execute(f"DELETE FROM due_queue WHERE id IN ({hex_list([r[0] for r in rows])})")
            assert self.cursor.rowcount == len(rows)
        self.connection.commit()
        return [row[0] for row in rows]


class Mark(Claimer):
    """The claim marks the row in place; polls wade through what is in hand."""

    tables = (MARK_QUEUE,)

    def queue_row(self, due_at_us: int, timer_id: bytes) -> str:
        return f"(0,{due_at_us},x'{timer_id.hex()}',1,0,0)"

    def claim(self) -> list[bytes]:
        self.cursor.execute(
            "SELECT id, due_at_us, attempt FROM due_queue WHERE priority_rank=0"
            f" AND due_at_us>={self.low_water} AND due_at_us<={DUE_US + 10**9} AND controller_id=0"
            f" ORDER BY priority_rank, due_at_us, id LIMIT {BATCH} FOR UPDATE SKIP LOCKED"
        )
        rows = self.cursor.fetchall()
        if rows:
            self.low_water = rows[0][1]
            self.cursor.execute(
                f"UPDATE due_queue SET controller_id={self.controller}, epoch=1"
                f" WHERE id IN ({hex_list([r[0] for r in rows])})"
            )
            assert self.cursor.rowcount == len(rows)
        self.connection.commit()
        return [row[0] for row in rows]

    def finish(self, ids: list[bytes]) -> None:
        self.cursor.execute(
            f"DELETE FROM due_queue WHERE id IN ({hex_list(ids)}) AND controller_id={self.controller} AND epoch=1"
        )
        assert self.cursor.rowcount == len(ids)
        self.log(ids)
        self.connection.commit()


VARIANTS: dict[str, type[Claimer]] = {
    "move to claims, index on id": Claimer,
    "  without index by state": MoveNoListIndex,
    "  without partitions": MoveNoPartitions,
    "move to claims, delete by key": MoveKey,
    "one row per batch, delete by key": Packed,
    "one row per batch, index on id": PackedIdIndex,
    "mark in place": Mark,
}


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

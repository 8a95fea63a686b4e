"""Each way to keep the queue, as running code: its tables, its claim and its finish."""

from __future__ import annotations

import struct
import time

import pymysql

BATCH = 900
DUE_US = 1_800_000_000_000_000

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

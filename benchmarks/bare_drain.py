"""The least that a claim and a finish can cost: the product's statements, one connection, nothing sent between.

    python -m benchmarks.bare_drain URL HORIZON_US

Claims batch after batch of what is due before the horizon, reads what was asked for, writes "delivered" for all of
it, until nothing is left. What was asked for is received and not decoded. The report is one JSON object on
standard output.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import pymysql

from benchmarks.database import connect
from timer_db.domain.claim import Finished
from timer_db.domain.queue_entry import PRIORITY_MAX, QueueEntry, pack, time_bound
from timer_db.domain.states import Outcome, TimerState
from timer_db.operations.packed import keys_of
from timer_db.statements import attempts, claims, controllers, queue, timers
from timer_db.statements.literals import LIST_MAX

_PACKED_BYTES_MAX = 64 * 1024 * 1024
_REASON = "answered 200 OK"


class Drain:
    """Claims and finishes as one controller does, one batch after the other."""

    def __init__(self, connection: pymysql.Connection[Any], horizon_us: int) -> None:
        self._connection = connection
        self._cursor = connection.cursor()
        self._horizon_us = horizon_us
        self._behind = time_bound(0)
        self._number = 0
        self._cursor.execute(*controllers.join("benchmark", 0, "0"))
        self._controller_id = int(self._cursor.lastrowid or 0)
        self._connection.commit()
        self.claim_ms: list[float] = []

    def run_once(self) -> int:
        """One batch from claim to finish; gives its timers."""
        began = time.perf_counter()
        entries = self._claim()
        if not entries:
            return 0
        self.claim_ms.append((time.perf_counter() - began) * 1000)
        self._finish(entries)
        return len(entries)

    def _claim(self) -> list[QueueEntry]:
        rank = PRIORITY_MAX
        self._cursor.execute(timers.packed_of(queue.take(rank, self._behind, self._horizon_us, LIST_MAX)))
        count, packed = self._cursor.fetchall()[0]
        keys = sorted(keys_of(packed)) if count else []
        entries = [QueueEntry(rank, key) for key in keys]
        if keys:
            self._number += 1
            self._behind = keys[-1]
            self._run(queue.remove(rank, keys), len(keys))
            self._run(claims.hold(self._controller_id, self._number, pack(entries), 0), 1)
        self._connection.commit()
        return entries

    def _finish(self, entries: list[QueueEntry]) -> None:
        now_us, number = time.time_ns() // 1000, self._number
        finished = [
            Finished(
                number, entry, 1, Outcome.delivered, TimerState.delivered, now_us - 900, now_us, _REASON, 200, 900
            )
            for entry in entries
        ]
        self._run(claims.lock(self._controller_id, [number]), 1)
        self._run(attempts.log(self._controller_id, finished), len(finished))
        self._run(claims.drop(self._controller_id, [number]), 1)
        self._connection.commit()

    def _run(self, sql: str, count: int) -> None:
        if (found := self._cursor.execute(sql)) != count:
            raise SystemExit(f"{found} rows instead of {count} matched: {sql[:200]}")


def main() -> None:
    """Drain it all, print the report."""
    connection = connect(sys.argv[1])
    with connection.cursor() as cursor:
        cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
        cursor.execute(f"SET SESSION group_concat_max_len={_PACKED_BYTES_MAX}")
    connection.autocommit(False)
    drain = Drain(connection, int(sys.argv[2]))
    used, began, done = time.process_time(), time.perf_counter(), 0
    while made := drain.run_once():
        done += made
    report = {
        "timers": done,
        "batches": len(drain.claim_ms),
        "seconds": time.perf_counter() - began,
        "cpu_seconds": time.process_time() - used,
        "process_seconds": time.process_time(),
        "claim_ms": drain.claim_ms,
    }
    json.dump(report, sys.stdout)


if __name__ == "__main__":
    main()

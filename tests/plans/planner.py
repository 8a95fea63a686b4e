"""EXPLAIN, alike on both engines."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Self

import pymysql
from pymysql.cursors import DictCursor

from timer_db.engine import parse_url


@dataclass(frozen=True, slots=True)
class Step:
    """How one table is read."""

    table: str
    access: str
    """`const` and `eq_ref` are one row by key, `ref` and `range` a stretch of the key, `index` the whole key in
    its order, `ALL` the whole table."""
    key: str | None
    key_length: int
    """How many bytes of the key are used."""
    rows: int
    """As the planner guesses."""
    extra: str

    @property
    def sorts(self) -> bool:
        """Whether rows are gathered first: then all candidates are read, and locked."""
        return "filesort" in self.extra or "temporary" in self.extra


class Planner:
    """A connection of its own, as the data layer sets them up."""

    def __init__(self, url: str) -> None:
        parts = parse_url(url)
        self._connection = pymysql.connect(
            host=parts.host, port=parts.port or 3306, user=parts.username, password=str(parts.password),
            database=parts.database, autocommit=True,
        )  # fmt: skip

    def __enter__(self) -> Self:
        self.run("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
        self.run("SET SESSION group_concat_max_len = 67108864")
        if "MariaDB" not in str(self.run("SELECT VERSION()")[0][0]):
            self.run("SET SESSION explain_format = 'TRADITIONAL'")
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def run(self, sql: str, values: tuple[Any, ...] | None = None) -> list[tuple[Any, ...]]:
        """Run it; gives its rows."""
        with self._connection.cursor() as cursor:
            cursor.execute(sql, values)
            return list(cursor.fetchall())

    def explain(self, sql: str, values: tuple[Any, ...] | None = None) -> list[Step]:
        """One step per table, in the order in which they are read."""
        # What MariaDB sets for one statement stands in front of it, and so in front of its EXPLAIN.
        setting, mark, statement = sql.rpartition(" FOR */ ")
        with self._connection.cursor(DictCursor) as cursor:
            cursor.execute(f"{setting}{mark}EXPLAIN {statement}", values)
            return [_step(row) for row in cursor.fetchall()]

    def count_reads(self, sql: str) -> tuple[int, int]:
        """Run it. How many rows it gave, and how many times the server read a row for it."""
        overhead = -self._reads_so_far() + self._reads_so_far()
        before = self._reads_so_far()
        given = len(self.run(sql))
        return given, self._reads_so_far() - before - overhead

    def _reads_so_far(self) -> int:
        return sum(int(value) for _, value in self.run("SHOW SESSION STATUS LIKE 'Handler_read%'"))

    def seconds(self, sql: str, times: int = 3) -> float:
        """How long it takes at best."""
        durations = []
        for _ in range(times):
            began_at = time.perf_counter()
            self.run(sql)
            durations.append(time.perf_counter() - began_at)
        return min(durations)


def _step(row: dict[str, Any]) -> Step:
    return Step(
        table=str(row["table"]),
        access=str(row["type"]),
        key=row["key"],
        key_length=int(row["key_len"] or 0),
        rows=int(row["rows"] or 0),
        extra=row["Extra"] or "",
    )

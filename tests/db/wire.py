"""What goes over the wire between our code and the driver, seen and changed by a test."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import aiomysql
import pytest

from timer_db.transactions import code_of, is_deadlock


def rewrite(monkeypatch: pytest.MonkeyPatch, change: Callable[[str], str]) -> None:
    """From now on every statement is sent as `change` gives it; several, one behind the other, when it gives more
    lines: the last one's answer counts."""
    execute = aiomysql.Cursor.execute

    async def changed(cursor: aiomysql.Cursor, sql: str, values: Any = None) -> int:
        *before, last = change(sql).split("\n")
        for line in before:
            await execute(cursor, line)
        return int(await execute(cursor, last, values))

    monkeypatch.setattr(aiomysql.Cursor, "execute", changed)


def count_gave_way(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Counts, from now on, the statements that met a deadlock or waited for too long."""
    counts: Counter[str] = Counter()
    execute = aiomysql.Cursor.execute

    async def noted(cursor: aiomysql.Cursor, sql: str, values: Any = None) -> int:
        try:
            return int(await execute(cursor, sql, values))
        except Exception as error:
            if is_deadlock(error):
                counts[f"{code_of(error)} {sql[:60]}"] += 1
            raise

    monkeypatch.setattr(aiomysql.Cursor, "execute", noted)
    return counts


def count_commits(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Counts, from now on, under `commits`."""
    counts: Counter[str] = Counter()
    commit, execute = aiomysql.Connection.commit, aiomysql.Cursor.execute

    async def noted(connection: aiomysql.Connection) -> None:
        counts["commits"] += 1
        await commit(connection)

    async def noted_at_the_end(cursor: aiomysql.Cursor, sql: str, values: Any = None) -> int:
        counts["commits"] += sql.endswith(";COMMIT")
        return int(await execute(cursor, sql, values))

    monkeypatch.setattr(aiomysql.Connection, "commit", noted)
    monkeypatch.setattr(aiomysql.Cursor, "execute", noted_at_the_end)
    return counts

"""A connection over which nothing comes any more, and which nobody closes."""

from __future__ import annotations

import pytest

from tests.db.desk import Desk
from timer_db import transactions
from timer_db.domain.errors import DatabaseUnavailable
from timer_db.transactions import Connection


async def test_a_transaction_that_never_ends_is_given_up(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transactions, "PATIENCE_SECONDS", 0.2)

    async def hang(connection: Connection) -> None:
        await connection.rows("SELECT SLEEP(30)")

    with pytest.raises(DatabaseUnavailable):
        await transactions.run(desk.engine, hang)

    async def look(connection: Connection) -> int:
        return int(await connection.value("SELECT 1"))

    assert await transactions.run(desk.engine, look) == 1

"""Every table, as the database has it and as the model tells it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.simulation import model
from timer_db import transactions
from timer_db.domain.queue_entry import HEAD_KEY, unpack
from timer_db.operations.rows import timer_of
from timer_db.statements import reading
from timer_db.transactions import Connection

TABLES = (
    "SELECT id, next_at_us, cancelled_at_us, attempts_made, possible_duplicate FROM timers",
    "SELECT priority_rank, due_key FROM due_queue",
    "SELECT destination, priority_rank, due_key FROM deferred_queue",
    "SELECT controller_id, number, claimed_at_us, entries, unsent FROM claim_batches",
    "SELECT timer_id, attempt, finished_at_us, controller_id, batch, started_at_us, latency_us, outcome, state,"
    " http_status, reason, answer FROM attempts",
    "SELECT state, timer_id, ended_at_us FROM endings",
    "SELECT id, joined_at_us, beat_at_us, gone_at_us, gone_because FROM controllers",
)


async def read_tables(engine: Any) -> list[list[tuple[Any, ...]]]:
    """What the database has, in the order of `TABLES`."""

    async def work(connection: Connection) -> list[list[tuple[Any, ...]]]:
        return [sorted(map(_plain, await connection.rows(sql))) for sql in TABLES]

    return await transactions.run(engine, work)


async def read_timers(engine: Any, ids: list[bytes]) -> list[Any]:
    """Timers as the database shows them."""

    async def work(connection: Connection) -> list[Any]:
        return [timer_of(row) for row in await connection.rows(reading.by_ids(ids))]

    return await transactions.run(engine, work)


def _plain(row: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(bytes(value) if isinstance(value, (bytearray, memoryview)) else value for value in row)


def rows_of(tables: model.Tables) -> list[list[tuple[Any, ...]]]:
    """The same of the model, each table in any order."""
    packed = {key: b"".join(e.rank.to_bytes(2, "big") + e.due_key for e in b.entries)
              for key, b in tables.batches.items()}  # fmt: skip
    assert all(unpack(value) == tables.batches[key].entries for key, value in packed.items())
    log = [(timer_id, made) for timer_id, attempts in tables.attempts.items() for made in attempts]
    return [
        [
            (key, row.next_at_us, row.cancelled_at_us, row.attempts_made, int(row.possible_duplicate))
            for key, row in tables.timers.items()
        ],
        [*map(tuple, tables.queued()), *((rank, HEAD_KEY) for rank in tables.heads)],
        [(key, *entry) for key, entries in tables.backlog().items() for entry in entries],
        [(*key, batch.claimed_at_us, packed[key], batch.unsent) for key, batch in tables.batches.items()],
        [
            (
                timer_id, made.finished.attempt, made.finished.finished_at_us, made.controller_id,
                made.finished.batch, made.finished.started_at_us, made.finished.latency_us,
                str(made.finished.outcome), str(made.finished.state), made.finished.http_status,
                made.finished.reason, made.finished.answer,
            )
            for timer_id, made in log
        ],
        [(str(state), timer_id, at_us) for (state, timer_id), at_us in tables.endings.items()],
        [
            (number, member.joined_at_us, member.beat_at_us, member.gone_at_us, member.gone_because)
            for number, member in tables.members.items()
        ],
    ]  # fmt: skip

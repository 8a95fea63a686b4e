"""Who wants to know that a timer has failed: told by a timer of its own, stored with the end that it tells of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import orjson

from timer_db.domain import ids
from timer_db.domain.claim import Finished
from timer_db.domain.owner import Owner
from timer_db.domain.representation import rfc3339
from timer_db.domain.timer import NewTimer
from timer_db.encryption import NO_KEYS
from timer_db.operations.rows import timer_of
from timer_db.operations.schedule import inserts
from timer_db.statements import reading
from timer_db.transactions import Connection

LABEL = "timer-system/notice-of"
"""Of a notice: the id of the timer that it tells of."""


async def write_notices(connection: Connection, ended: Sequence[Finished]) -> None:
    """For each of these timers that failed or are unknown, and have an `on_failure_url`: a timer that calls it,
    due at once, in the transaction that ends them. So there is one for each end, whatever is lost or repeated."""
    by_id = {f.entry.timer_id: f for f in ended}
    rows = await connection.rows(reading.wanting_notice(by_id))
    if rows:
        for sql, count in inserts([_notice_of(row, by_id[bytes(row[0])]) for row in rows], NO_KEYS):
            await connection.write(sql, count=count)


def _notice_of(row: Sequence[Any], ended: Finished) -> NewTimer:
    timer = timer_of(row)
    told: dict[str, Any] = {
        "type": f"timer.{ended.state}",
        "timer": {
            "id": str(timer.id),
            "status": ended.state.value,
            "name": timer.name,
            "labels": timer.labels,
            # Encrypted, it is for those who ask for the timer.
            "meta": timer.meta,
            "due_at": rfc3339(timer.due_at_us),
            "created_at": rfc3339(timer.created_at_us),
            "attempts": ended.attempt,
        },
        "attempt": {
            "number": ended.attempt,
            "outcome": ended.outcome.value,
            "http_status": ended.http_status,
            "reason": ended.reason,
            "started_at": rfc3339(ended.started_at_us),
            "finished_at": rfc3339(ended.finished_at_us),
        },
    }
    return NewTimer(
        id=ids.new_id(ended.finished_at_us, ids.shard_of(UUID(bytes=ended.entry.timer_id))),
        due_at_us=ended.finished_at_us,
        created_at_us=ended.finished_at_us,
        url=timer.on_failure_url,
        append_id=False,
        body=orjson.dumps(told),
        labels={LABEL: str(timer.id)},
        priority=timer.priority,
        owner=Owner(timer.owner.collection_id),
        traceparent=timer.traceparent,
    )

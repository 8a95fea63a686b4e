"""Work that many controllers could do, and one does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from timer_db.statements import named_locks
from timer_db.transactions import Connection


@asynccontextmanager
async def alone(connection: Connection, purpose: named_locks.Purpose) -> AsyncIterator[bool]:
    """Whether nobody else in this database is at it; if so, nobody begins before the block ends."""
    is_alone = bool(await connection.value(named_locks.take(purpose)))
    try:
        yield is_alone
    finally:
        if is_alone:
            await connection.value(named_locks.release(purpose))

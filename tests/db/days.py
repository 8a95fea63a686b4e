"""A database whose clock stands at the day that a test says."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from typing import Any

from sqlalchemy import event

from timer_db.engine import Engine, Pool, open_engine, parse_url


def micros(day: date, clock: str = "12:00") -> int:
    """That moment (UTC), in microseconds since the epoch."""
    return round(datetime.fromisoformat(f"{day}T{clock}").replace(tzinfo=UTC).timestamp() * 1e6)


@asynccontextmanager
async def engine_at(url: str, day: date, clock: str = "12:00") -> AsyncIterator[Engine]:
    """Connections for which the server's clock stands at that moment."""
    engine = open_engine(parse_url(url), Pool(size=8))

    @event.listens_for(engine.sync_engine, "connect")
    def set_clock(connection: Any, _record: object) -> None:
        cursor = connection.cursor()
        cursor.execute(f"SET SESSION timestamp = {micros(day, clock) / 1e6:f}")
        cursor.close()

    try:
        yield engine
    finally:
        await engine.dispose()

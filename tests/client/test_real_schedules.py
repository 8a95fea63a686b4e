"""Both clients and the services: schedules, from a preview to their runs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import uuid4

import pytest

from tests.client.both import every, got
from tests.system import System
from timer_client import Invalid

pytestmark = pytest.mark.asyncio(loop_scope="package")

QUARTER = timedelta(minutes=15)


@pytest.fixture
def name() -> str:
    return f"s-{uuid4()}"


async def test_a_schedule_is_made_looked_at_and_deleted(real: Any, name: str) -> None:
    end_at = datetime(2099, 1, 1, tzinfo=UTC)
    made = await got(
        real.schedules.put(
            name, every=QUARTER, end_at=end_at, overlap="skip", timer={"url": "https://example.com", "body": b"hi"}
        )
    )
    assert (made.every, made.cron, made.end_at, made.overlap) == (900, None, end_at, "skip")
    assert made.timer == {"url": "https://example.com", "body_base64": "aGk="}
    runs = await got(real.schedules.next_runs(name, count=3))
    assert runs[0] == made.next_run_at
    assert {later - earlier for earlier, later in pairwise(runs)} == {QUARTER}
    assert (await got(real.schedules.pause(name))).paused
    assert name in {schedule.name for schedule in await every(real.schedules.list(page_size=2))}
    assert (await got(real.schedules.get(name))).next_run_at is None
    await got(real.schedules.delete(name))


async def test_a_preview(real: Any) -> None:
    runs = await got(real.schedules.preview(cron="0 9 * * 1-5", timezone="Europe/Berlin", count=12))
    assert len(runs) == 12
    assert all(run.weekday() < 5 and run.minute == 0 for run in runs)
    with pytest.raises(Invalid) as raised:
        await got(real.schedules.preview(cron="60 9 * * *"))
    assert [error.field for error in raised.value.errors] == ["cron"]


async def test_a_backfill(real: Any, system: System, name: str) -> None:
    await got(real.schedules.put(name, cron="0 * * * *", timer={"url": system.receiver.url}))
    await got(real.schedules.pause(name))
    day = datetime(2026, 1, 1, tzinfo=UTC)
    assert await got(real.schedules.backfill(name, start=day, end=day + timedelta(hours=3))) == 3
    runs = await every(real.timers.list(schedule=name))
    assert {run.due_at for run in runs} == {day + timedelta(hours=hour) for hour in range(3)}
    await system.receiver.wait_for(lambda: all(run.id in system.receiver.by_id for run in runs))

"""Both clients and the services: timers are selected, changed, fired, replayed, one by one and many at once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from tests.client.both import every, got
from tests.system import System
from timer_client import Bulk, Conflict, Invalid

pytestmark = pytest.mark.asyncio(loop_scope="package")

URL = "https://example.com/hook"
HOUR = timedelta(hours=1)


@pytest.fixture
def run() -> str:
    """A label's value that no other test has."""
    return f"r-{uuid4()}"


async def make(client: Any, run: str, count: int, **fields: Any) -> list[str]:
    timers = [
        {"due": HOUR, "url": URL, "labels": {"run": run, "n": str(number)}, **fields} for number in range(count)
    ]
    return [timer.id for timer in await every(client.timers.create_many(timers))]


async def test_timers_are_selected(real: Any, run: str) -> None:
    ids = await make(real, run, 5)
    await got(real.timers.update(ids[0], due=timedelta(hours=9)))
    found = await every(real.timers.list(selector=f"run={run},n notin (1,2)", status="scheduled", page_size=1))
    assert {timer.id for timer in found} == {ids[0], ids[3], ids[4]}
    border = datetime.now(UTC) + timedelta(hours=5)
    late = await every(real.timers.list(selector=f"run={run}", due_after=border))
    soon = await every(real.timers.list(selector=f"run={run}", due_before=border.isoformat()))
    assert ([timer.id for timer in late], {timer.id for timer in soon}) == ([ids[0]], set(ids[1:]))
    with pytest.raises(Invalid) as raised:
        await every(real.timers.list(selector="run in"))
    assert [error.field for error in raised.value.errors] == ["selector"]


async def test_a_timer_is_changed(real: Any, run: str) -> None:
    [timer_id] = await make(real, run, 1, priority=7, retry={"max_attempts": 2})
    changed = await got(real.timers.update(timer_id, due=timedelta(hours=2), priority=None, retry=None, meta=[1]))
    assert (changed.priority, changed.retry.max_attempts, changed.meta) == (0, 5, [1])
    assert changed.labels["run"] == run
    assert changed.due_at - datetime.now(UTC) > HOUR
    await got(real.timers.cancel(timer_id))
    with pytest.raises(Conflict):
        await got(real.timers.update(timer_id, priority=1))


async def test_a_timer_is_fired_and_replayed(real: Any, run: str, system: System) -> None:
    [timer_id] = await make(real, run, 1, url=system.receiver.url)
    with pytest.raises(Conflict):
        await got(real.timers.replay(timer_id))
    for attempts, call in enumerate([real.timers.fire, real.timers.replay], 1):
        assert (await got(call(timer_id))).status == "scheduled"
        await system.apis[0].wait_for_status_of(timer_id, "delivered")
        assert len(await got(real.timers.attempts(timer_id))) == attempts


async def test_many_are_moved_and_cancelled(real: Any, run: str) -> None:
    ids = await make(real, run, 5)
    before = [(await got(real.timers.get(timer_id))).due_at for timer_id in ids]
    moved = await got(real.timers.reschedule_many(ids=ids[:2], shift=HOUR))
    assert (moved.matched, moved.changed, moved.refused) == (2, 2, ())
    at = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)
    await got(real.timers.reschedule_many(selector=f"run={run},n=4", due=at))
    after = [(await got(real.timers.get(timer_id))).due_at for timer_id in ids]
    assert after == [before[0] + HOUR, before[1] + HOUR, before[2], before[3], at]

    await got(real.timers.cancel(ids[0]))
    seen: list[Bulk] = []
    done = await got(real.timers.cancel_many(ids=ids, on_progress=seen.append))
    assert (done.matched, done.changed, done.refused_count) == (5, 4, 1)
    assert [(refused.id, refused.status) for refused in done.refused] == [(ids[0], "cancelled")]
    assert seen == [done]
    with pytest.raises(Invalid):
        await got(real.timers.cancel_many())


async def test_many_are_replayed(real: Any, run: str, system: System) -> None:
    ids = await make(real, run, 3, url=system.receiver.url, due=0)
    await system.receiver.wait_for(lambda: all(timer_id in system.receiver.by_id for timer_id in ids))
    for timer_id in ids:
        await system.apis[0].wait_for_status_of(timer_id, "delivered")
    assert (await got(real.timers.replay_many(selector=f"run={run}", status="delivered"))).changed == 3
    await system.receiver.wait_for(lambda: all(len(system.receiver.by_id[timer_id]) == 2 for timer_id in ids))

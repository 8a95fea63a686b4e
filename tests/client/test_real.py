"""Both clients and the services: what a user does, from the first timer to its last attempt."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from tests.client.both import every, got
from tests.system import System
from timer_client import Conflict, Invalid, NotFound, Timer

pytestmark = pytest.mark.asyncio(loop_scope="package")

URL = "https://example.com/hook"


async def test_a_timer_is_made_and_called(real: Any, system: System) -> None:
    timer = await got(real.timers.create(due=timedelta(seconds=0.2), url=system.receiver.url, meta={"order": 17}))
    await system.receiver.wait_for(lambda: timer.id in system.receiver.by_id)
    await system.apis[0].wait_for_status_of(timer.id, "delivered")
    found = await got(real.timers.get(timer.id))
    assert (found.status, found.has_ended, found.attempts, found.meta) == ("delivered", True, 1, {"order": 17})
    assert found.ended_at >= found.due_at == timer.due_at
    [attempt] = await got(real.timers.attempts(timer.id))
    assert (attempt.outcome, attempt.http_status) == ("delivered", 200)
    assert attempt.started_at >= timer.due_at


@pytest.mark.parametrize(
    ("due", "options"),
    [
        (timedelta(days=1), {}),
        (86_400, {}),
        ("1d", {}),
        ("P1D", {}),
        (datetime.now(UTC) + timedelta(days=1), {}),
        ((datetime.now(UTC) + timedelta(days=1)).replace(tzinfo=None), {"timezone": "UTC"}),
        ((datetime.now(UTC) + timedelta(days=1)).isoformat(), {}),
    ],
    ids=["timedelta", "seconds", "short", "iso", "moment", "local", "text"],
)
async def test_every_way_to_say_when_is_understood(real: Any, due: Any, options: dict[str, str]) -> None:
    timer = await got(real.timers.create(due=due, url=URL, **options))
    assert abs(timer.due_at - datetime.now(UTC) - timedelta(days=1)) < timedelta(hours=1)


async def test_a_timer_is_cancelled_once(real: Any) -> None:
    timer = await got(real.timers.create(due="1h", url=URL))
    assert (await got(real.timers.cancel(timer.id))).status == "cancelled"
    with pytest.raises(Conflict) as raised:
        await got(real.timers.cancel(timer.id))
    assert raised.value.facts["timer_status"] == "cancelled"


async def test_what_is_wrong_is_named(real: Any) -> None:
    with pytest.raises(Invalid) as raised:
        await got(real.timers.create(due=timedelta(seconds=-5), url="ftp://example.com", labels={"env": "?"}))
    assert {error.field for error in raised.value.errors} == {"url", "delay", "labels.env"}
    with pytest.raises(NotFound):
        await got(real.timers.get("019a9f2e-5c3d-7000-8a1b-2c3d4e5f6071"))


async def test_many_are_made_and_found_again_page_by_page(real: Any) -> None:
    name = f"many-{uuid4()}"
    asked = [{"due": "1d", "url": URL, "name": f"{name}-{number}"} for number in range(3)]
    results = await every(real.timers.create_many([*asked, {"url": URL}]))
    assert [type(result) for result in results] == [Timer, Timer, Timer, Invalid]
    ids = {result.id for result in results[:3]}
    found = await every(real.timers.list(status="scheduled", page_size=2))
    assert ids <= {timer.id for timer in found}
    [by_name] = await every(real.timers.list(name=f"{name}-1"))
    assert by_name.id == results[1].id


async def test_a_timer_by_its_name(real: Any) -> None:
    name = f"named {uuid4()}/ä"
    made = await got(real.timers.put(name, due="1d", url=URL))
    again = await got(real.timers.put(name, due="2d", url=URL, priority=3))
    assert (again.id, again.priority, again.name) == (made.id, 3, name)
    assert await got(real.timers.get_named(name)) == await got(real.timers.get(made.id))
    assert (await got(real.timers.cancel_named(name))).status == "cancelled"
    with pytest.raises(NotFound):
        await got(real.timers.get_named(name, collection="nowhere"))


async def test_a_put_that_comes_again_after_its_call_is_not_called_again(real: Any, system: System) -> None:
    name, key = f"named {uuid4()}", str(uuid4())
    asked = {"due": 0, "url": system.receiver.url, "idempotency_key": key}
    made = await got(real.timers.put(name, **asked))
    await system.apis[0].wait_for_status_of(made.id, "delivered")
    assert await got(real.timers.put(name, **asked)) == made
    assert (await got(real.timers.get_named(name))).id == made.id


async def test_with_a_key_of_ones_own_nothing_is_made_twice(real: Any) -> None:
    key = str(uuid4())
    first, again = [await got(real.timers.create(due="1d", url=URL, idempotency_key=key)) for _ in range(2)]
    assert first == again
    with pytest.raises(Invalid) as raised:
        await got(real.timers.create(due="2d", url=URL, idempotency_key=key))
    assert [error.field for error in raised.value.errors] == ["Idempotency-Key"]
    asked = [{"due": "1d", "url": URL}] * 3
    before = [await every(real.timers.create_many(asked, idempotency_key=f"{key}-many")) for _ in range(2)]
    assert before[0] == before[1]


async def test_its_health(real: Any) -> None:
    await got(real.health.live())
    await got(real.health.ready())


async def test_calls_at_the_same_time_share_a_client(real: Any) -> None:
    """From tasks, and from threads."""
    if asyncio.iscoroutinefunction(real.close):
        made = await asyncio.gather(*(real.timers.create(due="1h", url=URL) for _ in range(32)))
    else:
        made = await asyncio.gather(*(asyncio.to_thread(real.timers.create, due="1h", url=URL) for _ in range(32)))
    assert len({timer.id for timer in made}) == 32

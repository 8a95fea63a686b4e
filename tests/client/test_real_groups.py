"""Both clients and the services: collections, routes, keys, what has happened, and who makes the calls."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from tests.client.both import every, got
from tests.client.conftest import SECRET
from tests.system import System
from timer_client import AsyncClient, Conflict, Invalid, NotFound, TooMany
from timer_client.receive import NotVerified, Receiver

pytestmark = pytest.mark.asyncio(loop_scope="package")

URL = "https://example.com/hook"


@pytest.fixture
def name() -> str:
    return f"n-{uuid4()}"


async def test_a_collection(real: Any, name: str) -> None:
    made = await got(
        real.collections.put(name, defaults={"priority": 7}, waiting_max=1, egress_allow=["10.0.0.0/8"])
    )
    assert (made.name, made.paused, made.waiting_max, made.egress_allow) == (name, False, 1, ("10.0.0.0/8",))
    assert datetime.now(UTC) - made.created_at < timedelta(minutes=5)
    timer = await got(real.timers.create(due="1h", url=URL, collection=name))
    assert (timer.priority, timer.collection) == (7, name)
    assert (await got(real.collections.get(name))).counts["scheduled"] == 1
    with pytest.raises(Conflict):
        await got(real.collections.delete(name))
    changed = await got(real.collections.put(name, defaults={"priority": None}, waiting_max=None))
    assert (changed.defaults["priority"], changed.waiting_max) == (None, None)


async def test_too_many_timers_in_a_collection(real: Any, name: str) -> None:
    await got(real.collections.put(name, waiting_max=1))
    results = await every(real.timers.create_many([{"due": "1h", "url": URL, "collection": name}] * 2))
    [refused] = [result for result in results if isinstance(result, TooMany)]
    assert refused.errors[0].field == "collection"


@pytest.mark.parametrize("kind", ["collections", "routes"])
async def test_what_has_a_name_is_listed_paused_and_deleted(real: Any, name: str, kind: str) -> None:
    resource = getattr(real, kind)
    settings = {"url": URL} if kind == "routes" else {}
    names = [f"{name}-{number}" for number in range(3)]
    for each in names:
        await got(resource.put(each, **settings))
    listed = [each.name for each in await every(resource.list(page_size=2))]
    assert [each for each in listed if each in names] == names
    assert (await got(resource.pause(names[0]))).paused
    assert not (await got(resource.resume(names[0]))).paused
    for each in names:
        assert await got(resource.delete(each)) is None
    with pytest.raises(NotFound):
        await got(resource.get(names[0]))
    events = await every(real.events.list(kind=f"{kind.removesuffix('s')}.paused"))
    assert f"{kind}/{names[0]}" in {event.subject for event in events}


async def test_a_route_is_where_its_timers_go(real: Any, name: str) -> None:
    route = await got(
        real.routes.put(name, url=URL, headers={"X-Shop": "berlin"}, calls_max=8, rate_per_second=2.5)
    )
    assert (route.url, route.headers, route.rate_per_second) == (URL, {"X-Shop": "berlin"}, 2.5)
    assert (route.has_secret, route.disabled_at, route.retry.max_attempts) == (False, None, 5)
    timer = await got(real.timers.create(due="1h", route=name))
    assert (timer.route, timer.url, timer.method, timer.retry) == (name, None, None, None)
    assert (await got(real.routes.get(name))).counts["scheduled"] == 1
    with pytest.raises(Invalid) as raised:
        await got(real.routes.put(name, url="example.com"))
    assert [error.field for error in raised.value.errors] == ["url"]


async def test_a_secret_of_a_route(system: System, name: str) -> None:
    """From its making to a receiver that knows it."""
    async with AsyncClient(system.apis[0].url) as client:
        await client.routes.put(name, url=system.receiver.url)
        first = await client.routes.new_secret(name)
        second = await client.routes.new_secret(name, overlap=timedelta(hours=1))
        assert first.old_valid_until is None
        assert second.old_valid_until is not None
        # Controllers know of it within two seconds.
        timer = await client.timers.create(due=2, route=name)
        await system.receiver.wait_for(lambda: timer.id in system.receiver.by_id)
        [arrival] = system.receiver.by_id[timer.id]
        for secret in (first.secret, second.secret):
            assert Receiver(secret).verify(arrival.headers, arrival.body).id == timer.id
        with pytest.raises(NotVerified):
            Receiver(SECRET).verify(arrival.headers, arrival.body)
        await client.routes.delete_secret(name)
        assert not (await client.routes.get(name)).has_secret


async def test_who_makes_the_calls(real: Any) -> None:
    [controller] = await got(real.controllers.list())
    assert controller.pid > 0
    assert datetime.now(UTC) - controller.beat_at < timedelta(minutes=1)

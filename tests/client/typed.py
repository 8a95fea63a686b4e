"""What a type checker knows of the calls: mypy reads this, nobody runs it."""

from collections.abc import AsyncIterator, Iterator
from datetime import datetime, timedelta
from typing import assert_type

from timer_client import ApiError, AsyncClient, Bulk, Client, NewTimer, Timer
from timer_client.answers import Attempt, Collection, Route


def waited_for(client: Client, timers: list[NewTimer]) -> None:
    """Each gives what it is about."""
    assert_type(client.timers.create(url="https://example.com", due=timedelta(hours=1)), Timer)
    assert_type(client.timers.list(status="scheduled"), Iterator[Timer])
    assert_type(client.timers.create_many(timers), Iterator[Timer | ApiError])
    assert_type(client.timers.attempts("id"), tuple[Attempt, ...])
    assert_type(client.timers.cancel_many(selector="env=test"), Bulk)
    assert_type(client.collections.get("bills"), Collection)
    assert_type(client.routes.list(), Iterator[Route])
    assert_type(client.schedules.next_runs("daily"), tuple[datetime, ...])
    client.timers.create(uri="https://example.com")  # type: ignore[call-arg]
    client.timers.list(status="done")  # type: ignore[arg-type]
    client.collections.put("bills", waiting_max="many")  # type: ignore[arg-type]


async def awaited(client: AsyncClient, timers: list[NewTimer]) -> None:
    """The same, awaited."""
    assert_type(await client.timers.create(url="https://example.com", due="1h"), Timer)
    assert_type(client.timers.list(), AsyncIterator[Timer])
    assert_type(client.timers.create_many(timers), AsyncIterator[Timer | ApiError])
    assert_type(await client.timers.cancel_many(ids=["id"]), Bulk)
    assert_type(await client.routes.get("billing"), Route)
    print(client.timers.get("id").status)  # type: ignore[attr-defined]  # noqa: T201

"""What is sent again, and how often; what is not; and what is said of it in the end."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from tests.client.both import every, got
from tests.client.scripted import Scripted
from tests.system import free_port
from timer_api.timers.examples import ANSWERS, NOT_CANCELLABLE, TIMER, TIMER_ID
from timer_client import Client, Conflict, NotFound, NotReached, Retries, ServiceFault, Timer, TooMany, Unavailable
from timer_client.retries import retry_after_seconds

CREATE = {"url": "https://example.com", "minutes": 10}
LOST = None
Call = Callable[[Any], Any]


@pytest.mark.parametrize("failure", [429, 502, 503, 504, LOST])
async def test_a_create_is_sent_again_with_its_key(client: Any, scripted: Scripted, failure: int | None) -> None:
    scripted.say(failure)
    scripted.say(failure)
    scripted.say(201, TIMER)
    assert (await got(client.timers.create(**CREATE))).id == TIMER_ID
    assert len(scripted.asked) == 3
    assert len({asked.body for asked in scripted.asked}) == 1
    assert len({asked.headers["idempotency-key"] for asked in scripted.asked}) == 1


async def test_each_create_has_a_key_of_its_own_or_yours(client: Any, scripted: Scripted) -> None:
    for _ in range(3):
        scripted.say(201, TIMER)
    await got(client.timers.create(**CREATE))
    await got(client.timers.create(**CREATE))
    await got(client.timers.create(**CREATE, idempotency_key="order-17"))
    first, second, mine = (asked.headers["idempotency-key"] for asked in scripted.asked)
    assert first != second
    assert mine == "order-17"
    scripted.say(201, {"results": [TIMER] * 10_000})
    scripted.say(201, {"results": [TIMER]})
    assert len(await every(client.timers.create_many([CREATE] * 10_001, idempotency_key="orders"))) == 10_001
    assert [asked.headers["idempotency-key"] for asked in scripted.asked[3:]] == ["orders/0", "orders/1"]


async def test_a_put_is_sent_again_with_its_key(client: Any, scripted: Scripted) -> None:
    """It may have been called before it comes again."""
    scripted.say(LOST)
    for _ in range(3):
        scripted.say(201, TIMER)
    await got(client.timers.put("a/b", **CREATE))
    await got(client.timers.put("a/b", **CREATE))
    await got(client.timers.put("a/b", **CREATE, idempotency_key="order-17"))
    assert {(asked.method, asked.target) for asked in scripted.asked} == {
        ("PUT", "/collections/default/timers/a%2Fb")
    }
    first, again, other, mine = (asked.headers["idempotency-key"] for asked in scripted.asked)
    assert first == again != other
    assert mine == "order-17"


@pytest.mark.parametrize(("failure", "kind"), [(429, TooMany), (503, Unavailable), (LOST, NotReached)])
async def test_in_the_end_the_last_failure_is_told(
    client: Any, scripted: Scripted, failure: int | None, kind: type[Exception]
) -> None:
    for _ in range(5):
        scripted.say(failure)
    with pytest.raises(kind) as raised:
        await got(client.timers.get(TIMER_ID))
    assert len(scripted.asked) == 5
    if failure:
        assert raised.value.tries == 5  # type: ignore[attr-defined]


@pytest.mark.parametrize("status", [400, 401, 404, 409, 422, 500])
async def test_what_would_fail_again_is_sent_once(client: Any, scripted: Scripted, status: int) -> None:
    scripted.say(status)
    with pytest.raises(ServiceFault if status == 500 else Exception):
        await got(client.timers.get(TIMER_ID))
    assert len(scripted.asked) == 1


DOES_MORE_THE_SECOND_TIME: dict[str, Call] = {
    "fire": lambda client: client.timers.fire(TIMER_ID),
    "replay": lambda client: client.timers.replay(TIMER_ID),
    "replay_many": lambda client: client.timers.replay_many(ids=[TIMER_ID]),
    "shift": lambda client: client.timers.reschedule_many(ids=[TIMER_ID], shift="1h"),
    "new_secret": lambda client: client.routes.new_secret("billing"),
    "create key": lambda client: client.api_keys.create(name="billing", scopes=["timers:read"]),
}


@pytest.mark.parametrize("name", DOES_MORE_THE_SECOND_TIME)
@pytest.mark.parametrize("failure", [503, LOST])
async def test_what_may_have_been_done_is_not_done_twice(
    client: Any, scripted: Scripted, name: str, failure: int | None
) -> None:
    scripted.say(failure)
    with pytest.raises((Unavailable, NotReached)):
        await got(DOES_MORE_THE_SECOND_TIME[name](client))
    assert len(scripted.asked) == 1


@pytest.mark.parametrize("name", DOES_MORE_THE_SECOND_TIME)
async def test_what_was_surely_not_done_is_sent_again(client: Any, scripted: Scripted, name: str) -> None:
    scripted.say(429)
    scripted.say(404)
    with pytest.raises(Exception, match="404"):
        await got(DOES_MORE_THE_SECOND_TIME[name](client))
    assert len(scripted.asked) == 2


async def test_a_batch_of_which_some_were_lost_is_sent_again_as_a_whole(client: Any, scripted: Scripted) -> None:
    scripted.say(207, ANSWERS["partial batch"], retry_after="0")
    scripted.say(201, {"results": [TIMER, TIMER]})
    results = await every(client.timers.create_many([CREATE, CREATE]))
    assert [type(result) for result in results] == [Timer, Timer]
    assert len({(asked.body, asked.headers["idempotency-key"]) for asked in scripted.asked}) == 1


async def test_what_is_lost_for_good_is_told_by_itself(client: Any, scripted: Scripted) -> None:
    for _ in range(5):
        scripted.say(207, ANSWERS["partial batch"], retry_after="0")
    made, lost = await every(client.timers.create_many([CREATE, CREATE]))
    assert (type(made), lost.status) == (Timer, 422)
    assert len(scripted.asked) == 5


async def test_a_cancel_whose_answer_was_lost_was_a_cancel(client: Any, scripted: Scripted) -> None:
    cancelled = {**NOT_CANCELLABLE.document("/"), "timer_status": "cancelled"}
    scripted.say(LOST)
    scripted.say(409, cancelled)
    scripted.say(200, ANSWERS["cancelled timer"])
    assert (await got(client.timers.cancel(TIMER_ID))).status == "cancelled"
    assert [asked.method for asked in scripted.asked] == ["DELETE", "DELETE", "GET"]
    scripted.say(409, cancelled)
    with pytest.raises(Conflict):
        await got(client.timers.cancel(TIMER_ID))


async def test_a_deletion_whose_answer_was_lost_was_one(client: Any, scripted: Scripted) -> None:
    scripted.say(LOST)
    scripted.say(404)
    assert await got(client.routes.delete("billing")) is None
    scripted.say(404)
    with pytest.raises(NotFound):
        await got(client.routes.delete("billing"))


async def test_health_is_one_look(client: Any, scripted: Scripted) -> None:
    scripted.say(200, {"status": "live"})
    scripted.say(503, {"title": "The database cannot be reached", "detail": "it was not reached yet"})
    assert await got(client.health.live()) is None
    with pytest.raises(Unavailable, match="it was not reached yet"):
        await got(client.health.ready())
    assert [asked.target for asked in scripted.asked] == ["/health/live", "/health/ready"]


def test_nobody_listens() -> None:
    with (
        Client(f"http://127.0.0.1:{free_port()}", retries=Retries(tries_max=2, initial_seconds=0)) as client,
        pytest.raises(NotReached, match="did not answer"),
    ):
        client.timers.replay(TIMER_ID)


def test_a_wait_that_was_asked_for_is_kept(scripted: Scripted) -> None:
    """Whereas without one it would be far shorter; and it is never longer than the longest."""
    scripted.say(503, retry_after="1")
    scripted.say(200, TIMER)
    scripted.say(503, retry_after="3600")
    scripted.say(200, TIMER)
    begin = time.monotonic()
    with Client(scripted.url, retries=Retries(initial_seconds=0)) as client:
        client.timers.get(TIMER_ID)
    assert 1 <= time.monotonic() - begin < 30
    with Client(scripted.url, retries=Retries(longest_seconds=0.1)) as client:
        client.timers.get(TIMER_ID)
    assert time.monotonic() - begin < 30


def test_retry_after_is_seconds_or_a_date() -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    assert 50 < (retry_after_seconds({"Retry-After": later}) or 0) <= 60
    past = format_datetime(datetime.now(UTC) - timedelta(seconds=60), usegmt=True)
    assert retry_after_seconds({"Retry-After": past}) == 0
    assert retry_after_seconds({"Retry-After": "7"}) == 7
    for nonsense in ("", "soon", "-1", "1.5", "²"):
        assert retry_after_seconds({"Retry-After": nonsense}) is None

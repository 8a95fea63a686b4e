"""Many timers, several controllers: each is called once, never early, in the right order."""

from __future__ import annotations

import asyncio
import json
from collections import Counter

import httpx
import pytest

from tests.history import count_outcomes, schedule_many, wait_for_states
from tests.receiver import OK, Arrival
from tests.system import System
from timer_db.domain.backoff import RetryPolicy
from timer_db.domain.states import TimerState
from timer_db.shards import Shards

QUICK = RetryPolicy(max_attempts=3, initial_seconds=0.2, factor=1.0, max_seconds=1.0, jitter=0.0)


async def test_three_controllers_call_each_of_ten_thousand_timers_once(system: System, shards: Shards) -> None:
    for _ in range(3):
        await system.start_controller()
    ids = await schedule_many(shards, 10_000, f"{system.receiver.url}/hook", due_in_seconds=1, spread_seconds=5)
    await system.receiver.wait_for_ids(len(ids), timeout_seconds=120)
    await wait_for_states(shards, {TimerState.delivered: len(ids)})
    assert system.receiver.counts() == Counter(ids)
    assert await count_outcomes(shards) == {"delivered": len(ids)}


async def test_no_call_is_early(system: System, shards: Shards) -> None:
    await system.start_controller()
    ids = await schedule_many(shards, 300, system.receiver.url, due_in_seconds=1, spread_seconds=2, body=b"{}")
    await system.receiver.wait_for_ids(len(ids))
    api = await system.start_api()
    for timer_id in ids[::10]:
        [attempt] = (await api.client.get(f"/timers/{timer_id}/attempts")).json()["attempts"]
        assert attempt["started_at"] >= (await api.get(timer_id))["due_at"]


async def test_a_backlog_is_called_by_priority_then_age(system: System, shards: Shards) -> None:
    late = await schedule_many(shards, 20, system.receiver.url, due_in_seconds=-60)
    oldest = await schedule_many(shards, 20, system.receiver.url, due_in_seconds=-600, priority=5)
    middle = await schedule_many(shards, 20, system.receiver.url, due_in_seconds=-60, priority=700)
    await system.start_controller(calls_max=1)
    await system.receiver.wait_for_ids(60)
    order = [arrival.timer_id for arrival in system.receiver.arrivals]
    assert [set(order[:20]), set(order[20:40]), set(order[40:])] == [set(middle), set(oldest), set(late)]


async def test_an_answer_that_says_later_is_tried_again(system: System, shards: Shards) -> None:
    answers = iter([b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy", b"HTTP/1.1 204 Fine\r\n\r\n"])
    system.receiver.answer = lambda _: next(answers)
    await system.start_controller()
    [timer_id] = await schedule_many(shards, 1, system.receiver.url, retry=QUICK)
    await wait_for_states(shards, {TimerState.delivered: 1})
    first, second = system.receiver.by_id[timer_id]
    assert (first.headers["timer-attempt"], second.headers["timer-attempt"]) == ("1", "2")
    assert second.at - first.at >= QUICK.initial_seconds
    assert "timer-possible-duplicate" not in second.headers
    api = await system.start_api()
    shown = (await api.client.get(f"/timers/{timer_id}/attempts")).json()["attempts"]
    assert [(a["http_status"], a["outcome"]) for a in shown] == [(503, "rejected"), (204, "delivered")]
    assert shown[0]["answer"] == "busy"


@pytest.mark.parametrize(("status", "attempts"), [(404, 1), (410, 1), (302, 1), (500, 3), (429, 3)])
async def test_answers_that_end_a_timer(system: System, shards: Shards, status: int, attempts: int) -> None:
    system.receiver.answer = lambda _: b"HTTP/1.1 %d No\r\nContent-Length: 0\r\n\r\n" % status
    await system.start_controller()
    [timer_id] = await schedule_many(shards, 1, system.receiver.url, retry=QUICK)
    await wait_for_states(shards, {TimerState.failed: 1})
    assert len(system.receiver.by_id[timer_id]) == attempts


async def test_a_receiver_asks_for_a_later_try(system: System, shards: Shards) -> None:
    later = b"HTTP/1.1 429 Slow\r\nRetry-After: 2\r\nContent-Length: 0\r\n\r\n"
    answers = iter([later, OK])
    system.receiver.answer = lambda _: next(answers)
    await system.start_controller()
    [timer_id] = await schedule_many(shards, 1, system.receiver.url, retry=QUICK)
    await wait_for_states(shards, {TimerState.delivered: 1})
    first, second = system.receiver.by_id[timer_id]
    assert second.at - first.at >= 2


async def test_a_call_without_a_whole_answer_is_repeated_and_says_so(system: System, shards: Shards) -> None:
    answers = iter([b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"])

    def answer(_: Arrival) -> asyncio.Future[bytes] | bytes:
        return next(answers, OK)

    system.receiver.answer = answer
    await system.start_controller()
    [timer_id] = await schedule_many(shards, 1, system.receiver.url, retry=QUICK, timeout_seconds=0.5)
    await wait_for_states(shards, {TimerState.delivered: 1})
    first, second = system.receiver.by_id[timer_id]
    assert "timer-possible-duplicate" not in first.headers
    assert second.headers["timer-possible-duplicate"] == "true"
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert await count_outcomes(shards) == {"unknown": 1, "delivered": 1}


async def test_a_cancelled_timer_is_not_called(system: System) -> None:
    api = await system.start_api()
    await system.start_controller()
    doomed = await api.create(seconds=2, url=system.receiver.url)
    last = await api.create(seconds=3, url=system.receiver.url)
    answer = await api.client.delete(f"/timers/{doomed['id']}")
    assert (answer.status_code, answer.json()["status"]) == (httpx.codes.OK, "cancelled")
    await api.wait_for_status_of(last["id"], "delivered")
    assert system.receiver.counts() == {last["id"]: 1}
    assert (await api.client.delete(f"/timers/{doomed['id']}")).status_code == httpx.codes.CONFLICT


async def test_the_call_is_what_was_asked_for(system: System) -> None:
    api = await system.start_api()
    await system.start_controller()
    created = await api.create(
        delay=0, url=f"{system.receiver.url}/a/", method="PUT", headers={"X-Shop": "7"}, body={"n": [1, "ä"]}
    )
    plain = await api.create(delay=0, url=f"{system.receiver.url}/b", method="GET", append_id=False)
    raw = await api.create(delay=0, url=system.receiver.url, body_base64="AAH/")
    await system.receiver.wait_for_ids(3)
    [put] = system.receiver.by_id[created["id"]]
    assert (put.method, put.target, put.headers["x-shop"]) == ("PUT", f"/a/{created['id']}", "7")
    assert (json.loads(put.body), put.headers["content-type"]) == ({"n": [1, "ä"]}, "application/json")
    [get] = system.receiver.by_id[plain["id"]]
    assert (get.method, get.target, get.body) == ("GET", "/b", b"")
    [post] = system.receiver.by_id[raw["id"]]
    assert (post.body, post.headers["content-type"]) == (b"\x00\x01\xff", "application/octet-stream")

"""What each call sends, and what it makes of the answer, by the API's document."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from tests.client.both import every, got
from tests.client.scripted import Scripted
from timer_api.timers.examples import ANSWERS, OTHER_ID, TIMER, TIMER_ID
from timer_api.timers.schemas import BATCH_MAX
from timer_client import ApiError, Bulk, Timer
from timer_client.resources import timers as wire

URL = "https://example.com/hook"
HOUR = timezone(timedelta(hours=1))
NOON = datetime(2030, 1, 31, 12, tzinfo=HOUR)
NOON_TEXT = "2030-01-31T12:00:00+01:00"


async def test_a_timer_is_read_with_times_and_nothing_is_lost(client: Any, scripted: Scripted) -> None:
    scripted.say(200, {**TIMER, "to_come": 1})
    timer = await got(client.timers.get(TIMER_ID))
    assert isinstance(timer, Timer)
    assert timer.due_at == datetime(2026, 11, 20, 10, 19, 56, 123456, tzinfo=UTC)
    assert timer.time_left == timedelta(minutes=10)
    assert timer.retry is not None
    assert timer.retry.max_attempts == 5
    assert not timer.has_ended
    assert timer.raw == {**TIMER, "to_come": 1}
    assert [(asked.method, asked.target) for asked in scripted.asked] == [("GET", f"/timers/{TIMER_ID}")]


@pytest.mark.parametrize(
    ("due", "sent"),
    [
        (timedelta(hours=1, microseconds=1), {"delay": 3600.000001}),
        (90, {"delay": 90}),
        (0.25, {"delay": 0.25}),
        ("1h30m", {"delay": "1h30m"}),
        ("PT1H30M", {"delay": "PT1H30M"}),
        (NOON, {"due_at": NOON_TEXT}),
        (NOON.replace(tzinfo=None), {"due_at": NOON_TEXT[:19]}),
        (NOON_TEXT, {"due_at": NOON_TEXT}),
    ],
    ids=str,
)
async def test_due_is_any_way_to_say_when(client: Any, scripted: Scripted, due: Any, sent: dict[str, Any]) -> None:
    scripted.say(201, TIMER)
    await got(client.timers.create(url=URL, due=due))
    assert scripted.asked[0].json == {"url": URL, **sent}


async def test_a_create_sends_what_it_is_given_under_a_key_of_its_own(client: Any, scripted: Scripted) -> None:
    for _ in range(3):
        scripted.say(201, TIMER)
    await got(client.timers.create(url=URL, minutes=1, meta="Zoë", labels={"env": "prod"}))
    await got(client.timers.create(url=URL, seconds=0, body=b"\x00\xff"))
    await got(client.timers.create(url=URL, seconds=0, body={"a": 1}))
    first, second, third = scripted.asked
    assert (first.method, first.target) == ("POST", "/timers")
    assert first.headers["content-type"] == "application/json"
    assert first.json == {"url": URL, "minutes": 1, "meta": "Zoë", "labels": {"env": "prod"}}
    assert second.json == {"url": URL, "seconds": 0, "body_base64": "AP8="}
    assert third.json == {"url": URL, "seconds": 0, "body": {"a": 1}}


async def test_many_are_sent_in_batches_as_their_results_are_taken(
    client: Any, scripted: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert wire.BULK_MAX == BATCH_MAX
    monkeypatch.setattr(wire, "BULK_MAX", 100)
    taken = 0

    def timers() -> Any:
        nonlocal taken
        for taken in range(1, 202):
            yield {"url": URL, "seconds": taken}

    for size in (100, 100, 1):
        scripted.say(201, {"results": [TIMER] * size})
    results = client.timers.create_many(timers())
    await (anext(results) if hasattr(results, "__anext__") else got(next(results)))
    assert taken == 101
    assert len(await every(results)) == 200
    assert [len(asked.json["timers"]) for asked in scripted.asked] == [100, 100, 1]
    assert scripted.asked[1].json["timers"][0]["seconds"] == 101


async def test_large_timers_make_smaller_batches(client: Any, scripted: Scripted) -> None:
    for size in (8, 1):
        scripted.say(201, {"results": [TIMER] * size})
    large = {"url": URL, "seconds": 0, "body": "x" * 1_000_000}
    assert len(await every(client.timers.create_many([large] * 9))) == 9
    assert max(len(asked.body) for asked in scripted.asked) < 8 * 1024 * 1024 + 16


async def test_each_of_many_has_its_own_result(client: Any, scripted: Scripted) -> None:
    scripted.say(207, ANSWERS["partial batch"])
    made, refused = await every(
        client.timers.create_many([{"url": URL, "minutes": 10}, {"url": "no", "minutes": 1}])
    )
    assert made.id == TIMER_ID
    assert isinstance(refused, ApiError)
    assert (refused.status, refused.errors[0].field, refused.facts["index"]) == (422, "url", 1)


async def test_nothing_is_sent_for_no_timers(client: Any, scripted: Scripted) -> None:
    assert await every(client.timers.create_many([])) == []
    assert await got(client.timers.cancel_many(ids=[])) == Bulk()
    assert scripted.asked == []


async def test_a_list_turns_its_pages_when_it_has_to(client: Any, scripted: Scripted) -> None:
    scripted.say(200, {"timers": [TIMER], "next_cursor": "a+b"})
    scripted.say(200, {"timers": [], "next_cursor": "c"})
    scripted.say(200, {"timers": [{**TIMER, "id": OTHER_ID}], "next_cursor": None})
    found = client.timers.list(status="scheduled", selector="env in (a,b)", due_after=NOON, page_size=1)
    assert scripted.asked == []
    assert [timer.id for timer in await every(found)] == [TIMER_ID, OTHER_ID]
    first = (
        "/timers?status=scheduled&selector=env+in+%28a%2Cb%29&due_after=2030-01-31T12%3A00%3A00%2B01%3A00&limit=1"
    )
    targets = [asked.target for asked in scripted.asked]
    assert [target.replace("%20", "+") for target in targets] == [
        first,
        first + "&cursor=a%2Bb",
        first + "&cursor=c",
    ]


async def test_a_change_can_take_back_what_was_said(client: Any, scripted: Scripted) -> None:
    scripted.say(200, TIMER)
    await got(client.timers.update(TIMER_ID, due=timedelta(minutes=1), retry=None, priority=3))
    [asked] = scripted.asked
    assert (asked.method, asked.target) == ("PATCH", f"/timers/{TIMER_ID}")
    assert asked.json == {"delay": 60.0, "retry": None, "priority": 3}


async def test_attempts_fire_and_replay(client: Any, scripted: Scripted) -> None:
    scripted.say(200, ANSWERS["attempts"])
    scripted.say(200, TIMER)
    scripted.say(200, TIMER)
    [attempt] = await got(client.timers.attempts(TIMER_ID))
    assert (attempt.outcome, attempt.http_status, attempt.started_at.microsecond) == ("rejected", 503, 125_000)
    await got(client.timers.fire(TIMER_ID))
    await got(client.timers.replay(TIMER_ID))
    assert [(asked.method, asked.target.removeprefix(f"/timers/{TIMER_ID}")) for asked in scripted.asked] == [
        ("GET", "/attempts"), ("POST", "/fire"), ("POST", "/replay"),
    ]  # fmt: skip


def bulk(changed: int, cursor: str | None = None, *refused: str) -> dict[str, Any]:
    shown = [{"id": timer_id, "status": "firing", "reason": "it is being called"} for timer_id in refused]
    matched = changed + len(shown)
    counts = {"matched": matched, "changed": changed, "refused_count": len(shown)}
    return {**counts, "refused": shown, "next_cursor": cursor}


async def test_a_bulk_call_goes_on_to_the_end_and_tells_how_far_it_is(client: Any, scripted: Scripted) -> None:
    scripted.say(200, bulk(10_000, "x"))
    scripted.say(200, bulk(4, None, OTHER_ID))
    seen: list[int] = []
    total = await got(
        client.timers.cancel_many(
            selector="env=test", on_progress=lambda sum_so_far: seen.append(sum_so_far.changed)
        )
    )
    assert (total.matched, total.changed, total.refused_count, total.next_cursor) == (10_005, 10_004, 1, None)
    assert [refused.id for refused in total.refused] == [OTHER_ID]
    assert seen == [10_000, 10_004]
    assert [asked.target for asked in scripted.asked] == ["/timers/cancel"] * 2
    assert [asked.json for asked in scripted.asked] == [
        {"selector": "env=test"}, {"selector": "env=test", "cursor": "x"},
    ]  # fmt: skip


async def test_ids_of_a_bulk_call_are_sent_in_parts(client: Any, scripted: Scripted) -> None:
    scripted.say(200, bulk(10_000))
    scripted.say(200, bulk(1))
    total = await got(client.timers.replay_many(ids=(str(number) for number in range(10_001))))
    assert total.changed == 10_001
    assert [asked.target for asked in scripted.asked] == ["/timers/replay"] * 2
    assert [len(asked.json["ids"]) for asked in scripted.asked] == [10_000, 1]


@pytest.mark.parametrize(
    ("said", "sent"),
    [
        ({"due": NOON}, {"due_at": NOON_TEXT}),
        ({"shift": timedelta(minutes=-30)}, {"shift": -1800.0}),
        ({"shift": "+1h"}, {"shift": "+1h"}),
    ],
    ids=str,
)
async def test_rescheduling_many(client: Any, scripted: Scripted, said: Any, sent: dict[str, Any]) -> None:
    scripted.say(200, bulk(1))
    await got(client.timers.reschedule_many(collection="bills", due_before=NOON, **said))
    [asked] = scripted.asked
    assert asked.target == "/timers/reschedule"
    assert asked.json == {"collection": "bills", "due_before": NOON_TEXT, **sent}


async def test_a_backfill_goes_on_to_the_end(client: Any, scripted: Scripted) -> None:
    scripted.say(200, {"made": 1000, "next_from": NOON_TEXT})
    scripted.say(200, {"made": 5, "next_from": None})
    seen: list[int] = []
    start, end = NOON - timedelta(days=9), NOON + timedelta(days=1)
    assert await got(client.schedules.backfill("daily", start=start, end=end, on_progress=seen.append)) == 1005
    assert seen == [1000, 1005]
    assert [asked.json["from"] for asked in scripted.asked] == [start.isoformat(), NOON.isoformat()]
    assert {asked.json["to"] for asked in scripted.asked} == {end.isoformat()}
    first, second = [asked.headers["idempotency-key"] for asked in scripted.asked]
    assert (first.removesuffix("/0"), second.removesuffix("/1000")) == (first[:36], first[:36])

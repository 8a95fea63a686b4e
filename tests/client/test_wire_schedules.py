"""What calls about schedules send, and what they make of the answer."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from tests.client.both import got
from tests.client.scripted import Scripted

AT = "2026-11-20T10:00:00Z"
MOMENT = datetime(2026, 11, 20, 10, tzinfo=UTC)
SCHEDULE: dict[str, Any] = {
    "name": "daily", "paused": True, "every": 900, "timezone": "UTC", "start_at": None, "end_at": AT,
    "jitter_seconds": 0, "overlap": "skip", "catch_up": "last", "timer": {"url": "https://example.com"},
    "next_run_at": AT, "last_run_at": None, "last_timer_id": None, "created_at": AT,
}  # fmt: skip


def calls(scripted: Scripted) -> list[tuple[str, str]]:
    return [(asked.method, asked.target) for asked in scripted.asked]


async def test_a_schedule_and_when_it_runs(client: Any, scripted: Scripted) -> None:
    scripted.say(201, SCHEDULE)
    scripted.say(200, {"runs": [AT, AT]})
    scripted.say(200, {"runs": []})
    schedule = await got(
        client.schedules.put(
            "daily",
            every=timedelta(minutes=15),
            end_at=MOMENT,
            overlap="skip",
            timer={"url": "https://example.com", "body": b"hi"},
        )
    )
    assert await got(client.schedules.next_runs("daily", count=2)) == (MOMENT, MOMENT)
    preview = await got(client.schedules.preview(cron="0 9 * * 1-5", timer={"route": "billing"}))
    assert (schedule.end_at, schedule.paused, schedule.every, preview) == (MOMENT, True, 900, ())
    assert calls(scripted) == [
        ("PUT", "/schedules/daily"), ("GET", "/schedules/daily/next?count=2"), ("POST", "/schedules/next"),
    ]  # fmt: skip
    assert scripted.asked[0].json == {
        "every": 900.0,
        "end_at": "2026-11-20T10:00:00+00:00",
        "overlap": "skip",
        "timer": {"url": "https://example.com", "body_base64": "aGk="},
    }
    assert scripted.asked[2].json == {"cron": "0 9 * * 1-5", "timer": {"route": "billing"}}


async def test_a_backfill_goes_on_to_the_end(client: Any, scripted: Scripted) -> None:
    scripted.say(200, {"made": 1000, "next_from": AT})
    scripted.say(200, {"made": 5, "next_from": None})
    seen: list[int] = []
    start, end = MOMENT - timedelta(days=9), MOMENT + timedelta(days=1)
    assert await got(client.schedules.backfill("daily", start=start, end=end, on_progress=seen.append)) == 1005
    assert seen == [1000, 1005]
    assert [asked.json["from"] for asked in scripted.asked] == [start.isoformat(), MOMENT.isoformat()]
    assert {asked.json["to"] for asked in scripted.asked} == {end.isoformat()}

"""What calls about collections, routes, schedules and what runs send, and what they make of the answer."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from tests.client.both import every, got
from tests.client.scripted import Scripted

AT = "2026-11-20T10:00:00Z"
MOMENT = datetime(2026, 11, 20, 10, tzinfo=UTC)
COUNTS = {"scheduled": 2, "firing": 0, "delivered": 1, "failed": 0, "unknown": 0, "cancelled": 0}
RETRY = {"max_attempts": 5, "initial_seconds": 5.0, "factor": 3.0, "max_seconds": 3600.0, "jitter": 0.1}
COLLECTION: dict[str, Any] = {
    "name": "bills", "paused": False, "defaults": {"priority": 7}, "retention_days": None, "waiting_max": 100,
    "egress_allow": ["10.0.0.0/8"], "counts": COUNTS, "created_at": AT,
}  # fmt: skip
ROUTE: dict[str, Any] = {
    "name": "billing", "paused": False, "url": "https://example.com", "append_id": True, "method": "POST",
    "headers": {}, "timeout_seconds": 10.0, "retry": RETRY, "calls_max": 8, "rate_per_second": 2.5, "burst": None,
    "disable_after_seconds": None, "disabled_at": AT, "disabled_because": "it answered 503 for an hour",
    "has_secret": True, "counts": COUNTS, "created_at": AT,
}  # fmt: skip
SCHEDULE: dict[str, Any] = {
    "name": "daily", "paused": True, "every": 900, "timezone": "UTC", "start_at": None, "end_at": AT,
    "jitter_seconds": 0, "overlap": "skip", "catch_up": "last", "timer": {"url": "https://example.com"},
    "next_run_at": AT, "last_run_at": None, "last_timer_id": None, "created_at": AT,
}  # fmt: skip


def calls(scripted: Scripted) -> list[tuple[str, str]]:
    return [(asked.method, asked.target) for asked in scripted.asked]


async def test_a_collection(client: Any, scripted: Scripted) -> None:
    scripted.say(201, COLLECTION)
    found = await got(client.collections.put("bills", defaults={"priority": 7}, waiting_max=100))
    assert calls(scripted) == [("PUT", "/collections/bills")]
    assert scripted.asked[0].json == {"defaults": {"priority": 7}, "waiting_max": 100}
    assert (found.egress_allow, found.counts["scheduled"]) == (("10.0.0.0/8",), 2)
    assert found.created_at == MOMENT


async def test_what_all_named_things_have_in_common(client: Any, scripted: Scripted) -> None:
    for shown in (COLLECTION, COLLECTION, COLLECTION):
        scripted.say(200, shown)
    scripted.say(204)
    scripted.say(200, {"collections": [COLLECTION], "next_cursor": "x"})
    scripted.say(200, {"collections": [COLLECTION], "next_cursor": None})
    for verb in ("get", "pause", "resume"):
        assert (await got(getattr(client.collections, verb)("bills"))).name == "bills"
    assert await got(client.collections.delete("bills")) is None
    assert len(await every(client.collections.list())) == 2
    assert calls(scripted) == [
        ("GET", "/collections/bills"),
        ("POST", "/collections/bills/pause"),
        ("POST", "/collections/bills/resume"),
        ("DELETE", "/collections/bills"),
        ("GET", "/collections?limit=100"),
        ("GET", "/collections?limit=100&cursor=x"),
    ]


async def test_a_route_and_its_secret(client: Any, scripted: Scripted) -> None:
    scripted.say(200, ROUTE)
    scripted.say(200, {"secret": "whsec_bmV3", "old_valid_until": AT})
    scripted.say(204)
    route = await got(client.routes.put("billing", url="https://example.com", calls_max=8))
    secret = await got(client.routes.new_secret("billing", overlap=timedelta(hours=1)))
    await got(client.routes.delete_secret("billing"))
    assert (route.disabled_at, route.rate_per_second, route.retry.factor) == (MOMENT, 2.5, 3)
    assert (secret.secret, secret.old_valid_until) == ("whsec_bmV3", MOMENT)
    assert calls(scripted) == [
        ("PUT", "/routes/billing"), ("POST", "/routes/billing/secret"), ("DELETE", "/routes/billing/secret"),
    ]  # fmt: skip
    assert scripted.asked[0].json == {"url": "https://example.com", "calls_max": 8}
    assert scripted.asked[1].json == {"overlap_seconds": 3600}


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


async def test_what_has_happened_and_who_runs(client: Any, scripted: Scripted) -> None:
    event = {"id": 7, "at": AT, "kind": "route.disabled", "subject": "routes/billing", "detail": "it failed"}
    controller = {
        "id": 3, "host": "vm", "pid": 4711, "version": "0.1.0", "joined_at": AT, "beat_at": AT,
        "claims_in_hand": 5, "shard": 0,
    }  # fmt: skip
    scripted.say(200, {"events": [event], "next_cursor": None})
    scripted.say(200, {"controllers": [controller]})
    [found] = await every(client.events.list(kind="route.disabled"))
    [running] = await got(client.controllers.list())
    assert (found.at, found.subject) == (MOMENT, "routes/billing")
    assert (running.beat_at, running.claims_in_hand) == (MOMENT, 5)
    assert calls(scripted) == [("GET", "/events?kind=route.disabled&limit=100"), ("GET", "/controllers")]

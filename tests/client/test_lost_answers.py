"""What was done though its answer was lost is told as done; and a call of many requests tells where it ended."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.client.both import got
from tests.client.scripted import Scripted
from timer_api.timers.bulk import REFUSED_SHOWN_MAX
from timer_api.timers.examples import NOT_CHANGEABLE, OTHER_ID, TIMER, TIMER_ID
from timer_client import Conflict, Invalid, Unavailable
from timer_client.answers import Backfill
from timer_client.resources import timers as wire

LOST = None
NOON = "2030-01-31T12:00:00+00:00"


def bulk(changed: int, cursor: str | None = None, **refused: str) -> dict[str, Any]:
    """An answer; `refused` has states by id, as far as they are named."""
    shown = [{"id": timer_id, "status": state, "reason": f"it is {state}"} for timer_id, state in refused.items()]
    return {
        "matched": changed + len(shown), "changed": changed, "refused": shown, "refused_count": len(shown),
        "next_cursor": cursor,
    }  # fmt: skip


async def test_a_bulk_cancel_whose_answer_was_lost_was_one(client: Any, scripted: Scripted) -> None:
    scripted.say(LOST)
    scripted.say(200, bulk(1, a="cancelled", b="firing"))
    done = await got(client.timers.cancel_many(ids=["a", "b", "c"]))
    assert (done.matched, done.changed, done.refused_count) == (3, 2, 1)
    assert [each.id for each in done.refused] == ["b"]
    scripted.say(200, bulk(1, a="cancelled", b="firing"))
    assert (await got(client.timers.cancel_many(ids=["a", "b", "c"]))).changed == 1


async def test_each_of_very_many_is_asked_for_when_a_cancel_was_lost(client: Any, scripted: Scripted) -> None:
    """No answer names more than a hundred of the refused."""
    assert wire.REFUSED_NAMED_MAX == REFUSED_SHOWN_MAX
    ids = [f"t{number}" for number in range(150)]
    scripted.say(LOST)
    scripted.say(200, bulk(0, **dict.fromkeys(ids[:100], "cancelled")) | {"matched": 150, "refused_count": 150})
    scripted.say(200, bulk(0, **dict.fromkeys(ids[:100], "cancelled")))
    scripted.say(200, bulk(0, **dict.fromkeys(ids[100:], "cancelled")))
    done = await got(client.timers.cancel_many(ids=ids))
    assert (done.matched, done.changed, done.refused_count) == (150, 150, 0)
    assert [asked.json["ids"] for asked in scripted.asked[2:]] == [ids[:100], ids[100:]]


def called(seconds: float = 0, **fields: Any) -> dict[str, Any]:
    """A timer that was called since, due so many seconds from now."""
    due_at = datetime.now(UTC) + timedelta(seconds=seconds)
    return {**TIMER, "status": "delivered", "due_at": due_at.isoformat(), **fields}


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"due": 0, "priority": 3}, {"priority": 3}),
        ({"due": timedelta(seconds=0)}, {}),
        ({"seconds": 1}, {}),
        ({"due": "2020-01-01T00:00:00Z"}, {}),
        ({"due": NOON}, {"due_at": NOON}),
        ({"labels": {"a": "b"}, "body": None}, {"labels": {"a": "b"}}),
        ({"retry": {"max_attempts": 5}}, {}),
    ],
)
async def test_a_change_whose_answer_was_lost_was_one(
    client: Any, scripted: Scripted, changes: dict[str, Any], found: dict[str, Any]
) -> None:
    scripted.say(LOST)
    scripted.say(409, NOT_CHANGEABLE.document("/"))
    scripted.say(200, called(changes.get("seconds", 0), **found))
    assert (await got(client.timers.update(TIMER_ID, **changes))).status == "delivered"
    assert [asked.method for asked in scripted.asked] == ["PATCH", "PATCH", "GET"]


@pytest.mark.parametrize(
    "changes",
    [
        {"priority": 4},
        {"due": 60},
        {"due": "2031-01-01T00:00:00Z"},
        {"due": "2020-01-01T00:00:00", "timezone": "UTC"},
        {"due": "1m"},
        {"priority": None},
        {"retry": {"max_attempts": 6}},
    ],
)
async def test_a_change_that_was_not_made_is_none(
    client: Any, scripted: Scripted, changes: dict[str, Any]
) -> None:
    """Nor one of which that cannot be told."""
    scripted.say(LOST)
    scripted.say(409, NOT_CHANGEABLE.document("/"))
    scripted.say(200, called())
    with pytest.raises(Conflict):
        await got(client.timers.update(TIMER_ID, **changes))


async def test_a_change_that_is_refused_at_once_asks_no_more(client: Any, scripted: Scripted) -> None:
    scripted.say(409, NOT_CHANGEABLE.document("/"))
    with pytest.raises(Conflict):
        await got(client.timers.update(TIMER_ID, due=0))
    assert [asked.method for asked in scripted.asked] == ["PATCH"]


async def test_a_move_that_failed_goes_on_where_it_ended(client: Any, scripted: Scripted) -> None:
    """`shift` is never sent twice."""
    scripted.say(200, bulk(10_000, "one"))
    scripted.say(200, bulk(7, "two", **{OTHER_ID: "firing"}))
    scripted.say(503)
    with pytest.raises(Unavailable) as raised:
        await got(client.timers.reschedule_many(selector="a=b", shift="1h"))
    so_far = raised.value.so_far
    assert (so_far.changed, so_far.refused_count, so_far.next_cursor) == (10_007, 1, "two")
    scripted.say(200, bulk(3))
    done = await got(client.timers.reschedule_many(selector="a=b", shift="1h", cursor=so_far.next_cursor))
    assert (done.changed, done.next_cursor) == (3, None)
    assert scripted.asked[-1].json == {"selector": "a=b", "shift": "1h", "cursor": "two"}
    scripted.say(422)
    with pytest.raises(Invalid) as refused:
        await got(client.timers.replay_many(selector="a=b", cursor="three"))
    assert refused.value.so_far.next_cursor == "three"


@pytest.mark.parametrize("verb", ["cancel_many", "replay_many", "reschedule_many"])
async def test_a_limit_is_one_of_the_whole_call(client: Any, scripted: Scripted, verb: str) -> None:
    scripted.say(200, bulk(10_000, "one"))
    scripted.say(200, bulk(1_000, "two"))
    scripted.say(200, bulk(1_000, "three"))
    when = {"due": 5} if verb == "reschedule_many" else {}
    done = await got(getattr(client.timers, verb)(selector="a=b", limit=12_000, **when))
    assert (done.changed, done.next_cursor) == (12_000, "three")
    assert [asked.json["limit"] for asked in scripted.asked] == [10_000, 2_000, 1_000]


async def test_a_backfill_that_failed_tells_which_run_is_next(client: Any, scripted: Scripted) -> None:
    scripted.say(200, {"made": 1000, "next_from": NOON})
    for _ in range(5):
        scripted.say(503)
    with pytest.raises(Unavailable) as raised:
        await got(client.schedules.backfill("daily", start="2029-01-01", end="2031-01-01"))
    assert raised.value.so_far == Backfill(made=1000, next_from=datetime.fromisoformat(NOON))

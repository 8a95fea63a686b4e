"""Storing timers: whole or not at all, in one commit, and safe to repeat."""

from __future__ import annotations

import re
from dataclasses import fields
from typing import Any
from uuid import UUID

import pytest
from pymysql.err import IntegrityError, MySQLError

from tests.db import wire
from tests.db.desk import NOON_US, SECOND_US, Desk, entries_of, finished, new_timer, new_timers, retried
from timer_db.domain.backoff import RetryPolicy
from timer_db.domain.errors import UnexpectedCount
from timer_db.domain.ids import new_id, shard_of
from timer_db.domain.queue_entry import entry_of
from timer_db.domain.states import OnUnknown, TimerState
from timer_db.domain.timer import NewTimer, Timer
from timer_db.engine import open_shards
from timer_db.operations.cancel import cancel
from timer_db.operations.rows import timer_of
from timer_db.operations.schedule import Scheduled, choose_id, choose_ids, schedule
from timer_db.shards import Shards
from timer_db.statements import queue, reading


def _timer(result: object) -> Timer:
    assert isinstance(result, Scheduled)
    return result.timer


RICH: dict[str, Any] = {
    "method": "PUT",
    "headers": {"X-Shop": "berlin"},
    "body": b"\x00\xff'\"\\%s",
    "body_is_json": False,
    "meta": {"ü": [None, 1.5, "\U0001f600"]},
    "name": "invoice-17 'ü' \U0001f600",
    "labels": {"env": "prod"},
    "priority": 32_767,
    "append_id": False,
    "retry": RetryPolicy(3, 1.0, 2.0, 60.0, 0.0),
    "timeout_seconds": 2.5,
    "on_unknown": OnUnknown.hold,
}


@pytest.mark.parametrize("fields_given", [{}, RICH], ids=["plain", "rich"])
async def test_a_timer_is_read_as_it_was_stored(desk: Desk, fields_given: dict[str, Any]) -> None:
    asked = new_timer(**fields_given)
    [made] = await desk.add(asked)
    stored = await desk.timer(asked.id)
    assert stored == made
    for field in fields(NewTimer):
        if field.name != "due_as_given":  # compared by, and not kept
            assert getattr(stored, field.name) == getattr(asked, field.name), field.name
    assert (stored.state, stored.attempts, stored.next_attempt_at_us) == (TimerState.scheduled, 0, NOON_US)


async def test_a_batch_is_answered_in_its_order(desk: Desk) -> None:
    asked = new_timers(1000)
    asked.reverse()
    made = await desk.add(*asked)
    assert [timer.id for timer in made] == [timer.id for timer in asked]
    assert await desk.queued() == entries_of(asked)
    assert await desk.count("timers") == 1000


async def test_nothing_asked_nothing_stored(desk: Desk) -> None:
    assert await schedule(desk.shards, []) == []


async def test_what_was_due_in_the_past_is_due_now(desk: Desk) -> None:
    """It stands behind what already waited."""
    late = new_timer(NOON_US - 3600 * SECOND_US, created_at_us=NOON_US)
    [made] = await desk.add(late)
    assert (made.due_at_us, made.next_attempt_at_us) == (late.due_at_us, NOON_US)
    assert await desk.queued() == [entry_of(late.id, 0, NOON_US)]
    assert await desk.timer(late.id) == made


async def test_a_batch_with_a_fault_is_refused_whole(desk: Desk) -> None:
    with pytest.raises(MySQLError):
        await schedule(desk.shards, [new_timer(), new_timer(priority=32_768)])
    assert await desk.count("timers") == await desk.count("due_queue") == 0


async def test_a_repeat_stores_nothing_twice(desk: Desk) -> None:
    asked = new_timers(3)
    first = await schedule(desk.shards, asked)
    assert await schedule(desk.shards, asked) == first
    assert await desk.queued() == entries_of(asked)


async def test_a_repeat_with_company_stores_only_what_is_new(desk: Desk) -> None:
    """A group commit is repeated together with creates that came later."""
    asked, more = new_timers(3), new_timers(2)
    await desk.add(*asked)
    results = await schedule(desk.shards, [*asked, *more])
    assert [_timer(result).id for result in results] == [timer.id for timer in [*asked, *more]]
    assert await desk.queued() == entries_of([*asked, *more])


@pytest.mark.parametrize("fate", ["claimed", "delivered", "retried", "cancelled"])
async def test_a_repeat_does_not_queue_what_has_moved_on(desk: Desk, fate: str) -> None:
    [asked] = new_timers(1, name="n")
    await desk.add(asked)
    controller = await desk.join()
    if fate == "cancelled":
        await cancel(desk.shards, asked.id)
    else:
        [claim] = await desk.take(controller)
        outcome = {"delivered": finished(claim), "retried": retried(claim, NOON_US + 5)}.get(fate)
        if outcome:
            await desk.finish(controller, [outcome], {1})
    before = (await desk.queued(), await desk.in_hand(), await desk.timer(asked.id))

    [result] = await schedule(desk.shards, [asked])

    assert _timer(result).id == asked.id
    assert (await desk.queued(), await desk.in_hand(), await desk.timer(asked.id)) == before


async def test_an_id_chooses_its_shard(two_shards: Shards) -> None:
    chosen = {shard_of(choose_id(two_shards, NOON_US, "default", None)) for _ in range(60)}
    assert chosen == {0, 1}
    named = {shard_of(choose_id(two_shards, NOON_US + n, "default", "one name")) for n in range(20)}
    assert len(named) == 1
    asked = [new_timer(id=new_id(NOON_US, number)) for number in (1, 0, 1)]
    results = await schedule(two_shards, asked)
    assert [_timer(result).id for result in results] == [timer.id for timer in asked]


async def test_an_id_of_no_server_is_refused(desk: Desk) -> None:
    with pytest.raises(ValueError, match="shard number 7"):
        await schedule(desk.shards, [new_timer(id=new_id(NOON_US, 7))])


@pytest.mark.parametrize("count", [1, 2, 31, 32, 100])
async def test_many_timers_are_read_as_they_were_stored(desk: Desk, count: int) -> None:
    """However few or many columns they differ in: those that all have in common are said once."""
    variants: list[dict[str, Any]] = [
        {},
        {"name": None},
        *[{name: value} for name, value in RICH.items() if name != "name"],
        {"body": b"", "meta": ""},
        {"meta": "x" * 5000},
    ]
    for fields_given in variants:
        alike = new_timers(count, **fields_given)
        half = [new_timer(NOON_US + n, **(fields_given if n % 2 else {})) for n in range(count)]
        for asked in (alike, half):
            made = await desk.add(*asked)
            stored = await by_ids(desk, [timer.id for timer in asked])
            assert [stored[timer.id] for timer in asked] == made
    assert len(await desk.queued()) == 2 * count * len(variants)


async def by_ids(desk: Desk, timer_ids: list[UUID]) -> dict[UUID, Timer]:
    rows = await desk.rows(reading.by_ids([timer_id.bytes for timer_id in timer_ids]))
    return {timer.id: timer for timer in map(timer_of, rows)}


async def test_ids_for_many_go_to_few_servers() -> None:
    shards = open_shards(["mysql://a:b@h:1/t"] * 5)
    names = [None, "a", None, "b", *[None] * 40, "a"]
    chosen = choose_ids(shards, NOON_US, [name and ("default", name) for name in names])
    numbers = [shard_of(timer_id) for timer_id in chosen]
    assert len({number for number, name in zip(numbers, names, strict=True) if name is None}) == 1
    for number, name in zip(numbers, names, strict=True):
        assert name is None or number == shards.for_name("default", name).number
    unnamed = [timer_id for timer_id, name in zip(chosen, names, strict=True) if name is None]
    assert unnamed == sorted(set(unnamed))


async def test_nothing_is_stored_when_the_second_of_the_statements_sent_together_fails(desk: Desk) -> None:
    timers = new_timers(3)
    places = entries_of(timers)
    await desk.write(queue.put(places[2:]))
    with pytest.raises(IntegrityError):
        await schedule(desk.shards, timers)
    assert await desk.count("timers") == 0
    assert await desk.queued() == places[2:]


async def test_another_count_than_expected_is_no_silence(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = "DELETE FROM due_queue WHERE 1 = 0"
    wire.rewrite(monkeypatch, lambda sql: re.sub("INSERT INTO due_queue.*?;", f"{nothing};", sql))
    with pytest.raises(UnexpectedCount, match="0 rows instead of 3"):
        await schedule(desk.shards, new_timers(3))

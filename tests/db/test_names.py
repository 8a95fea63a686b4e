"""A name belongs to one living timer."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.db.desk import NOON_US, Desk, entries_of, finished, new_timer, retried
from timer_db.domain.errors import NameTaken
from timer_db.domain.owner import DEFAULT_COLLECTION, DEFAULT_COLLECTION_ID
from timer_db.domain.states import OnUnknown, Outcome, TimerState
from timer_db.domain.timer import NewTimer
from timer_db.operations.cancel import cancel
from timer_db.operations.inspect import get_named
from timer_db.operations.schedule import Scheduled, schedule


def _named(content: str = "same", name: str = "n", **fields: Any) -> NewTimer:
    return new_timer(name=name, meta=content, **fields)


async def _holder(desk: Desk, name: str = "n") -> list[NewTimer]:
    found = await get_named(desk.shards, DEFAULT_COLLECTION, DEFAULT_COLLECTION_ID, name)
    return [] if found is None else [found]


async def test_the_same_content_is_answered_with_the_first(desk: Desk) -> None:
    first, second = _named(), _named()
    [made] = await desk.add(first)
    assert await schedule(desk.shards, [second]) == [Scheduled(made, created=False)]
    assert await desk.count("timers") == 1
    assert await desk.queued() == entries_of([first])


async def test_other_content_is_refused(desk: Desk) -> None:
    first = _named()
    await desk.add(first)
    [refused] = await schedule(desk.shards, [_named("other")])
    assert isinstance(refused, NameTaken)
    assert (refused.name, refused.holder) == ("n", first.id)
    assert await desk.count("timers") == 1


@pytest.mark.parametrize(
    "change",
    [
        {"url": "https://example.com/other"},
        {"method": "PUT"},
        {"headers": {"X": "y"}},
        {"body": b"1"},
        {"labels": {"a": "b"}},
        {"priority": 1},
        {"append_id": False},
        {"timeout_seconds": 11.0},
        {"on_unknown": OnUnknown.fail},
        {"due_as_given": "delay=91"},
    ],
    ids=lambda change: next(iter(change)),
)
async def test_each_field_is_content(desk: Desk, change: dict[str, Any]) -> None:
    await desk.add(_named(due_as_given="delay=90"))
    [result] = await schedule(desk.shards, [_named(**{"due_as_given": "delay=90", **change})])
    assert isinstance(result, NameTaken)


async def test_a_delay_is_the_same_however_late_it_is_repeated(desk: Desk) -> None:
    first = _named(due_as_given="delay=90")
    await desk.add(first)
    later = _named(due_as_given="delay=90", due_at_us=NOON_US + 77, created_at_us=NOON_US - 13)
    [result] = await schedule(desk.shards, [later])
    assert isinstance(result, Scheduled)
    assert (result.timer.id, result.timer.due_at_us, result.created) == (first.id, first.due_at_us, False)


@pytest.mark.parametrize("state", [TimerState.firing, TimerState.scheduled])
async def test_a_living_holder_keeps_its_name(desk: Desk, state: TimerState) -> None:
    first = _named()
    await desk.add(first)
    controller = await desk.join()
    [claim] = await desk.take(controller)
    if state is TimerState.scheduled:
        await desk.finish(controller, [retried(claim, NOON_US + 5)], {1})
    assert await desk.state(first.id) is state
    same, other = await schedule(desk.shards, [_named(), _named("other")])
    assert isinstance(same, Scheduled)
    assert (same.timer.id, same.timer.state, same.created) == (first.id, state, False)
    assert isinstance(other, NameTaken)


@pytest.mark.parametrize("content", ["same", "other"])
@pytest.mark.parametrize(
    "end", [TimerState.delivered, TimerState.failed, TimerState.unknown, TimerState.cancelled]
)
async def test_an_ended_holder_is_followed_by_a_new_one(desk: Desk, end: TimerState, content: str) -> None:
    first, second = _named(), _named(content)
    await desk.add(first)
    if end is TimerState.cancelled:
        await cancel(desk.shards, first.id)
    else:
        controller = await desk.join()
        [claim] = await desk.take(controller)
        await desk.finish(controller, [finished(claim, end, Outcome.unknown)], {1})

    [result] = await schedule(desk.shards, [second])

    assert isinstance(result, Scheduled)
    assert result.created
    assert await desk.queued() == entries_of([second])
    assert [timer.id for timer in await _holder(desk)] == [second.id]
    [refused] = await schedule(desk.shards, [_named("a third")])
    assert isinstance(refused, NameTaken)
    assert refused.holder == second.id


async def test_one_name_many_times_in_one_batch(desk: Desk) -> None:
    batch = [_named(), _named("other"), _named(), _named(name="m"), _named("other")]
    first, other, same, elsewhere, again = await schedule(desk.shards, batch)
    assert isinstance(first, Scheduled)
    assert first.created
    assert same == Scheduled(first.timer, created=False)
    assert isinstance(other, NameTaken)
    assert isinstance(again, NameTaken)
    assert other.holder == again.holder == batch[0].id
    assert isinstance(elsewhere, Scheduled)
    assert elsewhere.created
    assert await desk.queued() == entries_of([batch[0], batch[3]])


async def test_one_name_many_times_after_its_holder_ended(desk: Desk) -> None:
    await desk.add(_named("old"))
    await desk.deliver(await desk.join())
    batch = [_named(), _named(), _named("old")]
    first, same, old = await schedule(desk.shards, batch)
    assert isinstance(first, Scheduled)
    assert first.created
    assert same == Scheduled(first.timer, created=False)
    assert isinstance(old, NameTaken)
    assert old.holder == batch[0].id
    assert await desk.queued() == entries_of(batch[:1])


async def test_a_batch_that_is_repeated_whole_gives_the_same_answers(desk: Desk) -> None:
    batch = [_named(), _named("other"), _named(), new_timer(), _named(name="m")]
    answers = await schedule(desk.shards, batch)
    again = await schedule(desk.shards, batch)
    assert [type(answer) for answer in again] == [type(answer) for answer in answers]
    assert [a for a in again if isinstance(a, Scheduled)] == [a for a in answers if isinstance(a, Scheduled)]
    assert await desk.queued() == entries_of([batch[0], batch[3], batch[4]])


async def test_a_repeat_is_answered_though_its_name_went_on(desk: Desk) -> None:
    """The first answer was lost; before the repeat the timer was delivered, and another took its name."""
    mine, successor = _named(), _named("other")
    await desk.add(mine)
    await desk.deliver(await desk.join())
    await desk.add(successor)

    [result] = await schedule(desk.shards, [mine])

    assert isinstance(result, Scheduled)
    assert (result.timer.id, result.created) == (mine.id, True)
    assert await desk.queued() == entries_of([successor])
    assert [timer.id for timer in await _holder(desk)] == [successor.id]


@pytest.mark.parametrize("content", ["same", "other"])
async def test_two_batches_at_once_agree_on_the_holder(desk: Desk, content: str) -> None:
    for number in range(12):
        names = [f"{number}-{n}" for n in range(5)]
        one = [_named("same", name) for name in names]
        other = [_named(content, name) for name in reversed(names)]
        first, second = await asyncio.gather(schedule(desk.shards, one), schedule(desk.shards, other))
        second.reverse()
        for name, mine, theirs in zip(names, first, second, strict=True):
            [holder] = await _holder(desk, name)
            if content == "same":
                assert isinstance(mine, Scheduled)
                assert isinstance(theirs, Scheduled)
                assert mine.timer.id == theirs.timer.id == holder.id
                assert [mine.created, theirs.created].count(True) == 1
            else:
                [taken] = [answer for answer in (mine, theirs) if isinstance(answer, NameTaken)]
                [made] = [answer for answer in (mine, theirs) if isinstance(answer, Scheduled)]
                assert made.created
                assert taken.holder == made.timer.id == holder.id
    assert await desk.count("timers") == await desk.count("due_queue") == 60


async def test_two_batches_at_once_follow_ended_holders(desk: Desk) -> None:
    names = [f"n{n}" for n in range(20)]
    await desk.add(*(_named("old", name) for name in names))
    await desk.deliver(await desk.join())
    batches = [[_named(f"from {number}", name) for name in names] for number in range(3)]
    answers = await asyncio.gather(*(schedule(desk.shards, batch) for batch in batches))
    for candidates in zip(*answers, strict=True):
        [made] = [answer for answer in candidates if isinstance(answer, Scheduled)]
        assert all(a.holder == made.timer.id for a in candidates if isinstance(a, NameTaken))
    assert await desk.count("due_queue") == 20


async def test_names_are_told_apart_to_the_letter(desk: Desk) -> None:
    names = ["n", "N", "n n", "ń", "ｎ", "n\u200b"]
    await desk.add(*(_named(name, name) for name in names))
    for name in names:
        assert [timer.name for timer in await _holder(desk, name)] == [name]

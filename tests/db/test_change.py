"""Changing timers that wait, one or many: what they are, when they are called, and what is kept beside them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio

from tests.db.desk import NOON_US, SECOND_US, Desk, entries_of, finished, new_timer, new_timers, retried
from timer_db.domain import marks
from timer_db.domain.backoff import RetryPolicy
from timer_db.domain.destination import key_of
from timer_db.domain.errors import ContentUnreadable, NotChangeable, TimerNotFound
from timer_db.domain.ids import new_id
from timer_db.domain.queue_entry import entry_of
from timer_db.domain.states import OnUnknown, TimerState
from timer_db.domain.timer import NewTimer, Timer
from timer_db.encryption import Keyring
from timer_db.engine import Pool, open_shards
from timer_db.operations.change import change, replace_whole
from timer_db.operations.move import fire
from timer_db.operations.schedule import Scheduled, schedule

SLOW = key_of("https://slow.test:443")
OLD_KEY, NEW_KEY = {"k1": bytes(32)}, {"k2": b"2" * 32}


async def _change(desk: Desk, timer_id: UUID, *, is_moved: bool = False, **fields: Any) -> Timer:
    return await change(desk.shards, timer_id, lambda timer: replace(timer, **fields), is_moved=is_moved)


async def _marks(desk: Desk, timer_id: UUID) -> set[bytes]:
    rows = await desk.rows("SELECT entry FROM label_index")
    return {bytes(entry)[:8] for (entry,) in rows if bytes(entry)[8:] == timer_id.bytes}


EVERYTHING: dict[str, Any] = {
    "url": "https://example.com/other",
    "method": "PUT",
    "headers": {"X-A": "b"},
    "body": b'{"a":1}',
    "meta": {"m": 1},
    "labels": {"env": "test"},
    "priority": 7,
    "append_id": False,
    "retry": RetryPolicy(max_attempts=2),
    "timeout_seconds": 2.5,
    "on_unknown": OnUnknown.hold,
    "on_failure_url": "https://example.com/failed",
}


@pytest.mark.parametrize("field", EVERYTHING)
async def test_one_field_at_a_time(desk: Desk, field: str) -> None:
    timer, other = await desk.add(new_timer(labels={"env": "prod"}, meta=1, headers={"X": "y"}), new_timer())
    changed = await _change(desk, timer.id, **{field: EVERYTHING[field]})
    assert changed == replace(timer, **{field: EVERYTHING[field]})
    assert await desk.timer(timer.id) == changed
    assert await desk.timer(other.id) == other
    assert await desk.queued() == sorted(entries_of([changed, other]))


async def test_everything_at_once_and_back(desk: Desk) -> None:
    [timer] = await desk.add(new_timer(labels={"env": "prod", "kept": "1"}))
    changed = await _change(desk, timer.id, is_moved=True, due_at_us=NOON_US + 5 * SECOND_US, **EVERYTHING)
    later = {"due_at_us": NOON_US + 5 * SECOND_US, "next_attempt_at_us": NOON_US + 5 * SECOND_US}
    assert changed == replace(timer, **EVERYTHING, **later)
    assert await _marks(desk, timer.id) == set(marks.marks_of({"env": "test"}, timer.owner))
    back = await change(desk.shards, timer.id, lambda _: timer, is_moved=True)
    assert back == timer
    assert await _marks(desk, timer.id) == set(marks.marks_of(timer.labels, timer.owner))
    assert await desk.queued() == entries_of([timer])


async def test_a_claim_finds_what_was_changed(desk: Desk) -> None:
    [timer] = await desk.add(new_timer())
    await _change(desk, timer.id, body=b"new", priority=3)
    [claim] = await desk.take(await desk.join())
    assert (claim.timer.body, claim.timer.priority, claim.entry.rank) == (b"new", 3, 32_764)


async def test_the_past_is_now(desk: Desk) -> None:
    [timer] = await desk.add(new_timer(NOON_US))
    before_us = await desk.now_us()
    changed = await _change(desk, timer.id, is_moved=True, due_at_us=before_us - SECOND_US)
    assert changed.due_at_us == before_us - SECOND_US
    assert changed.next_attempt_at_us is not None
    assert before_us <= changed.next_attempt_at_us <= await desk.now_us()


async def test_a_retry_stays_where_it_is_unless_it_is_moved(desk: Desk) -> None:
    [timer] = await desk.add(new_timer(NOON_US))
    controller = await desk.join()
    [claim] = await desk.take(controller)
    await desk.finish(controller, [retried(claim, NOON_US + 60 * SECOND_US)], {1})
    assert (await _change(desk, timer.id, meta=2)).next_attempt_at_us == NOON_US + 60 * SECOND_US
    moved = await _change(desk, timer.id, is_moved=True, due_at_us=NOON_US + SECOND_US)
    assert (moved.next_attempt_at_us, moved.attempts) == (NOON_US + SECOND_US, 1)


async def test_one_that_waits_for_its_receiver_goes_back_into_the_queue(desk: Desk) -> None:
    [timer] = await desk.add(new_timer())
    await desk.defer_all(await desk.join(), 1, SLOW)
    changed = await _change(desk, timer.id, priority=2)
    assert await desk.deferred() == {}
    assert await desk.queued() == [entry_of(timer.id, 2, timer.due_at_us)]
    assert changed.state is TimerState.scheduled


async def test_firing_is_moving_to_now(desk: Desk) -> None:
    [timer] = await desk.add(new_timer(NOON_US, priority=4))
    before_us = await desk.now_us()
    fired = await fire(desk.shards, timer.id)
    assert before_us <= fired.due_at_us <= await desk.now_us()
    assert fired.next_attempt_at_us == fired.due_at_us
    assert await desk.queued() == [entry_of(timer.id, 4, fired.due_at_us)]


async def test_only_a_scheduled_timer_is_changed(desk: Desk) -> None:
    timers = await desk.add(*new_timers(2))
    controller = await desk.join()
    claims = await desk.take(controller)
    await desk.finish(controller, [finished(claims[0])])
    before = [await desk.timer(timer.id) for timer in timers]
    for timer, state in zip(before, (TimerState.delivered, TimerState.firing), strict=True):
        for work in (_change(desk, timer.id, meta=1), fire(desk.shards, timer.id)):
            with pytest.raises(NotChangeable) as caught:
                await work
            assert (caught.value.timer_id, caught.value.state) == (timer.id, state)
    assert [await desk.timer(timer.id) for timer in timers] == before


@pytest.mark.parametrize("shard", [0, 5])
async def test_an_unknown_id(desk: Desk, shard: int) -> None:
    for work in (_change(desk, new_id(0, shard), meta=1), fire(desk.shards, new_id(0, shard))):
        with pytest.raises(TimerNotFound):
            await work


async def test_changes_at_once_are_made_one_after_the_other(desk: Desk) -> None:
    [timer] = await desk.add(new_timer(labels={"n": "0"}))

    def add(name: str, old: Timer) -> NewTimer:
        return replace(old, labels={**old.labels, name: "1"})

    names = [f"l{n}" for n in range(12)]
    await asyncio.gather(
        *(change(desk.shards, timer.id, lambda old, n=name: add(n, old), is_moved=False) for name in names)
    )
    changed = await desk.timer(timer.id)
    assert changed.labels == {"n": "0", **dict.fromkeys(names, "1")}
    assert await _marks(desk, timer.id) == set(marks.marks_of(changed.labels, changed.owner))


async def test_a_repeated_create_knows_the_first_content_only(desk: Desk) -> None:
    first = new_timer(name="n", meta=1)
    await desk.add(first)
    changed = await _change(desk, first.id, meta=2)
    [same] = await schedule(desk.shards, [new_timer(name="n", meta=1)])
    assert same == Scheduled(changed, created=False)
    [other] = await schedule(desk.shards, [new_timer(name="n", meta=2)])
    assert not isinstance(other, Scheduled)


@pytest_asyncio.fixture
async def sealed(database_url: str) -> AsyncIterator[tuple[Desk, Desk]]:
    """The same database with a key, and with a later one beside it."""
    opened = [
        open_shards([database_url], Pool(size=2), Keyring(keys)) for keys in (OLD_KEY, {**NEW_KEY, **OLD_KEY})
    ]
    yield Desk(opened[0]), Desk(opened[1])
    for shards in opened:
        await shards.close()


async def _stored(desk: Desk) -> tuple[Any, ...]:
    [row] = await desk.rows("SELECT headers, meta, body, sealed_with FROM timers")
    return row


async def test_encrypted_content_stays_so(sealed: tuple[Desk, Desk], desk: Desk) -> None:
    old, new = sealed
    [timer] = await old.add(new_timer(meta={"secret": 1}, headers={"X": "y"}, body=b"body"))
    before = await _stored(desk)
    await _change(new, timer.id, priority=1, labels={"a": "b"})
    assert await _stored(desk) == before
    changed = await _change(new, timer.id, meta={"secret": 2})
    assert (changed.meta, changed.headers, changed.body) == ({"secret": 2}, {"X": "y"}, b"body")
    headers, meta, body, key = await _stored(desk)
    assert (headers, meta, key) == (None, None, "k2")
    assert b"secret" not in bytes(body)
    emptied = await _change(new, timer.id, meta=None, headers={}, body=None)
    assert (emptied.meta, emptied.headers, emptied.body) == (None, {}, None)
    assert await _stored(desk) == (None, None, None, None)


async def test_content_that_nobody_can_read_is_left_alone(sealed: tuple[Desk, Desk], desk: Desk) -> None:
    [timer] = await sealed[0].add(new_timer(meta={"secret": 1}))
    before = await _stored(desk)
    with pytest.raises(ContentUnreadable):
        await _change(desk, timer.id, headers={"X": "y"})
    moved = await _change(desk, timer.id, priority=5)
    assert (moved.priority, await _stored(desk)) == (5, before)
    assert (await sealed[0].timer(timer.id)).meta == {"secret": 1}
    assert await desk.queued() == [entry_of(timer.id, 5, timer.due_at_us)]


async def test_what_nobody_can_read_is_replaced_as_a_whole(sealed: tuple[Desk, Desk], desk: Desk) -> None:
    """By one without content as well, which looks no different from what cannot be read."""
    [timer] = await sealed[0].add(new_timer(name="n", meta={"secret": 1}))
    replaced = await replace_whole(desk.shards, timer.id, new_timer(name="n"))
    assert (replaced.id, replaced.meta, replaced.unreadable) == (timer.id, None, "")
    assert await _stored(desk) == (None, None, None, None)
    [timer] = await sealed[0].add(new_timer(name="m", meta={"secret": 1}))
    replaced = await replace_whole(desk.shards, timer.id, new_timer(name="m", meta=2))
    assert (replaced.meta, replaced.unreadable) == (2, "")

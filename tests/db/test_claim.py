"""Claiming: the right timers, in the right order, each to one controller."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from tests.db.desk import NOON_US, SECOND_US, Desk, entries_of, new_timer, new_timers, retried
from tests.unit.makers import in_hand
from timer_db.domain.backoff import RetryPolicy
from timer_db.domain.errors import Fenced, TimerNotFound
from timer_db.domain.queue_entry import PRIORITY_MAX, QueueEntry, entry_of, time_bound
from timer_db.domain.states import OnUnknown, Outcome, TimerState
from timer_db.operations import claim as claiming
from timer_db.operations import membership
from timer_db.operations.rescue import fence_silent
from timer_db.statements import queue


async def test_nothing_to_claim_makes_no_batch(desk: Desk) -> None:
    assert await desk.claim(await desk.join()) == []
    assert await desk.in_hand() == {}


async def test_a_claim_moves_timers_from_the_queue_into_a_batch(desk: Desk) -> None:
    timers = await desk.add(*new_timers(3))
    controller = await desk.join()
    assert await desk.claim(controller, 7) == entries_of(timers)
    assert await desk.queued() == []
    assert await desk.in_hand() == {(controller, 7): entries_of(timers)}
    assert {await desk.state(timer.id) for timer in timers} == {TimerState.firing}


async def test_priority_goes_before_time(desk: Desk) -> None:
    timers = [
        new_timer(NOON_US + offset, priority=priority)
        for priority in (0, 1, 40, PRIORITY_MAX)
        for offset in (3, 1, 2)
    ]
    await desk.add(*timers)
    claimed = await desk.claim(await desk.join())
    wanted = sorted(timers, key=lambda t: (-t.priority, t.due_at_us))
    assert [entry.timer_id for entry in claimed] == [timer.id.bytes for timer in wanted]


async def test_the_limit_spans_priorities(desk: Desk) -> None:
    timers = [*new_timers(3, priority=5), *new_timers(3)]
    await desk.add(*timers)
    wanted = entries_of(timers)
    controller = await desk.join()
    assert await desk.claim(controller, 1, limit=4) == wanted[:4]
    assert await desk.claim(controller, 2, limit=0) == []
    assert await desk.claim(controller, 3, limit=4) == wanted[4:]


async def test_one_claim_takes_no_more_than_a_batch(desk: Desk) -> None:
    await desk.add(*new_timers(claiming.BATCH_MAX + 5))
    assert len(await desk.claim(await desk.join(), limit=10_000)) == claiming.BATCH_MAX


async def test_the_horizon_is_the_first_moment_that_is_too_late(desk: Desk) -> None:
    soon, late = new_timer(NOON_US), new_timer(NOON_US + 1)
    await desk.add(soon, late)
    controller = await desk.join()
    assert await desk.claim(controller, 1, horizon_us=NOON_US) == []
    assert await desk.claim(controller, 2, horizon_us=NOON_US + 1) == entries_of([soon])
    assert await desk.queued() == entries_of([late])


async def _firsts(desk: Desk, behind: Mapping[int, bytes]) -> dict[int, int | None]:
    """By priority, with the moment of the first entry."""
    found = await claiming.first_entries(desk.engine, behind)
    return {
        PRIORITY_MAX - rank: None if key is None else QueueEntry(rank, key).at_us for rank, key in found.items()
    }


@pytest.mark.parametrize("count", [3, queue.LOOKUPS_MAX + 5], ids=["looked up", "hopped through"])
async def test_the_first_entry_of_each_priority(desk: Desk, count: int) -> None:
    priorities = [PRIORITY_MAX, 0, 7, *range(100, 200)][:count]
    await desk.add(*(new_timer(NOON_US + n, priority=p) for p in priorities for n in (3, 1, 2)))
    assert await _firsts(desk, {}) == dict.fromkeys(priorities, NOON_US + 1)
    behind = dict.fromkeys([PRIORITY_MAX - p for p in priorities], time_bound(NOON_US + 2))
    assert await _firsts(desk, behind) == dict.fromkeys(priorities, NOON_US + 2)
    behind = dict.fromkeys(behind, time_bound(NOON_US + 4))
    assert await _firsts(desk, behind) == dict.fromkeys(priorities, None)


@pytest.mark.parametrize("known", [1, queue.LOOKUPS_MAX, queue.LOOKUPS_MAX + 1])
async def test_a_priority_that_nobody_knew_is_found(desk: Desk, known: int) -> None:
    """Wherever it stands among those that are known, and though it has nothing but a head."""
    behind = {100 + 2 * n: time_bound(NOON_US) for n in range(known)}
    for rank in (99, 101, 100 + 2 * known, 0, PRIORITY_MAX):
        await desk.add(new_timer(NOON_US + 5, priority=PRIORITY_MAX - rank))
        firsts = await claiming.first_entries(desk.engine, behind)
        assert firsts.pop(rank) == entry_of(UUID(int=0), 0, NOON_US + 5).due_key[:8] + (await _only_id(desk))
        assert firsts == dict.fromkeys(behind)
        await desk.write("DELETE FROM due_queue")
        await claiming.put_heads(desk.engine, [rank])
        if known <= queue.LOOKUPS_MAX:
            assert (await claiming.first_entries(desk.engine, behind)).keys() == {*behind, rank}
        await desk.write("DELETE FROM due_queue")
        await desk.write("DELETE FROM timers")


async def _only_id(desk: Desk) -> bytes:
    [(timer_id,)] = await desk.rows("SELECT id FROM timers")
    return bytes(timer_id)


async def test_heads_are_no_timers(desk: Desk) -> None:
    await desk.add(*new_timers(2))
    for _ in range(2):
        await claiming.put_heads(desk.engine, [PRIORITY_MAX, 5])
    assert await desk.count("due_queue") == 4
    assert await _firsts(desk, {}) == {0: NOON_US, PRIORITY_MAX - 5: None}
    assert len(await desk.claim(await desk.join())) == 2
    assert await desk.count("due_queue") == 2


async def test_behind_goes_on_where_the_last_claim_ended(desk: Desk) -> None:
    low, high = new_timers(6), new_timers(2, priority=1)
    await desk.add(*low, *high)
    places = entries_of(low)
    behind = {places[2].rank: places[2].due_key}
    claimed = await desk.claim(await desk.join(), behind=behind)
    assert claimed == [*entries_of(high), *places[3:]]


async def test_only_the_ranks_asked_for_are_looked_at(desk: Desk) -> None:
    await desk.add(*new_timers(2), *new_timers(2, priority=1))
    claimed = await claiming.claim(
        desk.engine, await desk.join(), 1,
        ranks=[PRIORITY_MAX], behind={}, horizon_us=NOON_US + SECOND_US, limit=10,
    )  # fmt: skip
    assert {entry.rank for entry in claimed.entries} == {PRIORITY_MAX}
    assert len(claimed.entries) == 2


@pytest.mark.parametrize("how", ["left", "fenced", "never joined"])
async def test_only_a_member_may_claim(desk: Desk, how: str) -> None:
    timers = await desk.add(*new_timers(2))
    controller = await desk.join()
    if how == "left":
        await membership.leave(desk.engine, controller)
    elif how == "fenced":
        await desk.silence(controller, seconds=10)
        assert await fence_silent(desk.engine, 5 * SECOND_US) == [controller]
    else:
        controller += 1000
    with pytest.raises(Fenced):
        await desk.claim(controller)
    assert await desk.queued() == entries_of(timers)
    assert await desk.in_hand() == {}


async def test_a_number_is_used_once(desk: Desk) -> None:
    """A claim that is repeated by mistake takes nothing."""
    await desk.add(*new_timers(4))
    controller = await desk.join()
    first = await desk.claim(controller, 1, limit=2)
    with pytest.raises(Exception, match="Duplicate entry"):
        await desk.claim(controller, 1, limit=2)
    assert await desk.in_hand() == {(controller, 1): first}
    assert len(await desk.queued()) == 2


async def test_claimers_at_once_take_everything_and_nothing_twice(desk: Desk) -> None:
    timers = await desk.add(*new_timers(400), *new_timers(100, priority=1))
    controllers = [await desk.join() for _ in range(4)]

    async def drain(controller: int) -> int:
        number = claimed = 0
        # A claim that finds less may have been passing over what another was about to take.
        while await desk.count("due_queue"):
            number += 1
            claimed += len(await desk.claim(controller, number, limit=17))
        return claimed

    assert sum(await asyncio.gather(*(drain(controller) for controller in controllers))) == len(timers)
    held = [entry for entries in (await desk.in_hand()).values() for entry in entries]
    assert sorted(held) == entries_of(timers)
    assert len({controller for controller, _ in await desk.in_hand()}) > 1


async def test_adopt_reads_a_batch_back(desk: Desk) -> None:
    await desk.add(*new_timers(3))
    controller, other = await desk.join(), await desk.join()
    entries = await desk.claim(controller, 5)
    assert await claiming.adopt(desk.engine, controller, 5) == (entries, 0)
    assert await claiming.adopt(desk.engine, controller, 4) == ([], 0)
    assert await claiming.adopt(desk.engine, other, 5) == ([], 0)


async def test_load_gives_what_was_asked_in_the_order_of_the_claim(desk: Desk) -> None:
    timers = await desk.add(*(new_timer(NOON_US + n, priority=n % 3, meta={"n": n}) for n in range(30)))
    entries = await desk.claim(await desk.join())
    claims = await claiming.load(desk.engine, 1, entries)
    assert [claim.entry for claim in claims] == entries
    by_id = {timer.id: timer for timer in timers}
    for claim in claims:
        assert (claim.batch, claim.attempt, claim.possible_duplicate, claim.is_large) == (1, 1, False, False)
        assert claim.timer == in_hand(by_id[claim.timer.id])


SEPARATORS = "".join(chr(n) for n in range(1, 33)) + ",;'\"\\%_-\x7f\x85\u2028\U0001f600"


@pytest.mark.parametrize(
    "fields",
    [
        {"meta": SEPARATORS, "labels": {"l": SEPARATORS}, "headers": {"H": SEPARATORS}, "name": SEPARATORS},
        {"body": bytes(range(256)), "body_is_json": False},
        {"body": b"", "body_is_json": False},
        {"body": b"L"},
        {"body": b"-"},
        {"meta": "L"},
        {"meta": False},
        {"meta": 0},
        {"meta": ""},
        {"meta": {"": []}},
        {"append_id": False, "method": "M-SEARCH", "priority": PRIORITY_MAX, "timeout_seconds": 0.001},
        {"retry": RetryPolicy(1, 0.5, 1.25, 7.0, 0.0), "on_unknown": OnUnknown.fail},
        {"url": "http://h/?q=" + "x" * 2071},
    ],
    ids=lambda fields: ",".join(fields),
)
async def test_whatever_was_asked_is_loaded_to_the_letter(desk: Desk, fields: dict[str, Any]) -> None:
    [timer] = await desk.add(new_timer(**fields))
    [claim] = await desk.take(await desk.join())
    assert claim.timer == in_hand(timer)
    assert not claim.is_large


@pytest.mark.parametrize("field", ["body", "meta", "headers", "labels"])
async def test_what_is_large_is_loaded_by_itself(desk: Desk, field: str) -> None:
    text = "ü" * 300_000
    large: Any = {"body": text.encode(), "meta": text, "headers": {"h": text}, "labels": {"l": text}}[field]
    [timer] = await desk.add(new_timer(**{"meta": "m", "headers": {"a": "b"}, field: large}))
    await desk.add(new_timer(meta="small"))
    in_batch, small = sorted(await desk.take(await desk.join()), key=lambda claim: not claim.is_large)
    assert (in_batch.is_large, small.is_large, small.timer.meta_json) == (True, False, '"small"')
    whole = await claiming.load_whole(desk.engine, in_batch)
    assert whole.timer == in_hand(timer)
    assert (whole.entry, whole.batch, whole.attempt, whole.is_large) == (in_batch.entry, 1, 1, False)


async def test_a_large_timer_that_is_gone(desk: Desk) -> None:
    await desk.add(new_timer(meta="x" * 5000))
    [claim] = await desk.take(await desk.join())
    await desk.write("DELETE FROM timers")
    with pytest.raises(TimerNotFound):
        await claiming.load_whole(desk.engine, claim)


async def test_the_fullest_batch_that_there_can_be(desk: Desk) -> None:
    """Everything just not large, in a whole batch: it must fit the server's answer."""
    fields: dict[str, Any] = {"body": b"\xff" * 4096, "url": "http://h/" + "x" * 2074, "body_is_json": False}
    timers = [replace(timer, name=f"{n:0200}") for n, timer in enumerate(new_timers(claiming.BATCH_MAX, **fields))]
    for start in range(0, len(timers), 300):
        await desk.add(*timers[start : start + 300])
    claims = await desk.take(await desk.join())
    assert [claim.timer.body for claim in claims] == [b"\xff" * 4096] * claiming.BATCH_MAX


async def test_load_leaves_out_what_is_gone(desk: Desk) -> None:
    kept, gone = await desk.add(*new_timers(2))
    entries = await desk.claim(await desk.join())
    await desk.write(f"DELETE FROM timers WHERE id = x'{gone.id.hex}'")
    claims = await claiming.load(desk.engine, 1, entries)
    assert [claim.timer.id for claim in claims] == [kept.id]
    assert await claiming.load(desk.engine, 1, []) == []


async def test_load_counts_attempts(desk: Desk) -> None:
    await desk.add(*new_timers(1))
    controller = await desk.join()
    outcomes = [(Outcome.not_sent, False), (Outcome.unknown, True), (Outcome.rejected, True)]
    for number, (outcome, may_have_arrived) in enumerate(outcomes, start=1):
        [claim] = await desk.take(controller, number)
        assert claim.attempt == number
        await desk.finish(controller, [retried(claim, NOON_US + number, outcome)], {number})
        [entry] = await desk.queued()
        assert entry.at_us == NOON_US + number
        assert (await desk.rows("SELECT possible_duplicate FROM timers"))[0][0] == may_have_arrived
    [claim] = await desk.take(controller, 9)
    assert (claim.attempt, claim.possible_duplicate) == (4, True)


async def test_a_timer_that_is_gone_leaves_the_queue_and_is_no_claim(desk: Desk) -> None:
    """So that it is in nobody's way for ever."""
    kept, gone = await desk.add(*new_timers(2))
    await desk.write(f"DELETE FROM timers WHERE id = x'{gone.id.hex}'")
    taken = await desk.claim_whole(await desk.join())
    assert [entry.timer_id for entry in taken.entries] == [kept.id.bytes, gone.id.bytes]
    assert [claim.timer.id for claim in taken.claims] == [kept.id]
    assert await desk.queued() == []

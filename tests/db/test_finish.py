"""Writing outcomes down: exactly once, and only by who holds the claim."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.db.desk import LEASE_US, NOON_US, SECOND_US, Desk, finished, new_timer, new_timers, retried
from timer_db.domain.claim import Claim, Finished
from timer_db.domain.queue_entry import entry_of
from timer_db.domain.states import OnUnknown, Outcome, TimerState
from timer_db.operations.finish import Written
from timer_db.operations.inspect import list_attempts
from timer_db.operations.rescue import fence_silent, find_gone, rescue_batch


async def _held(desk: Desk, count: int = 1, **fields: object) -> tuple[int, list[Claim]]:
    """So many claims of a new controller, as its batch 1."""
    await desk.add(*new_timers(count, **fields))
    controller = await desk.join()
    return controller, await desk.take(controller, 1)


async def _rescue(desk: Desk, controller: int) -> None:
    await desk.silence(controller, seconds=60)
    await fence_silent(desk.engine, LEASE_US)
    # Everything is long past its last breath, so nothing counts as unsent.
    for gone in await find_gone(desk.engine, LEASE_US):
        while await rescue_batch(desk.engine, type(gone)(gone.controller_id, NOON_US + SECOND_US)):
            pass


async def test_a_delivery(desk: Desk) -> None:
    controller, [claim] = await _held(desk)
    outcome = finished(claim, http_status=204, latency_us=1234, answer=b"\x00thanks\xff", reason="204 No Content")

    assert await desk.finish(controller, [outcome], {1}) == Written()

    timer = await desk.timer(claim.timer.id)
    assert (timer.state, timer.attempts, timer.ended_at_us) == (TimerState.delivered, 1, NOON_US + 20)
    assert timer.next_attempt_at_us is None
    [attempt] = await list_attempts(desk.shards, timer.id)
    assert (attempt.number, attempt.outcome, attempt.state) == (1, Outcome.delivered, TimerState.delivered)
    assert (attempt.started_at_us, attempt.finished_at_us) == (NOON_US + 10, NOON_US + 20)
    assert (attempt.http_status, attempt.latency_us, attempt.answer) == (204, 1234, b"\x00thanks\xff")
    assert (attempt.reason, attempt.controller) == ("204 No Content", f"{controller} (host:1)")
    assert await desk.in_hand() == {}
    assert await desk.queued() == []
    assert await desk.count("endings") == 0


@pytest.mark.parametrize(
    ("state", "outcome"),
    [
        (TimerState.failed, Outcome.rejected),
        (TimerState.failed, Outcome.not_sent),
        (TimerState.unknown, Outcome.unknown),
    ],
)
async def test_other_ends(desk: Desk, state: TimerState, outcome: Outcome) -> None:
    controller, [claim] = await _held(desk)
    await desk.finish(controller, [finished(claim, state, outcome)], {1})
    timer = await desk.timer(claim.timer.id)
    assert (timer.state, timer.attempts, timer.ended_at_us) == (state, 1, NOON_US + 20)
    assert await desk.rows("SELECT state, timer_id, ended_at_us FROM endings") == [
        (state.value, timer.id.bytes, NOON_US + 20)
    ]
    assert await desk.queued() == []


@pytest.mark.parametrize("outcome", [Outcome.not_sent, Outcome.rejected, Outcome.unknown])
async def test_a_retry(desk: Desk, outcome: Outcome) -> None:
    controller, [claim] = await _held(desk, priority=3)
    again_us = NOON_US + 30 * SECOND_US

    await desk.finish(controller, [retried(claim, again_us, outcome)], {1})

    timer = await desk.timer(claim.timer.id)
    assert (timer.state, timer.attempts) == (TimerState.scheduled, 1)
    assert (timer.due_at_us, timer.next_attempt_at_us, timer.ended_at_us) == (NOON_US, again_us, None)
    assert await desk.queued() == [entry_of(timer.id, 3, again_us)]
    [attempt] = await list_attempts(desk.shards, timer.id)
    assert (attempt.state, attempt.outcome) == (TimerState.scheduled, outcome)
    [claim] = await desk.take(controller, 2)
    assert (claim.attempt, claim.possible_duplicate) == (2, outcome is Outcome.unknown)
    await desk.finish(controller, [finished(claim)], {2})
    assert (await desk.timer(timer.id)).attempts == 2
    assert [a.number for a in await list_attempts(desk.shards, timer.id)] == [1, 2]


async def test_long_words_of_a_receiver_are_cut(desk: Desk) -> None:
    controller, [claim] = await _held(desk)
    await desk.finish(controller, [finished(claim, reason="ü" * 300, answer=b"x" * 2000)], {1})
    [attempt] = await list_attempts(desk.shards, claim.timer.id)
    assert (attempt.reason, attempt.answer) == ("ü" * 255, b"x" * 1024)


@pytest.mark.parametrize(
    "reason", ["", "'; DROP TABLE attempts; --", "\\'\"%s%%\0\n", "\U0001f600 ü", "\udcff cut off"], ids=ascii
)
async def test_any_reason_can_be_told(desk: Desk, reason: str) -> None:
    controller, [claim] = await _held(desk)
    await desk.finish(controller, [finished(claim, reason=reason, answer=b"'\\\0%s")], {1})
    [attempt] = await list_attempts(desk.shards, claim.timer.id)
    assert (attempt.reason, attempt.answer) == (reason.replace("\udcff", "?"), b"'\\\0%s")


async def test_outcomes_of_every_kind_in_one_call(desk: Desk) -> None:
    controller, claims = await _held(desk, 40)
    ways: list[Callable[[Claim], Finished]] = [
        finished,
        lambda c: finished(c, TimerState.failed, Outcome.rejected),
        lambda c: finished(c, TimerState.unknown, Outcome.unknown),
        lambda c: retried(c, NOON_US + SECOND_US),
    ]
    outcomes = [ways[n % 4](claim) for n, claim in enumerate(claims)]
    assert await desk.finish(controller, list(reversed(outcomes)), {1}) == Written()
    for outcome, claim in zip(outcomes, claims, strict=True):
        assert await desk.state(claim.timer.id) is outcome.state
    assert len(await desk.queued()) == 10
    assert await desk.count("endings") == 20


async def test_a_batch_is_finished_in_parts(desk: Desk) -> None:
    controller, claims = await _held(desk, 5)
    await desk.finish(controller, [finished(claim) for claim in claims[:2]])
    assert (controller, 1) in await desk.in_hand()
    assert await desk.state(claims[2].timer.id) is TimerState.firing
    await desk.finish(controller, [finished(claim) for claim in claims[2:]], {1})
    assert await desk.in_hand() == {}
    assert await desk.count("attempts") == 5


async def test_several_batches_in_one_call(desk: Desk) -> None:
    await desk.add(*new_timers(6))
    controller = await desk.join()
    claims = [await desk.take(controller, number, limit=2) for number in (1, 2, 3)]
    outcomes = [finished(claim) for batch in claims for claim in batch]
    await desk.finish(controller, outcomes[:5], {1, 2})
    assert list(await desk.in_hand()) == [(controller, 3)]
    await desk.finish(controller, outcomes[5:], {3})
    assert await desk.count("attempts") == 6


async def test_nothing_is_written_without_the_claim(desk: Desk) -> None:
    controller, claims = await _held(desk, 3, on_unknown=OnUnknown.hold)
    await _rescue(desk, controller)
    before = await desk.rows("SELECT * FROM attempts")
    outcomes = [finished(claim) for claim in claims]

    assert await desk.finish(controller, outcomes, {1}) == Written(outcomes, frozenset({1}))

    assert await desk.rows("SELECT * FROM attempts") == before
    assert {await desk.state(claim.timer.id) for claim in claims} == {TimerState.unknown}


async def test_a_lost_batch_does_not_take_the_others_down(desk: Desk) -> None:
    await desk.add(*new_timers(4))
    controller = await desk.join()
    kept = await desk.take(controller, 1, limit=2)
    lost = await desk.take(controller, 2, limit=2)
    await desk.write(f"DELETE FROM claim_batches WHERE controller_id = {controller} AND number = 2")
    written = await desk.finish(controller, [finished(c) for c in [*kept, *lost]], {1, 2})
    assert written == Written([finished(c) for c in lost], frozenset({2}))
    assert {await desk.state(c.timer.id) for c in kept} == {TimerState.delivered}


async def test_another_controllers_batch_is_not_ours(desk: Desk) -> None:
    controller, [claim] = await _held(desk)
    other = await desk.join()
    assert (await desk.finish(other, [finished(claim)], {1})).lost == [finished(claim)]
    assert await desk.count("attempts") == 0
    assert list(await desk.in_hand()) == [(controller, 1)]


def _all_kinds(claims: list[Claim]) -> list[Finished]:
    return [
        finished(claims[0]),
        finished(claims[1], TimerState.failed, Outcome.rejected),
        retried(claims[2], NOON_US + SECOND_US),
    ]


@pytest.mark.parametrize("is_whole", [True, False], ids=["whole batch", "part of it"])
async def test_a_repeat_writes_nothing_twice(desk: Desk, is_whole: bool) -> None:
    controller, claims = await _held(desk, 4)
    outcomes, done = _all_kinds(claims), ({1} if is_whole else set())
    if is_whole:
        outcomes.append(finished(claims[3]))
    await desk.finish(controller, outcomes, done)
    tables = ("attempts", "endings", "due_queue", "claim_batches", "timers")
    before = {table: await desk.rows(f"SELECT * FROM {table}") for table in tables}

    assert await desk.finish(controller, outcomes, done, is_repeat=True) == Written()

    assert {table: await desk.rows(f"SELECT * FROM {table}") for table in tables} == before


@pytest.mark.parametrize("is_whole", [True, False], ids=["whole batch", "part of it"])
async def test_a_repeat_writes_what_the_first_try_did_not(desk: Desk, is_whole: bool) -> None:
    controller, claims = await _held(desk, 4)
    outcomes, done = _all_kinds(claims), ({1} if is_whole else set())
    if is_whole:
        outcomes.append(finished(claims[3]))
    assert await desk.finish(controller, outcomes, done, is_repeat=True) == Written()
    assert await desk.count("attempts") == len(outcomes)
    assert bool(await desk.in_hand()) != is_whole


async def test_a_repeat_does_not_queue_again_what_was_claimed_since(desk: Desk) -> None:
    """Between the first try and its repeat, the retry was claimed anew."""
    controller, [claim] = await _held(desk)
    outcome = retried(claim, NOON_US + 5)
    await desk.finish(controller, [outcome], {1})
    [second] = await desk.take(controller, 2)

    assert await desk.finish(controller, [outcome], {1}, is_repeat=True) == Written()

    assert await desk.queued() == []
    await desk.finish(controller, [finished(second)], {2})
    assert (await desk.timer(claim.timer.id)).attempts == 2


async def test_a_repeat_that_finds_its_batch_taken_over_says_so(desk: Desk) -> None:
    """The first try did not happen, and others decided in the meantime."""
    controller, claims = await _held(desk, 2, on_unknown=OnUnknown.hold)
    await _rescue(desk, controller)
    outcomes = [finished(claim) for claim in claims]
    assert await desk.finish(controller, outcomes, {1}, is_repeat=True) == Written(outcomes, frozenset({1}))
    assert {await desk.state(claim.timer.id) for claim in claims} == {TimerState.unknown}


async def test_what_was_given_back_is_no_part_of_the_batch(desk: Desk) -> None:
    controller, claims = await _held(desk, 3)
    await desk.give_back(controller, 1, [claims[0].entry])
    await desk.finish(controller, [finished(claim) for claim in claims[1:]], {1})
    assert await desk.state(claims[0].timer.id) is TimerState.scheduled
    assert await desk.in_hand() == {}


async def test_a_count_that_is_wrong_rolls_everything_back(desk: Desk) -> None:
    """A timer that vanished under a claim: nothing of the call is written."""
    controller, claims = await _held(desk, 2)
    await desk.write(f"DELETE FROM timers WHERE id = x'{claims[1].timer.id.hex}'")
    with pytest.raises(Exception, match="0 rows instead of 1 matched"):
        await desk.finish(controller, [finished(claims[0]), retried(claims[1], NOON_US + 5)], {1})
    assert await desk.count("attempts") == 0
    assert list(await desk.in_hand()) == [(controller, 1)]


async def test_a_new_timer_of_no_attempts_has_none(desk: Desk) -> None:
    [timer] = await desk.add(new_timer())
    assert await list_attempts(desk.shards, timer.id) == []

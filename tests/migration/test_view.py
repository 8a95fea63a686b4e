"""`timers_readable`, the view for people, tells the same as the services do."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tests.db.desk import NOON_US, SECOND_US, Desk, finished, new_timer, retried
from timer_db.domain.states import Outcome, TimerState
from timer_db.domain.timer import Timer
from timer_db.operations.cancel import cancel


async def _timer_in(desk: Desk, state: TimerState, *, after_a_retry: bool) -> Timer:
    [timer] = await desk.add(new_timer(NOON_US + 123_456, priority=9, name="n", method="PUT"))
    controller = await desk.join()
    if after_a_retry:
        [claim] = await desk.take(controller, 1)
        await desk.finish(controller, [retried(claim, NOON_US + SECOND_US)], {1})
    if state is TimerState.cancelled:
        await cancel(desk.shards, timer.id)
    elif state is not TimerState.scheduled:
        [claim] = await desk.take(controller, 2)
        if state is not TimerState.firing:
            outcome = Outcome.delivered if state is TimerState.delivered else Outcome.unknown
            await desk.finish(controller, [finished(claim, state, outcome)], {2})
    return await desk.timer(timer.id)


@pytest.mark.parametrize("after_a_retry", [False, True], ids=["first attempt", "second attempt"])
@pytest.mark.parametrize("state", TimerState)
async def test_the_view_agrees(desk: Desk, state: TimerState, after_a_retry: bool) -> None:
    timer = await _timer_in(desk, state, after_a_retry=after_a_retry)
    assert timer.state is state
    [row] = await desk.rows(
        "SELECT id, state, due_at, next_at, created_at, attempts, name, priority, method, url FROM timers_readable"
    )
    shown_id, shown_state, due_at, next_at, created_at, *rest = row
    assert shown_id == str(timer.id)
    assert shown_state == state.value
    assert due_at == _moment(timer.due_at_us)
    assert created_at == _moment(timer.created_at_us)
    assert next_at == _moment(NOON_US + SECOND_US if after_a_retry else timer.due_at_us)
    assert rest == [timer.attempts, "n", 9, "PUT", timer.url]


def _moment(time_us: int) -> datetime:
    """As the server gives it: in UTC, to the microsecond."""
    seconds, rest = divmod(time_us, SECOND_US)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest, tzinfo=None)


async def test_a_timer_that_waits_for_its_receiver_is_scheduled(desk: Desk) -> None:
    await desk.add(new_timer())
    controller = await desk.join()
    await desk.defer_all(controller, 1, b"d" * 16)
    assert await desk.rows("SELECT state FROM timers_readable") == [("scheduled",)]
    await desk.reclaim(controller, 2, b"d" * 16)
    assert await desk.rows("SELECT state FROM timers_readable") == [("firing",)]


async def test_a_moment_far_ahead_can_be_read(desk: Desk) -> None:
    """2038 has no meaning here."""
    far = round(datetime(2150, 5, 17, 12, 30, tzinfo=UTC).timestamp()) * SECOND_US + 654_321
    await desk.add(new_timer(far))
    assert await desk.rows("SELECT due_at FROM timers_readable") == [(_moment(far),)]

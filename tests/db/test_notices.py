"""A timer that fails tells so: once for each end, by a timer of its own."""

from __future__ import annotations

import orjson

from tests.db.desk import LATER_US, NOON_US, Desk, finished, new_timer, retried
from timer_db.domain.states import OnUnknown, Outcome, TimerState
from timer_db.operations.notices import LABEL
from timer_db.operations.rescue import Gone, rescue_batch

URL = "https://example.com/failed?by=timer"


async def _notices(desk: Desk) -> list[tuple[str, dict[str, object]]]:
    """What is to be called to tell of failures: the label, and the body."""
    rows = await desk.rows(f"SELECT labels, body, url, append_id FROM timers WHERE url = '{URL}'")
    assert all(row[2:] == (URL, 0) for row in rows)
    return [(orjson.loads(labels)[LABEL], orjson.loads(body)) for labels, body, *_ in rows]


async def test_one_that_failed_is_told_with_its_last_attempt(desk: Desk) -> None:
    timer = new_timer(NOON_US, on_failure_url=URL, name="a", meta={"order": 17}, labels={"env": "prod"})
    silent = new_timer(NOON_US + 1)
    await desk.add(timer, silent)
    controller = await desk.join()
    claims = await desk.take(controller)
    refused = {"state": TimerState.failed, "outcome": Outcome.rejected, "http_status": 404}
    await desk.finish(controller, [finished(claim, **refused) for claim in claims], {1})
    [(told_of, told)] = await _notices(desk)
    assert told_of == str(timer.id)
    assert told["type"] == "timer.failed"
    assert {"name": "a", "meta": {"order": 17}, "status": "failed"}.items() <= told["timer"].items()  # type: ignore[attr-defined]
    assert {"number": 1, "outcome": "rejected", "http_status": 404}.items() <= told["attempt"].items()  # type: ignore[attr-defined]
    [again] = await desk.take(controller, 2)
    assert again.timer.url == URL
    await desk.finish(controller, [finished(again, **refused)], {2})
    assert len(await _notices(desk)) == 1  # nobody is told that a notice failed


async def test_a_retry_and_a_delivery_tell_nobody(desk: Desk) -> None:
    await desk.add(new_timer(NOON_US, on_failure_url=URL), new_timer(NOON_US + 1, on_failure_url=URL))
    controller = await desk.join()
    first, second = await desk.take(controller)
    await desk.finish(controller, [finished(first), retried(second, LATER_US)], {1})
    assert await _notices(desk) == []


async def test_a_repeated_finish_tells_once(desk: Desk) -> None:
    await desk.add(new_timer(NOON_US, on_failure_url=URL))
    controller = await desk.join()
    [claim] = await desk.take(controller)
    outcome = finished(claim, TimerState.failed, Outcome.rejected)
    await desk.finish(controller, [outcome])
    await desk.finish(controller, [outcome], {1}, is_repeat=True)
    assert len(await _notices(desk)) == 1


async def test_one_that_a_lost_controller_left_unknown_is_told(desk: Desk) -> None:
    await desk.add(new_timer(NOON_US, on_failure_url=URL, on_unknown=OnUnknown.hold))
    controller = await desk.join()
    await desk.take(controller)
    await rescue_batch(desk.engine, Gone(controller, LATER_US))
    [(_, told)] = await _notices(desk)
    assert told["type"] == "timer.unknown"

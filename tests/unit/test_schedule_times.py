"""Which runs of a schedule are made, at a moment that the test chooses."""

from __future__ import annotations

import itertools

import pytest

from timer_db.domain.schedule_times import CatchUp, Every, Overlap, Plan, Times, plan

NOON = 1_800_000_000_000_000
SECOND = 1_000_000
TENS = Times(rule=Every(10 * SECOND, NOON))


def planned(
    next_us: int,
    now_us: int,
    *,
    times: Times = TENS,
    catch_up: CatchUp = CatchUp.last,
    overlap: Overlap = Overlap.allow,
    is_idle: bool = True,
    limit: int = 100,
) -> Plan:
    """As the planner asks, 15 seconds ahead, with 5 seconds of patience."""
    found = plan(
        times,
        next_us,
        now_us=now_us,
        until_us=now_us + 15 * SECOND,
        missed_after_us=5 * SECOND,
        catch_up=catch_up,
        overlap=overlap,
        is_idle=is_idle,
        limit=limit,
    )
    return Plan([run - NOON for run in found.runs], None if found.next_us is None else found.next_us - NOON)


def seconds(*values: int) -> list[int]:
    """In microseconds."""
    return [value * SECOND for value in values]


def test_runs_are_made_ahead() -> None:
    assert planned(NOON, NOON - 2 * SECOND) == Plan(seconds(0, 10), 20 * SECOND)
    assert planned(NOON + 20 * SECOND, NOON) == Plan([], 20 * SECOND)


@pytest.mark.parametrize("catch_up", CatchUp)
def test_what_is_a_little_late_was_not_missed(catch_up: CatchUp) -> None:
    assert planned(NOON, NOON + 5 * SECOND, catch_up=catch_up) == Plan(seconds(0, 10, 20), 30 * SECOND)


def test_after_an_outage() -> None:
    now = NOON + 31 * SECOND
    assert planned(NOON, now, catch_up=CatchUp.all) == Plan(seconds(0, 10, 20, 30, 40), 50 * SECOND)
    assert planned(NOON, now, catch_up=CatchUp.last) == Plan(seconds(30, 40), 50 * SECOND)
    assert planned(NOON, now, catch_up=CatchUp.none) == Plan(seconds(40), 50 * SECOND)


def test_a_long_outage_is_caught_up_in_steps() -> None:
    now = NOON + 1_000_000 * SECOND
    assert planned(NOON, now, catch_up=CatchUp.all, limit=3) == Plan(seconds(0, 10, 20), 30 * SECOND)
    assert planned(NOON + 30 * SECOND, now, catch_up=CatchUp.all, limit=1) == Plan(seconds(30), 40 * SECOND)
    assert planned(NOON, now, catch_up=CatchUp.last, limit=1) == Plan(seconds(1_000_000), 1_000_010 * SECOND)


def test_skip_leaves_out_what_has_come_and_waits_for_what_has_not() -> None:
    busy = {"overlap": Overlap.skip, "is_idle": False}
    assert planned(NOON, NOON - SECOND, **busy) == Plan([], 0)
    assert planned(NOON, NOON, **busy) == Plan([], 10 * SECOND)
    idle = {"overlap": Overlap.skip, "is_idle": True}
    assert planned(NOON, NOON - SECOND, **idle) == Plan([0], 10 * SECOND)
    assert planned(NOON, NOON + 31 * SECOND, catch_up=CatchUp.all, **idle) == Plan([0], 40 * SECOND)


def test_after_the_end_there_is_nothing() -> None:
    times = Times(rule=TENS.rule, end_us=NOON + 10 * SECOND)
    assert planned(NOON, NOON, times=times) == Plan(seconds(0, 10), None)
    late = NOON + 60 * SECOND
    assert planned(NOON, late, times=times, catch_up=CatchUp.last) == Plan(seconds(10), None)
    assert planned(NOON, late, times=times, catch_up=CatchUp.none) == Plan([], None)


def test_a_run_that_is_none_any_more_is_not_caught_up_by_an_older_one() -> None:
    assert planned(NOON + 3 * SECOND, NOON + 9 * SECOND) == Plan(seconds(10, 20), 30 * SECOND)


def test_bounds_are_inclusive() -> None:
    times = Times(rule=TENS.rule, start_us=NOON + 10 * SECOND, end_us=NOON + 30 * SECOND)
    assert [run - NOON for run in times.after(0)] == seconds(10, 20, 30)
    assert times.last_until(NOON + 9 * SECOND) is None
    assert times.last_until(NOON + 99 * SECOND) == NOON + 30 * SECOND


def test_schedules_with_one_rule_are_spread_by_jitter() -> None:
    hourly = Every(3600 * SECOND, NOON)
    spread = [
        next(Times(rule=hourly, jitter_us=60 * SECOND, seed=str(name)).after(NOON - 1)) - NOON
        for name in range(100)
    ]
    assert {offset // (10 * SECOND) for offset in spread} == set(range(6))


def test_every_has_no_end() -> None:
    far = list(itertools.islice(Every(7 * SECOND, NOON).after(NOON), 1000))
    assert far[-1] == NOON + 7000 * SECOND

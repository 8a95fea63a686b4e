"""Whatever the rule, the bounds and the jitter: runs are in order, can be computed from anywhere, and each is made
once, however often somebody plans."""

from __future__ import annotations

import itertools
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from tests.profiles import look_at
from timer_db.domain.cron import Cron
from timer_db.domain.schedule_times import CatchUp, Every, Overlap, Times, plan

NOON = 1_800_000_000_000_000
SECOND = 1_000_000
BERLIN = ZoneInfo("Europe/Berlin")

rules = st.one_of(
    st.builds(Every, st.integers(SECOND, 200_000 * SECOND), st.integers(NOON - 10**12, NOON + 10**12)),
    st.sampled_from(["* * * * * *", "*/7 * * * *", "0 9 * * 1-5", "30 2 * * *", "15,45 0-3 * * *"]).map(
        lambda text: Cron(text, BERLIN)
    ),
)
moments = st.integers(NOON - 400_000 * SECOND, NOON + 400_000 * SECOND)
times = st.builds(
    Times,
    rule=rules,
    start_us=st.none() | moments,
    end_us=st.none() | moments,
    jitter_us=st.just(0) | st.integers(0, 90_000 * SECOND),
    seed=st.text(max_size=3),
)


@look_at(300)
@given(times, moments)
def test_runs_can_be_computed_from_anywhere(times: Times, at_us: int) -> None:
    runs = list(itertools.islice(times.after(at_us), 6))
    assert runs == sorted(set(runs))
    assert all(run > at_us for run in runs)
    assert all(times.start_us is None or run >= times.start_us for run in runs)
    assert all(times.end_us is None or run <= times.end_us for run in runs)
    for run, following in itertools.pairwise(runs):
        assert next(times.after(run)) == following
        assert next(times.after(following - 1)) == following
        assert times.last_until(following - 1) == run
        assert times.last_until(following) == following
    before = times.last_until(at_us)
    if before is not None:
        assert before <= at_us
        assert next(times.after(before), None) == next(iter(runs), None)


@look_at(300)
@given(times, moments)
def test_jitter_keeps_the_order_and_its_bound(times: Times, at_us: int) -> None:
    plain = Times(rule=times.rule, start_us=times.start_us, end_us=times.end_us)
    for run, following in itertools.pairwise([*itertools.islice(plain.after(at_us), 5), None]):
        assert run is not None
        moved = next(times.after(run - 1))
        assert run <= moved <= run + times.jitter_us
        assert following is None or moved < following


def everything_made(times: Times, begin_us: int, looks: list[int], **rules: Any) -> list[int]:
    """What planners make who look at these moments, in this order."""
    made: list[int] = []
    next_us = next(times.after(begin_us), None)
    for now_us in looks:
        for _ in range(1000):
            if next_us is None or next_us > now_us + 3 * SECOND:
                break
            found = plan(
                times,
                next_us,
                now_us=now_us,
                until_us=now_us + 3 * SECOND,
                missed_after_us=5 * SECOND,
                overlap=Overlap.allow,
                is_idle=True,
                limit=7,
                **rules,
            )
            made += found.runs
            next_us = found.next_us
    return made


looks = st.lists(st.integers(0, 600), min_size=1, max_size=30).map(
    lambda steps: [NOON + second * SECOND for second in itertools.accumulate(steps)]
)


@look_at(150)
@given(times, looks)
def test_all_makes_each_run_once(times: Times, looks: list[int]) -> None:
    begin = looks[0] - 60 * SECOND
    made = everything_made(times, begin, looks, catch_up=CatchUp.all)
    due = list(itertools.takewhile(lambda run: run <= looks[-1] + 3 * SECOND, times.after(begin)))
    assert made == due[: len(made)]
    assert len(made) == len(due) or len(due) > 1000


@look_at(150)
@given(times, looks, st.sampled_from([CatchUp.last, CatchUp.none]))
def test_the_others_leave_out_what_was_missed_and_nothing_else(
    times: Times, looks: list[int], catch_up: CatchUp
) -> None:
    begin = looks[0] - 60 * SECOND
    made = everything_made(times, begin, looks, catch_up=catch_up)
    assert made == sorted(set(made))
    for run, following in itertools.pairwise(itertools.islice(times.after(begin), 300)):
        first_look = next((now for now in looks if now + 3 * SECOND >= run), None)
        if first_look is not None and run not in made:
            # It had come before anybody looked; and with `last`, so had the one after it.
            assert run <= first_look
            assert catch_up is CatchUp.none or following <= first_look

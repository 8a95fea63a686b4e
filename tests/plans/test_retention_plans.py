"""How the servers run the statements that delete what is too old: by key, page by page."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tests.plans.fill import NOON_US, WAITING, timer_id
from tests.plans.planner import Planner, Step
from timer_db.domain.states import TimerState
from timer_db.operations.partitions import name_of
from timer_db.operations.retention import PAGE
from timer_db.statements import retention

FIRST_DAY = name_of(datetime.fromtimestamp(NOON_US / 1e6, UTC).date())
ENDED_IDS = [timer_id(WAITING + n) for n in range(PAGE)]


def _only(steps: list[Step], table: str) -> Step:
    [step] = steps
    assert step.table == table
    assert not step.sorts, step
    return step


@pytest.mark.parametrize("behind", [None, (timer_id(WAITING + 500), 1)], ids=["first page", "next page"])
def test_pages_of_a_partition_follow_the_key(planner: Planner, behind: tuple[bytes, int] | None) -> None:
    statement = retention.page(FIRST_DAY, behind, PAGE)
    step = _only(planner.explain(statement), "attempts")
    assert (step.access, step.key) == ("range" if behind else "index", "PRIMARY")
    given, reads = planner.count_reads(statement)
    assert given == PAGE
    assert reads <= PAGE + 50


@pytest.mark.parametrize("count", [2, PAGE])
@pytest.mark.parametrize("ended", [retention.BY_ATTEMPT.format(0), retention.BY_CANCEL])
def test_timers_are_deleted_by_key(planner: Planner, ended: str, count: int) -> None:
    for statement in (retention.lock, retention.forget_timers):
        step = _only(planner.explain(statement(ENDED_IDS[:count], ended)), "timers")
        assert step.key == "PRIMARY"
        assert step.access == "range"
        assert step.rows <= count


@pytest.mark.parametrize("count", [2, 500])
def test_what_goes_with_them_too(planner: Planner, count: int) -> None:
    names = [f"name-{n}" for n in range(count)]
    statement, values = retention.release_names(1, names, [timer_id(n) for n in range(count)])
    step = _only(planner.explain(statement, values), "timer_names")
    assert (step.key, step.access) == ("PRIMARY", "range")
    assert step.rows <= count
    failed = retention.forget_endings(TimerState.failed, ENDED_IDS[:count], NOON_US)
    step = _only(planner.explain(failed), "e")
    assert (step.key, step.access) == ("PRIMARY", "range")
    assert step.rows <= count


def test_cancelled_ones_are_found_by_their_time(planner: Planner) -> None:
    step = _only(planner.explain(retention.cancelled(0, b"", NOON_US, PAGE)), "endings")
    assert (step.access, step.key) == ("range", "ix_endings_ended_at_us")
    assert "Using index" in step.extra


def test_controllers_are_found_by_when_they_went(planner: Planner) -> None:
    first, *rest = planner.explain(retention.forget_controllers(NOON_US - 1, PAGE))
    assert (first.table, first.access, first.key) == ("controllers", "range", "ix_controllers_gone_at_us")
    assert not first.sorts
    assert all(step.access in ("ref", "index_subquery") for step in rest)

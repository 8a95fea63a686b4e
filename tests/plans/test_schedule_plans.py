"""How the servers find the schedules that are due: a stretch of the index in its order, however many there are."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.plans.fill import NOON_US
from tests.plans.planner import Planner
from timer_db.domain import marks
from timer_db.operations.plan_runs import PAGE
from timer_db.statements import labels
from timer_db.statements import schedules as statements
from timer_db.statements.schedules import Planned

COUNT = 10_000
SECOND_US = 1_000_000
SETTINGS = '{"timezone":"UTC","timer":{"url":"https://example.com/hook"}}'


@pytest.fixture(scope="module")
def filled(planner: Planner) -> Iterator[Planner]:
    """Schedules that are due a second apart, and as many that are paused."""
    for first in range(0, COUNT, 1000):
        rows = [f"('a{n}', '{SETTINGS}', {NOON_US + n * SECOND_US}, 0, 0)" for n in range(first, first + 1000)]
        rows += [f"('p{n}', '{SETTINGS}', NULL, 0, 0)" for n in range(first, first + 1000)]
        planner.run(
            "INSERT INTO schedules (name, settings, next_run_at_us, created_at_us, changed_at_us)"
            f" VALUES {','.join(rows)}"
        )
    planner.run("ANALYZE TABLE schedules")
    yield planner
    planner.run("DELETE FROM schedules")


@pytest.mark.parametrize("due", [0, 3, PAGE, COUNT])
def test_a_look_reads_what_is_due_and_no_more(filled: Planner, due: int) -> None:
    statement = statements.upcoming(0, 0, NOON_US + (due - 1) * SECOND_US, PAGE)
    [step] = filled.explain(statement)
    assert (step.access, step.key, step.sorts) == ("range", "ix_schedules_next_run_at_us", False)
    given, reads = filled.count_reads(statement)
    assert given == min(due, PAGE)
    assert reads <= given + 5


def test_of_those_at_one_moment_none_is_read_twice(filled: Planner) -> None:
    """10,000 at nine o'clock: each page begins behind the one before."""
    moment_us = NOON_US + 2 * COUNT * SECOND_US
    filled.run(f"UPDATE schedules SET next_run_at_us = {moment_us} WHERE name LIKE 'p%'")
    ids = sorted(row[0] for row in filled.run("SELECT id FROM schedules WHERE name LIKE 'p%'"))
    given, reads = filled.count_reads(statements.upcoming(moment_us, ids[5000], moment_us + SECOND_US, PAGE))
    assert given == PAGE
    assert reads <= PAGE + 5
    filled.run("UPDATE schedules SET next_run_at_us = NULL WHERE name LIKE 'p%'")


def test_a_look_goes_on_behind_the_last(filled: Planner) -> None:
    first = filled.run(statements.upcoming(0, 0, NOON_US + COUNT * SECOND_US, PAGE))
    second = filled.run(statements.upcoming(first[-1][1], first[-1][0], NOON_US + COUNT * SECOND_US, PAGE))
    assert [row[1] for row in second] == [NOON_US + n * SECOND_US for n in range(PAGE, 2 * PAGE)]


def test_they_are_locked_and_moved_on_by_key(filled: Planner) -> None:
    ids = [row[0] for row in filled.run(statements.upcoming(0, 0, NOON_US + COUNT * SECOND_US, PAGE))]
    planned = [Planned(number, NOON_US + COUNT * SECOND_US, NOON_US, bytes(16)) for number in ids]
    for statement in (statements.lock(ids, NOON_US + COUNT * SECOND_US), statements.advance(planned)):
        [step] = filled.explain(statement)
        assert (step.access, step.key, step.rows) == ("range", "PRIMARY", PAGE)


def test_runs_of_a_schedule_are_found_in_the_index_of_marks(filled: Planner) -> None:
    filled.run(labels.put(marks.of_schedule(n % 9) + n.to_bytes(16) for n in range(5000)))
    filled.run("ANALYZE TABLE label_index")
    index, timers = filled.explain(statements.runs_ahead(marks.of_schedule(1), NOON_US, NOON_US, NOON_US))
    assert (index.table, index.access, index.key) == ("l", "range", "PRIMARY")
    assert (timers.table, timers.access, timers.key) == ("t", "eq_ref", "PRIMARY")

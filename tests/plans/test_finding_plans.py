"""How the servers look for what a filter means: by key, and no more rows than a page may cost."""

from __future__ import annotations

import pytest

from tests.plans.fill import ENDED, NOON_US, RARE, RARE_EVERY, SECOND_US, WAITING, timer_id
from tests.plans.planner import Planner
from timer_db.domain.filter import Filter
from timer_db.domain.marks import of_key, of_label
from timer_db.domain.queue_entry import HEAD_KEY, time_bound
from timer_db.domain.selector import parse
from timer_db.domain.states import TimerState
from timer_db.statements import finding, reading

PROD, NOBODY = of_label("env", "prod"), of_key("nobody")
EXAMINED = 500
RANK = 32_767
ALL = WAITING + ENDED
IDS = [timer_id(n) for n in range(WAITING - 400, WAITING + 500)]


@pytest.mark.parametrize("before", [None, timer_id(9000)], ids=["first page", "next page"])
@pytest.mark.parametrize("marks", [[PROD], [NOBODY, PROD, RARE]], ids=len)
def test_a_page_of_a_mark_reads_so_many_entries(
    planner: Planner, marks: list[bytes], before: bytes | None
) -> None:
    """However many timers bear it; each is looked up in the other marks."""
    statement = finding.bearing(marks, [[RARE, NOBODY], [PROD]], [NOBODY], before, EXAMINED)
    [(examined, last, packed)] = planner.run(statement)
    assert examined == EXAMINED
    assert last is not None
    assert len(packed) // 32 in range(EXAMINED // RARE_EVERY, 2 * len(marks) * EXAMINED // RARE_EVERY)
    _, reads = planner.count_reads(statement)
    # Its entries, once more as a table, and up to four looks each; of three marks also what is left out.
    assert reads <= 6 * EXAMINED + 3 * len(marks) * EXAMINED + 50
    steps = [step for step in planner.explain(statement) if step.table in ("label_index", "m")]
    assert {step.key for step in steps} == {"PRIMARY"}
    assert {step.access for step in steps} <= {"range", "eq_ref"}


def test_counts_of_marks_end_at_their_limit(planner: Planner) -> None:
    statement = finding.count_bearing([PROD, RARE], EXAMINED)
    assert planner.run(statement) == [(EXAMINED + ALL // RARE_EVERY,)]
    assert planner.count_reads(statement)[1] <= 2 * 2 * EXAMINED + 50
    ended = finding.count_ended([TimerState.failed, TimerState.unknown], EXAMINED)
    assert planner.run(ended) == [(EXAMINED,)]
    assert planner.count_reads(ended)[1] <= 2 * EXAMINED + 50


@pytest.mark.parametrize(
    "rest",
    [
        Filter(selector=parse("env=prod,!canary")),
        Filter(collection_ids=frozenset({1, 7})),
        Filter(states=frozenset({TimerState.scheduled, TimerState.failed})),
        Filter(due_from_us=NOON_US, due_until_us=NOON_US + 10_000 * SECOND_US, selector=parse("env")),
    ],
    ids=["marks", "collections", "states", "times"],
)
def test_what_is_left_is_compared_by_key(planner: Planner, rest: Filter) -> None:
    statement = finding.fitting(IDS, rest)
    _, reads = planner.count_reads(statement)
    # The timer, a look for each mark, its place in two queues, and its end in each of ten partitions.
    assert reads <= 15 * len(IDS) + 50
    steps = planner.explain(statement)
    assert steps[0].rows <= len(IDS)
    assert not any(step.access in ("ALL", "index") or step.sorts for step in steps), steps


@pytest.mark.parametrize("behind", [HEAD_KEY, time_bound(NOON_US + 3 * SECOND_US)], ids=["start", "behind"])
def test_a_stretch_of_time_is_a_stretch_of_the_queue(planner: Planner, behind: bytes) -> None:
    statement = reading.waiting_between(RANK, behind, time_bound(NOON_US + 9 * SECOND_US), 100)
    given, reads = planner.count_reads(statement)
    assert given == 100
    assert reads <= 4 * given + 50
    queue, deferred, *_ = planner.explain(statement)
    assert (queue.access, queue.key) == ("range", "PRIMARY")
    assert deferred.key == "ix_deferred_queue_priority_rank_due_key"


@pytest.mark.parametrize("first", [0, RANK - 5])
def test_priorities_are_found_by_hops(planner: Planner, first: int) -> None:
    statement = reading.ranks(first, 33)
    given, reads = planner.count_reads(statement)
    assert given == (2 if first else 3)
    assert reads <= 50


@pytest.mark.parametrize(
    "ids",
    [
        reading.newest(None, EXAMINED),
        reading.delivered(timer_id(WAITING + 9000), EXAMINED),
        reading.ended(TimerState.failed, None, EXAMINED),
    ],
    ids=["newest", "delivered", "failed"],
)
def test_packing_reads_no_more_than_the_page(planner: Planner, ids: str) -> None:
    [(packed,)] = planner.run(finding.packed(ids))
    assert len(packed) == 32 * EXAMINED
    assert planner.count_reads(finding.packed(ids))[1] <= 4 * EXAMINED + 200

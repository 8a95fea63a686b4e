"""How the servers run our statements on a filled database: by key, in its order, and no more of it than needed."""

from __future__ import annotations

import pytest

from tests.plans.fill import NOON_US, PRIORITIES, SECOND_US, WAITING, timer_id
from tests.plans.planner import Planner, Step
from timer_db.domain.queue_entry import QueueEntry, time_bound
from timer_db.domain.states import TimerState
from timer_db.operations.claim import BATCH_MAX, FROM_THE_START
from timer_db.statements import attempts, claims, controllers, names, queue, reading, timers

RANK = 32_767
RANK_BYTES, KEY_BYTES, ID_BYTES, ATTEMPT_BYTES = 2, 24, 16, 2
PAGE = 100

WAITING_IDS = [timer_id(n) for n in range(500, 500 + BATCH_MAX)]
DELIVERED_IDS = [timer_id(WAITING + 1000 + n) for n in range(BATCH_MAX)]
# Every third timer has the lowest priority.
KEYS = [time_bound(NOON_US + n * 1000) + timer_id(n) for n in range(0, 3 * BATCH_MAX, 3)]


def _only(steps: list[Step], table: str) -> Step:
    [step] = steps
    assert step.table == table
    assert not step.sorts, step
    return step


def test_the_keys_of_this_file_are_in_the_queue(planner: Planner) -> None:
    """Else the plans below would be those of nothing."""
    condition = queue.remove(RANK, KEYS).partition("FROM due_queue")[2]
    assert planner.run(f"SELECT COUNT(*) FROM due_queue {condition}") == [(BATCH_MAX,)]
    assert len(planner.run(timers.existing([*WAITING_IDS, *DELIVERED_IDS]))) == 2 * BATCH_MAX


@pytest.mark.parametrize("reach_seconds", [1, 10, 10_000])
@pytest.mark.parametrize("behind", [FROM_THE_START, KEYS[100]], ids=["from the start", "behind a key"])
@pytest.mark.parametrize("limit", [1, BATCH_MAX])
def test_a_claim_reads_a_stretch_of_the_key(
    planner: Planner, reach_seconds: int, behind: bytes, limit: int
) -> None:
    """Without a sort: a sort would lock every candidate."""
    step = _only(
        planner.explain(queue.take(RANK, behind, NOON_US + reach_seconds * SECOND_US, limit)), "due_queue"
    )
    assert (step.access, step.key, step.key_length) == ("range", "PRIMARY", RANK_BYTES + KEY_BYTES)


@pytest.mark.parametrize("count", [1, 2, BATCH_MAX])
def test_entries_are_removed_by_key(planner: Planner, count: int) -> None:
    step = _only(planner.explain(queue.remove(RANK, KEYS[:count])), "due_queue")
    assert (step.access, step.key, step.key_length) == ("range", "PRIMARY", RANK_BYTES + KEY_BYTES)
    assert step.rows <= count


def test_priorities_in_use_are_found_by_hops(planner: Planner) -> None:
    step = _only(planner.explain(queue.RANKS), "due_queue")
    assert "Using index for group-by" in step.extra
    assert (step.access, step.key, step.key_length) == ("range", "PRIMARY", RANK_BYTES)


@pytest.mark.parametrize("known", [0, 1, 3, queue.LOOKUPS_MAX])
def test_first_entries_are_dives_into_the_key(planner: Planner, known: int) -> None:
    """Nothing is left to plan: each is done before a plan would be made."""
    behind = {RANK - n: time_bound(NOON_US) for n in range(known)}
    steps = [step for step in planner.explain(queue.firsts(behind)) if not step.table.startswith("<union")]
    assert len(steps) == known + 1
    assert {step.extra for step in steps} <= {"Select tables optimized away", "No matching min/max row"}


@pytest.mark.parametrize(
    "statement",
    [
        timers.packed(WAITING_IDS, whole=True),
        timers.packed(WAITING_IDS),
        timers.packed(WAITING_IDS[:1]),
        timers.existing(WAITING_IDS),
    ],
    ids=["asked", "packed", "one packed", "existing"],
)
def test_timers_are_read_by_key(planner: Planner, statement: str) -> None:
    [step] = planner.explain(statement)
    assert step.key == "PRIMARY"
    assert step.access in ("range", "const")
    assert step.rows <= BATCH_MAX
    assert not step.sorts


@pytest.mark.parametrize("ids", [WAITING_IDS, DELIVERED_IDS, WAITING_IDS[:2], DELIVERED_IDS[:100]], ids=len)
def test_states_are_joined_by_key(planner: Planner, ids: list[bytes]) -> None:
    """Also the queue's key, which is computed from the timer's row."""
    timer, place, deferred, end = planner.explain(reading.by_ids(ids))
    assert (timer.table, timer.access, timer.key, timer.rows) == ("t", "range", "PRIMARY", len(ids))
    assert (place.table, place.access, place.key) == ("q", "eq_ref", "PRIMARY")
    assert (deferred.table, deferred.access) == ("d", "ref")
    assert place.key_length == deferred.key_length == RANK_BYTES + KEY_BYTES
    assert (end.table, end.access, end.key) == ("a", "ref", "PRIMARY")
    assert end.key_length == ID_BYTES + ATTEMPT_BYTES
    assert not any(step.sorts for step in (timer, place, deferred, end))


def test_one_timer_is_looked_up(planner: Planner) -> None:
    steps = planner.explain(reading.by_ids(WAITING_IDS[:1]))
    assert [step.access for step in steps] == ["const", "const", "ref", "ref"]


def test_more_ids_than_a_list_should_have_are_looked_up_too(planner: Planner) -> None:
    """A repeated create of thousands: MariaDB makes a table of the list, and looks each of it up."""
    steps = planner.explain(reading.by_ids([timer_id(n) for n in range(3000)]))
    by_table = {step.table: step for step in steps}
    assert by_table["t"].access in ("range", "eq_ref")
    assert by_table["t"].rows <= 3000
    assert (by_table["q"].access, by_table["a"].access) == ("eq_ref", "ref")


@pytest.mark.parametrize("before", [None, timer_id(9000)], ids=["first page", "next page"])
def test_newest_pages_follow_the_key(planner: Planner, before: bytes | None) -> None:
    step = _only(planner.explain(reading.newest(before, PAGE)), "timers")
    assert (step.access, step.key) == ("range" if before else "index", "PRIMARY")


@pytest.mark.parametrize("before", [None, timer_id(WAITING + 9000)], ids=["first page", "next page"])
def test_delivered_pages_follow_the_key(planner: Planner, before: bytes | None) -> None:
    """Over all partitions."""
    step = _only(planner.explain(reading.delivered(before, PAGE)), "a")
    assert (step.access, step.key) == ("range" if before else "index", "PRIMARY")


@pytest.mark.parametrize("before", [None, timer_id(WAITING + 9000)], ids=["first page", "next page"])
@pytest.mark.parametrize("state", [TimerState.failed, TimerState.unknown, TimerState.cancelled])
def test_pages_of_other_ends_follow_the_key(planner: Planner, state: TimerState, before: bytes | None) -> None:
    step = _only(planner.explain(reading.ended(state, before, PAGE)), "endings")
    assert step.key == "PRIMARY"
    assert step.access == ("range" if before else "ref")
    assert "Using index" in step.extra


@pytest.mark.parametrize("behind", [None, QueueEntry(RANK - 5, KEYS[10])], ids=["first page", "next page"])
def test_waiting_pages_follow_the_key(planner: Planner, behind: QueueEntry | None) -> None:
    place, deferred, _ = planner.explain(reading.waiting(behind, PAGE))
    assert (place.table, place.key) == ("due_queue", "PRIMARY")
    # Without a bound, the whole key in its order, or one stretch of it per priority.
    assert place.access in (("range",) if behind else ("index", "range"))
    assert (deferred.table, deferred.key) == ("deferred_queue", "ix_deferred_queue_priority_rank_due_key")
    for step in (place, deferred):
        assert "Using index" in step.extra
        assert not step.sorts


@pytest.mark.parametrize(
    ("shown", "statement"),
    [
        (PAGE, reading.newest(None, PAGE)),
        (PAGE, reading.newest(timer_id(30_000), PAGE)),
        (PAGE, reading.delivered(None, PAGE)),
        (PAGE, reading.delivered(timer_id(30_000), PAGE)),
        (PAGE, reading.ended(TimerState.failed, timer_id(42_000), PAGE)),
        (PAGE, reading.waiting(None, PAGE)),
        (PAGE, reading.waiting(QueueEntry(RANK - 5, KEYS[10]), PAGE)),
        (PAGE, queue.take(RANK, FROM_THE_START, NOON_US + 10_000 * SECOND_US, PAGE)),
        (len(PRIORITIES), queue.RANKS),
        (4, queue.firsts({RANK: KEYS[10], RANK - 5: FROM_THE_START})),
    ],
    ids=lambda value: " ".join(value.split()[:8]) if isinstance(value, str) else "",
)
def test_no_more_rows_are_read_than_shown(planner: Planner, shown: int, statement: str) -> None:
    """Counted by the server while it runs: whatever a plan says, this is what was done."""
    given, reads = planner.count_reads(statement)
    assert given == shown
    # A row of a page may be looked up in two more tables, and in each of the ten partitions of one of them.
    assert reads <= 15 * shown + 50


def test_claim_batches_are_found_by_key(planner: Planner) -> None:
    for statement in (
        claims.lock(1, [1, 2, 3]),
        claims.look(1, 1),
        claims.lock_first_of(1),
        claims.rewrite(1, 1, b"x", 0),
        claims.release(1, {1: 5, 2: 0}),
        claims.drop(1, [1, 2]),
    ):
        step = _only(planner.explain(statement), "claim_batches")
        assert step.key == "PRIMARY", statement
        assert step.access in ("const", "ref", "range"), statement
        assert step.rows <= 5, statement


def test_holding_a_batch_looks_one_member_up(planner: Planner) -> None:
    [member] = [step for step in planner.explain(claims.hold(1, 99, b"x", 0)) if step.table == "controllers"]
    assert (member.access, member.key) == ("const", "PRIMARY")


def test_outcomes_are_written_by_key(planner: Planner) -> None:
    retry = _only(planner.explain(timers.retry(dict.fromkeys(WAITING_IDS, (NOON_US, True)))), "timers")
    assert (retry.access, retry.key, retry.rows) == ("range", "PRIMARY", BATCH_MAX)
    logged = _only(planner.explain(attempts.logged(1, 24, DELIVERED_IDS)), "attempts")
    assert (logged.access, logged.key, logged.key_length) == ("range", "PRIMARY", ID_BYTES)
    attempt, controller = planner.explain(attempts.of_timer(DELIVERED_IDS[0]))
    assert (attempt.access, attempt.key, attempt.sorts) == ("ref", "PRIMARY", False)
    assert controller.access == "eq_ref"


def test_a_cancel_touches_one_row(planner: Planner) -> None:
    step = _only(planner.explain(timers.cancel(WAITING_IDS[:1], NOON_US)), "timers")
    assert (step.key, step.rows) == ("PRIMARY", 1)


def test_names_are_found_by_key(planner: Planner) -> None:
    listed = _only(planner.explain(*names.holders(1, [f"name-{n}" for n in range(500)])), "timer_names")
    assert (listed.access, listed.key, listed.rows) == ("range", "PRIMARY", 500)
    one = _only(planner.explain(*reading.named(1, "name-7")), "timer_names")
    assert one.access == "const"
    handed = _only(planner.explain(*names.hand_over(1, "name-7", b"a" * 16, b"b" * 16, b"c" * 32)), "timer_names")
    assert (handed.key, handed.rows) == ("PRIMARY", 1)


def test_members_that_are_gone_cost_nothing(planner: Planner) -> None:
    """There are two thousand of them, and twenty that live."""
    silent = _only(planner.explain(controllers.silent(1)), "controllers")
    assert silent.rows <= 40
    for statement in (controllers.beat(1, NOON_US), controllers.fence(1, NOON_US), controllers.leave(1)):
        step = _only(planner.explain(statement), "controllers")
        assert step.rows <= 1, statement
    with_claims = planner.explain(controllers.GONE_WITH_CLAIMS)
    # It goes by the batches in hand, of which there are some dozens.
    assert max(step.rows for step in with_claims) <= 200, with_claims
    assert not any(step.access == "ALL" for step in with_claims)

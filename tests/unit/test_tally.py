"""What a controller counts: outcomes of its own, and those of claims that it took over."""

from __future__ import annotations

from timer_controller.metrics.tally import GROUPS_MAX, OTHERS, Tally
from timer_db.domain.claim import Finished
from timer_db.domain.ids import new_id
from timer_db.domain.owner import BY_DEFAULT, Owner
from timer_db.domain.queue_entry import entry_of
from timer_db.domain.states import Outcome, TimerState
from timer_db.metrics import Buckets
from timer_db.operations.rescue import Rescued

NOON_US = 1_800_000_000_000_000


def finished(outcome: Outcome, state: TimerState, owner: Owner = BY_DEFAULT, late_us: int = 3_000) -> Finished:
    return Finished(
        batch=1,
        entry=entry_of(new_id(NOON_US), 0, NOON_US),
        attempt=1,
        outcome=outcome,
        state=state,
        started_at_us=NOON_US + late_us,
        finished_at_us=NOON_US + late_us + 7_000,
        reason="",
        latency_us=7_000,
        owner=owner,
    )


def test_a_retry_is_an_attempt_and_no_end() -> None:
    tally = Tally()
    tally.note_written([finished(Outcome.rejected, TimerState.scheduled)])
    assert tally.attempts[(1, 0), Outcome.rejected] == 1
    assert not tally.ends


def test_what_was_taken_over_and_ended_is_told() -> None:
    """Somebody has to look at it, whoever's death made it so."""
    tally = Tally()
    lost = [finished(Outcome.unknown, TimerState.unknown), finished(Outcome.unknown, TimerState.failed)]
    tally.note_rescued(Rescued(7, unsent=3, unknown=2, outcomes=lost))
    assert (tally.rescued_unsent, tally.rescued_unknown) == (3, 2)
    assert tally.attempts[(1, 0), Outcome.unknown] == 2
    assert tally.ends == {((1, 0), TimerState.unknown): 1, ((1, 0), TimerState.failed): 1}


def test_pairs_of_collection_and_route_are_bounded() -> None:
    tally = Tally()
    many = [finished(Outcome.delivered, TimerState.delivered, Owner(1, route)) for route in range(GROUPS_MAX + 50)]
    tally.note_written(many)
    assert len({group for group, _ in tally.ends}) == GROUPS_MAX + 1
    assert tally.ends[OTHERS, TimerState.delivered] == 50
    assert sum(tally.ends.values()) == len(many)


def test_many_at_once_are_counted_as_one_by_one() -> None:
    values = [0, 1, 999, 1000, 1001, 5_000_000, 10_000_000_000]
    at_once, singly = Buckets((0.001, 5.0), 1e-6), Buckets((0.001, 5.0), 1e-6)
    at_once.add_all(values)
    for value in values:
        singly.add(value)
    assert at_once._counts == singly._counts == [4, 2, 1]
    assert at_once._sum == singly._sum == sum(values)

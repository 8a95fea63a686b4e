"""What a look may leave out: never what could still come to stand there."""

from __future__ import annotations

from timer_controller.frontier import SETTLE_US, Frontier
from timer_db.domain.queue_entry import QueueEntry, time_bound
from timer_db.operations.claim import FROM_THE_START

NOW_US = 1_800_000_000_000_000
SETTLED = time_bound(NOW_US - SETTLE_US)


def _key(at_us: int) -> bytes:
    return time_bound(at_us) + b"x" * 16


def test_a_priority_without_anything_is_seen_up_to_what_is_settled() -> None:
    frontier = Frontier()
    frontier.note_look({7: None, 9: _key(NOW_US + 5)}, NOW_US)
    assert frontier.seen == {7: SETTLED, 9: SETTLED}


def test_what_was_found_is_not_left_out() -> None:
    frontier = Frontier()
    first = _key(NOW_US - 10 * SETTLE_US)
    frontier.note_look({7: first}, NOW_US)
    assert frontier.seen[7] == frontier.ahead[7] == first[:8] < first


def test_claims_go_on_behind_the_last_one_and_later_looks_behind_what_is_settled() -> None:
    frontier = Frontier()
    old, new = _key(NOW_US - SETTLE_US - 1), _key(NOW_US + 1)
    frontier.note_look({7: old, 9: old}, NOW_US)
    frontier.note_claim([QueueEntry(7, old), QueueEntry(7, new), QueueEntry(9, old)], [7])
    assert frontier.ahead == {7: new, 9: old}
    assert frontier.seen == {7: SETTLED, 9: old}


def test_a_priority_is_seen_as_of_the_look_and_not_as_of_the_claim() -> None:
    """What came to stand in front of the first one between the two was seen by neither."""
    frontier = Frontier()
    frontier.note_look({7: _key(NOW_US)}, NOW_US)
    frontier.note_claim([QueueEntry(7, _key(NOW_US + 100 * SETTLE_US))], [7])
    assert frontier.seen[7] == SETTLED


def test_a_bound_goes_back_only_when_a_look_starts_over() -> None:
    frontier = Frontier()
    frontier.note_look({7: None}, NOW_US)
    frontier.note_look({7: None}, NOW_US - 5)
    assert frontier.seen[7] == SETTLED
    frontier.start_over()
    assert frontier.seen == {7: FROM_THE_START}
    straggler = _key(NOW_US - 1000 * SETTLE_US)
    frontier.note_look({7: straggler}, NOW_US)
    assert frontier.seen[7] == straggler[:8]

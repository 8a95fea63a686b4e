"""The lease: when a controller may send, and when it may judge others."""

from __future__ import annotations

import pytest

from timer_controller.lease import Lease


class Clock:
    """Seconds that a test sets."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def _lease() -> tuple[Lease, Clock]:
    clock = Clock()
    return Lease(5.0, clock), clock


def test_nothing_may_be_done_before_the_first_beat() -> None:
    lease, clock = _lease()
    clock.now = 1e9
    assert not lease.may_send()
    assert not lease.may_judge()


def test_a_beat_counts_from_when_it_began() -> None:
    lease, clock = _lease()
    lease.renew(100.0)
    clock.now = 104.999
    assert lease.may_send()
    clock.now = 105.0
    assert not lease.may_send()


def test_a_beat_renews() -> None:
    lease, clock = _lease()
    lease.renew(100.0)
    clock.now = 120.0
    assert not lease.may_send()
    lease.renew(119.0)
    assert lease.may_send()


def test_a_late_beat_may_be_over_when_it_comes() -> None:
    """The process stood still between the question and the answer."""
    lease, clock = _lease()
    clock.now = 106.0
    lease.renew(100.0)
    assert not lease.may_send()


def test_others_are_judged_after_a_whole_lease_of_beats() -> None:
    lease, clock = _lease()
    for clock.now in (100.0, 101.0, 102.0, 103.0, 104.0, 105.0):
        lease.renew(clock.now)
        assert not lease.may_judge()
    clock.now = 105.001
    assert lease.may_judge()


def _beating() -> tuple[Lease, Clock]:
    """At 106, after beats since 100."""
    lease, clock = _lease()
    for clock.now in (100.0, 101.0, 102.0, 103.0, 104.0, 105.0, 106.0):
        lease.renew(clock.now)
    assert lease.may_judge()
    return lease, clock


def _is_judged_only_after(moment: float, lease: Lease, clock: Clock) -> None:
    """While beats follow each other quickly, the next at once, as after a late one."""
    while clock.now < moment:
        lease.renew(clock.now)
        assert not lease.may_judge()
        clock.now += 1
    clock.now = moment
    assert not lease.may_judge()
    clock.now = moment + 0.001
    assert lease.may_judge()


@pytest.mark.parametrize(
    ("began_at", "written_at"),
    [
        pytest.param(107.0, 109.5, id="took long"),
        pytest.param(109.99, 110.0, id="waited long for its connection, and was quick then"),
    ],
)
def test_after_a_slow_beat_nobody_is_judged(began_at: float, written_at: float) -> None:
    """The database stood still, and took the beats of others no sooner."""
    lease, clock = _beating()
    clock.now = written_at
    lease.renew(began_at)
    assert not lease.may_judge()
    _is_judged_only_after(written_at + 5, lease, clock)


def test_while_a_beat_is_out_for_long_nobody_is_judged() -> None:
    """What is read of others may be as old as one's own last beat."""
    lease, clock = _beating()
    clock.now = 108.9
    assert lease.may_judge()
    clock.now = 109.1
    assert not lease.may_judge()


def test_a_failed_beat_starts_the_wait_anew() -> None:
    lease, clock = _beating()
    lease.note_failed_beat()
    assert not lease.may_judge()
    clock.now = 107.0
    lease.renew(107.0)
    assert not lease.may_judge()
    _is_judged_only_after(112.0, lease, clock)

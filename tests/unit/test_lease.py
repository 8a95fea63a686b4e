"""The lease: when a controller may send, and when it may judge others."""

from __future__ import annotations

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
    lease.renew(100.0)
    clock.now = 105.0
    lease.renew(105.0)
    assert not lease.may_judge()
    clock.now = 105.001
    assert lease.may_judge()


def test_after_a_beat_that_took_long_nobody_is_judged() -> None:
    """The database stood still, and took the beats of others no sooner."""
    lease, clock = _lease()
    lease.renew(100.0)
    clock.now = 110.0
    lease.renew(107.0)
    assert not lease.may_judge()
    for beat_at in (112.0, 114.9):
        lease.renew(beat_at)
        clock.now = 115.0
        assert not lease.may_judge()
    clock.now = 115.001
    assert lease.may_judge()


def test_while_a_beat_is_out_for_long_nobody_is_judged() -> None:
    """What is read of others may be as old as one's own last beat."""
    lease, clock = _lease()
    lease.renew(100.0)
    clock.now = 105.5
    lease.renew(105.0)
    assert lease.may_judge()
    clock.now = 108.1
    assert not lease.may_judge()


def test_a_failed_beat_starts_the_wait_anew() -> None:
    lease, clock = _lease()
    lease.renew(100.0)
    clock.now = 110.0
    lease.renew(109.5)
    assert lease.may_judge()

    lease.note_failed_beat()

    assert not lease.may_judge()
    lease.renew(110.0)
    clock.now = 115.0
    lease.renew(115.0)
    assert not lease.may_judge()
    clock.now = 115.1
    assert lease.may_judge()

"""The checker finds each way to break a promise in a made-up history, and nothing in a good one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.faults.checker import Broken, Verdict, check
from tests.faults.record import Answer, Arrival, Asked, Record, Strike

SECOND_US = 1_000_000
DUE_US = 1_700_000_000 * SECOND_US
NONE, KILL = False, True
RESEND = Asked(1, ids=["a"], due_at_us=DUE_US, made_at_us=DUE_US - 2 * SECOND_US)
HOLD, FAIL = replace(RESEND, on_unknown="hold"), replace(RESEND, on_unknown="fail")
IN_DOUBT = Asked(1, refused=["503"])
CANCELLED = replace(RESEND, cancelled_at_us=DUE_US - SECOND_US)
FIRST = Arrival(1, "a", True, 1, False, DUE_US, DUE_US + 3000, Answer.ok)
SECOND = replace(FIRST, attempt=2, at_us=DUE_US + SECOND_US)
MARKED = replace(SECOND, is_marked=True)


def judge(asked: Asked, *calls: Arrival, ended: str | None = "delivered", may_repeat: bool = NONE) -> Verdict:
    """One timer and no others; `ended` None is a timer that is not there."""
    return check(Record([asked], calls, {"a": ended} if ended else {}), may_repeat)


def kinds(verdict: Verdict) -> set[Broken]:
    return {violation.kind for violation in verdict.violations}


GOOD = {
    "called once": (RESEND, [FIRST], "delivered", NONE),
    "called though never answered": (IN_DOUBT, [FIRST], "delivered", NONE),
    "never stored, never called": (IN_DOUBT, [], None, NONE),
    "tried again after a 503": (RESEND, [replace(FIRST, answer=Answer.busy), SECOND], "delivered", NONE),
    "the same with hold": (HOLD, [replace(FIRST, answer=Answer.busy), SECOND], "delivered", NONE),
    "again after a reset, marked": (RESEND, [replace(FIRST, answer=Answer.reset), MARKED], "delivered", NONE),
    "a kill, marked": (RESEND, [FIRST, MARKED], "delivered", KILL),
    "a kill, marked though it never left": (RESEND, [MARKED], "delivered", KILL),
    "a kill, held": (HOLD, [], "unknown", KILL),
    "a kill, failed": (FAIL, [FIRST], "failed", KILL),
    "it hung, held": (HOLD, [replace(FIRST, answer=Answer.hang)], "unknown", NONE),
    "cancelled": (CANCELLED, [], "cancelled", NONE),
    "perhaps cancelled": (replace(RESEND, may_be_cancelled=True), [], "cancelled", NONE),
    "perhaps cancelled, and called": (replace(RESEND, may_be_cancelled=True), [FIRST], "delivered", NONE),
    "cancelled while it waited to be tried again": (
        replace(CANCELLED, cancelled_at_us=DUE_US + SECOND_US),
        [replace(FIRST, answer=Answer.busy)],
        "cancelled",
        NONE,
    ),
}


@pytest.mark.parametrize("name", GOOD)
def test_a_good_history_has_no_flaws(name: str) -> None:
    asked, calls, ended, may_repeat = GOOD[name]
    assert judge(asked, *calls, ended=ended, may_repeat=may_repeat).violations == []


BAD = {
    "still waits": (Broken.missed, RESEND, [], "scheduled", KILL),
    "still in hand": (Broken.missed, RESEND, [], "firing", KILL),
    "is gone": (Broken.missed, RESEND, [], None, KILL),
    "delivered, they say": (Broken.missed, RESEND, [], "delivered", KILL),
    "cancelled by nobody": (Broken.missed, RESEND, [], "cancelled", KILL),
    "given up with resend": (Broken.missed, RESEND, [], "unknown", KILL),
    "held without a kill": (Broken.missed, HOLD, [], "unknown", NONE),
    "failed without a kill": (Broken.missed, FAIL, [], "failed", NONE),
    "heard, and failed": (Broken.wrong_state, RESEND, [FIRST], "failed", KILL),
    "heard, and held without a kill": (Broken.wrong_state, HOLD, [FIRST], "unknown", NONE),
    "heard, and still in hand": (Broken.wrong_state, RESEND, [FIRST], "firing", KILL),
    "called, and not there": (Broken.wrong_state, IN_DOUBT, [FIRST], None, KILL),
    "hold ended as failed": (Broken.wrong_state, HOLD, [FIRST], "failed", KILL),
    "cancelled, and delivered": (Broken.wrong_state, CANCELLED, [], "delivered", KILL),
    "early": (Broken.early, RESEND, [replace(FIRST, at_us=DUE_US - 1)], "delivered", KILL),
    "early by the answer": (Broken.early, replace(RESEND, due_at_us=DUE_US + 9000), [FIRST], "delivered", KILL),
    "another due time": (Broken.wrong_due, replace(RESEND, due_at_us=DUE_US - 1), [FIRST], "delivered", KILL),
    "doubled": (Broken.doubled, RESEND, [FIRST, MARKED], "delivered", NONE),
    "unmarked after a kill": (Broken.unmarked, RESEND, [FIRST, SECOND], "delivered", KILL),
    "unmarked after it hung": (
        Broken.unmarked, RESEND, [replace(FIRST, answer=Answer.hang), SECOND], "delivered", NONE,
    ),
    "repeated with hold": (Broken.forbidden, HOLD, [FIRST, MARKED], "delivered", KILL),
    "repeated with fail": (
        Broken.forbidden, FAIL, [replace(FIRST, answer=Answer.late), MARKED], "delivered", KILL,
    ),
    "one attempt twice": (Broken.attempt_twice, RESEND, [FIRST, replace(MARKED, attempt=1)], "delivered", KILL),
    "marked in vain": (Broken.marked_in_vain, RESEND, [MARKED], "delivered", NONE),
    "ids differ": (Broken.wrong_id, RESEND, [replace(FIRST, agrees=False)], "delivered", KILL),
    "a 500": (Broken.wrong_answer, replace(IN_DOUBT, complaints=["500"]), [], None, KILL),
    "two timers": (Broken.two_timers, RESEND, [replace(FIRST, timer_id="b")], "delivered", KILL),
    "two answers": (Broken.two_timers, replace(RESEND, ids=["a", "b"]), [FIRST], "delivered", KILL),
    "called after its cancel": (Broken.cancelled_but_called, CANCELLED, [FIRST], "cancelled", KILL),
    "called, then cancelled": (
        Broken.cancelled_but_called, replace(CANCELLED, cancelled_at_us=DUE_US + SECOND_US), [FIRST],
        "cancelled", NONE,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_broken_promise_is_found(name: str) -> None:
    kind, asked, calls, ended, may_repeat = BAD[name]
    assert kind in kinds(judge(asked, *calls, ended=ended, may_repeat=may_repeat))


def test_every_way_to_break_a_promise_is_tried() -> None:
    assert {kind for kind, *_ in BAD.values()} == set(Broken)


def test_a_call_that_nobody_asked_for_is_found() -> None:
    stranger = replace(FIRST, number=9, timer_id="z")
    assert kinds(check(Record([RESEND], [FIRST, stranger], {"a": "delivered"}), KILL)) == {Broken.two_timers}


def test_repeats_marks_and_ends_are_counted() -> None:
    asked = [replace(RESEND, number=n, ids=[f"t{n}"]) for n in range(3)] + [replace(HOLD, number=3, ids=["t3"])]
    calls = [replace(FIRST, number=n, timer_id=f"t{n}") for n in range(2)]
    calls += [replace(MARKED, number=n, timer_id=f"t{n}") for n in (1, 2)]
    ended = {"t0": "delivered", "t1": "delivered", "t2": "delivered", "t3": "unknown"}
    verdict = check(Record(asked, calls, ended), KILL)
    assert verdict.violations == []
    assert (verdict.timers, verdict.called, verdict.repeats, verdict.marked, verdict.undecided) == (4, 3, 1, 2, 1)
    assert verdict.late_ms == [3.0, 3.0, 1000.0]
    assert verdict.late_p99_ms == 1000.0


def test_the_time_until_everything_was_called_counts_from_the_end_of_a_strike() -> None:
    strike = Strike(DUE_US - SECOND_US, DUE_US + SECOND_US)
    late, early, later = DUE_US + 4 * SECOND_US, DUE_US + 500, DUE_US + 9 * SECOND_US
    calls = [
        replace(FIRST, at_us=late),
        replace(FIRST, number=2, at_us=early),
        # Due only afterwards: the strike did not keep it waiting.
        replace(FIRST, number=3, due_at_us=later, at_us=later),
    ]
    assert check(Record([], calls, {}, [strike]), NONE).whole_seconds == 3.0

"""Decides from a record which promises were kept. Pure: it can be fed with made-up histories."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from tests.faults.record import DOUBTFUL, Answer, Arrival, Asked, Record

AHEAD_US = 1_000_000
"""A timer made less than that before it is due waits for the next poll: it tells nothing about lateness."""


class Broken(StrEnum):
    """Ways to break a promise."""

    missed = "stored, and never called"
    early = "called before it was due"
    cancelled_but_called = "called though its cancel was answered"
    doubled = "called again after a 2xx, without a crash that excuses it"
    unmarked = "called again without Timer-Possible-Duplicate"
    forbidden = "called again though on_unknown forbids it"
    marked_in_vain = "marked as a possible duplicate without a cause"
    attempt_twice = "two calls with one attempt number"
    two_timers = "two timers from one create"
    wrong_id = "webhook-id, Idempotency-Key and path differ"
    wrong_due = "Timer-Due-At is not what the create was answered"
    wrong_answer = "the API answered what no fault excuses"
    wrong_state = "the state at the end does not agree with what happened"


@dataclass(frozen=True, slots=True)
class Violation:
    """One promise that was broken for one timer."""

    kind: Broken
    number: int
    detail: str


@dataclass(slots=True)
class Verdict:
    """The violations, and what is worth counting beside them."""

    violations: list[Violation] = field(default_factory=list)
    timers: int = 0
    """Surely stored."""
    in_doubt: int = 0
    """Creates that were never answered 2xx."""
    called: int = 0
    cancelled: int = 0
    repeats: int = 0
    """Calls after one that was answered 2xx; each has to be marked."""
    marked: int = 0
    """Calls that say that they may be repeats, whether they are or not."""
    undecided: int = 0
    """Timers with hold or fail that ended without a known outcome."""
    late_ms: list[float] = field(default_factory=list)
    """Of each timer that was made long enough ahead: from its due time to its first call, sorted."""
    whole_seconds: float = 0.0
    """The longest wait from the end of a strike until everything that was due by then was called."""

    def count(self, *kinds: Broken) -> int:
        """How many violations there are of these kinds."""
        counts = Counter(violation.kind for violation in self.violations)
        return sum(counts[kind] for kind in kinds)

    @property
    def late_p99_ms(self) -> float | None:
        """None when nothing was made ahead."""
        return self.late_ms[min(len(self.late_ms) - 1, len(self.late_ms) * 99 // 100)] if self.late_ms else None


def check(record: Record, may_repeat: bool) -> Verdict:
    """Judge every timer of the load.

    `may_repeat` excuses calls again, marked, of timers with `resend`, and ends without a known outcome of the
    others. Nothing excuses a call that is missed, early, unmarked, or follows a cancel.
    """
    verdict = Verdict()
    by_number: defaultdict[int, list[Arrival]] = defaultdict(list)
    for arrival in record.arrivals:
        by_number[arrival.number].append(arrival)
    for calls in by_number.values():
        calls.sort(key=lambda call: (call.attempt, call.at_us))
    for asked in record.asked:
        calls = by_number.pop(asked.number, [])
        verdict.violations += _flaws(asked, calls, record, may_repeat)
        _count(verdict, asked, calls)
    for number, calls in by_number.items():
        verdict.violations.append(Violation(Broken.two_timers, number, f"nobody asked for {calls[0].timer_id}"))
    verdict.late_ms.sort()
    verdict.whole_seconds = _whole_seconds(record)
    return verdict


def _flaws(asked: Asked, calls: Sequence[Arrival], record: Record, may_repeat: bool) -> Iterator[Violation]:
    for kind, detail in (
        *_flaws_of_identity(asked, calls),
        *_flaws_of_calls(asked, calls, may_repeat),
        *_flaws_of_cancel(asked, calls, may_repeat),
        *_flaws_of_end(asked, calls, record, may_repeat),
    ):
        yield Violation(kind, asked.number, detail)


Flaws = Iterator[tuple[Broken, str]]


def _flaws_of_identity(asked: Asked, calls: Sequence[Arrival]) -> Flaws:
    ids = dict.fromkeys([*asked.ids, *(call.timer_id for call in calls)])
    if len(ids) > 1:
        yield Broken.two_timers, ", ".join(ids)
    for complaint in asked.complaints:
        yield Broken.wrong_answer, complaint
    if any(not call.agrees for call in calls):
        yield Broken.wrong_id, f"of {calls[0].timer_id}"
    for call in calls:
        if asked.due_at_us and call.due_at_us != asked.due_at_us:
            yield Broken.wrong_due, f"{call.due_at_us} instead of {asked.due_at_us}"


def _flaws_of_calls(asked: Asked, calls: Sequence[Arrival], may_repeat: bool) -> Flaws:
    for place, call in enumerate(calls):
        before = calls[:place]
        where = f"attempt {call.attempt} of {call.timer_id}, after {[str(b.answer) for b in before]}"
        if call.at_us < (asked.due_at_us or call.due_at_us):
            yield Broken.early, f"{where}: by {(asked.due_at_us or call.due_at_us) - call.at_us} us"
        if before and before[-1].attempt == call.attempt:
            yield Broken.attempt_twice, where
        was_heard = any(b.answer is Answer.ok for b in before)
        if was_heard and not may_repeat:
            yield Broken.doubled, where
        is_repeat = was_heard or any(b.answer in DOUBTFUL for b in before)
        if is_repeat and not call.is_marked:
            yield Broken.unmarked, where
        if is_repeat and asked.on_unknown != "resend":
            yield Broken.forbidden, where
        if call.is_marked and not is_repeat and not may_repeat:
            yield Broken.marked_in_vain, where


def _flaws_of_cancel(asked: Asked, calls: Sequence[Arrival], may_repeat: bool) -> Flaws:
    if not asked.cancelled_at_us:
        return
    for call in calls:
        # One that is tried again later can be cancelled in between.
        was_over = call.answer is Answer.ok and not may_repeat
        if call.at_us > asked.cancelled_at_us or was_over:
            yield Broken.cancelled_but_called, f"{call.timer_id}, {call.at_us - asked.cancelled_at_us} us later"


def _flaws_of_end(asked: Asked, calls: Sequence[Arrival], record: Record, may_repeat: bool) -> Flaws:
    was_heard = any(call.answer is Answer.ok for call in calls)
    is_excused = may_repeat or any(call.answer in DOUBTFUL for call in calls)
    for timer_id in dict.fromkeys([*asked.ids, *(call.timer_id for call in calls)]):
        state = record.ended.get(timer_id)
        match state:
            case "delivered":
                is_right = was_heard and not asked.cancelled_at_us
            case "cancelled":
                is_right = bool(asked.cancelled_at_us) or asked.may_be_cancelled
            case "unknown":
                is_right = asked.on_unknown == "hold" and is_excused
            case "failed":
                is_right = asked.on_unknown == "fail" and is_excused
            case _:
                is_right = False
        if is_right:
            continue
        detail = f"{timer_id} with {asked.on_unknown} is {state}, calls: {[str(call.answer) for call in calls]}"
        if asked.is_sure and not was_heard and not asked.cancelled_at_us:
            yield Broken.missed, detail
        else:
            yield Broken.wrong_state, detail


def _count(verdict: Verdict, asked: Asked, calls: Sequence[Arrival]) -> None:
    verdict.timers += asked.is_sure
    verdict.in_doubt += not asked.is_sure
    verdict.called += bool(calls)
    verdict.cancelled += bool(asked.cancelled_at_us)
    verdict.marked += sum(call.is_marked for call in calls)
    heard = [place for place, call in enumerate(calls) if call.answer is Answer.ok]
    if heard:
        verdict.repeats += len(calls) - 1 - heard[0]
    elif asked.is_sure and asked.on_unknown != "resend" and not asked.cancelled_at_us:
        verdict.undecided += 1
    if calls and asked.due_at_us - asked.made_at_us >= AHEAD_US:
        verdict.late_ms.append((min(call.at_us for call in calls) - asked.due_at_us) / 1000)


def _whole_seconds(record: Record) -> float:
    first_at: dict[int, tuple[int, int]] = {}
    for call in record.arrivals:
        at_us, due_us = first_at.get(call.number, (call.at_us, call.due_at_us))
        first_at[call.number] = min(at_us, call.at_us), due_us
    waits_us = [
        at_us - strike.ended_at_us
        for strike in record.strikes
        for at_us, due_us in first_at.values()
        if due_us <= strike.ended_at_us < at_us
    ]
    return max(waits_us, default=0) / 1e6

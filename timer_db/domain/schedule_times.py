"""When a schedule runs, and which of its runs are made now: arithmetic that gives the same to all who compute it.

Moments are microseconds since the epoch.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from hashlib import blake2b
from typing import Protocol

SECOND_US = 1_000_000


class Overlap(StrEnum):
    """What becomes of a run while the one before has not ended."""

    allow = "allow"
    skip = "skip"


class CatchUp(StrEnum):
    """Which runs are made of those that were missed, in an outage or while the schedule was paused."""

    all = "all"
    last = "last"
    none = "none"


class Rule(Protocol):
    """What says when to run."""

    def after(self, at_us: int) -> Iterator[int]:
        """Every run after a moment, in order."""

    def last_until(self, at_us: int) -> int | None:
        """The last run that is not after a moment."""


@dataclass(frozen=True, slots=True)
class Every:
    """A run each `period_us`, whatever clocks on walls do; one of them is at `anchor_us`."""

    period_us: int
    anchor_us: int

    def after(self, at_us: int) -> Iterator[int]:
        return itertools.count(self._at_or_before(at_us) + self.period_us, self.period_us)

    def last_until(self, at_us: int) -> int | None:
        return self._at_or_before(at_us)

    def _at_or_before(self, at_us: int) -> int:
        return at_us - (at_us - self.anchor_us) % self.period_us


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """A rule within its bounds, both inclusive, with jitter.

    Jitter moves each run by up to `jitter_us`, but never as far as the next one, nor past the end: so runs keep
    their order. How far, is drawn from the run's own time and `seed`, and so always the same.
    """

    rule: Rule
    start_us: int | None = None
    end_us: int | None = None
    jitter_us: int = 0
    seed: str = ""

    def after(self, at_us: int) -> Iterator[int]:
        """Every run after a moment, in order."""
        planned = self._planned_after(at_us)
        if not self.jitter_us:
            yield from planned
            return
        # The one before may have been moved past that moment.
        if (before := self._planned_until(at_us)) is not None:
            planned = itertools.chain([before], planned)
        for run_us, following_us in itertools.pairwise(itertools.chain(planned, [None])):
            assert run_us is not None
            if (moved_us := self._moved(run_us, following_us)) > at_us:
                yield moved_us

    def last_until(self, at_us: int) -> int | None:
        """The last run that is not after a moment."""
        run_us = self._planned_until(at_us)
        if run_us is None or not self.jitter_us:
            return run_us
        if (moved_us := self._moved(run_us, next(self._planned_after(run_us), None))) <= at_us:
            return moved_us
        before_us = self._planned_until(run_us - 1)
        return None if before_us is None else self._moved(before_us, run_us)

    def _planned_after(self, at_us: int) -> Iterator[int]:
        begin_us = at_us if self.start_us is None else max(at_us, self.start_us - 1)
        runs = self.rule.after(begin_us)
        end_us = self.end_us
        return runs if end_us is None else itertools.takewhile(lambda run_us: run_us <= end_us, runs)

    def _planned_until(self, at_us: int) -> int | None:
        run_us = self.rule.last_until(at_us if self.end_us is None else min(at_us, self.end_us))
        is_before = run_us is None or (self.start_us is not None and run_us < self.start_us)
        return None if is_before else run_us

    def _moved(self, run_us: int, following_us: int | None) -> int:
        latest_us = run_us + self.jitter_us
        if following_us is not None:
            latest_us = min(latest_us, following_us - 1)
        if self.end_us is not None:
            latest_us = min(latest_us, self.end_us)
        draw = int.from_bytes(blake2b(f"{self.seed}\0{run_us}".encode(), digest_size=8).digest())
        return run_us + draw % (latest_us - run_us + 1)


@dataclass(frozen=True, slots=True)
class Plan:
    """Runs to make now, and the one to look at next; None when there is none any more."""

    runs: list[int]
    next_us: int | None


def plan(
    times: Times,
    next_us: int,
    *,
    now_us: int,
    until_us: int,
    missed_after_us: int,
    catch_up: CatchUp,
    overlap: Overlap,
    is_idle: bool,
    limit: int,
) -> Plan:
    """What to make of a schedule whose next run is at `next_us`: its runs until `until_us`, which lies ahead of
    `now_us`, and at most `limit` of them.

    When the next run is late by more than `missed_after_us`, nobody planned for a while, and `catch_up` decides.
    `is_idle`: the last run that was made has ended. If not, `overlap` may leave out runs whose time has come; one
    whose time is still to come waits for it.
    """
    first_us: int | None = next_us
    if next_us < now_us - missed_after_us:
        first_us = caught_up(times, next_us, now_us=now_us, catch_up=catch_up)
    if first_us is None:
        return Plan([], None)
    runs: list[int] = []
    upcoming = itertools.chain([first_us], times.after(first_us))
    for number, run_us in enumerate(upcoming):
        if run_us > until_us or number == limit:
            return Plan(runs, run_us)
        if overlap is Overlap.allow or is_idle:
            runs.append(run_us)
            is_idle = False
        elif run_us > now_us:
            return Plan(runs, run_us)
    return Plan(runs, None)


def caught_up(times: Times, next_us: int, *, now_us: int, catch_up: CatchUp) -> int | None:
    """The run to go on with, when no run since `next_us` was made."""
    if next_us > now_us or catch_up is CatchUp.all:
        return next_us
    if catch_up is CatchUp.last:
        last_us = times.last_until(now_us)
        if last_us is not None and last_us >= next_us:
            return last_us
    return next(times.after(now_us), None)

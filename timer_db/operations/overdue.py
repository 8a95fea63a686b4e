"""What is older than the retention: of which collections, and in which partitions of the log.

The log is dropped by whole partitions, once nothing of it is to be kept for anybody. Collections that are kept for
a shorter time are deleted from the partitions that stay; how far each has come is written down, so that each
partition is walked once for it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncEngine

from timer_db import transactions
from timer_db.operations.partitions import DAY_US, Partition, present
from timer_db.statements import controllers, retention
from timer_db.statements.retention import EVERY, Among
from timer_db.transactions import Connection

_OTHERS = 0
"""In the place of a collection's number: all that have no retention of their own."""
_NEVER_US = -1


class Own(NamedTuple):
    """A retention that a collection has chosen; 0 days are for ever. Nothing of it is older than `since_us`."""

    days: int
    since_us: int


@dataclass(frozen=True, slots=True)
class Cohort:
    """Collections with the same retention. What of them ended before `from_us` is gone, each by its number; what
    did before `cutoff_us` is to go."""

    among: Among
    from_us: Mapping[int, int]
    cutoff_us: int

    @property
    def begin_us(self) -> int:
        """Of no collection of it anything is left before this."""
        return min(self.from_us.values())


@dataclass(frozen=True, slots=True)
class Walk:
    """A partition of which timers are to go: those of some collections; or all, and then the partition itself."""

    partition: Partition
    among: Among
    advances: Mapping[int, int]
    """By collection, how far it had come before."""
    is_last: bool


@dataclass(frozen=True, slots=True)
class Overdue:
    """What is to go. Controllers and events that are older than `cutoff_us` go too; None: they stay."""

    cutoff_us: int | None
    cohorts: tuple[Cohort, ...]
    walks: tuple[Walk, ...]


async def find_overdue(engine: AsyncEngine, days: int, own: Mapping[int, Own] | None = None) -> Overdue:
    """What is older than so many days, or than what its collection has chosen, by the database's clock.

    A partition is left alone while a batch is in hand that was claimed before its end: an outcome that waited for
    the database in a controller's memory could still come into it, behind those who walk through it.
    """
    chosen = own or {}

    async def work(connection: Connection) -> Overdue:
        now_us = int(await connection.value(controllers.NOW))
        oldest_claim_us = await connection.value(retention.OLDEST_CLAIM)
        settled_us = now_us if oldest_claim_us is None else int(oldest_claim_us)
        progress = await _progress(connection, chosen) if chosen else {_OTHERS: 0}
        cohorts = _cohorts(now_us, days, chosen, progress)
        return Overdue(
            now_us - days * DAY_US if days else None,
            tuple(cohort for cohort in cohorts if cohort.cutoff_us != _NEVER_US),
            tuple(_walks(await present(connection), cohorts, settled_us)),
        )

    return await transactions.run(engine, work)


async def _progress(connection: Connection, own: Mapping[int, Own]) -> dict[int, int]:
    """How far each has come. Who chooses a retention now was one of the others until now; who does so no more is
    one of them from now on, and they go back to where it is."""
    found = {int(number): int(until_us) for number, until_us in await connection.rows(retention.PROGRESS)}
    left = found.keys() - own.keys() - {_OTHERS}
    others_us = min([found.get(_OTHERS, 0), *(found[number] for number in left)])
    missing = {number: max(others_us, chosen.since_us - DAY_US) for number, chosen in own.items()}
    changed = {_OTHERS: others_us, **{n: at_us for n, at_us in missing.items() if n not in found}}
    for number, until_us in changed.items():
        if found.get(number) != until_us:
            await connection.write(retention.keep_progress(number, until_us))
    if left:
        await connection.write(retention.drop_progress(left))
    return {**missing, **found, **changed}


def _cohorts(now_us: int, days: int, own: Mapping[int, Own], progress: Mapping[int, int]) -> list[Cohort]:
    def cutoff_us(kept_days: int) -> int:
        return now_us - kept_days * DAY_US if kept_days else _NEVER_US

    by_days: defaultdict[int, list[int]] = defaultdict(list)
    for number, chosen in sorted(own.items()):
        by_days[chosen.days].append(number)
    others = Cohort(Among(tuple(sorted(own)), True), {_OTHERS: progress[_OTHERS]}, cutoff_us(days))
    return [
        others,
        *(
            Cohort(Among(tuple(numbers), False), {n: progress[n] for n in numbers}, cutoff_us(kept_days))
            for kept_days, numbers in by_days.items()
        ),
    ]


def _walks(partitions: Sequence[Partition], cohorts: Sequence[Cohort], settled_us: int) -> list[Walk]:
    last_us = min(settled_us, *(cohort.cutoff_us for cohort in cohorts))
    reached = {number: us for cohort in cohorts for number, us in cohort.from_us.items()}
    walks: list[Walk] = []
    for partition in partitions:
        end_us = partition.end_us
        if end_us <= last_us:
            # Also of those that have come further: no timer may outlive its last attempt.
            walks.append(Walk(partition, EVERY, {}, is_last=True))
            continue
        due = [cohort for cohort in cohorts if cohort.begin_us < end_us <= min(cohort.cutoff_us, settled_us)]
        if due:
            advances = {n: reached[n] for cohort in due for n in cohort.from_us if reached[n] < end_us}
            reached.update(dict.fromkeys(advances, end_us))
            walks.append(Walk(partition, _union(due), advances, is_last=False))
    return walks


def _union(cohorts: Sequence[Cohort]) -> Among:
    named = {number for cohort in cohorts if not cohort.among.are_others for number in cohort.among.numbers}
    for cohort in cohorts:
        if cohort.among.are_others:
            return Among(tuple(sorted(set(cohort.among.numbers) - named)), True)
    return Among(tuple(sorted(named)), False)

"""Make, change, list, pause and delete schedules. They live on the first server, and so do their runs.

(`operations.schedule` is the verb: it stores timers. `operations.plan_runs` makes those of schedules.)
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from timer_db import transactions
from timer_db.domain import marks
from timer_db.domain.errors import ScheduleNotFound, ScheduleUnreadable
from timer_db.domain.schedule_settings import ScheduleSettings, StoredSchedule
from timer_db.domain.schedule_times import caught_up
from timer_db.operations.cancel import cancel_some
from timer_db.operations.groups import put
from timer_db.operations.schedule_rows import schedule_of, text_of
from timer_db.operations.standing import standing
from timer_db.shards import Shard, Shards
from timer_db.statements import controllers, groups
from timer_db.statements import schedules as statements
from timer_db.statements.literals import LIST_MAX
from timer_db.transactions import Connection

PLANNED_AHEAD_MAX_US = 200_000_000
"""Runs that wait for their time were made less than that ago."""


class SchedulePut(NamedTuple):
    """A schedule as it is stored, and whether it is a new one."""

    schedule: StoredSchedule
    created: bool


class SchedulePage(NamedTuple):
    """Some schedules, and the cursor of the next page; None when this is the last."""

    schedules: list[StoredSchedule]
    next_cursor: str | None


async def put_schedule(shards: Shards, name: str, settings: ScheduleSettings) -> SchedulePut:
    """Make it, or choose all its settings anew; whether it is paused stays. May be repeated.

    While the times stay as they are, so does the next run, also one that was missed. With others, it runs by those
    from now on. Runs that were made ahead of their time are cancelled, and made again as they are to be now.
    """
    shard = shards.home

    async def work(connection: Connection) -> SchedulePut:
        rows = await connection.rows(*groups.by_name("schedules", statements.COLUMNS, name))
        now_us = int(await connection.value(controllers.NOW))
        if not rows:
            next_us = next(settings.times(name, now_us).after(now_us), None)
            text = text_of(name, settings, shard.keyring)
            await connection.write(*statements.insert(name, text, now_us, next_us), count=1)
        else:
            before = schedule_of(rows[0], shard.keyring)
            if before.settings != settings:
                before = await _with(connection, shard, before, settings, now_us)
            # Also what is the same, so that it is sealed with the key that seals now.
            await _store(connection, shard, before)
        return SchedulePut(await _locked(connection, shard, name), not rows)

    return await put(shard.engine, work)


async def get_schedule(shards: Shards, name: str) -> StoredSchedule:
    """The schedule of this name, or ScheduleNotFound."""
    shard = shards.home

    async def work(connection: Connection) -> StoredSchedule:
        rows = await connection.rows(*groups.look_by_name("schedules", statements.COLUMNS, name))
        if not rows:
            raise ScheduleNotFound(name)
        return schedule_of(rows[0], shard.keyring)

    return await transactions.run(shard.engine, work)


async def list_schedules(shards: Shards, limit: int, cursor: str | None = None) -> SchedulePage:
    """A page of at most `limit`, by name, from behind the name `cursor`."""
    shard = shards.home

    async def work(connection: Connection) -> SchedulePage:
        statement = groups.page("schedules", statements.COLUMNS, cursor or "", limit + 1)
        found = [schedule_of(row, shard.keyring) for row in await connection.rows(*statement)]
        return SchedulePage(found[:limit], found[limit - 1].name if len(found) > limit else None)

    return await transactions.run(shard.engine, work)


async def pause_schedule(shards: Shards, name: str) -> StoredSchedule:
    """No run whose time is still to come is called, but for those that a controller has in hand already.

    May be repeated. Raises ScheduleNotFound, or ScheduleUnreadable.
    """
    shard = shards.home

    async def work(connection: Connection) -> StoredSchedule:
        schedule = await _locked(connection, shard, name)
        if not schedule.is_paused:
            now_us = int(await connection.value(controllers.NOW))
            cancelled, _ = await _withdraw(connection, shard, schedule, now_us)
            held_us = _earliest(*cancelled, schedule.next_run_at_us)
            paused = replace(schedule, is_paused=True, next_run_at_us=held_us)
            await _store(connection, shard, paused)
        return await _locked(connection, shard, name)

    return await transactions.run(shard.engine, work)


async def resume_schedule(shards: Shards, name: str) -> StoredSchedule:
    """It runs again; which of the runs meanwhile are made now, its `catch_up` decides.

    May be repeated. Raises ScheduleNotFound, or ScheduleUnreadable.
    """
    shard = shards.home

    async def work(connection: Connection) -> StoredSchedule:
        schedule = await _locked(connection, shard, name)
        if schedule.is_paused:
            next_us = schedule.next_run_at_us
            if next_us is not None:
                now_us = int(await connection.value(controllers.NOW))
                catch_up = schedule.settings.catch_up
                next_us = caught_up(schedule.times, next_us, now_us=now_us, catch_up=catch_up)
            await _store(connection, shard, replace(schedule, is_paused=False, next_run_at_us=next_us))
        return await _locked(connection, shard, name)

    return await transactions.run(shard.engine, work)


async def delete_schedule(shards: Shards, name: str) -> None:
    """Runs that were made stay; those among them whose time is still to come are cancelled, as by a pause.

    Raises ScheduleNotFound.
    """
    shard = shards.home

    async def work(connection: Connection) -> None:
        schedule = await _locked(connection, shard, name)
        await _withdraw(connection, shard, schedule, int(await connection.value(controllers.NOW)))
        await connection.write(statements.empty(schedule.id), count=1)
        await connection.write(groups.bury("schedules", schedule.id), count=1)

    await transactions.run(shard.engine, work)


async def _with(
    connection: Connection, shard: Shard, before: StoredSchedule, settings: ScheduleSettings, now_us: int
) -> StoredSchedule:
    cancelled, kept = await _withdraw(connection, shard, before, now_us)
    if before.settings.has_times_of(settings):
        next_us = _earliest(*cancelled, before.next_run_at_us)
    else:
        # Not those once more that are in a controller's hands.
        next_us = next(settings.times(before.name, before.created_at_us).after(max(now_us, *kept, 0)), None)
    return replace(before, settings=settings, next_run_at_us=next_us, unreadable="")


async def _withdraw(
    connection: Connection, shard: Shard, schedule: StoredSchedule, now_us: int
) -> tuple[list[int], list[int]]:
    """Cancel the runs that were made ahead of their time. Gives the times of those, and of the others."""
    # What is due still later was put off by hand, and is left alone.
    ahead = statements.runs_ahead(
        marks.of_schedule(schedule.id),
        made_at_us=now_us - PLANNED_AHEAD_MAX_US,
        after_us=now_us,
        until_us=schedule.last_run_at_us or 0,
    )
    ids = [bytes(row[0]) for row in await connection.rows(ahead)]
    found = await standing(connection, ids[:LIST_MAX]) if ids else {}
    changed = set((await cancel_some(connection, list(found.values()))).changed) if found else set()
    dues: dict[bool, list[int]] = {True: [], False: []}
    for timer in found.values():
        dues[timer.timer_id in changed].append(timer.due_at_us)
    return dues[True], dues[False]


def _earliest(*moments_us: int | None) -> int | None:
    return min((moment_us for moment_us in moments_us if moment_us is not None), default=None)


async def _store(connection: Connection, shard: Shard, schedule: StoredSchedule) -> None:
    if schedule.unreadable:
        raise ScheduleUnreadable(schedule.name, schedule.unreadable)
    held_us = schedule.next_run_at_us if schedule.is_paused else None
    next_us = None if schedule.is_paused else schedule.next_run_at_us
    text = text_of(schedule.name, schedule.settings, shard.keyring, held_us)
    await connection.write(*statements.change(schedule.id, text, schedule.is_paused, next_us), count=1)


async def _locked(connection: Connection, shard: Shard, name: str) -> StoredSchedule:
    rows = await connection.rows(*groups.by_name("schedules", statements.COLUMNS, name))
    if not rows:
        raise ScheduleNotFound(name)
    return schedule_of(rows[0], shard.keyring)

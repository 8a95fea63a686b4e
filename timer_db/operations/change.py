"""Change what was asked for, of a timer that waits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from uuid import UUID

from timer_db.domain.errors import ContentUnreadable, NotChangeable, TimerNotFound
from timer_db.domain.marks import marks_of
from timer_db.domain.queue_entry import entry_of
from timer_db.domain.states import TimerState
from timer_db.domain.timer import NewTimer, Timer
from timer_db.encryption import Keyring
from timer_db.operations.bulk import Done, for_one, in_state, left
from timer_db.operations.inspect import get_timer
from timer_db.operations.rows import content_sha256, fields_of, row_of, sealed
from timer_db.operations.standing import Standing, take_out
from timer_db.shards import Shards
from timer_db.statements import controllers, counts, labels, names, queue, timers
from timer_db.statements.counts import MADE, Counted
from timer_db.statements.timers import COLUMNS
from timer_db.transactions import Connection

Revise = Callable[[Timer], NewTimer]
"""From a timer as it stands to what it is to be. May be called more than once."""
_CONTENT = frozenset({"headers", "body", "body_is_json", "meta"})


async def change(shards: Shards, timer_id: UUID, revise: Revise, *, is_moved: bool) -> Timer:
    """The changed timer. It is called when it would have been, unless it is moved: then at its new due time.

    Its name still knows what it was made with, and no later change. Raises TimerNotFound, NotChangeable for one
    that is being called or has ended, and ContentUnreadable when content is to be changed that nobody can read.
    """
    return await _change(shards, timer_id, revise, is_moved=is_moved)


async def replace_whole(shards: Shards, timer_id: UUID, new: NewTimer) -> Timer:
    """The timer, which has the name of the new one, as that one is, in all but its id and when it was made. Its
    retry policy begins anew, and its name knows what it is like now.

    Raises TimerNotFound and NotChangeable.
    """

    def revise(old: Timer) -> NewTimer:
        return replace(new, id=old.id, created_at_us=old.created_at_us)

    return await _change(shards, timer_id, revise, is_moved=True, is_whole=True)


async def _change(
    shards: Shards, timer_id: UUID, revise: Revise, *, is_moved: bool, is_whole: bool = False
) -> Timer:
    shard = shards.holding(timer_id)
    if shard is None:
        raise TimerNotFound(timer_id)
    keyring = shard.keyring

    async def change_some(connection: Connection, found: Sequence[Standing]) -> Done:
        done = Done()
        waiting = in_state(found, {TimerState.scheduled}, NotChangeable, done)
        for taken in await take_out(connection, waiting):
            # Nobody else changes it now, so this is what it is.
            old = await read_asked(connection, taken.timer_id, keyring)
            new = revise(old)
            at_us = taken.place.at_us
            if is_moved:
                at_us = max(new.due_at_us, int(await connection.value(controllers.NOW)))
            await rewrite(connection, keyring, old, new, at_us, begins_anew=is_whole)
            if is_whole and new.name is not None:
                content = keyring.hash(content_sha256(new))
                name = names.renew(new.owner.collection_id, new.name, taken.timer_id, content)
                await connection.write(*name, count=1)
            done.changed.append(taken.timer_id)
        done.again = left(waiting, done.changed)
        return done

    await for_one(shards, timer_id, change_some)
    return await get_timer(shards, timer_id)


async def read_asked(connection: Connection, timer_id: bytes, keyring: Keyring) -> Timer:
    """A timer that was taken out of its queue, whose state says nothing therefore."""
    [row] = await connection.rows(timers.asked(timer_id))
    return Timer(**fields_of(row, keyring), attempts=row[7])


async def rewrite(
    connection: Connection, keyring: Keyring, old: Timer, new: NewTimer, at_us: int, *, begins_anew: bool = False
) -> None:
    """Store a timer that was taken out of its queue as it is to be, and put it back to be called at `at_us`. With
    `begins_anew` its retry policy counts from now on, and nothing of its old content is looked at.

    Raises ContentUnreadable when it would be read and cannot be.
    """
    before, after = row_of(old), row_of(new)
    changed = {column for column, was, is_now in zip(COLUMNS, before, after, strict=True) if was != is_now}
    if changed & _CONTENT or begins_anew:
        if old.unreadable and not begins_anew:
            raise ContentUnreadable(old.id, old.unreadable)
        if keyring:
            after = sealed(after, keyring)
        changed |= {*_CONTENT, "sealed_with"}
    values = {column: value for column, value in zip(COLUMNS, after, strict=True) if column in changed}
    values["next_at_us"] = at_us
    if begins_anew:
        values["attempts_before"] = old.attempts
    await connection.write(timers.change(old.id.bytes, values), count=1)
    await _mark(connection, old, new)
    if old.owner != new.owner:
        change = {Counted(*old.owner, MADE): -1, Counted(*new.owner, MADE): 1}
        await connection.write(counts.add(change))
    await connection.write(queue.put([entry_of(old.id, new.priority, at_us)]), count=1)


async def _mark(connection: Connection, old: Timer, new: NewTimer) -> None:
    before, after = set(marks_of(old.labels, old.owner)), set(marks_of(new.labels, new.owner))
    if gone := [mark + old.id.bytes for mark in before - after]:
        await connection.write(labels.remove(gone), count=len(gone))
    if come := [mark + old.id.bytes for mark in after - before]:
        await connection.write(labels.put(come), count=len(come))

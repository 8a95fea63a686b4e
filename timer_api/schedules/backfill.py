"""Makes the runs of a stretch of time that is over: in chunks, each a commit, as batches are made."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice, takewhile
from uuid import UUID

import orjson

from timer_api.errors import Kind, Problem, from_error
from timer_api.intake import LineFull
from timer_api.schedules.schemas import RUNS_MAX
from timer_api.service import Service
from timer_api.timers.batch_work import CHUNK_BYTES, CHUNK_TIMERS
from timer_db.domain.asked_timer import timer_of
from timer_db.domain.errors import TimerError
from timer_db.domain.idempotency import KeyHeld
from timer_db.domain.owner import Owner
from timer_db.domain.schedule_settings import StoredSchedule
from timer_db.domain.timer import Timer
from timer_db.operations import idempotency
from timer_db.operations.schedule import choose_ids


@dataclass(frozen=True, slots=True)
class Backfilled:
    """How many runs were made, and the first one that is left; None: none is."""

    made: int
    next_us: int | None


async def backfill(
    service: Service, schedule: StoredSchedule, from_us: int, to_us: int, held: KeyHeld | None = None
) -> Backfilled:
    """Make at most `RUNS_MAX` of the runs that were due from then on, and before `to_us`. What an earlier request
    with the same key has made is not made again, and counts as made.

    What was made stays when the rest cannot be. Raises a 429 or a 503 when nothing was.
    """
    runs = list(islice(takewhile(lambda run_us: run_us < to_us, schedule.times.after(from_us - 1)), RUNS_MAX + 1))
    size_bytes = len(orjson.dumps(schedule.settings.timer))
    chunk = max(1, min(CHUNK_TIMERS, CHUNK_BYTES // size_bytes))
    made = 0
    while made < min(len(runs), RUNS_MAX):
        moments = runs[made : min(made + chunk, RUNS_MAX)]
        timers = _timers(service, schedule, moments, held, made)
        stored, problem = await _store(service, timers, size_bytes * len(moments), held)
        made += stored
        if problem is not None:
            if not made:
                raise problem
            break
        # Others have their turn between two chunks.
        await asyncio.sleep(0)
    return Backfilled(made, runs[made] if made < len(runs) else None)


def _timers(
    service: Service, schedule: StoredSchedule, moments: Sequence[int], held: KeyHeld | None, first: int
) -> list[Timer]:
    now_us = service.now_us() if held is None else held.first_us
    settings = schedule.settings
    collection_id, route_id, _ = settings.owner
    owner = Owner(collection_id, route_id, schedule.id)
    defaults = service.directory.current.usual_of(owner)
    names = [None] * len(moments)
    if held is None:
        ids = choose_ids(service.shards, now_us, names, service.avoided)
    else:
        ids = idempotency.choose_ids(service.shards, held, names, first)
    return [
        timer_of(settings.timer, timer_id, run_us, now_us, owner, defaults)
        for timer_id, run_us in zip(ids, moments, strict=True)
    ]


async def _store(
    service: Service, timers: Sequence[Timer], size_bytes: int, held: KeyHeld | None
) -> tuple[int, Problem | None]:
    """How many of the first were stored, and why not the next one."""
    found: set[UUID] = set()
    if held is not None and held.is_repeat:
        found = await idempotency.find_stored(service.shards, [timer.id for timer in timers])
    new = [timer for timer in timers if timer.id not in found]
    results = await service.store_all(new, size_bytes) if new else ()
    outcomes = dict(zip([timer.id for timer in new], results, strict=True))
    for number, timer in enumerate(timers):
        result = outcomes.get(timer.id)
        if isinstance(result, LineFull):
            return number, Problem(Kind.busy, "the service is stopping; try again soon")
        if isinstance(result, TimerError):
            return number, from_error(result)
        if isinstance(result, Exception):
            raise result
    return len(timers), None

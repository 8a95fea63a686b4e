"""Makes the runs of a stretch of time that is over: in chunks, each a commit, as batches are made."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice, takewhile

import orjson

from timer_api.errors import Kind, Problem, from_error
from timer_api.intake import LineFull
from timer_api.schedules.schemas import RUNS_MAX
from timer_api.service import Service
from timer_api.timers.batch_work import CHUNK_BYTES, CHUNK_TIMERS
from timer_db.domain.asked_timer import timer_of
from timer_db.domain.errors import TimerError
from timer_db.domain.owner import Owner
from timer_db.domain.schedule_settings import StoredSchedule
from timer_db.domain.timer import Timer
from timer_db.operations.schedule import choose_ids


@dataclass(frozen=True, slots=True)
class Backfilled:
    """How many runs were made, and the first one that is left; None: none is."""

    made: int
    next_us: int | None


async def backfill(service: Service, schedule: StoredSchedule, from_us: int, to_us: int) -> Backfilled:
    """Make at most `RUNS_MAX` of the runs that were due from then on, and before `to_us`.

    What was made stays when the rest cannot be. Raises a 429 or a 503 when nothing was.
    """
    runs = list(islice(takewhile(lambda run_us: run_us < to_us, schedule.times.after(from_us - 1)), RUNS_MAX + 1))
    size_bytes = len(orjson.dumps(schedule.settings.timer))
    chunk = max(1, min(CHUNK_TIMERS, CHUNK_BYTES // size_bytes))
    made = 0
    while made < min(len(runs), RUNS_MAX):
        moments = runs[made : min(made + chunk, RUNS_MAX)]
        stored, problem = await _store(service, _timers(service, schedule, moments), size_bytes * len(moments))
        made += stored
        if problem is not None:
            if not made:
                raise problem
            break
        # Others have their turn between two chunks.
        await asyncio.sleep(0)
    return Backfilled(made, runs[made] if made < len(runs) else None)


def _timers(service: Service, schedule: StoredSchedule, moments: Sequence[int]) -> list[Timer]:
    now_us = service.now_us()
    settings = schedule.settings
    collection_id, route_id, _ = settings.owner
    owner = Owner(collection_id, route_id, schedule.id)
    defaults = service.directory.current.usual_of(owner)
    ids = choose_ids(service.shards, now_us, [None] * len(moments))
    return [
        timer_of(settings.timer, timer_id, run_us, now_us, owner, defaults)
        for timer_id, run_us in zip(ids, moments, strict=True)
    ]


async def _store(service: Service, timers: Sequence[Timer], size_bytes: int) -> tuple[int, Problem | None]:
    """How many of the first were stored, and why not the next one."""
    try:
        results = await service.store_all(timers, size_bytes)
    except LineFull:
        return 0, Problem(Kind.busy, "the service is stopping; try again soon")
    for number, result in enumerate(results):
        if isinstance(result, TimerError):
            return number, from_error(result)
        if isinstance(result, Exception):
            raise result
    return len(results), None

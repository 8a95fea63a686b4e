"""How the whole has been doing lately: looks at the database, the figures that follow from them, and their past.

A process looks only while somebody watches, and for a while after that. However many watch, it looks once a second
at most, and no connection is busy with it for more than a tenth of the time.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable
from dataclasses import asdict, dataclass, fields

from timer_db.domain.errors import DatabaseUnavailable
from timer_db.domain.states import TimerState
from timer_db.operations.overview import ALL, Glance, Made, Slots, glance
from timer_db.shards import Shards

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
UNWATCHED_LOOK_SECONDS = 5.0
UNWATCHED_SECONDS = 3600.0
"""So long it goes on looking when nobody watches any more."""
_SAMPLES_MAX = 900
_BUSY_SHARE = 10
_RECENT_US = 30_000_000
"""Lateness is that of the calls that ended within this time."""
_WATCHED_US = 60_000_000
_WATCHED_MAX = 800
"""Timers in hand whose end is waited for."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The figures of one look; None where there is nothing to tell from."""

    at_ms: int
    made: float | None
    """Timers made a second, since the look before."""
    delivered: float | None
    failed: float | None
    """Failed or unknown."""
    overdue: int
    late_seconds: float
    """How long the oldest due timer has been waiting that is in nobody's hands."""
    p50_ms: float | None
    p99_ms: float | None
    database_ms: float

    def shown(self) -> list[float | None]:
        """For the charts: its fields in their order, rounded."""
        return [
            value if value is None or name == "at_ms" else _rounded(value) for name, value in asdict(self).items()
        ]


class Pulse:
    """The looks of one process, for those who see the same collections; `collection_ids` is asked each time."""

    def __init__(
        self,
        shards: Shards,
        collection_ids: Callable[[], Iterable[int] | None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._shards = shards
        self._collection_ids = collection_ids
        self._monotonic = monotonic
        self._looking = asyncio.Lock()
        self._looked_at = self._wanted_at = -math.inf
        self._took_seconds = 0.0
        self._made: dict[tuple[bytes, int], Made] = {}
        self._watched: dict[bytes, int] = {}
        self._task: asyncio.Task[None] | None = None
        self.samples: deque[Sample] = deque(maxlen=_SAMPLES_MAX)
        self.glance: Glance | None = None
        """What the last look saw."""

    async def look(self) -> Glance:
        """What is, a second old at most unless looks take long. Raises DatabaseUnavailable."""
        self._wanted_at = self._monotonic()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._keep_looking(), name="look at the whole")
        return await self._look()

    @property
    def recent(self) -> Collection[Made]:
        """Some of the attempts that ended timers in the last half minute; of few of them, all."""
        return self._made.values()

    async def stop(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _keep_looking(self) -> None:
        """Charts have a past also for who comes later."""
        while self._monotonic() - self._wanted_at < UNWATCHED_SECONDS:
            await asyncio.sleep(UNWATCHED_LOOK_SECONDS)
            try:
                await self._look()
            except DatabaseUnavailable as error:
                log.debug("no look at the whole: %s", error)

    async def _look(self) -> Glance:
        async with self._looking:
            pause_seconds = max(LOOK_SECONDS * 0.9, _BUSY_SHARE * self._took_seconds)
            if self.glance is None or self._monotonic() - self._looked_at >= pause_seconds:
                began_at = self._monotonic()
                seen = await glance(self._shards, self._collection_ids(), self._watched)
                self._looked_at = self._monotonic()
                self._took_seconds = self._looked_at - began_at
                self._note(seen)
            assert self.glance is not None
            return self.glance

    def _note(self, seen: Glance) -> None:
        self._made = {
            key: made for key, made in (self._made | seen.made).items() if _is_recent(made.finished_at_us, seen)
        }
        ended = {timer_id for timer_id, _ in self._made}
        watched = dict.fromkeys(seen.in_hand, seen.now_us) | self._watched
        living = [
            (i, at_us) for i, at_us in watched.items() if i not in ended and seen.now_us - at_us < _WATCHED_US
        ]
        self._watched = dict(living[-_WATCHED_MAX:])
        self.samples.append(_sample(self.glance, seen, [made.late_us for made in self._made.values()]))
        self.glance = seen


COLUMNS = tuple(field.name for field in fields(Sample))
"""What stands in each place of `Sample.shown`."""


def _rounded(value: float) -> float:
    return float(f"{value:.3g}")


def _is_recent(at_us: int, seen: Glance) -> bool:
    return seen.now_us - at_us < _RECENT_US


def _sample(before: Glance | None, seen: Glance, late_us: list[int]) -> Sample:
    def rate(*states: str) -> float | None:
        seconds = 0.0 if before is None else (seen.now_us - before.now_us) / 1_000_000
        return _more(before.slots, seen.slots, states) / seconds if before and seconds > 0 else None

    late_us.sort()
    return Sample(
        at_ms=seen.now_us // 1000,
        made=rate(ALL),
        delivered=rate(TimerState.delivered),
        failed=rate(TimerState.failed, TimerState.unknown),
        overdue=seen.overdue,
        late_seconds=0.0 if seen.first_at_us is None else max(0, seen.now_us - seen.first_at_us) / 1_000_000,
        p50_ms=percentile(late_us, 0.5),
        p99_ms=percentile(late_us, 0.99),
        database_ms=seen.round_trip_us / 1000,
    )


def _more(before: Slots, now: Slots, states: tuple[str, ...]) -> int:
    """By how many timers each slot has risen. Those that fell are of timers that were forgotten."""
    return sum(max(0, timers - before.get(place, 0)) for place, timers in now.items() if place[1] in states)


def percentile(late_us: list[int], share: float) -> float | None:
    """In milliseconds, of a sorted list of microseconds; None of an empty one."""
    if not late_us:
        return None
    return late_us[min(len(late_us) - 1, math.ceil(share * len(late_us)) - 1)] / 1000

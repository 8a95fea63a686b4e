"""How the whole has been doing lately: looks at the database, the figures that follow from them, and their past.

A process looks only while somebody watches, and for a while after that. However many watch, it looks once a second
at most: what came of a look, be it that nobody answered, is told to all of them.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, fields
from typing import Any

from timer_api.console.known import Known, known
from timer_api.console.servers import PATIENCE_SECONDS, Server
from timer_db.domain.states import TimerState
from timer_db.operations.overview import ALL, Made
from timer_db.shards import Shards

UNWATCHED_LOOK_SECONDS = 5.0
UNWATCHED_SECONDS = 3600.0
"""So long it goes on looking when nobody watches any more."""
_SAMPLES_MAX = 900
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
    """Due, and in nobody's hands."""
    in_hand: int
    """In the hands of controllers."""
    late_seconds: float
    """How long the oldest due timer has been waiting that is in nobody's hands."""
    p50_ms: float | None
    p99_ms: float | None
    controllers: int
    """At work."""
    database_ms: float

    def shown(self, columns: Iterable[str]) -> list[float | None]:
        """For the charts: these fields, rounded."""
        return [_rounded(name, getattr(self, name)) for name in columns]


class Pulse:
    """The looks of one process, for those who see the same collections; `collection_ids` is asked each time."""

    def __init__(
        self,
        shards: Shards,
        collection_ids: Callable[[], Iterable[int] | None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._servers = [Server(shard, monotonic) for shard in shards]
        self._collection_ids = collection_ids
        self._monotonic = monotonic
        self._looking = asyncio.Lock()
        self._wanted_at = -math.inf
        self._made: dict[tuple[bytes, int], Made] = {}
        self._watched: dict[bytes, int] = {}
        self._task: asyncio.Task[None] | None = None
        self.samples: deque[Sample] = deque(maxlen=_SAMPLES_MAX)

    async def look(self) -> Known:
        """What is, a second old at most unless looks take long; of servers that are away, that they are. Raises
        DatabaseUnavailable while none has answered."""
        self._wanted_at = self._monotonic()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._keep_looking(), name="look at the whole")
        await self._look()
        return known(self._servers)

    @property
    def recent(self) -> Collection[Made]:
        """Some of the attempts that ended timers in the last half minute; of few of them, all."""
        return self._made.values()

    async def stop(self) -> None:
        """Look no more."""
        tasks: list[asyncio.Task[Any]] = [task for server in self._servers for task in server.stop()]
        if self._task is not None:
            self._task.cancel()
            tasks.append(self._task)
        if tasks:
            await asyncio.wait(tasks, timeout=PATIENCE_SECONDS)

    async def _keep_looking(self) -> None:
        """Charts have a past also for who comes later."""
        while self._monotonic() - self._wanted_at < UNWATCHED_SECONDS:
            await asyncio.sleep(UNWATCHED_LOOK_SECONDS)
            await self._look()

    async def _look(self) -> None:
        async with self._looking:
            asked = self._collection_ids()
            news = await asyncio.gather(
                *(server.look(asked, self._watched) for server in self._servers), return_exceptions=True
            )
            for each in news:
                if isinstance(each, BaseException):
                    raise each
            if any(news):
                self._note(known(self._servers))

    def _note(self, now: Known) -> None:
        made, watched = self._made, self._watched
        for each in now.told:
            made = made | each.seen.made
            watched = dict.fromkeys(each.seen.in_hand, now.told_at_us) | watched
        self._made = {key: one for key, one in made.items() if now.told_at_us - one.finished_at_us < _RECENT_US}
        ended = {timer_id for timer_id, _ in self._made}
        living = [
            (i, at_us) for i, at_us in watched.items() if i not in ended and now.told_at_us - at_us < _WATCHED_US
        ]
        self._watched = dict(living[-_WATCHED_MAX:])
        self.samples.append(self._sample(now, sorted(one.late_us for one in self._made.values())))

    def _sample(self, now: Known, late_us: list[int]) -> Sample:
        return Sample(
            at_ms=now.told_at_us // 1000,
            made=self._rate(ALL),
            delivered=self._rate(TimerState.delivered),
            failed=self._rate(TimerState.failed, TimerState.unknown),
            overdue=now.overdue,
            in_hand=now.in_hand,
            late_seconds=now.late_seconds,
            p50_ms=percentile(late_us, 0.5),
            p99_ms=percentile(late_us, 0.99),
            controllers=now.alive,
            database_ms=max(each.seen.round_trip_us for each in now.told) / 1000,
        )

    def _rate(self, *states: str) -> float | None:
        """Of the servers that answer, as far as each has been looked at twice."""
        rates = [server.rate(*states) for server in self._servers if not server.is_away]
        found = [rate for rate in rates if rate is not None]
        return sum(found) if found else None


COLUMNS = tuple(field.name for field in fields(Sample))
"""What stands in each place of `Sample.shown`."""


def _rounded(name: str, value: float | None) -> float | None:
    return value if value is None or name == "at_ms" else float(f"{value:.3g}")


def percentile(late_us: list[int], share: float) -> float | None:
    """In milliseconds, of a sorted list of microseconds; None of an empty one."""
    if not late_us:
        return None
    return late_us[min(len(late_us) - 1, math.ceil(share * len(late_us)) - 1)] / 1000

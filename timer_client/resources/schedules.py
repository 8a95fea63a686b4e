"""The calls about schedules."""

from __future__ import annotations

from collections.abc import Callable, Generator
from datetime import datetime, timedelta
from typing import Any, Unpack

from timer_client.answers import Backfill, Runs, Schedule
from timer_client.asked import SchedulePreview, ScheduleSettings, document
from timer_client.calls import KEY, C, Request, call, json_bytes, new_key, path, query
from timer_client.errors import TimerClientError
from timer_client.reading import read, reader
from timer_client.resources.named import Named


class Schedules(Named[C, Schedule]):
    """`client.schedules`"""

    kind = Schedule
    member = "schedules"

    @call
    def put(self, name: str, /, **settings: Unpack[ScheduleSettings]) -> Request[Schedule]:
        """Make it, or replace its settings: what is left out is as by default."""
        return self._put(name, _document(settings))

    @call
    def next_runs(self, name: str, *, count: int = 10) -> Request[tuple[datetime, ...]]:
        """When it runs next."""
        return Request(method="GET", path=path(self.member, name, "next"), read=_runs, query=query(count=count))

    @call
    def preview(self, *, count: int = 10, **settings: Unpack[SchedulePreview]) -> Request[tuple[datetime, ...]]:
        """When such a schedule would run next, without jitter. Nothing is stored."""
        return Request(
            method="POST",
            path=path(self.member, "next"),
            read=_runs,
            query=query(count=count),
            body=json_bytes(_document(settings)),
        )

    @call
    def backfill(
        self,
        name: str,
        *,
        start: datetime | str,
        end: datetime | str,
        idempotency_key: str | None = None,
        on_progress: Callable[[int], object] | None = None,
    ) -> Generator[Request[Any], Any, int]:
        """Make the runs from `start` on and before `end`, whether or not they were made at their time.

        They are called now. Text without an offset is local time of the schedule. Gives how many were made.

        It takes as many calls as there are thousands; `on_progress` gets the sum so far after each. Each is sent
        again when its answer is lost, and no run is made twice. A key of your own does that for a day across
        crashes of your program as well: call it again as it was. When it fails midway, the error's `so_far` says
        how many were made, and which run is next.
        """
        made, key = 0, idempotency_key or new_key()
        begin: datetime | str | None = start
        while begin is not None:
            try:
                answer = yield from Request(
                    method="POST",
                    path=path(self.member, name, "backfill"),
                    read=reader(Backfill),
                    body=json_bytes({"from": begin, "to": end}),
                    headers={KEY: f"{key}/{made}"},
                )
            except TimerClientError as error:
                error.so_far = Backfill(made=made, next_from=begin if isinstance(begin, datetime) else None)
                raise
            made += answer.made
            begin = answer.next_from
            if on_progress:
                on_progress(made)
        return made


def _document(settings: ScheduleSettings | SchedulePreview) -> dict[str, Any]:
    found: dict[str, Any] = {**settings}
    if isinstance(every := found.get("every"), timedelta):
        found["every"] = every.total_seconds()
    if "timer" in found:
        found["timer"] = document(found["timer"])
    return found


def _runs(answer: Any) -> tuple[datetime, ...]:
    return read(Runs, answer).runs

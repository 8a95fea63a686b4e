"""A schedule: when it runs, and what its runs are like."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from timer_db.domain.cron import Cron
from timer_db.domain.owner import BY_DEFAULT, Owner
from timer_db.domain.schedule_times import SECOND_US, CatchUp, Every, Overlap, Times

EVERY_MIN_US = SECOND_US


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleSettings:
    """What can be chosen. Either `cron` or `every_us` says when it runs."""

    cron: str | None = None
    every: int | float | str | None = None
    """The period as it was given, for showing it; `every_us` is the same."""
    every_us: int | None = None
    timezone: str = "UTC"
    start_us: int | None = None
    end_us: int | None = None
    jitter_us: int = 0
    overlap: Overlap = Overlap.allow
    catch_up: CatchUp = CatchUp.last
    owner: Owner = BY_DEFAULT
    """The collection and the route of its runs."""
    # What clients send may be secret: a log that shows a schedule does not show it.
    timer: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """What its runs are like: as `POST /timers` takes it, without name and due time."""

    def has_times_of(self, other: ScheduleSettings) -> bool:
        """Whether both run at the same times."""
        elsewhere = {name: getattr(self, name) for name in ("every", "overlap", "catch_up", "owner", "timer")}
        return self == replace(other, **elsewhere)

    def times(self, name: str, created_us: int) -> Times:
        """When a schedule of this name runs that was made at `created_us`.

        KeyError (zoneinfo.ZoneInfoNotFoundError) where the time zone is not known.
        """
        if self.cron is not None:
            rule: Cron | Every = _cron(self.cron, self.timezone)
        else:
            # Without a beginning, it counts from when it was made, to the second.
            anchor_us = created_us - created_us % SECOND_US if self.start_us is None else self.start_us
            rule = Every(self.every_us or EVERY_MIN_US, anchor_us)
        return Times(rule=rule, start_us=self.start_us, end_us=self.end_us, jitter_us=self.jitter_us, seed=name)


# To read an expression costs as much as to find its next run, and a planner does so for each run.
@lru_cache(maxsize=4096)
def _cron(text: str, zone_name: str) -> Cron:
    return Cron(text, ZoneInfo(zone_name))


@dataclass(frozen=True, slots=True)
class StoredSchedule:
    """A schedule as it stands."""

    id: int
    name: str
    settings: ScheduleSettings
    is_paused: bool
    next_run_at_us: int | None
    """The first run that is not made yet; while it is paused, the one to go on from. None: there is none."""
    last_run_at_us: int | None
    """The run that was made last: a few seconds before its time, as a rule."""
    last_timer_id: UUID | None
    created_at_us: int
    unreadable: str = ""
    """Why `settings.timer`, which is encrypted, is empty; empty when all is well."""

    @property
    def times(self) -> Times:
        """When it runs."""
        return self.settings.times(self.name, self.created_at_us)

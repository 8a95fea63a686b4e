"""A schedule as JSON."""

from __future__ import annotations

from timer_api.groups import CountsShown
from timer_api.schedules.schemas import ScheduleShown
from timer_db.domain.representation import rfc3339
from timer_db.domain.schedule_settings import StoredSchedule


def shown(schedule: StoredSchedule, now_us: int, counts: CountsShown) -> ScheduleShown:
    """A schedule for an answer at `now_us`."""
    settings = schedule.settings
    answer: ScheduleShown = {
        "name": schedule.name,
        "paused": schedule.is_paused,
        "cron": settings.cron,
        "every": settings.every,
        "timezone": settings.timezone,
        "start_at": _moment(settings.start_us),
        "end_at": _moment(settings.end_us),
        "jitter_seconds": settings.jitter_us / 1_000_000,
        "overlap": settings.overlap,
        "catch_up": settings.catch_up,
        "timer": dict(settings.timer),
        "next_run_at": _moment(_next_us(schedule, now_us)),
        "last_run_at": _moment(schedule.last_run_at_us),
        "last_timer_id": None if schedule.last_timer_id is None else str(schedule.last_timer_id),
        "counts": counts,
        "created_at": rfc3339(schedule.created_at_us),
    }
    if schedule.unreadable:
        answer["unreadable"] = schedule.unreadable
    return answer


def _next_us(schedule: StoredSchedule, now_us: int) -> int | None:
    if schedule.is_paused:
        return None
    if schedule.last_run_at_us is not None and schedule.last_run_at_us > now_us:
        # Runs that are made are still to come.
        return next(schedule.times.after(now_us), None)
    return schedule.next_run_at_us


def _moment(time_us: int | None) -> str | None:
    return None if time_us is None else rfc3339(time_us)

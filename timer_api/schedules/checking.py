"""From what a client asked for to a schedule: the rules between fields, and the defaults."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter, ValidationError

from timer_api.api_keys.caller import Caller
from timer_api.errors import FieldError, Problem, from_validation, invalid
from timer_api.schedules.schemas import BackfillAsked, PreviewAsked, ScheduleAsked
from timer_api.timers import due
from timer_api.timers.creation import NO_BASE64, content_faults, policy_faults, target_faults
from timer_api.timers.owner import owner_of
from timer_api.timers.schemas import PATTERNS_IN_WORDS
from timer_db.domain.asked_timer import policy_of, timer_of
from timer_db.domain.cron import Cron
from timer_db.domain.directory import Directory
from timer_db.domain.owner import BY_DEFAULT
from timer_db.domain.schedule_settings import ScheduleSettings
from timer_db.domain.schedule_times import CatchUp, Overlap

_SCHEDULE: TypeAdapter[ScheduleAsked] = TypeAdapter(ScheduleAsked)
_PREVIEW: TypeAdapter[PreviewAsked] = TypeAdapter(PreviewAsked)
_BACKFILL: TypeAdapter[Any] = TypeAdapter(BackfillAsked)
_ONE_OF = "exactly one of cron and every says when it runs"


def check(document: dict[str, Any], now_us: int) -> ScheduleSettings:
    """The schedule that is asked for, as yet of no collection and no route; else a 422 that names each field at
    fault."""
    return _settings(_validated(_SCHEDULE, document), now_us)


def check_preview(document: dict[str, Any], now_us: int) -> ScheduleSettings:
    """The same for one that may say nothing about its timers."""
    return _settings(_validated(_PREVIEW, document), now_us)


def with_owner(settings: ScheduleSettings, caller: Caller, directory: Directory) -> ScheduleSettings:
    """The same with the collection and the route that it names. Raises a 422 for one that is not there."""
    try:
        return replace(settings, owner=owner_of(settings.timer, caller, directory))
    except Problem as problem:
        raise Problem(
            problem.kind,
            f"timer.{problem.detail}",
            errors=[_of_timer(error) for error in problem.errors],
            headers=problem.headers,
        ) from None


def check_backfill(document: dict[str, Any], zone_name: str, now_us: int) -> tuple[int, int]:
    """The bounds of a backfill; else a 422."""
    asked = _validated(_BACKFILL, document)
    faults: list[FieldError] = []
    from_us = _moment_us("from", asked, zone_name, faults)
    to_us = _moment_us("to", asked, zone_name, faults)
    if from_us is not None and to_us is not None:
        if to_us > now_us:
            faults.append(FieldError("to", "it is in the future: those runs are made when their time comes"))
        elif to_us <= from_us:
            faults.append(FieldError("to", "it must be after from"))
    if faults or from_us is None or to_us is None:
        raise invalid(faults)
    return from_us, to_us


def _validated(adapter: TypeAdapter[Any], document: dict[str, Any]) -> Any:
    try:
        return adapter.validate_python(document)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False, include_context=False)
    of_timer = [fault for fault in faults if fault["loc"][0] == "timer" and len(fault["loc"]) > 1]
    found: list[FieldError] = []
    if others := [fault for fault in faults if fault not in of_timer]:
        found += from_validation(others).errors
    if of_timer:
        found += map(_of_timer, from_validation(of_timer, skip=1, patterns=PATTERNS_IN_WORDS).errors)
    raise invalid(found)


def _settings(asked: dict[str, Any], now_us: int) -> ScheduleSettings:
    faults: list[FieldError] = []
    zone_name = asked.get("timezone", "UTC")
    cron, every = asked.get("cron"), asked.get("every")
    if (cron is None) == (every is None):
        faults += [FieldError(name, _ONE_OF) for name in ("cron", "every") if cron is None or name in asked]
    try:
        zone = due.zone_named(zone_name)
    except ValueError as error:
        # The rest cannot be told without it.
        raise invalid([*faults, FieldError("timezone", str(error))]) from None
    if cron is not None:
        try:
            Cron(cron, zone)
        except ValueError as error:
            faults.append(FieldError("cron", str(error)))
    start_us = _moment_us("start_at", asked, zone_name, faults)
    end_us = _moment_us("end_at", asked, zone_name, faults)
    if start_us is not None and start_us > now_us + due.US_MAX:
        faults.append(FieldError("start_at", "it is more than 100 years ahead"))
    if start_us is not None and end_us is not None and end_us < start_us:
        faults.append(FieldError("end_at", "it is before start_at"))
    timer = asked.get("timer", {})
    if "timer" in asked:
        faults += map(_of_timer, _timer_faults(timer))
    if faults:
        raise invalid(faults)
    return ScheduleSettings(
        cron=cron,
        every=every,
        every_us=None if every is None else due.delay_us(every),
        timezone=zone_name,
        start_us=start_us,
        end_us=end_us,
        jitter_us=round(asked.get("jitter_seconds", 0) * 1_000_000),
        overlap=asked.get("overlap", Overlap.allow),
        catch_up=asked.get("catch_up", CatchUp.last),
        timer=timer,
    )


def _moment_us(field: str, asked: dict[str, Any], zone_name: str, faults: list[FieldError]) -> int | None:
    """A moment, when there is one; what is wrong with it joins the faults. There is nothing before 1970."""
    if (text := asked.get(field)) is None:
        return None
    try:
        return max(0, due.due_at_us(text, None if due.has_offset(text) else zone_name))
    except ValueError as error:
        faults.append(FieldError(field, str(error)))
        return None


def _timer_faults(timer: Any) -> Iterator[FieldError]:
    yield from target_faults(timer)
    yield from content_faults(timer)
    if retry := timer.get("retry"):
        yield from policy_faults(policy_of(retry), "retry")
    try:
        timer_of(timer, UUID(int=0), 0, 0, BY_DEFAULT)
    except ValueError:
        yield NO_BASE64


def _of_timer(error: FieldError) -> FieldError:
    return FieldError(f"timer.{error.field}", error.message)

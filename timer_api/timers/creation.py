"""From what a client asked for to a `Timer`: the rules between fields, and the defaults."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar
from uuid import UUID

from pydantic import TypeAdapter, ValidationError

from timer_api.errors import FieldError, from_validation, invalid
from timer_api.timers import due
from timer_api.timers.schemas import (
    ASKED,
    NAMED,
    PATTERNS_IN_WORDS,
    CallAsked,
    ChangeAsked,
    DueAsked,
    NamedTimerAsked,
    TimerAsked,
)
from timer_api.timers.target import header_faults
from timer_db.domain.asked_timer import timer_of
from timer_db.domain.backoff import RetryPolicy
from timer_db.domain.collection import NO_DEFAULTS, Defaults
from timer_db.domain.owner import BY_DEFAULT, Owner
from timer_db.domain.timer import Timer

Asked = TypeVar("Asked", TimerAsked, NamedTimerAsked)

_DURATIONS = ("hours", "minutes", "seconds")
WHEN = frozenset({*_DURATIONS, "delay", "due_at"})
_RULED = frozenset({"timezone", "body_base64", "headers", "retry", "route"})
"""Fields with rules that pydantic does not know."""
NO_BASE64 = FieldError("body_base64", "it is no base64: A-Z, a-z, 0-9, + and /, padded with =")
_FORMS = "exactly one of hours/minutes/seconds, delay and due_at says when it is due"


def check(document: dict[str, Any]) -> TimerAsked:
    """The document, once every rule about it holds; else a 422 that names each field at fault."""
    return _check(ASKED, document)


def check_named(document: dict[str, Any], collection: str, name: str) -> TimerAsked:
    """The same of one whose collection and name, which were checked, stand elsewhere."""
    asked = _check(NAMED, document)
    return {**asked, "collection": collection, "name": name}


def _check(kind: TypeAdapter[Asked], document: dict[str, Any]) -> Asked:
    try:
        asked: Asked = kind.validate_python(document)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False, include_context=False)
        raise from_validation(faults, patterns=PATTERNS_IN_WORDS) from None
    # Most creates end here: they say when in one word, and have none of the other fields.
    if len(WHEN & asked.keys()) != 1 or not _RULED.isdisjoint(asked) or "url" not in asked:
        faults_between = [*target_faults(asked), *due_faults(asked), *content_faults(asked)]
        if faults_between:
            raise invalid(faults_between)
    return asked


def build(
    asked: TimerAsked,
    timer_id: UUID,
    now_us: int,
    owner: Owner = BY_DEFAULT,
    defaults: Defaults = NO_DEFAULTS,
    traceparent: str | None = None,
) -> Timer:
    """The timer that was asked for at `now_us`, as it stands once it is stored. What it leaves out its route
    decides, if it has one, or the `defaults` of its collection.

    Raises a 422 for a due time, a body or a retry policy that cannot be.
    """
    due_at_us, as_given = due_of(asked, now_us)
    try:
        timer = timer_of(asked, timer_id, due_at_us, now_us, owner, defaults, as_given, traceparent)
    except ValueError:
        raise invalid([NO_BASE64]) from None
    # What of a policy is left out is known only now.
    if "retry" in asked and timer.retry is not None and (faults := [*policy_faults(timer.retry, "retry")]):
        raise invalid(faults)
    return timer


def target_faults(asked: CallAsked) -> Iterator[FieldError]:
    """What is wrong with the fields that say where the call goes."""
    if ("url" in asked) == ("route" in asked):
        for name in ("url", "route") if "url" in asked else ("url",):
            yield FieldError(name, "exactly one of url and route says where the call goes")


def due_faults(asked: DueAsked, *, is_needed: bool = True) -> Iterator[FieldError]:
    """What is wrong between the fields that say when a timer is due; nothing at all, unless that is needed."""
    parts = [name for name in _DURATIONS if name in asked]
    forms = parts[:1] + [name for name in ("delay", "due_at") if name in asked]
    if not forms and is_needed:
        yield FieldError("due_at", f"nothing is given; {_FORMS}")
    elif len(forms) > 1:
        for name in [*parts, *(form for form in forms if form not in parts)]:
            yield FieldError(name, _FORMS)
    if "timezone" in asked and "due_at" not in asked:
        yield FieldError("timezone", "it goes with due_at only")


def content_faults(asked: CallAsked | ChangeAsked) -> Iterator[FieldError]:
    """What is wrong between and within the other fields."""
    if asked.get("body") is not None and asked.get("body_base64") is not None:
        yield FieldError("body", "it cannot stand beside body_base64")
        yield FieldError("body_base64", "it cannot stand beside body")
    if headers := asked.get("headers"):
        yield from header_faults(headers)


def due_of(asked: DueAsked, now_us: int) -> tuple[int, str]:
    """The due time in microseconds, and the same as the client gave it. Raises a 422 for one that cannot be."""
    if "due_at" in asked:
        try:
            at_us = due.due_at_us(asked["due_at"], asked.get("timezone"))
        except due.UnknownZone as error:
            raise invalid([FieldError("timezone", str(error))]) from None
        except ValueError as error:
            raise invalid([FieldError("due_at", str(error))]) from None
        if at_us > now_us + due.US_MAX:
            raise invalid([FieldError("due_at", "it is more than 100 years ahead")])
        return max(at_us, now_us), f"due_at={at_us}"
    if "delay" in asked:
        delay_us = asked["delay"]
    else:
        seconds = asked.get("hours", 0) * 3600 + asked.get("minutes", 0) * 60 + asked.get("seconds", 0)
        if seconds > due.SECONDS_MAX:
            given = [name for name in _DURATIONS if name in asked]
            raise invalid([FieldError(name, "together they are more than 100 years") for name in given])
        delay_us = seconds * 1_000_000
    return now_us + delay_us, f"delay={delay_us}"


def policy_faults(policy: RetryPolicy, field: str) -> Iterator[FieldError]:
    """What is wrong between its parts; `field` is where it stands."""
    if policy.initial_seconds > policy.max_seconds:
        yield FieldError(
            f"{field}.initial_seconds", f"it is more than {field}.max_seconds ({policy.max_seconds:g})"
        )

"""From what a client asked for to a `Timer`: the rules between fields, and the defaults."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import orjson
from pydantic import ValidationError

from timer_api.errors import FieldError, from_validation, invalid
from timer_api.timers import due
from timer_api.timers.schemas import ASKED, PATTERNS_IN_WORDS, ChangeAsked, DueAsked, RetryAsked, TimerAsked
from timer_api.timers.target import header_faults
from timer_db.domain.backoff import DEFAULT_RETRY, RetryPolicy
from timer_db.domain.collection import NO_DEFAULTS, Defaults
from timer_db.domain.owner import BY_DEFAULT, Owner
from timer_db.domain.states import OnUnknown, TimerState
from timer_db.domain.timer import DEFAULT_TIMEOUT_SECONDS, Timer

_DURATIONS = ("hours", "minutes", "seconds")
WHEN = frozenset({*_DURATIONS, "delay", "due_at"})
_RULED = frozenset({"timezone", "body_base64", "headers", "retry", "route"})
"""Fields with rules that pydantic does not know."""
_FORMS = "exactly one of hours/minutes/seconds, delay and due_at says when it is due"


def check(document: dict[str, Any]) -> TimerAsked:
    """The document, once every rule about it holds; else a 422 that names each field at fault."""
    try:
        asked = ASKED.validate_python(document)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False, include_context=False)
        raise from_validation(faults, patterns=PATTERNS_IN_WORDS) from None
    # Most creates end here: they say when in one word, and have none of the other fields.
    if len(WHEN & asked.keys()) != 1 or not _RULED.isdisjoint(asked) or "url" not in asked:
        faults_between = [*_target_faults(asked), *due_faults(asked), *content_faults(asked)]
        if faults_between:
            raise invalid(faults_between)
    return asked


def build(
    asked: TimerAsked, timer_id: UUID, now_us: int, owner: Owner = BY_DEFAULT, defaults: Defaults = NO_DEFAULTS
) -> Timer:
    """The timer that was asked for at `now_us`, as it stands once it is stored. What it leaves out its route
    decides, if it has one, or the `defaults` of its collection.

    Raises a 422 for a due time or a body that cannot be.
    """
    due_at_us, as_given = due_of(asked, now_us)
    body, body_is_json = _body(asked) if "body" in asked or "body_base64" in asked else (None, True)
    has_route = owner.route_id != 0
    # By position: see the note at `NewTimer`.
    return Timer(
        timer_id,
        due_at_us,
        now_us,
        asked.get("url"),
        asked.get("method", None if has_route else "POST"),
        asked.get("headers") or {},
        body,
        body_is_json,
        asked.get("meta"),
        asked.get("name"),
        asked.get("labels") or {},
        asked.get("priority", defaults.priority or 0),
        asked.get("append_id", True),
        _retry(asked, has_route, defaults.retry or DEFAULT_RETRY),
        _timeout_seconds(asked, has_route, defaults.timeout_seconds or DEFAULT_TIMEOUT_SECONDS),
        asked.get("on_unknown", defaults.on_unknown or OnUnknown.resend),
        owner,
        asked.get("on_failure_url"),
        as_given,
        TimerState.scheduled,
        0,
        due_at_us,
    )


def _retry(asked: TimerAsked, has_route: bool, usual: RetryPolicy) -> RetryPolicy | None:
    if "retry" in asked:
        return policy_of(asked["retry"], usual)
    return None if has_route else usual


def _timeout_seconds(asked: TimerAsked, has_route: bool, usual: float) -> float | None:
    if "timeout_seconds" in asked:
        return round(asked["timeout_seconds"], 3)  # it is stored in milliseconds
    return None if has_route else usual


def _target_faults(asked: TimerAsked) -> Iterator[FieldError]:
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


def content_faults(asked: TimerAsked | ChangeAsked) -> Iterator[FieldError]:
    """What is wrong between and within the other fields."""
    if asked.get("body") is not None and asked.get("body_base64") is not None:
        yield FieldError("body", "it cannot stand beside body_base64")
        yield FieldError("body_base64", "it cannot stand beside body")
    if headers := asked.get("headers"):
        yield from header_faults(headers)
    if retry := asked.get("retry"):
        yield from policy_faults(policy_of(retry), "retry")


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


def _body(asked: TimerAsked) -> tuple[bytes | None, bool]:
    if asked.get("body") is not None:
        return orjson.dumps(asked["body"]), True
    if "body_base64" not in asked:
        return None, True
    try:
        return base64.b64decode(asked["body_base64"], validate=True), False
    except (binascii.Error, ValueError):
        fault = FieldError("body_base64", "it is no base64: A-Z, a-z, 0-9, + and /, padded with =")
        raise invalid([fault]) from None


def policy_of(asked: RetryAsked, usual: RetryPolicy = DEFAULT_RETRY) -> RetryPolicy:
    """The policy that was asked for; what it leaves out is as usual."""
    return RetryPolicy(
        max_attempts=asked.get("max_attempts", usual.max_attempts),
        initial_seconds=asked.get("initial_seconds", usual.initial_seconds),
        factor=asked.get("factor", usual.factor),
        max_seconds=asked.get("max_seconds", usual.max_seconds),
        jitter=asked.get("jitter", usual.jitter),
    )


def policy_faults(policy: RetryPolicy, field: str) -> Iterator[FieldError]:
    """What is wrong between its parts; `field` is where it stands."""
    if policy.initial_seconds > policy.max_seconds:
        yield FieldError(
            f"{field}.initial_seconds", f"it is more than {field}.max_seconds ({policy.max_seconds:g})"
        )

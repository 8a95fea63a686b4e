"""What a client may say about a route, and what it is shown."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Annotated, Any, NotRequired, Required

from pydantic import Field, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict

from timer_api.errors import FieldError, from_validation, invalid
from timer_api.groups import CountsShown, Moment
from timer_api.timers.answered import RetryShown
from timer_api.timers.creation import policy_faults
from timer_api.timers.schemas import (
    PATTERNS_IN_WORDS,
    STRICT,
    Headers,
    Method,
    RetryAsked,
    TimeoutSeconds,
    Url,
)
from timer_api.timers.target import header_faults
from timer_db.domain.asked_timer import policy_of
from timer_db.domain.backoff import DEFAULT_RETRY
from timer_db.domain.representation import rfc3339
from timer_db.domain.route import Route, RouteSettings
from timer_db.domain.timer import DEFAULT_TIMEOUT_SECONDS

CALLS_MAX = 1_000_000
YEAR_SECONDS = 31_536_000
OVERLAP_SECONDS = 86_400
HIDDEN = "***"
"""In the place of a header's value, for those who may not change the route."""
SECRET_PATTERN = r"^whsec_[A-Za-z0-9+/]+=*$"

_Calls = Annotated[int, Field(ge=1, le=CALLS_MAX)]


@with_config(STRICT)
class RouteAsked(TypedDict, total=False):
    """What a route is to be; what is left out is as usual, or without a limit."""

    url: Required[
        Annotated[Url, Field(description="Absolute http or https. Calls go to `url/id`; a query stays behind it.")]
    ]
    append_id: Annotated[
        bool, Field(description="False calls `url` as it is.", json_schema_extra={"default": True})
    ]
    method: Method
    headers: Headers
    timeout_seconds: TimeoutSeconds
    retry: RetryAsked
    calls_max: Annotated[
        _Calls | None, Field(description="Calls in flight at a time, over all controllers.", examples=[20])
    ]
    rate_per_second: Annotated[
        Annotated[float, Field(ge=0.001, le=CALLS_MAX)] | None,
        Field(description="Calls that begin in a second, over all controllers.", examples=[50]),
    ]
    burst: Annotated[
        _Calls | None,
        Field(description="So many at once after a rest; by default as many as in a second. With a rate only."),
    ]
    disable_after_seconds: Annotated[
        Annotated[int, Field(ge=1, le=YEAR_SECONDS)] | None,
        Field(description="When its calls have failed for so long, and none succeeded, the route is disabled."),
    ]


@with_config(STRICT)
class SecretAsked(TypedDict, total=False):
    """How a secret is to be changed."""

    overlap_seconds: Annotated[
        int,
        Field(
            ge=0,
            le=YEAR_SECONDS,
            description="So long calls are signed with the secrets before it as well.",
            json_schema_extra={"default": OVERLAP_SECONDS},
        ),
    ]


class RouteShown(TypedDict):
    """A route as it stands."""

    name: str
    url: str
    append_id: bool
    method: str
    headers: Annotated[
        dict[str, str],
        Field(
            description=f"Without the scope `admin`, `{HIDDEN}` stands for each value. It cannot be given back."
        ),
    ]
    timeout_seconds: float
    retry: RetryShown
    calls_max: int | None
    rate_per_second: float | None
    burst: int | None
    disable_after_seconds: int | None
    paused: Annotated[bool, Field(description="Its timers wait.")]
    disabled_at: Annotated[Moment | None, Field(description="Since when its timers wait because it failed.")]
    disabled_because: str | None
    has_secret: Annotated[
        bool, Field(description="Its calls are signed with secrets of its own, which are never shown.")
    ]
    counts: CountsShown
    created_at: Moment
    unreadable: NotRequired[
        Annotated[str, Field(description="Why headers and secrets cannot be decrypted; absent when all is well.")]
    ]


class RoutePageShown(TypedDict):
    """Some routes, and where the next ones are."""

    routes: list[RouteShown]
    next_cursor: Annotated[
        str | None, Field(description="Give it as `cursor` for the next page; null at the end.")
    ]


class SecretShown(TypedDict):
    """A new secret; this is the only time that it is shown."""

    secret: Annotated[str, Field(pattern=SECRET_PATTERN)]
    old_valid_until: Annotated[
        Moment | None,
        Field(description="How long calls are signed with those before it as well; null: with none."),
    ]


_ASKED: TypeAdapter[RouteAsked] = TypeAdapter(RouteAsked)
_SECRET_ASKED: TypeAdapter[SecretAsked] = TypeAdapter(SecretAsked)


def check(document: dict[str, Any]) -> RouteSettings:
    """The settings that are asked for; else a 422 that names each field at fault."""
    try:
        asked = _ASKED.validate_python(document)
    except ValidationError as error:
        raise _invalid(error) from None
    settings = RouteSettings(
        url=asked["url"],
        append_id=asked.get("append_id", True),
        method=asked.get("method", "POST"),
        headers=asked.get("headers", {}),
        timeout_seconds=round(asked.get("timeout_seconds", DEFAULT_TIMEOUT_SECONDS), 3),
        retry=policy_of(asked["retry"]) if "retry" in asked else DEFAULT_RETRY,
        calls_max=asked.get("calls_max"),
        rate_per_second=asked.get("rate_per_second"),
        burst=asked.get("burst"),
        disable_after_seconds=asked.get("disable_after_seconds"),
    )
    if faults := list(_faults(settings)):
        raise invalid(faults)
    return settings


def _faults(settings: RouteSettings) -> Iterator[FieldError]:
    yield from header_faults(settings.headers)
    for name, value in settings.headers.items():
        # Who was shown this, and gives it back, would overwrite the value.
        if value == HIDDEN:
            yield FieldError(f"headers.{name}", f"{HIDDEN} stands for a value that was not shown; give the value")
    yield from policy_faults(settings.retry, "retry")
    if settings.burst is not None and settings.rate_per_second is None:
        yield FieldError("burst", "it goes with rate_per_second only")


def check_overlap(document: dict[str, Any]) -> int:
    """The overlap in seconds; else a 422."""
    try:
        asked = _SECRET_ASKED.validate_python(document)
    except ValidationError as error:
        raise _invalid(error) from None
    return asked.get("overlap_seconds", OVERLAP_SECONDS)


def _invalid(error: ValidationError) -> Exception:
    faults = error.errors(include_url=False, include_input=False, include_context=False)
    return from_validation(faults, patterns=PATTERNS_IN_WORDS)


def shown(route: Route, counts: CountsShown, *, with_headers: bool) -> RouteShown:
    """A route for an answer."""
    settings = route.settings
    retry: Any = asdict(settings.retry)
    result: RouteShown = {
        "name": route.name,
        "url": settings.url,
        "append_id": settings.append_id,
        "method": settings.method,
        "headers": dict(settings.headers) if with_headers else dict.fromkeys(settings.headers, HIDDEN),
        "timeout_seconds": settings.timeout_seconds,
        "retry": retry,
        "calls_max": settings.calls_max,
        "rate_per_second": settings.rate_per_second,
        "burst": settings.burst,
        "disable_after_seconds": settings.disable_after_seconds,
        "paused": route.is_paused,
        "disabled_at": None if route.disabled_at_us is None else rfc3339(route.disabled_at_us),
        "disabled_because": route.disabled_because or None,
        "has_secret": bool(route.secrets),
        "counts": counts,
        "created_at": rfc3339(route.created_at_us),
    }
    if route.unreadable:
        result["unreadable"] = route.unreadable
    return result

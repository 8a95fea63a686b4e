"""What a client may say about a schedule, and what it is shown.

Rules about one field are here, and stand in the OpenAPI document as well; rules between fields are in `checking`.
"""

from __future__ import annotations

from typing import Annotated, Any, NotRequired, Required

from pydantic import Field, PlainValidator, WithJsonSchema, with_config
from typing_extensions import TypedDict

from timer_api.groups import CountsShown, Moment
from timer_api.timers import due
from timer_api.timers.schemas import STRICT, RunAsked
from timer_db.domain.cron import CRON_TEXT_MAX
from timer_db.domain.names import GROUP_NAME_PATTERN
from timer_db.domain.schedule_settings import EVERY_MIN_US
from timer_db.domain.schedule_times import CatchUp, Overlap

JITTER_MAX_SECONDS = 86_400
RUNS_MAX = 1000
"""Of one backfill."""
SHOWN_MAX = 100
"""To compute a run costs up to some milliseconds, for one that comes once in decades."""
_EVERY_MIN_SECONDS = EVERY_MIN_US // 1_000_000


def _every(value: object) -> object:
    """As it was given: that is shown."""
    if due.delay_us(value) < EVERY_MIN_US:
        raise ValueError(f"it must be at least {_EVERY_MIN_SECONDS} second")
    return value


def _moment_asked(description: str, example: str) -> Any:
    return Field(
        max_length=due.DUE_AT_TEXT_MAX,
        description=f"{description} RFC 3339; without an offset, local time in `timezone`.",
        examples=[example],
        json_schema_extra={"pattern": f"^{due.DUE_AT_PATTERN}$", "format": "due-time"},
    )


_EVERY_SCHEMA = {
    "anyOf": [
        {"type": "number", "minimum": _EVERY_MIN_SECONDS, "maximum": due.SECONDS_MAX},
        due.text_schema(2, due.SHORT_PATTERN, "schedule-period"),
        due.text_schema(3, due.ISO_PATTERN, "schedule-period"),
    ],
    "description": "Instead of `cron`: a run each so many seconds, `15m`, or ISO 8601 `PT15M`, by elapsed time. It"
    " counts from `start_at`; without that, from when the schedule was made.",
    "examples": [900, "15m", "PT15M"],
}


@with_config(STRICT)
class TimesAsked(TypedDict, total=False):
    """When runs are due: exactly one of `cron` and `every` says so."""

    cron: Annotated[
        str | None,
        Field(
            max_length=CRON_TEXT_MAX,
            description="Five fields (minute, hour, day of month, month, day of week), or six with seconds first,"
            " in local time. A time that the clock skips runs once, right after the gap; one that comes twice,"
            " once, at the first; what runs in every hour goes on through both.",
            examples=["0 9 * * 1-5"],
            json_schema_extra={"format": "cron"},
        ),
    ]
    every: Annotated[Any, PlainValidator(_every), WithJsonSchema(_EVERY_SCHEMA)] | None
    timezone: Annotated[
        str,
        Field(
            max_length=64,
            description="The IANA time zone of `cron`, and of moments without an offset.",
            examples=["Europe/Berlin"],
            json_schema_extra={"format": "iana-time-zone", "default": "UTC"},
        ),
    ]
    start_at: Annotated[str, _moment_asked("No run is due before that.", "2030-01-31T18:00:00+01:00")] | None
    end_at: Annotated[str, _moment_asked("No run is due after that.", "2031-01-31T18:00:00+01:00")] | None
    jitter_seconds: Annotated[
        float,
        Field(
            ge=0,
            le=JITTER_MAX_SECONDS,
            description="Each run is due later by up to so much, always by the same for one run, and never as late"
            " as the next one.",
            json_schema_extra={"default": 0},
        ),
    ]
    overlap: Annotated[
        Overlap,
        Field(
            strict=False,
            description="`skip`: no run while the one before has not ended.",
            json_schema_extra={"default": Overlap.allow.value},
        ),
    ]
    catch_up: Annotated[
        CatchUp,
        Field(
            strict=False,
            description="Which runs are made of those that were missed in an outage, or while it was paused.",
            json_schema_extra={"default": CatchUp.last.value},
        ),
    ]


@with_config(STRICT)
class ScheduleAsked(TimesAsked, total=False):
    """What a schedule is to be."""

    timer: Required[RunAsked]


@with_config(STRICT)
class PreviewAsked(TimesAsked, total=False):
    """A schedule whose runs are to be computed; what they are like does not matter."""

    timer: RunAsked


_From = Annotated[str, _moment_asked("The first run that is made is due then or later.", "2025-11-20T00:00:00Z")]
_To = Annotated[
    str, _moment_asked("The last is due before that, which is not in the future.", "2025-11-21T00:00:00Z")
]
BackfillAsked = TypedDict("BackfillAsked", {"from": _From, "to": _To})
"""Which runs are to be made once more."""
with_config(STRICT)(BackfillAsked)


class ScheduleShown(TypedDict):
    """A schedule as it stands."""

    name: Annotated[str, Field(pattern=GROUP_NAME_PATTERN)]
    paused: bool
    cron: str | None
    every: Annotated[int | float | str | None, Field(description="As it was given.")]
    timezone: str
    start_at: Moment | None
    end_at: Moment | None
    jitter_seconds: float
    overlap: Overlap
    catch_up: CatchUp
    timer: Annotated[dict[str, Any], Field(description="What its runs are like, as it was given.")]
    next_run_at: Annotated[
        Moment | None, Field(description="Null while it is paused, and after the last run. In the past: overdue.")
    ]
    last_run_at: Annotated[
        Moment | None,
        Field(description="When the run that was made last is due. Runs are made some seconds before their time."),
    ]
    last_timer_id: Annotated[str | None, Field(description="The timer of that run.")]
    counts: Annotated[CountsShown, Field(description="Its runs by state; those that are made and kept.")]
    created_at: Moment
    unreadable: NotRequired[
        Annotated[str, Field(description="Why `timer` cannot be decrypted; absent when all is well.")]
    ]


class SchedulePageShown(TypedDict):
    """Some schedules, and where the next ones are."""

    schedules: list[ScheduleShown]
    next_cursor: Annotated[
        str | None, Field(description="Give it as `cursor` for the next page; null at the end.")
    ]


class RunsShown(TypedDict):
    """When runs are due."""

    runs: list[Moment]


class BackfillShown(TypedDict):
    """What was made of a stretch of time."""

    made: Annotated[int, Field(ge=0, le=RUNS_MAX)]
    next_from: Annotated[Moment | None, Field(description="Give it as `from` to go on; null when all was made.")]

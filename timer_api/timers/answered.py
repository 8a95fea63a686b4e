"""What a client is answered about timers."""

from __future__ import annotations

from typing import Annotated, Any, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from timer_db.domain.states import OnUnknown, Outcome, TimerState


class RetryShown(TypedDict):
    """The retry policy in force."""

    max_attempts: int
    initial_seconds: float
    factor: float
    max_seconds: float
    jitter: float


class TimerShown(TypedDict):
    """A timer as it stands."""

    id: Annotated[str, Field(json_schema_extra={"format": "uuid"})]
    time_left: Annotated[int, Field(ge=0, description="Whole seconds until it is due, rounded up.")]
    status: TimerState
    due_at: Annotated[str, Field(json_schema_extra={"format": "date-time"})]
    created_at: Annotated[str, Field(json_schema_extra={"format": "date-time"})]
    collection: str
    route: str | None
    schedule: Annotated[str | None, Field(description="The schedule whose run it is.")]
    name: str | None
    url: Annotated[str | None, Field(description="Null when its route has it.")]
    append_id: bool
    method: Annotated[str | None, Field(description="Null when its route decides.")]
    headers: dict[str, str]
    body: Annotated[Any, Field(description="Null when the call carries the timer's own representation.")]
    body_base64: NotRequired[str]
    meta: Any
    labels: dict[str, str]
    priority: int
    retry: Annotated[RetryShown | None, Field(description="Null when its route decides.")]
    timeout_seconds: Annotated[float | None, Field(description="Null when its route decides.")]
    on_unknown: OnUnknown
    on_failure_url: str | None
    attempts: Annotated[int, Field(ge=0, description="Attempts made so far.")]
    next_attempt_at: Annotated[str | None, Field(description="When it is called next.")]
    ended_at: str | None
    unreadable: NotRequired[
        Annotated[
            str,
            Field(description="Why headers, body and meta cannot be decrypted; absent when all is well."),
        ]
    ]


class ProblemShown(TypedDict):
    """Why a timer of a batch was not made."""

    error: dict[str, Any]


class BatchShown(TypedDict):
    """What came of each timer of a batch, in its order."""

    results: list[TimerShown | ProblemShown]


class TimerPageShown(TypedDict):
    """Some timers, and where the next ones are."""

    timers: list[TimerShown]
    next_cursor: Annotated[
        str | None, Field(description="Give it as `cursor` for the next page; null at the end.")
    ]


class AttemptShown(TypedDict):
    """One try to deliver."""

    number: Annotated[int, Field(ge=1)]
    outcome: Outcome
    status: Annotated[TimerState, Field(description="The state of the timer that this attempt led to.")]
    started_at: Annotated[str, Field(json_schema_extra={"format": "date-time"})]
    finished_at: Annotated[str, Field(json_schema_extra={"format": "date-time"})]
    latency_ms: float | None
    http_status: int | None
    controller: str | None
    reason: Annotated[str, Field(description="Why it ended so, for people.")]
    answer: Annotated[str, Field(description="The first bytes of the receiver's answer, as text.")]


class AttemptsShown(TypedDict):
    """Every attempt of a timer, first to last."""

    attempts: list[AttemptShown]

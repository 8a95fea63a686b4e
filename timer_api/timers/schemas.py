"""What a client may say about a timer, field by field, and what it is answered.

Rules about one field are here, and stand in the OpenAPI document as well; rules between fields are in
`creation`. Absent and null are different things: only a field without null in its type can be left out.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field, PlainValidator, TypeAdapter, WithJsonSchema, with_config
from typing_extensions import TypedDict

from timer_api.timers import due, target
from timer_db.domain import labels
from timer_db.domain.backoff import DEFAULT_RETRY
from timer_db.domain.labels import LABELS_MAX
from timer_db.domain.names import GROUP_NAME_PATTERN, NAME_MAX, check_name
from timer_db.domain.owner import DEFAULT_COLLECTION
from timer_db.domain.states import OnUnknown
from timer_db.domain.timer import DEFAULT_TIMEOUT_SECONDS

PRIORITY_MAX = 32_767
BATCH_MAX = 10_000

_BASE64_PATTERN = "^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"

Name = Annotated[
    str,
    Field(
        min_length=1,
        max_length=NAME_MAX,
        description="Unique among the timers that live. Printable characters, without a space at either end.",
        examples=["invoice-17"],
        json_schema_extra={"format": "printable-name"},
    ),
    AfterValidator(check_name),
]

Url = Annotated[
    str,
    AfterValidator(target.check_url),
    Field(
        max_length=target.URL_MAX,
        examples=["https://example.com/hook"],
        # Not the format "uri": square brackets in a query are wide-spread, and no part of RFC 3986.
        json_schema_extra={"pattern": target.URL_PATTERN, "format": "receiver-url"},
    ),
]

GroupName = Annotated[
    str,
    Field(
        max_length=100,
        pattern=GROUP_NAME_PATTERN,
        examples=["default"],
        # Only names of what is there are taken.
        json_schema_extra={"format": "name-of-a-group"},
    ),
]

_HeaderName = Annotated[str, Field(min_length=1, max_length=128, pattern=target.TOKEN_PATTERN)]
_HeaderValue = Annotated[str, Field(max_length=target.HEADERS_CHARACTERS_MAX, pattern=target.VALUE_PATTERN)]
_LabelKey = Annotated[str, Field(min_length=1, max_length=labels.KEY_CHARACTERS_MAX, pattern=labels.KEY_PATTERN)]
_LabelValue = Annotated[str, Field(max_length=labels.VALUE_CHARACTERS_MAX, pattern=labels.VALUE_PATTERN)]

STRICT = ConfigDict(extra="forbid", strict=True, regex_engine="rust-regex", allow_inf_nan=False)


def _whole(unit_seconds: int, name: str) -> Any:
    return Field(
        ge=0,
        le=due.SECONDS_MAX // unit_seconds,
        description=f"{name} from now, without a point; hours, minutes and seconds add up. All zero means now.",
    )


@with_config(STRICT)
class RetryAsked(TypedDict, total=False):
    """When to call again. The wait before attempt n + 1 is `initial_seconds × factor^(n - 1)`."""

    max_attempts: Annotated[
        int,
        Field(
            ge=1,
            le=100,
            description="Attempts in all; 1 means no second one.",
            json_schema_extra={"default": DEFAULT_RETRY.max_attempts},
        ),
    ]
    initial_seconds: Annotated[
        float,
        Field(
            ge=0,
            le=2_592_000,
            description="The wait after the first attempt.",
            json_schema_extra={"default": DEFAULT_RETRY.initial_seconds},
        ),
    ]
    factor: Annotated[
        float,
        Field(
            ge=1,
            le=100,
            description="By how much each wait is longer than the one before.",
            json_schema_extra={"default": DEFAULT_RETRY.factor},
        ),
    ]
    max_seconds: Annotated[
        float,
        Field(
            ge=0,
            le=2_592_000,
            description="The longest wait.",
            json_schema_extra={"default": DEFAULT_RETRY.max_seconds},
        ),
    ]
    jitter: Annotated[
        float,
        Field(
            ge=0,
            le=1,
            description="The share of each wait that is drawn at random: 0.1 waits 90 to 100 % of it.",
            json_schema_extra={"default": DEFAULT_RETRY.jitter},
        ),
    ]


Method = Annotated[
    str,
    Field(
        min_length=1,
        max_length=32,
        pattern=target.METHOD_PATTERN,
        description="Any method in capitals but CONNECT and TRACE.",
        json_schema_extra={"default": "POST", "not": {"enum": ["CONNECT", "TRACE"]}},
    ),
    AfterValidator(target.check_method),
]

Headers = Annotated[
    dict[_HeaderName, _HeaderValue],
    Field(
        description="Sent with the call. Not those of the connection (Host, Content-Length, …) nor those "
        "that the service sets (webhook-*, timer-*, Idempotency-Key).",
        examples=[{"X-Shop": "berlin"}],
        json_schema_extra={"maxProperties": target.HEADERS_MAX, "additionalProperties": False},
    ),
]

Priority = Annotated[
    int,
    Field(
        ge=0,
        le=PRIORITY_MAX,
        description="Of timers that are due, higher ones go first.",
        json_schema_extra={"default": 0},
    ),
]

TimeoutSeconds = Annotated[
    float,
    Field(
        ge=0.1,
        le=3600,
        description="How long a whole attempt may take, to the millisecond.",
        json_schema_extra={"default": DEFAULT_TIMEOUT_SECONDS},
    ),
]

OnUnknownAsked = Annotated[
    OnUnknown,
    Field(
        strict=False,
        description="What follows an attempt of which nobody knows whether it arrived: call again "
        "(`resend`), wait for a person (`hold`), or give up (`fail`).",
        json_schema_extra={"default": OnUnknown.resend.value},
    ),
]


_DELAY_SCHEMA = {
    "anyOf": [
        {"type": "number", "minimum": 0, "maximum": due.SECONDS_MAX},
        due.text_schema(2, due.SHORT_PATTERN, "short-duration"),
        due.text_schema(3, due.ISO_PATTERN, "iso-duration"),
    ],
    "description": "How long from now: a number of seconds, `1h30m` (w, d, h, m, s, ms), or ISO 8601 `PT1H30M`.",
    "examples": [90, "1h30m", "PT1H30M"],
}


Labels = Annotated[
    dict[_LabelKey, _LabelValue],
    Field(
        max_length=LABELS_MAX,
        description="Keys and values as Kubernetes has them.",
        examples=[{"env": "prod"}],
        json_schema_extra={"additionalProperties": False},
    ),
]

Body = Annotated[
    Any,
    Field(
        description="A JSON value, sent as the call's body. Without one (or with null) the call carries "
        "the timer's own representation.",
        examples=[{"order": 17}],
    ),
]

BodyBase64 = Annotated[
    str,
    Field(
        description="Instead of `body`: bytes, in base64 (RFC 4648, 4).",
        examples=["aGVsbG8="],
        json_schema_extra={"contentEncoding": "base64", "pattern": _BASE64_PATTERN},
    ),
]

Meta = Annotated[Any, Field(description="Any JSON: kept, returned, and part of the default body.")]
AppendId = Annotated[bool, Field(description="False calls `url` as it is.", json_schema_extra={"default": True})]
CallUrl = Annotated[
    Url, Field(description="Absolute http or https. The call goes to `url/id`; a query stays behind the id.")
]
OnFailureUrl = Annotated[
    Url, Field(description="Called once, as it is, when the timer ends as failed or unknown.")
]


@with_config(STRICT)
class DueAsked(TypedDict, total=False):
    """When a timer is due: one form of hours, minutes and seconds; `delay`; or `due_at`."""

    hours: Annotated[int, _whole(3600, "Hours")]
    minutes: Annotated[int, _whole(60, "Minutes")]
    seconds: Annotated[int, _whole(1, "Seconds")]
    delay: Annotated[int, PlainValidator(due.delay_us), WithJsonSchema(_DELAY_SCHEMA)]
    due_at: Annotated[
        str,
        Field(
            max_length=due.DUE_AT_TEXT_MAX,
            description="RFC 3339 with an offset, or local time together with `timezone`; the past means now. "
            "At most 100 years ahead. A local time that the clock skips moves forward with it; one that comes "
            "twice means the first.",
            examples=["2030-01-31T18:00:00+01:00"],
            json_schema_extra={"pattern": f"^{due.DUE_AT_PATTERN}$", "format": "due-time"},
        ),
    ]
    timezone: Annotated[
        str,
        Field(
            max_length=64,
            description="The IANA time zone of a `due_at` without an offset.",
            examples=["Europe/Berlin"],
            json_schema_extra={"format": "iana-time-zone"},
        ),
    ]


@with_config(STRICT)
class CallAsked(TypedDict, total=False):
    """What is called, and how: exactly one of `url` and `route` says where the call goes."""

    url: CallUrl
    route: Annotated[GroupName, Field(description="Instead of `url`: the name of a route, which has one.")]
    on_failure_url: OnFailureUrl
    append_id: AppendId
    method: Method
    headers: Headers
    body: Body
    body_base64: BodyBase64
    meta: Meta
    labels: Labels
    priority: Priority
    retry: RetryAsked
    timeout_seconds: TimeoutSeconds
    on_unknown: OnUnknownAsked


@with_config(STRICT)
class RunAsked(CallAsked, total=False):
    """What a timer is like, whenever it is due: exactly one of `url` and `route` says where the call goes."""

    collection: Annotated[
        GroupName,
        Field(
            description="The name of a collection, which is there.",
            json_schema_extra={"default": DEFAULT_COLLECTION},
        ),
    ]


RUN_RULES: dict[str, Any] = {
    "oneOf": [{"required": ["url"]}, {"required": ["route"]}],
    "not": {"required": ["body", "body_base64"], "properties": {"body": {"not": {"type": "null"}}}},
}
"""The rules between its fields, for the OpenAPI document."""


@with_config(STRICT)
class TimerAsked(DueAsked, RunAsked, total=False):
    """A timer to make. Exactly one form of due time: hours, minutes and seconds; `delay`; or `due_at`."""

    name: Name


@with_config(STRICT)
class NamedTimerAsked(DueAsked, CallAsked, total=False):
    """A timer to make or to put in the place of the one with its name; the path has name and collection."""


@with_config(STRICT)
class ChangeAsked(DueAsked, total=False):
    """What of a timer is to be otherwise. What is null is as if it had never been given."""

    url: CallUrl
    append_id: AppendId | None
    method: Method | None
    headers: Headers | None
    body: Body
    body_base64: BodyBase64 | None
    meta: Meta
    labels: Labels | None
    priority: Priority | None
    retry: RetryAsked | None
    timeout_seconds: TimeoutSeconds | None
    on_unknown: OnUnknownAsked | None
    on_failure_url: OnFailureUrl | None


@with_config(STRICT)
class BatchAsked(TypedDict):
    """Timers to make, each by itself."""

    timers: Annotated[list[TimerAsked], Field(min_length=1, max_length=BATCH_MAX)]


ASKED: TypeAdapter[TimerAsked] = TypeAdapter(TimerAsked)
NAMED: TypeAdapter[NamedTimerAsked] = TypeAdapter(NamedTimerAsked)
CHANGE: TypeAdapter[ChangeAsked] = TypeAdapter(ChangeAsked)

_GROUP_NAME_IN_WORDS = "it has letters, digits, '.', '_' and '-', and begins with a letter or a digit"
PATTERNS_IN_WORDS = {
    "collection": _GROUP_NAME_IN_WORDS,
    "route": _GROUP_NAME_IN_WORDS,
    "method": "it must be a method in capitals, such as POST",
    "headers": "a header's value has printable ASCII characters, and no space at either end",
    "headers [key]": "it is no header name: letters, digits and hyphens",
    "labels": labels.VALUE_IN_WORDS,
    "labels [key]": labels.KEY_IN_WORDS,
}
"""What a client hears instead of a regular expression, by field."""

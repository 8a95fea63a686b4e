"""What a client may say about a collection, and what it is shown."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Annotated, Any

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict

from timer_api.errors import FieldError, from_validation, invalid
from timer_api.groups import CountsShown, Moment
from timer_api.timers.answered import RetryShown
from timer_api.timers.creation import policy_faults
from timer_api.timers.schemas import (
    STRICT,
    OnUnknownAsked,
    Priority,
    RetryAsked,
    TimeoutSeconds,
)
from timer_db.domain.address_ranges import parse_range
from timer_db.domain.asked_timer import policy_of
from timer_db.domain.collection import Collection, CollectionSettings, Defaults
from timer_db.domain.representation import rfc3339
from timer_db.domain.states import OnUnknown

RANGES_MAX = 100
DAYS_MAX = 36_500


def _range(text: str) -> str:
    return str(parse_range(text))


@with_config(STRICT)
class DefaultsAsked(TypedDict, total=False):
    """What a timer is like where its create says nothing. `retry` and `timeout_seconds` of a route come before
    those here."""

    retry: RetryAsked | None
    timeout_seconds: TimeoutSeconds | None
    priority: Priority | None
    on_unknown: OnUnknownAsked | None


@with_config(STRICT)
class CollectionAsked(TypedDict, total=False):
    """What a collection is to be; what is left out, or null, is as without it."""

    defaults: DefaultsAsked
    retention_days: Annotated[
        Annotated[int, Field(ge=0, le=DAYS_MAX)] | None,
        Field(description="How long ended timers are kept; 0 is for ever. Without it, as the service is set."),
    ]
    waiting_max: Annotated[
        Annotated[int, Field(ge=1, le=1_000_000_000_000)] | None,
        Field(description="So many timers may be scheduled or firing; past it creates are answered 429."),
    ]
    egress_allow: Annotated[
        Annotated[
            list[
                Annotated[
                    str, Field(max_length=64, json_schema_extra={"format": "ip-range"}), AfterValidator(_range)
                ]
            ],
            Field(min_length=1, max_length=RANGES_MAX),
        ]
        | None,
        Field(
            description="Address ranges (CIDR): timers of this collection call nobody outside of them. It opens "
            "nothing that the controllers do not allow.",
            examples=[["10.0.0.0/8"]],
        ),
    ]


class DefaultsShown(TypedDict):
    """The defaults; null: as without the collection."""

    retry: RetryShown | None
    timeout_seconds: float | None
    priority: int | None
    on_unknown: OnUnknown | None


class CollectionShown(TypedDict):
    """A collection as it stands."""

    name: str
    paused: Annotated[bool, Field(description="Its timers wait.")]
    defaults: DefaultsShown
    retention_days: int | None
    waiting_max: int | None
    egress_allow: list[str] | None
    counts: CountsShown
    created_at: Moment


class CollectionPageShown(TypedDict):
    """Some collections, and where the next ones are."""

    collections: list[CollectionShown]
    next_cursor: Annotated[
        str | None, Field(description="Give it as `cursor` for the next page; null at the end.")
    ]


_ASKED: TypeAdapter[CollectionAsked] = TypeAdapter(CollectionAsked)


def check(document: dict[str, Any]) -> CollectionSettings:
    """The settings that are asked for; else a 422 that names each field at fault."""
    try:
        asked = _ASKED.validate_python(document)
    except ValidationError as error:
        raise from_validation(
            error.errors(include_url=False, include_input=False, include_context=False)
        ) from None
    defaults = _defaults(asked.get("defaults") or DefaultsAsked())
    if faults := list(_faults(defaults)):
        raise invalid(faults)
    ranges = asked.get("egress_allow")
    return CollectionSettings(
        defaults,
        asked.get("retention_days"),
        asked.get("waiting_max"),
        None if ranges is None else tuple(dict.fromkeys(map(parse_range, ranges))),
    )


def _defaults(asked: DefaultsAsked) -> Defaults:
    retry, timeout_seconds = asked.get("retry"), asked.get("timeout_seconds")
    return Defaults(
        None if retry is None else policy_of(retry),
        None if timeout_seconds is None else round(timeout_seconds, 3),
        asked.get("priority"),
        asked.get("on_unknown"),
    )


def _faults(defaults: Defaults) -> Iterator[FieldError]:
    if defaults.retry is not None:
        yield from policy_faults(defaults.retry, "defaults.retry")


def shown(collection: Collection, counts: CountsShown) -> CollectionShown:
    """A collection for an answer."""
    settings = collection.settings
    defaults: Any = asdict(settings.defaults)
    return {
        "name": collection.name,
        "paused": collection.is_paused,
        "defaults": defaults,
        "retention_days": settings.retention_days,
        "waiting_max": settings.waiting_max,
        "egress_allow": None if settings.egress_allow is None else list(map(str, settings.egress_allow)),
        "counts": counts,
        "created_at": rfc3339(collection.created_at_us),
    }

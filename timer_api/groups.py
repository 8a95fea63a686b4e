"""What the calls about collections and routes have in common."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from fastapi import Path
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from timer_api.api_keys.caller import EVERYBODY, Caller
from timer_api.errors import FieldError, Kind, Problem, invalid
from timer_api.openapi import REF
from timer_api.paging import PAGE_DEFAULT, Limit
from timer_api.reading import of_all
from timer_api.service import Service
from timer_db.domain.names import GROUP_NAME_PATTERN
from timer_db.domain.states import TimerState
from timer_db.operations.counts import Counts, count_states

BODY_BYTES = 65_536

_NAME = re.compile(GROUP_NAME_PATTERN.rstrip("$"))
NAME_IN_WORDS = "it must have 1 to 100 letters, digits, '.', '_' and '-', and begin with no sign"

Whole = Annotated[int, Field(ge=0)]
Moment = Annotated[str, Field(json_schema_extra={"format": "date-time"})]


def name_in_path(example: str) -> Any:
    """The name of a collection or a route in a path."""
    return Path(
        description="Its name.",
        openapi_examples={"name": {"value": example}},
        json_schema_extra={"pattern": GROUP_NAME_PATTERN},
    )


def checked_name(field: str, name: str) -> str:
    """The name. 422 for what can be none."""
    if not _NAME.fullmatch(name):
        raise invalid([FieldError(field, NAME_IN_WORDS)])
    return name


def _cursor(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise ValueError("it is not a cursor of this list")
    return text


class ListQuery(BaseModel):
    """What a list by name can be asked for."""

    model_config = ConfigDict(extra="forbid")

    limit: Limit = PAGE_DEFAULT
    cursor: Annotated[str, AfterValidator(_cursor)] | None = Field(
        None,
        description="`next_cursor` of the page before.",
        json_schema_extra={"format": "name-cursor"},
    )


class CountsShown(TypedDict):
    """How many timers are in each state, to within what moves at the moment."""

    scheduled: Whole
    firing: Whole
    delivered: Whole
    failed: Whole
    unknown: Whole
    cancelled: Whole


async def counted(service: Service, **of: Iterable[int]) -> Counts:
    """As `count_states`, of every server. Raises Away."""
    return await of_all(service, lambda shards, _: count_states(shards, **of))


def counts_shown(states: Mapping[TimerState, int]) -> CountsShown:
    """Counts for an answer. What moved between two looks may have left one of them short."""
    counted: Any = {state.value: max(0, states.get(state, 0)) for state in TimerState}
    shown: CountsShown = counted
    return shown


def who(caller: Caller) -> str:
    """Who wants something, for the list of events."""
    if caller is EVERYBODY:
        return "over the API, while no keys are checked"
    return f"by the API key {caller.key_id}" if caller.key_id else "by a key of TIMER_API_KEYS"


def body(model: str, examples: Mapping[str, Any]) -> dict[str, Any]:
    """For a route's `openapi_extra`: the body that it takes."""
    content = {"application/json": {"schema": {"$ref": REF.format(model=model)}, "examples": examples}}
    return {"requestBody": {"required": True, "content": content}}


NO_JSON = Problem(Kind.malformed_json, "Expecting ',' delimiter: line 1 column 14")
TOO_SLOW = Problem(Kind.request_timeout, "the request did not arrive within 60 seconds")
TOO_LARGE = Problem(Kind.body_too_large, f"a body has at most {BODY_BYTES:,} bytes")
NOT_JSON = Problem(Kind.unsupported_media_type, "the Content-Type is missing: send JSON")
BODY_PROBLEMS = (NO_JSON, TOO_SLOW, TOO_LARGE, NOT_JSON)
"""Of every call that takes a body."""

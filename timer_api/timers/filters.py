"""From what a client says about the timers that are meant to a `Filter`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, cast

from pydantic import BaseModel, ConfigDict, Field, with_config
from typing_extensions import TypedDict

from timer_api.api_keys.caller import Caller
from timer_api.errors import FieldError, invalid
from timer_api.timers import due
from timer_api.timers.schemas import STRICT, GroupName
from timer_db.domain import selector as selectors
from timer_db.domain.directory import Directory, Named
from timer_db.domain.filter import Filter
from timer_db.domain.selector import Selector
from timer_db.domain.states import TimerState
from timer_db.operations.directory import DirectoryKeeper

_UNKNOWN = "there is none of this name"

_State = Annotated[TimerState, Field(strict=False, description="In this state.", examples=["scheduled"])]
_Collection = Annotated[
    GroupName, Field(description="Of the collection with this name.", examples=["newsletters"])
]
_Route = Annotated[GroupName, Field(description="Of the route with this name.", examples=["billing"])]
_Schedule = Annotated[
    GroupName, Field(description="Runs of the schedule with this name.", examples=["daily-report"])
]
_Selector = Annotated[
    str,
    Field(
        max_length=selectors.CHARACTERS_MAX,
        description="By labels, as Kubernetes selects: `env=prod,tier!=free,zone in (a,b),phase notin (x),canary,"
        "!old`. Commas mean and; `!=` and `notin` also match timers without the label.",
        examples=["env=prod,zone in (a,b),!canary"],
        json_schema_extra={"format": "label-selector"},
    ),
]


def _moment(description: str) -> Any:
    return Field(
        max_length=due.DUE_AT_TEXT_MAX,
        description=description,
        examples=["2030-01-31T18:00:00+01:00"],
        json_schema_extra={"pattern": due.MOMENT_PATTERN, "format": "moment"},
    )


_DueAfter = Annotated[
    str,
    _moment(
        "Due then or later (RFC 3339 with an offset). A scheduled timer counts as due when it is called next."
    ),
]
_DueBefore = Annotated[str, _moment("Due before that, in the same sense.")]


@with_config(STRICT)
class FilterAsked(TypedDict, total=False):
    """Which timers are meant: all conditions that are given must hold."""

    status: _State
    collection: _Collection
    route: _Route
    schedule: _Schedule
    selector: _Selector
    due_after: _DueAfter
    due_before: _DueBefore


class FilterQuery(BaseModel):
    """The same in a query."""

    model_config = ConfigDict(extra="forbid")

    status: _State | None = None
    collection: _Collection | None = None
    route: _Route | None = None
    schedule: _Schedule | None = None
    selector: _Selector | None = None
    due_after: _DueAfter | None = None
    due_before: _DueBefore | None = None

    @property
    def asked(self) -> FilterAsked:
        """What is given."""
        given = self.model_dump(exclude_none=True, include=set(FilterQuery.model_fields))
        return cast(FilterAsked, given)


async def filter_of(asked: FilterAsked, caller: Caller, keeper: DirectoryKeeper) -> Filter:
    """What is meant, as far as the caller sees it. Raises a 422 that names each field at fault.

    Collections that the caller does not see are not there.
    """
    directory = await _directory_for(asked, keeper)
    faults: list[FieldError] = []
    collection = _known("collection", asked.get("collection"), directory.collection_named, faults)
    if collection is not None and not caller.sees(collection.name):
        faults.append(FieldError("collection", _UNKNOWN))
    route = _known("route", asked.get("route"), directory.route_named, faults)
    schedule = _known("schedule", asked.get("schedule"), directory.schedule_named, faults)
    wanted = Filter(
        states=frozenset({asked["status"]}) if "status" in asked else None,
        selector=_selector(asked.get("selector", ""), faults),
        collection_ids=frozenset({collection.id}) if collection else visible_to(caller, directory),
        route_id=route.id if route else None,
        schedule_id=schedule.id if schedule else None,
        due_from_us=_moment_us("due_after", asked.get("due_after"), faults),
        due_until_us=_moment_us("due_before", asked.get("due_before"), faults),
    )
    if faults:
        raise invalid(faults)
    return wanted


def visible_to(caller: Caller, directory: Directory) -> frozenset[int] | None:
    """The collections that a caller sees, by number; None: all."""
    if caller.collections is None:
        return None
    return frozenset(number for number, one in directory.collections.items() if caller.sees(one.name))


async def _directory_for(asked: FilterAsked, keeper: DirectoryKeeper) -> Directory:
    """One that was read after the last change, should a name be unknown to the one in hand."""
    known = keeper.current
    if (
        ("collection" in asked and not known.collection_named(asked["collection"]))
        or ("route" in asked and not known.route_named(asked["route"]))
        or ("schedule" in asked and not known.schedule_named(asked["schedule"]))
    ):
        await keeper.refresh()
    return keeper.current


def _known(
    field: str, name: str | None, find: Callable[[str], Named | None], faults: list[FieldError]
) -> Named | None:
    found = None if name is None else find(name)
    if name is not None and found is None:
        faults.append(FieldError(field, _UNKNOWN))
    return found


def _selector(text: str, faults: list[FieldError]) -> Selector:
    try:
        return selectors.parse(text)
    except selectors.SelectorError as error:
        faults.append(FieldError("selector", str(error)))
        return selectors.EVERYTHING


def _moment_us(field: str, text: str | None, faults: list[FieldError]) -> int | None:
    try:
        return None if text is None else due.due_at_us(text, None)
    except ValueError as error:
        faults.append(FieldError(field, str(error)))
        return None

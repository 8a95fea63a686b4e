"""From what a client says about the timers that are meant to a `Filter`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from timer_api.api_keys.caller import Caller
from timer_api.errors import FieldError, invalid
from timer_api.timers import due
from timer_api.timers.schemas import Name
from timer_db.domain import selector as selectors
from timer_db.domain.directory import Directory, Named
from timer_db.domain.filter import Filter
from timer_db.domain.selector import Selector
from timer_db.domain.states import TimerState
from timer_db.operations.directory import DirectoryKeeper

_UNKNOWN = "there is none of this name"


def _moment(description: str) -> Any:
    return Field(
        None,
        max_length=due.DUE_AT_TEXT_MAX,
        description=description,
        examples=["2030-01-31T18:00:00+01:00"],
        json_schema_extra={"pattern": due.MOMENT_PATTERN, "format": "moment"},
    )


class FilterAsked(BaseModel):
    """Which timers are meant: all conditions that are given must hold."""

    model_config = ConfigDict(extra="forbid")

    status: TimerState | None = Field(None, description="In this state.")
    collection: Name | None = Field(None, description="Of the collection with this name.")
    route: Name | None = Field(None, description="Of the route with this name.")
    schedule: Name | None = Field(None, description="Runs of the schedule with this name.")
    selector: str | None = Field(
        None,
        max_length=selectors.CHARACTERS_MAX,
        description="By labels, as Kubernetes selects: `env=prod,tier!=free,zone in (a,b),phase notin (x),canary,"
        "!old`. Commas mean and; `!=` and `notin` also match timers without the label.",
        examples=["env=prod,zone in (a,b),!canary"],
        json_schema_extra={"format": "label-selector"},
    )
    due_after: str | None = _moment(
        "Due then or later (RFC 3339 with an offset). A scheduled timer counts as due when it is called next."
    )
    due_before: str | None = _moment("Due before that, in the same sense.")

    @property
    def says_something(self) -> bool:
        """Whether there is a condition at all; a selector without requirements is none."""
        given = self.model_dump(exclude_none=True, include=set(FilterAsked.model_fields))
        return bool({name for name, value in given.items() if name != "selector" or value.strip()})


async def filter_of(asked: FilterAsked, caller: Caller, keeper: DirectoryKeeper) -> Filter:
    """What is meant, as far as the caller sees it. Raises a 422 that names each field at fault.

    Collections that the caller does not see are not there.
    """
    directory = await _directory_for(asked, keeper)
    faults: list[FieldError] = []
    collection = _known("collection", asked.collection, directory.collection_named, faults)
    if collection is not None and not caller.sees(collection.name):
        faults.append(FieldError("collection", _UNKNOWN))
    route = _known("route", asked.route, directory.route_named, faults)
    schedule = _known("schedule", asked.schedule, directory.schedule_named, faults)
    wanted = Filter(
        states=None if asked.status is None else frozenset({asked.status}),
        selector=_selector(asked.selector, faults),
        collection_ids=frozenset({collection.id}) if collection else visible_to(caller, directory),
        route_id=route.id if route else None,
        schedule_id=schedule.id if schedule else None,
        due_from_us=_moment_us("due_after", asked.due_after, faults),
        due_until_us=_moment_us("due_before", asked.due_before, faults),
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
        (asked.collection is not None and not known.collection_named(asked.collection))
        or (asked.route is not None and not known.route_named(asked.route))
        or (asked.schedule is not None and not known.schedule_named(asked.schedule))
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


def _selector(text: str | None, faults: list[FieldError]) -> Selector:
    try:
        return selectors.parse(text or "")
    except selectors.SelectorError as error:
        faults.append(FieldError("selector", str(error)))
        return selectors.EVERYTHING


def _moment_us(field: str, text: str | None, faults: list[FieldError]) -> int | None:
    try:
        return None if text is None else due.due_at_us(text, None)
    except ValueError as error:
        faults.append(FieldError(field, str(error)))
        return None

"""The client has every call of the API's document, and knows every member of what goes over the wire."""

from __future__ import annotations

import dataclasses
import inspect
import re
from datetime import UTC, datetime
from typing import Any, NoReturn

import pytest

from timer_api.api_keys.schemas import ApiKeyAsked, ApiKeyShown
from timer_api.app import create_app
from timer_api.collections.schemas import CollectionAsked, CollectionShown, DefaultsAsked
from timer_api.controllers.routes import ControllerShown
from timer_api.events.routes import EventShown
from timer_api.routes.schemas import RouteAsked, RouteShown, SecretShown
from timer_api.schedules.schemas import BackfillShown, PreviewAsked, RunsShown, ScheduleAsked, ScheduleShown
from timer_api.settings import ApiSettings
from timer_api.timers.answered import AttemptShown, RetryShown, TimerShown
from timer_api.timers.bulk import BulkAsked, BulkShown, RefusedShown, RescheduleAsked
from timer_api.timers.schemas import ChangeAsked, RetryAsked, RunAsked, TimerAsked
from timer_client import (
    ApiKey,
    Attempt,
    Bulk,
    Collection,
    Controller,
    Event,
    Refused,
    Route,
    RouteSecret,
    Schedule,
    Timer,
    asked,
)
from timer_client.answers import Backfill, Retry, Runs
from timer_client.calls import Request, Resource, SyncCaller, call, walk
from timer_client.client import _Resources

NOW = datetime.now(UTC)
VALUES = {"timers": [{}], "start": NOW, "end": NOW}


class Sent(Exception):
    """Instead of an answer."""

    def __init__(self, request: Request[Any]) -> None:
        self.request = request


class Notes(SyncCaller, _Resources[SyncCaller]):
    """A client that sends nothing, and tells what it would have sent."""

    def __init__(self) -> None:
        super().__init__(self)

    def send(self, request: Request[Any]) -> NoReturn:
        raise Sent(request)


def operations_of_the_client() -> set[tuple[str, str]]:
    """Method and path of each call; `*` stands for what identifies something."""
    found: set[tuple[str, str]] = set()
    for resource in vars(Notes()).values():
        assert isinstance(resource, Resource)
        for name, value in inspect.getmembers_static(type(resource)):
            if isinstance(value, call | walk):
                method = getattr(resource, name)
                needed = [
                    parameter
                    for parameter in inspect.signature(method).parameters.values()
                    if parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD
                ]
                arguments = [VALUES.get(each.name, "*") for each in needed if each.kind is not each.KEYWORD_ONLY]
                options = {each.name: VALUES[each.name] for each in needed if each.kind is each.KEYWORD_ONLY}
                with pytest.raises(Sent) as sent:
                    list(method(*arguments, **options))
                request = sent.value.request
                # A timer's name goes with a collection, which is the default one unless it is said.
                path = request.path.replace("/default/", "/*/").replace("%2A", "*")
                found.add((request.method, path))
    return found


def operations_of_the_api() -> set[tuple[str, str]]:
    document = create_app(ApiSettings(db_url="mysql://nobody@127.0.0.1:9/nothing")).app.openapi()
    paths = {re.sub(r"\{[^}]+\}", "*", path): item for path, item in document["paths"].items()}
    # Numbers are for Prometheus.
    return {(method.upper(), path) for path, item in paths.items() for method in item} - {("GET", "/metrics")}


def test_every_call_of_the_api_is_one_of_the_client() -> None:
    assert operations_of_the_api() <= operations_of_the_client()


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (Timer, TimerShown),
        (Retry, RetryShown),
        (Attempt, AttemptShown),
        (ApiKey, ApiKeyShown),
        (Collection, CollectionShown),
        (Route, RouteShown),
        (RouteSecret, SecretShown),
        (Bulk, BulkShown),
        (Refused, RefusedShown),
        (Schedule, ScheduleShown),
        (Runs, RunsShown),
        (Backfill, BackfillShown),
        (Event, EventShown),
        (Controller, ControllerShown),
    ],
)
def test_what_is_shown_has_a_place(ours: Any, theirs: Any) -> None:
    assert {field.name for field in dataclasses.fields(ours)} - {"raw"} == set(theirs.__annotations__)


@pytest.mark.parametrize(
    ("ours", "theirs", "added"),
    [
        (asked.NewTimer, TimerAsked, {"due"}),
        (asked.RetryPolicy, RetryAsked, set()),
        (asked.NewApiKey, ApiKeyAsked, set()),
        (asked.CollectionSettings, CollectionAsked, set()),
        (asked.CollectionDefaults, DefaultsAsked, set()),
        (asked.RouteSettings, RouteAsked, set()),
        (asked.TimerChanges, ChangeAsked, {"due"}),
        (asked.ScheduleSettings, ScheduleAsked, set()),
        (asked.SchedulePreview, PreviewAsked, set()),
        (asked.TimerTemplate, RunAsked, set()),
    ],
)
def test_all_that_can_be_asked_for_can_be_said(ours: Any, theirs: Any, added: set[str]) -> None:
    assert set(ours.__annotations__) - added == set(theirs.__annotations__)


def test_all_ways_to_name_many_can_be_said() -> None:
    assert set(asked.Which.__annotations__) == set(BulkAsked.__annotations__)
    assert {*asked.Rescheduled.__annotations__, "shift"} - {"due"} == set(RescheduleAsked.__annotations__)

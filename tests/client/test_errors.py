"""What is no success is an error with everything that the answer tells; settings that cannot be are refused."""

from __future__ import annotations

import inspect
import re
from typing import Any

import pytest

from tests.client.both import KINDS, got
from tests.client.scripted import Scripted
from timer_api.errors import Kind
from timer_api.timers.examples import NAME_TAKEN, TIMER, TIMER_ID
from timer_client import Client, Conflict, FieldError, Invalid, NotFound, Retries, Unavailable, UnexpectedAnswer
from timer_client import errors as client_errors
from timer_client.errors import ApiError, TimerClientError, api_error

ONCE = Retries(tries_max=1)


async def test_a_problem_becomes_an_error_that_names_the_fields(client: Any, scripted: Scripted) -> None:
    scripted.say(409, NAME_TAKEN.document("/timers"))
    with pytest.raises(Conflict) as raised:
        await got(client.timers.create(url="https://example.com", minutes=10, name="invoice-17"))
    error = raised.value
    assert (error.status, error.type) == (409, "urn:timer-system:problem:name-taken")
    assert error.errors == (FieldError("name", "a timer with this name and other content exists"),)
    assert error.facts["holder"] == TIMER_ID
    assert str(error) == "409 The name is in use: name: a timer with this name and other content exists"


async def test_what_a_proxy_says_is_told_as_well(scripted: Scripted) -> None:
    scripted.say(502, b"<h1>Bad Gateway</h1>")
    with Client(scripted.url, retries=ONCE) as client, pytest.raises(Unavailable) as raised:
        client.timers.get(TIMER_ID)
    assert str(raised.value) == "502 Bad Gateway: <h1>Bad Gateway</h1>"


@pytest.mark.parametrize("document", [b"<h1>Welcome</h1>", [], {}, {**TIMER, "due_at": "soon"}, {"timers": 1}])
async def test_another_service_is_not_taken_for_ours(client: Any, scripted: Scripted, document: Any) -> None:
    scripted.say(200, document)
    with pytest.raises(UnexpectedAnswer, match="/timers/"):
        await got(client.timers.get(TIMER_ID))


async def test_a_redirect_is_an_error_and_the_key_goes_nowhere_else(scripted: Scripted) -> None:
    scripted.say(307, Location="/elsewhere")
    with Client(scripted.url, key="k" * 32) as client, pytest.raises(ApiError, match="307"):
        client.timers.get(TIMER_ID)
    assert [asked.headers["authorization"] for asked in scripted.asked] == ["Bearer " + "k" * 32]


def test_every_kind_of_problem_has_a_class_of_its_own_status() -> None:
    known = {kind.status: type(api_error(kind.status, {})) for kind in Kind}
    assert {status for status, kind in known.items() if kind is ApiError} == {405, 408, 431}
    assert (known[404], known[422], known[503]) == (NotFound, Invalid, Unavailable)


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    drawn: dict[str, str] = {}
    parents = ["TimerClientError"]
    for line in str(client_errors.__doc__).splitlines():
        if match := re.match(r"([│├└─ ]*)── (\w+)", line):
            level = (len(match[1]) + 3) // 4
            parents[level:] = [match[2]]
            drawn[match[2]] = parents[level - 1]
    found = {
        name: kind.__base__.__name__
        for name, kind in inspect.getmembers(client_errors, inspect.isclass)
        if issubclass(kind, TimerClientError) and kind is not TimerClientError and kind.__base__
    }
    assert drawn == found


@pytest.mark.parametrize("kind", KINDS)
def test_settings_of_the_environment(kind: Any, monkeypatch: pytest.MonkeyPatch, scripted: Scripted) -> None:
    for url in ("ftp://example.com", "localhost:8000", "http://"):
        with pytest.raises(ValueError, match="TIMER_URL"):
            kind(url)
    monkeypatch.setenv("TIMER_URL", scripted.url + "/behind/a/proxy")
    monkeypatch.setenv("TIMER_API_KEY", "of-the-environment")
    scripted.say(200, TIMER)
    scripted.say(200, TIMER)
    with Client() as client:
        client.timers.get(TIMER_ID)
    with Client(scripted.url, key="given") as client:
        client.timers.get(TIMER_ID)
    assert [asked.target for asked in scripted.asked] == [
        f"/behind/a/proxy/timers/{TIMER_ID}",
        f"/timers/{TIMER_ID}",
    ]
    assert [asked.headers["authorization"] for asked in scripted.asked] == [
        "Bearer of-the-environment",
        "Bearer given",
    ]
    assert all(asked.headers["user-agent"].startswith("timer-client/") for asked in scripted.asked)


def test_a_call_helps() -> None:
    """What `help(client.timers.get)` shows."""
    with Client() as client:
        assert list(inspect.signature(client.timers.get).parameters) == ["timer_id"]
        assert client.timers.get.__doc__ == "The timer as it stands."

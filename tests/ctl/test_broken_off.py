"""What timerctl says when a long call fails midway: what was done, and how to go on; and its exit codes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.client.scripted import Scripted, scripted_server
from timer_api.timers.examples import NAME_TAKEN, TIMER, TIMER_ID

from .conftest import Ran

Alone = Callable[..., Ran]
BAD = {"title": "No", "status": 400}
DOCUMENT = "- {delay: 1h, url: 'http://a'}\n"


@pytest.fixture
def scripted() -> Iterator[Scripted]:
    with scripted_server() as running:
        yield running


@pytest.fixture
def ctl(alone: Alone, scripted: Scripted) -> Alone:
    def run(*arguments: str, given: str = "") -> Ran:
        return alone("--url", scripted.url, *arguments, given=given)

    return run


def bulk(changed: int, cursor: str | None, **refused: str) -> dict[str, Any]:
    shown = [{"id": timer_id, "status": state, "reason": f"it is {state}"} for timer_id, state in refused.items()]
    counts = {"matched": changed + len(shown), "changed": changed, "refused_count": len(shown)}
    return {**counts, "refused": shown, "next_cursor": cursor}


def test_a_create_of_many_shows_what_was_made_and_how_to_go_on(ctl: Alone, scripted: Scripted) -> None:
    scripted.say(201, {"results": [TIMER] * 10_000})
    scripted.say(400, BAD)
    done = ctl("timer", "create", "-f", "-", "-o", "json", given=DOCUMENT * 10_001)
    assert done.code == 7
    assert len(json.loads(done.out)) == 10_000
    how_far, error = done.err.splitlines()
    first, second = (asked.headers["idempotency-key"] for asked in scripted.asked)
    key = first.removesuffix("/0")
    assert second == f"{key}/1"
    assert "10,000 of 10,001 were made before it failed" in how_far
    assert f"--idempotency-key {key} " in how_far
    assert error.startswith("timerctl: 400")


@pytest.mark.parametrize("verb", [["create"], ["put", "a"]], ids=["create", "put"])
def test_one_that_may_be_made_has_a_key_to_go_on_with(ctl: Alone, scripted: Scripted, verb: list[str]) -> None:
    scripted.say(501, {"title": "No"})
    command = ("timer", *verb, "--set", "delay=1h", "--set", "url=http://a")
    assert "--idempotency-key" not in ctl(*command).err
    for _ in range(5):
        scripted.say(503, {"title": "Later"}, retry_after="0")
    done = ctl(*command)
    assert done.code == 1
    keys = {asked.headers["idempotency-key"] for asked in scripted.asked[1:]}
    assert len(keys) == 1
    assert f"--idempotency-key {keys.pop()} " in done.err.splitlines()[0]


@pytest.mark.parametrize(
    ("problems", "code"),
    [
        ([NAME_TAKEN.document("/")] * 2, 4),
        ([BAD] * 2, 7),
        ([BAD, NAME_TAKEN.document("/")], 1),
        ([{"title": "Full", "status": 429}], 1),
    ],
    ids=["taken", "wrong", "both", "full"],
)
def test_the_exit_code_is_that_of_all_that_were_refused(
    ctl: Alone, scripted: Scripted, problems: list[dict[str, Any]], code: int
) -> None:
    scripted.say(207, {"results": [TIMER, *({"error": problem} for problem in problems)]})
    assert ctl("timer", "create", "-f", "-", given=DOCUMENT * (1 + len(problems))).code == code


def test_a_backfill_says_which_run_is_next_and_with_which_key(ctl: Alone, scripted: Scripted) -> None:
    command = ("schedule", "backfill", "s", "--from", "2026-01-01T00:00:00Z", "--to", "2027-01-01T00:00:00Z")
    scripted.say(200, {"made": 1000, "next_from": "2026-03-01T00:00:00Z"})
    scripted.say(400, BAD)
    done = ctl(*command)
    key = scripted.asked[0].headers["idempotency-key"].removesuffix("/0")
    assert (done.code, done.out) == (7, "")
    how_far = done.err.splitlines()[0]
    assert "1000 runs were made, those before 2026-03-01T00:00:00+00:00" in how_far
    assert f"--idempotency-key {key} " in how_far
    scripted.say(200, {"made": 1000, "next_from": None})
    assert ctl(*command, "--idempotency-key", "mine").out == "made 1000 runs\n"
    assert scripted.asked[-1].headers["idempotency-key"] == "mine/0"
    scripted.say(404, {"title": "No"})
    assert ctl(*command).err.count("\n") == 1


def test_a_bulk_call_says_where_it_ended(ctl: Alone, scripted: Scripted) -> None:
    scripted.say(200, bulk(10_000, "here", x="firing"))
    scripted.say(503)
    done = ctl("timer", "reschedule", "-l", "a=b", "--shift", "1h", "-o", "json")
    assert done.code == 1
    assert (json.loads(done.out)["changed"], json.loads(done.out)["next_cursor"]) == (10_000, "here")
    refused, cursor, warning, error = done.err.splitlines()
    assert refused == "timerctl: x: it is firing"
    assert cursor == "timerctl: the same filters with --cursor here go on"
    assert "more may be rescheduled" in warning
    assert error.startswith("timerctl: 503")
    scripted.say(200, bulk(5, None))
    assert ctl("timer", "reschedule", "-l", "a=b", "--shift", "1h", "--cursor", "here").code == 0
    assert scripted.asked[-1].json == {"selector": "a=b", "shift": "1h", "cursor": "here"}


@pytest.mark.parametrize("verb", ["cancel", "replay"])
def test_a_limit_leaves_the_rest(ctl: Alone, scripted: Scripted, verb: str) -> None:
    scripted.say(200, bulk(3, "here"))
    done = ctl("timer", verb, "-l", "a=b", "--limit", "3")
    assert (done.code, scripted.asked[-1].json) == (0, {"selector": "a=b", "limit": 3})
    assert done.err == "timerctl: there may be more: the same filters with --cursor here go on\n"
    assert ctl("timer", verb, TIMER_ID, "--limit", "3").code == 2
    assert ctl("timer", verb, "--limit", "3").code == 2
    assert ctl("timer", verb, "--name", "a", "--cursor", "here").code == 2

"""The answer to a create, put together from pieces, is what the representation of the timer says."""

from __future__ import annotations

import json
from typing import Any

import pytest

from timer_api.timers.creation import build, check
from timer_api.timers.examples import CREATES
from timer_api.timers.shown import shown
from timer_db.domain.ids import new_id
from timer_db.domain.representation import represent
from timer_db.domain.states import TimerState
from timer_db.operations.schedule import Scheduled

NOW_US = 1_800_000_000_123_456
PLAIN = {"url": "https://example.com/hook", "seconds": 90}
CASES: list[dict[str, Any]] = [
    PLAIN,
    *[create["value"] for create in CREATES.values()],
    {**PLAIN, "seconds": 0},
    {**PLAIN, "name": 'a "name" with \\ and \u00fc \U0001f600'},
    {**PLAIN, "headers": {"X-Quoted": '"\\', "X-Empty": ""}, "labels": {"a": "b"}},
    {**PLAIN, "body": {"ü": [1.5, -(2**63), None, True, '"']}},
    {**PLAIN, "body": ""},
    {**PLAIN, "body": None, "meta": None},
    {**PLAIN, "body_base64": ""},
    {**PLAIN, "meta": False},
    {**PLAIN, "meta": {}},
    {**PLAIN, "url": "https://example.com/%22?a=[1]|'"},
    {**PLAIN, "append_id": False, "method": "PATCH"},
    *[{**PLAIN, "priority": priority} for priority in (0, 1, 32_767)],
    *[{**PLAIN, "timeout_seconds": seconds} for seconds in (10, 10.0, 0.125, 3600)],
    *[{**PLAIN, "on_unknown": choice} for choice in ("resend", "hold", "fail")],
    *[{**PLAIN, "retry": retry} for retry in ({}, {"factor": 1}, {"factor": 1.0, "jitter": 0})],
]


@pytest.mark.parametrize("document", CASES, ids=lambda document: repr(document)[-60:])
@pytest.mark.parametrize("later_us", [0, 1, 90_000_000, 91_500_000])
def test_it_is_the_representation(document: dict[str, Any], later_us: int) -> None:
    timer = build(check(document), new_id(NOW_US), NOW_US)
    text = shown(Scheduled(timer, True), NOW_US + later_us)
    wanted = represent(timer, NOW_US + later_us)
    assert json.loads(text) == json.loads(json.dumps(wanted))
    assert list(json.loads(text)) == list(wanted)


def test_what_a_repeated_name_led_to_is_shown_as_it_stands() -> None:
    timer = build(check({**PLAIN, "name": "n"}), new_id(NOW_US), NOW_US)
    timer.state, timer.next_attempt_at_us, timer.attempts = TimerState.firing, None, 2
    assert json.loads(shown(Scheduled(timer, False), NOW_US)) == represent(timer, NOW_US)

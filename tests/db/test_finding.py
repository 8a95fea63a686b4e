"""Lists by filter: whatever is asked for, the pages together hold what is meant, each timer once."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace

import pytest
import pytest_asyncio

from tests.db.desk import NOON_US, SECOND_US, Desk, finished, in_state, new_timer, retried
from timer_db.domain import cursor as cursors
from timer_db.domain.cursor import BY_STATE, UNDECIDED, Place
from timer_db.domain.filter import Filter, due_us
from timer_db.domain.owner import Owner
from timer_db.domain.selector import parse
from timer_db.domain.states import Outcome, TimerState
from timer_db.domain.timer import NewTimer, Timer
from timer_db.operations import finding
from timer_db.operations.cancel import cancel
from timer_db.operations.inspect import list_timers

S = TimerState
OWNERS = [Owner(1), Owner(1), Owner(1, 3), Owner(7), Owner(7, 3), Owner(8, 0, 5)]
SELECTORS = [
    "env=prod", "env in (prod,test)", "env!=prod", "env notin (prod,test)", "env", "!env", "env=prod,tier=1",
    "tier in (0,1),env!=test", "canary,env=prod", "canary,!env", "env=prod,env=test", "nobody=has", "nobody!=has",
]  # fmt: skip


def _new(number: int) -> NewTimer:
    labels = {"tier": str(number % 3)}
    if number % 5:
        labels["env"] = ("prod", "test", "dev")[number % 7 % 3]
    if number % 11 == 0:
        labels["canary"] = ""
    owner = OWNERS[number % len(OWNERS)]
    url = None if owner.route_id else "https://example.com/hook"
    at_us = NOON_US + number * SECOND_US
    return new_timer(at_us, url=url, labels=labels if number % 13 else {}, owner=owner, priority=number % 4)


@pytest_asyncio.fixture
async def zoo(desk: Desk) -> list[Timer]:
    """Some hundred timers of all kinds, as they stand."""
    made = await desk.add(*map(_new, range(160)))
    controller = await desk.join()
    ends = [(S.delivered, Outcome.delivered), (S.failed, Outcome.rejected), (S.unknown, Outcome.unknown)]
    claims = await desk.take(controller, 1, limit=60)
    outcomes = [finished(claim, *ends[n % 3]) for n, claim in enumerate(claims[:45])]
    again = [retried(claim, NOON_US + 500 * SECOND_US) for claim in claims[45:50]]
    await desk.finish(controller, [*outcomes, *again])
    scheduled = [timer for timer in made if (await desk.state(timer.id)) is S.scheduled]
    for timer in scheduled[::6]:
        await cancel(desk.shards, timer.id)
    deferred = await desk.claim(controller, 2, limit=20)
    await desk.give_back(controller, 2, deferred, is_done=True, destination=bytes(16))
    return [await desk.timer(timer.id) for timer in made]


async def _listed(desk: Desk, wanted: Filter, limit: int) -> list[Timer]:
    shown: list[Timer] = []
    cursor = None
    while True:
        page = await list_timers(desk.shards, wanted, limit=limit, cursor=cursor)
        assert len(page.timers) <= limit
        shown += page.timers
        cursor = page.next_cursor
        if cursor is None:
            return shown


def _filters() -> Iterator[Filter]:
    """Each condition alone, and many together, the same in every run."""
    dice = random.Random(11)
    bounds = [None, NOON_US + 40 * SECOND_US, NOON_US + 100 * SECOND_US, NOON_US + 400 * SECOND_US]
    for text in SELECTORS:
        yield Filter(selector=parse(text))
    for state in TimerState:
        yield in_state(state)
    yield from (Filter(collection_ids=frozenset(ids)) for ids in ([1], [7], [7, 8], [1, 7], [99], []))
    yield from (Filter(route_id=3), Filter(schedule_id=5), Filter(route_id=99))
    yield from (Filter(due_from_us=bounds[1]), Filter(due_until_us=bounds[2]), Filter(due_until_us=0))
    for _ in range(60):
        states = frozenset(dice.sample(list(TimerState), dice.choice([1, 1, 2, 3])))
        yield Filter(
            states=dice.choice([None, states]),
            selector=parse(dice.choice(["", *SELECTORS])),
            collection_ids=dice.choice([None, None, frozenset({1}), frozenset({7, 8})]),
            route_id=dice.choice([None, None, None, 3]),
            due_from_us=dice.choice(bounds),
            due_until_us=dice.choice(bounds),
        )


async def test_pages_hold_what_is_meant_each_once(desk: Desk, zoo: list[Timer]) -> None:
    some = 0
    for wanted in _filters():
        meant = {timer.id for timer in zoo if wanted.matches(timer)}
        for limit in (7, 1000):
            shown = await _listed(desk, wanted, limit)
            assert len(shown) == len(meant), wanted
            assert {timer.id for timer in shown} == meant, wanted
            assert all(timer in zoo for timer in shown)
        some += bool(meant)
    assert some > 45


async def test_work_is_bounded_and_nothing_is_left_out(
    desk: Desk, zoo: list[Timer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the bounds are: here a page looks at a handful of timers, priorities and marks."""
    for name, value in {"LOOK_MAX": 3, "WORK_MAX": 12, "LIST_MAX": 9, "BEARING_MAX": 10, "_STEP_LEAST": 5}.items():
        monkeypatch.setattr(finding, name, value)
    monkeypatch.setattr(finding, "_RANKS_MAX", 2)
    monkeypatch.setattr(finding.find, "__defaults__", (12,))
    short = 0
    for wanted in _filters():
        meant = {timer.id for timer in zoo if wanted.matches(timer)}
        shown: list[Timer] = []
        cursor = None
        while True:
            page = await list_timers(desk.shards, wanted, limit=20, cursor=cursor)
            shown += page.timers
            cursor = page.next_cursor
            short += cursor is not None and len(page.timers) < 20
            if cursor is None:
                break
        assert len(shown) == len(meant), wanted
        assert {timer.id for timer in shown} == meant, wanted
    assert short > 50


async def test_by_label_the_newest_come_first(desk: Desk, zoo: list[Timer]) -> None:
    shown = await _listed(desk, Filter(selector=parse("env=prod")), 10)
    assert [timer.id for timer in shown] == sorted((timer.id for timer in shown), reverse=True)


async def test_by_time_those_that_wait_come_first_and_in_their_order(desk: Desk, zoo: list[Timer]) -> None:
    shown = await _listed(desk, Filter(due_from_us=NOON_US + 50 * SECOND_US), 10)
    waiting = [timer for timer in shown if timer.state is S.scheduled]
    assert shown[: len(waiting)] == waiting
    assert waiting == sorted(waiting, key=lambda timer: (-timer.priority, due_us(timer), timer.id))


async def test_a_timer_in_a_retry_is_due_when_it_is_called_next(desk: Desk) -> None:
    [timer] = await desk.add(new_timer(NOON_US))
    controller = await desk.join()
    [claim] = await desk.take(controller)
    await desk.finish(controller, [retried(claim, NOON_US + 60 * SECOND_US)], {1})
    for states in (None, frozenset({S.scheduled})):
        soon = Filter(states=states, due_until_us=NOON_US + SECOND_US)
        later = Filter(states=states, due_from_us=NOON_US + 60 * SECOND_US)
        assert await _listed(desk, soon, 5) == []
        assert [found.id for found in await _listed(desk, later, 5)] == [timer.id]


@pytest.mark.parametrize("text", ["env=prod", "env in (prod,test),tier!=9", "tier", "!nobody"])
async def test_writes_between_pages_neither_hide_nor_repeat(desk: Desk, text: str) -> None:
    """New timers with the label come, and others are delivered and cancelled."""
    labels = {"env": "prod", "tier": "1"}
    stay = await desk.add(*(new_timer(NOON_US + n, labels=labels) for n in range(30)))
    controller, wanted, number = await desk.join(), Filter(selector=parse(text)), 0
    shown: list[Timer] = []
    cursor = None
    while True:
        page = await list_timers(desk.shards, wanted, limit=4, cursor=cursor)
        shown += page.timers
        cursor = page.next_cursor
        if cursor is None:
            break
        number += 1
        await desk.add(new_timer(NOON_US + 100 * SECOND_US, labels=labels))
        [gone, _] = await desk.add(new_timer(labels=labels), new_timer(labels=labels))
        await cancel(desk.shards, gone.id)
        await desk.deliver(controller, number, limit=2)
    assert len({timer.id for timer in shown}) == len(shown)
    assert {timer.id for timer in stay} <= {timer.id for timer in shown}


@pytest.mark.parametrize(
    "place",
    [
        Place(1),
        Place(0, UNDECIDED, 1),
        Place(0, UNDECIDED, 0, bytes(16)),
        Place(0, 1, 0, bytes(16)),
        Place(0, 0, 1, bytes(16)),
        Place(0, 0, 0, bytes(26)),
        Place(0, BY_STATE, 1),
        Place(0, BY_STATE, 0, bytes(16)),
        Place(0, 253),
    ],
    ids=str,
)
async def test_a_place_that_cannot_be_is_refused(desk: Desk, place: Place) -> None:
    """A client can make up a cursor whose first half is right."""
    wanted = replace(in_state(S.scheduled), selector=parse("env=prod"))
    with pytest.raises(ValueError, match="not a cursor"):
        await list_timers(desk.shards, wanted, limit=1, cursor=cursors.write(place, wanted))

"""Many timers at once: each is done or refused for itself, and nothing is left half done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from tests.db.desk import NOON_US, SECOND_US, Desk, entries_of, finished, in_state, new_timer, new_timers, retried
from timer_db.domain.cursor import Place
from timer_db.domain.destination import key_of
from timer_db.domain.errors import NotCancellable, NotReplayable, TimerNotFound, TooFarAhead
from timer_db.domain.filter import Filter
from timer_db.domain.ids import new_id
from timer_db.domain.owner import Owner
from timer_db.domain.selector import parse
from timer_db.domain.states import Outcome, TimerState
from timer_db.domain.timer import Timer
from timer_db.operations import bulk, finding
from timer_db.operations.bulk import Done, Verb, for_filter, for_ids
from timer_db.operations.cancel import cancel_some
from timer_db.operations.move import Move, mover
from timer_db.operations.replay import replay_some
from timer_db.statements import counts

S = TimerState
SLOW, DEAD = key_of("https://slow.test:443"), key_of("https://dead.test:443")
ALIVE = Filter(states=frozenset({S.scheduled, S.firing}))


@pytest.fixture(autouse=True)
def small_transactions(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that some timers take several."""
    monkeypatch.setattr(bulk, "LIST_MAX", 7)


async def _zoo(desk: Desk) -> dict[TimerState, list[Timer]]:
    """Timers in each state; of the scheduled ones, some are deferred."""
    controller = await desk.join()
    timers = await desk.add(*(new_timer(NOON_US + n, priority=n % 3, owner=Owner(1 + n % 2)) for n in range(60)))
    claims = await desk.take(controller, 1, limit=40)
    ends = [(S.delivered, Outcome.delivered), (S.failed, Outcome.rejected), (S.unknown, Outcome.unknown)]
    await desk.finish(
        controller, [finished(c, *ends[n % 3], owner=c.timer.owner) for n, c in enumerate(claims[:30])]
    )
    back = [claim.entry for claim in claims[30:36]]
    await desk.give_back(controller, 1, back[:4], destination=SLOW)
    await desk.give_back(controller, 1, back[4:], destination=DEAD)
    found: dict[TimerState, list[Timer]] = {state: [] for state in S}
    for timer in [await desk.timer(timer.id) for timer in timers]:
        found[timer.state].append(timer)
    assert [len(found[state]) for state in S] == [26, 4, 10, 10, 10, 0]
    return found


async def _all(
    desk: Desk, wanted: Filter, verb: Verb, limit: int = 1000, *, is_moving: bool = False
) -> list[Done]:
    """Call after call, as a client goes on."""
    done: list[Done] = []
    place: Place | None = Place()
    while place is not None:
        done.append(await for_filter(desk.shards, wanted, place, limit, verb, is_moving=is_moving))
        place = done[-1].next
    return done


def _ids(timers: Iterable[Timer]) -> set[bytes]:
    return {timer.id.bytes for timer in timers}


async def _counted(desk: Desk) -> Counter[str]:
    counted: Counter[str] = Counter()
    for _, _, _, state, timers in await desk.rows(counts.sums()):
        counted[state] += int(timers)
    return counted


async def test_cancel_by_ids(desk: Desk) -> None:
    zoo = await _zoo(desk)
    every = [timer for timers in zoo.values() for timer in timers]
    unknown = [new_id(NOON_US), new_id(NOON_US, 9)]
    done = await for_ids(desk.shards, [*(t.id for t in every), *unknown, every[0].id], cancel_some)
    assert set(done.changed) == _ids(zoo[S.scheduled])
    assert len(done.changed) == len(zoo[S.scheduled])
    refused = {refused.timer_id: refused for refused in done.refused}
    assert len(refused) == len(done.refused) == len(every) - len(zoo[S.scheduled]) + 2
    for timer in every:
        if timer.state is not S.scheduled:
            assert refused[timer.id.bytes].state is timer.state
            assert isinstance(refused[timer.id.bytes].error, NotCancellable)
    for timer_id in unknown:
        assert refused[timer_id.bytes].state is None
        assert isinstance(refused[timer_id.bytes].error, TimerNotFound)
    assert (await desk.queued(), await desk.deferred()) == ([], {})
    for timer in zoo[S.scheduled]:
        assert await desk.state(timer.id) is S.cancelled
    assert await _counted(desk) == Counter(made=60, cancelled=26, delivered=10, failed=10, unknown=10)
    again = await for_ids(desk.shards, [timer.id for timer in every], cancel_some)
    assert again.changed == []
    assert await desk.count("endings") == 26 + 20


async def test_timers_of_other_collections_are_not_there(desk: Desk) -> None:
    zoo = await _zoo(desk)
    ids = [timer.id for timer in zoo[S.scheduled]]
    done = await for_ids(desk.shards, ids, cancel_some, visible={1})
    mine = [timer for timer in zoo[S.scheduled] if timer.owner.collection_id == 1]
    assert set(done.changed) == _ids(mine)
    assert {type(refused.error) for refused in done.refused} == {TimerNotFound}
    assert {refused.state for refused in done.refused} == {None}


@pytest.mark.parametrize("limit", [1, 5, 1000])
async def test_cancel_by_filter_in_several_calls(desk: Desk, limit: int) -> None:
    zoo = await _zoo(desk)
    done = await _all(desk, replace(ALIVE, collection_ids=frozenset({2})), cancel_some, limit)
    assert all(len(each.changed) + len(each.refused) <= limit for each in done)
    changed = [timer_id for each in done for timer_id in each.changed]
    assert len(changed) == len(set(changed))
    assert set(changed) == {t.id.bytes for t in zoo[S.scheduled] if t.owner.collection_id == 2}
    refused = [refused for each in done for refused in each.refused]
    assert {r.timer_id for r in refused} == {t.id.bytes for t in zoo[S.firing] if t.owner.collection_id == 2}
    assert {r.state for r in refused} == {S.firing}


async def test_all_to_one_time(desk: Desk) -> None:
    zoo = await _zoo(desk)
    at_us = NOON_US + 100 * SECOND_US
    done = await _all(desk, in_state(S.scheduled), mover(Move(to_us=at_us)), 10, is_moving=True)
    assert sorted(timer_id for each in done for timer_id in each.changed) == sorted(_ids(zoo[S.scheduled]))
    moved = [await desk.timer(timer.id) for timer in zoo[S.scheduled]]
    assert {(timer.due_at_us, timer.next_attempt_at_us) for timer in moved} == {(at_us, at_us)}
    assert await desk.queued() == entries_of(moved)
    assert await desk.deferred() == {}


async def test_each_by_so_much(desk: Desk) -> None:
    zoo = await _zoo(desk)
    ids = [timer.id for timer in zoo[S.scheduled]]
    done = await for_ids(desk.shards, ids, mover(Move(by_us=-7)))
    assert len(done.changed) == len(ids)
    moved = [await desk.timer(timer_id) for timer_id in ids]
    assert [timer.due_at_us for timer in moved] == [timer.due_at_us - 7 for timer in zoo[S.scheduled]]
    assert await desk.queued() == entries_of(moved)


@pytest.mark.parametrize("range_max", [1000, 10], ids=["few wait", "many wait"])
@pytest.mark.parametrize("until", [None, NOON_US + 58], ids=["any time", "until"])
async def test_nothing_is_moved_twice(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, range_max: int, until: int | None
) -> None:
    """Though what was moved stands further behind in the queue, where the next calls look."""
    monkeypatch.setattr(finding, "RANGE_MAX", range_max)
    zoo = await _zoo(desk)
    meant = [timer for timer in zoo[S.scheduled] if until is None or timer.due_at_us < until]
    wanted = replace(ALIVE, due_until_us=until)
    done = await _all(desk, wanted, mover(Move(by_us=3)), 4, is_moving=True)
    assert sorted(timer_id for each in done for timer_id in each.changed) == sorted(_ids(meant))
    refused = {refused.timer_id for each in done for refused in each.refused}
    assert refused == {t.id.bytes for t in zoo[S.firing] if until is None or t.due_at_us < until}
    for timer in zoo[S.scheduled]:
        assert (await desk.timer(timer.id)).due_at_us == timer.due_at_us + (3 if timer in meant else 0)


async def test_a_shift_moves_a_retry_by_as_much_and_nothing_before_now(desk: Desk) -> None:
    now_us = await desk.now_us()
    soon, later = await desk.add(new_timer(now_us + 5 * SECOND_US), new_timer(NOON_US))
    controller = await desk.join()
    [claim, _] = await desk.take(controller)
    await desk.finish(controller, [retried(claim, NOON_US + 60 * SECOND_US)])
    await desk.give_back(controller, 1, entries_of([later]), is_done=True)
    await for_ids(desk.shards, [soon.id, later.id], mover(Move(by_us=-10 * SECOND_US)))
    moved, far = await desk.timer(soon.id), await desk.timer(later.id)
    assert now_us <= moved.due_at_us <= now_us + 5 * SECOND_US
    assert moved.next_attempt_at_us == NOON_US + 50 * SECOND_US
    assert (far.due_at_us, far.next_attempt_at_us) == (NOON_US - 10 * SECOND_US,) * 2


async def test_what_would_be_due_too_late_is_refused(desk: Desk) -> None:
    near, far = await desk.add(new_timer(NOON_US), new_timer(NOON_US + 10))
    done = await for_ids(desk.shards, [near.id, far.id], mover(Move(by_us=100, latest_us=NOON_US + 105)))
    assert done.changed == [near.id.bytes]
    [refused] = done.refused
    assert (refused.timer_id, refused.state) == (far.id.bytes, S.scheduled)
    assert isinstance(refused.error, TooFarAhead)
    assert await desk.timer(far.id) == far


async def test_replay_by_filter(desk: Desk) -> None:
    zoo = await _zoo(desk)
    wanted = Filter(states=frozenset({S.failed, S.unknown}))
    done = await _all(desk, wanted, replay_some, 6)
    assert {timer_id for each in done for timer_id in each.changed} == _ids([*zoo[S.failed], *zoo[S.unknown]])
    assert not any(each.refused for each in done)
    assert await desk.count("endings") == 0
    assert await _counted(desk) == Counter(made=60, delivered=10)
    queued = {entry.timer_id for entry in await desk.queued()}
    assert _ids([*zoo[S.failed], *zoo[S.unknown]]) <= queued


async def test_replay_by_ids_refuses_what_has_not_ended(desk: Desk) -> None:
    zoo = await _zoo(desk)
    every = [timer for timers in zoo.values() for timer in timers]
    done = await for_ids(desk.shards, [timer.id for timer in every], replay_some)
    ended = [timer for timer in every if timer.state in (S.delivered, S.failed, S.unknown)]
    assert set(done.changed) == _ids(ended)
    assert {type(refused.error) for refused in done.refused} == {NotReplayable}
    assert Counter(refused.state for refused in done.refused) == Counter({S.scheduled: 26, S.firing: 4})


async def test_by_label_nothing_else_is_touched(desk: Desk) -> None:
    await desk.add(*new_timers(5), *new_timers(5, labels={"env": "test"}))
    meant = await desk.add(*new_timers(12, labels={"env": "prod"}))
    wanted: dict[str, Any] = {"states": ALIVE.states, "selector": parse("env=prod")}
    done = await _all(desk, Filter(**wanted), cancel_some, 5)
    assert {timer_id for each in done for timer_id in each.changed} == _ids(meant)
    assert len(await desk.queued()) == 10

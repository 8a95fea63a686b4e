"""The claimer's steps on a real queue."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import pytest
import pytest_asyncio

from benchmarks.loading import load, template
from tests.db.desk import SECOND_US, Desk, entries_of, finished, new_timer
from timer_controller.bottleneck import Bottleneck
from timer_controller.claimer import AHEAD_SECONDS, SWEEP_SECONDS, Claimer
from timer_controller.groups import Groups
from timer_controller.hands import Hands
from timer_controller.lease import Lease
from timer_controller.shares import Shares
from timer_controller.shelf import Shelf
from timer_db.clock import DatabaseClock
from timer_db.domain.claim import Claim
from timer_db.domain.collection import CollectionSettings
from timer_db.domain.owner import Owner
from timer_db.domain.queue_entry import PRIORITY_MAX, QueueEntry
from timer_db.domain.route import RouteSettings
from timer_db.operations.claim import all_at_once, release
from timer_db.operations.collections import pause_collection, put_collection
from timer_db.operations.directory import DirectoryKeeper
from timer_db.operations.routes import pause_route, put_route
from timer_db.operations.watch import look
from timer_db.statements import queue

POLL_SECONDS = 0.5


class NothingWaits(Shelf):
    """Passes on what is claimed: `test_shelf` is about what waits."""

    plan = staticmethod(all_at_once)


@dataclass
class Rig:
    """A claimer; what it claimed is in `claimed`. Its time stands still unless a test moves it."""

    desk: Desk
    claimed: list[Claim] = field(default_factory=list)
    held_up: list[tuple[str, Claim]] = field(default_factory=list)
    now: float = 0.0

    async def start(self, hands_max: int) -> None:
        self.hands = Hands(hands_max)
        self.clock = DatabaseClock()
        self.lease = Lease(5.0, lambda: 0.0)
        self.lease.renew(0.0)
        self.controller = await self.desk.join()
        self.shelf = NothingWaits(
            partial(release, self.desk.engine, self.controller),
            clock=self.clock,
            ahead=lambda: 0,
            on_released=self.claimed.extend,
        )
        directory = self.directory = DirectoryKeeper(self.desk.shards)
        groups = Groups(lambda: directory.current, Shares(self.controller))
        directory._listeners.append(groups.look)
        self.claimer = Claimer(
            self.desk.engine,
            self.controller,
            clock=self.clock,
            lease=self.lease,
            hands=self.hands,
            poll_seconds=POLL_SECONDS,
            shelf=self.shelf,
            groups=groups,
            directory=directory,
            defer=self._defer,
            on_claimed=lambda: None,
            monotonic=lambda: self.now,
        )
        await look(self.desk.engine, self.clock)

    def _defer(self, group: Bottleneck, claims: Sequence[Claim]) -> None:
        self.held_up += [(group.name, claim) for claim in claims]

    async def poll(self, *, after_seconds: float = POLL_SECONDS) -> list[QueueEntry]:
        """What the next poll claims, in its batches' order."""
        self.now += after_seconds
        await look(self.desk.engine, self.clock)
        before = len(self.claimed)
        while await self.claimer.run_once() == 0:
            pass
        return [claim.entry for claim in self.claimed[before:]]

    async def add(self, count: int, in_seconds: float = 0, priority: int = 0) -> list[QueueEntry]:
        at_us = await self.desk.now_us() + round(in_seconds * SECOND_US)
        timers = [new_timer(at_us + n, created_at_us=0, priority=priority) for n in range(count)]
        await self.desk.add(*timers)
        return entries_of(timers)

    async def put_back(self, entries: Iterable[QueueEntry]) -> None:
        """As a rescue does, for timers in these hands."""
        entries = list(entries)
        await self.desk.write(queue.put(entries))
        for number in self.hands.batches():
            self.hands.let_go(number, entries)

    async def finish_all(self) -> None:
        """Every outcome is written."""
        batches = {claim.batch for claim in self.claimed}
        await self.desk.finish(self.controller, [finished(claim) for claim in self.claimed], batches)
        for claim in self.claimed:
            self.hands.let_go(claim.batch, [claim.entry])
        self.claimed.clear()


@pytest_asyncio.fixture
async def rig(desk: Desk) -> AsyncIterator[Rig]:
    """Not started yet."""
    yield Rig(desk)


async def test_what_falls_due_before_the_next_poll_is_claimed(rig: Rig) -> None:
    await rig.start(100)
    await rig.add(3, in_seconds=POLL_SECONDS + AHEAD_SECONDS / 2)
    await rig.add(4, in_seconds=60)
    delay = await rig.claimer.run_once()
    assert len(rig.claimed) == rig.hands.held == 3
    assert 0 < delay <= POLL_SECONDS


async def test_a_full_batch_polls_again_at_once(rig: Rig) -> None:
    await rig.start(8)
    await rig.add(10)
    assert await rig.claimer.run_once() == 0
    assert rig.hands.held == 8
    await rig.finish_all()
    assert await rig.claimer.run_once() > 0
    assert rig.hands.held == 2


async def test_full_hands_wait_to_be_woken(rig: Rig) -> None:
    """However few they are: a step that claims nothing must not be followed by another at once."""
    for hands_max in (1, 2, 3, 4, 100):
        await rig.start(hands_max)
        await rig.add(hands_max + 1)
        await rig.claimer.run_once()
        assert rig.hands.free == 0
        assert await rig.claimer.run_once() > 0, hands_max
        assert await rig.claimer.run_once() > 0, hands_max
        await rig.finish_all()
        await rig.desk.write("DELETE FROM due_queue WHERE is_head = 0")


async def test_without_a_lease_nothing_is_claimed(rig: Rig) -> None:
    await rig.start(10)
    await rig.add(1)
    rig.lease.renew(-100.0)
    assert await rig.claimer.run_once() == POLL_SECONDS
    assert len(await rig.desk.queued()) == 1


async def test_a_new_timer_is_found_though_the_poll_before_looked_beyond_it(rig: Rig) -> None:
    await rig.start(100)
    far = await rig.add(2, in_seconds=POLL_SECONDS + AHEAD_SECONDS / 2)
    assert await rig.poll() == far
    near = await rig.add(2)
    assert await rig.poll() == near


@pytest.mark.parametrize("priority", [0, 9])
async def test_what_is_put_back_is_found_by_the_next_sweep(rig: Rig, priority: int) -> None:
    await rig.start(100)
    old = await rig.add(3, in_seconds=-3600, priority=priority)
    assert await rig.poll() == old
    await rig.put_back(old)
    new = await rig.add(1)
    assert await rig.poll() == new
    assert await rig.poll(after_seconds=SWEEP_SECONDS) == old


async def test_what_this_controller_put_back_is_found_at_once(rig: Rig) -> None:
    await rig.start(100)
    old = await rig.add(3, in_seconds=-3600)
    assert await rig.poll() == old
    await rig.put_back(old)
    rig.claimer.expect_stragglers()
    assert await rig.poll(after_seconds=0) == old
    assert await rig.poll(after_seconds=0) == []


async def test_a_backlog_is_told(rig: Rig) -> None:
    await rig.start(100)
    for in_seconds, is_behind in ((0.5, False), (-1.5, True), (-0.5, False), (-3600, True)):
        await rig.add(1, in_seconds=in_seconds)
        assert len(await rig.poll(after_seconds=SWEEP_SECONDS)) == 1
        assert rig.claimer.is_behind is is_behind
    assert await rig.poll() == []
    assert not rig.claimer.is_behind


async def test_a_sweep_takes_a_twentieth_of_the_time(rig: Rig) -> None:
    """However much there is to wade through: here the claim is what takes long."""
    await rig.start(100)
    old = await rig.add(3, in_seconds=-3600)

    def take_a_second(claims: list[Claim]) -> None:
        rig.claimed.extend(claims)
        rig.now += 1.0

    rig.shelf._on_released = take_a_second
    assert await rig.poll() == old
    await rig.put_back(old)
    rig.claimer.expect_stragglers()
    assert await rig.poll(after_seconds=19) == []
    assert await rig.poll(after_seconds=1) == old


async def test_each_priority_gets_a_head_and_heads_are_never_claimed(rig: Rig) -> None:
    await rig.start(100)
    entries = [entry for priority in (0, 3, 9) for entry in await rig.add(1, priority=priority)]
    await rig.add(1, in_seconds=60, priority=70)
    assert await rig.poll() == sorted(entries)
    heads = await rig.desk.rows("SELECT priority_rank FROM due_queue WHERE is_head = 1")
    assert sorted(PRIORITY_MAX - rank for (rank,) in heads) == [0, 3, 9, 70]
    assert await rig.poll(after_seconds=SWEEP_SECONDS) == []


async def test_thousands_of_priorities_come_in_order(rig: Rig) -> None:
    await rig.start(10_000)
    now_us = await rig.desk.now_us()
    timers = [new_timer(now_us - n, created_at_us=0, priority=n * 7 % 3000) for n in range(3000)]
    for start in range(0, len(timers), 500):
        await rig.desk.add(*timers[start : start + 500])
    assert await rig.poll() == entries_of(timers)
    again = [new_timer(now_us, created_at_us=0, priority=n) for n in (5, 2999, 4000)]
    await rig.desk.add(*again)
    assert await rig.poll() == entries_of(again)


BACKLOG = 100_000
PRIORITIES = (0, 1, 50, 1000, PRIORITY_MAX)


async def test_a_backlog_comes_highest_first_then_oldest(rig: Rig) -> None:
    """Batch after batch and poll after poll; what comes meanwhile with a higher priority comes next."""
    await rig.start(1800)
    url = rig.desk.engine.url.render_as_string(hide_password=False)
    due_us = await rig.desk.now_us() - 60 * SECOND_US
    for priority in PRIORITIES:
        # Their ids are in another order than their times.
        timer = replace(template("https://example.com"), priority=priority)
        await asyncio.to_thread(load, url, timer, BACKLOG // len(PRIORITIES), due_us, step_us=-1)
    wanted = sorted(await rig.desk.queued())
    claimed: list[QueueEntry] = []
    urgent: list[QueueEntry] = []
    polls = 0
    while await rig.desk.count("due_queue WHERE is_head = 0"):
        polls += 1
        if polls == 40:
            urgent = await rig.add(5, priority=PRIORITY_MAX - 1)
        batch = await rig.poll()
        if urgent and polls == 40:
            assert batch[: len(urgent)] == urgent
            del batch[: len(urgent)]
        claimed += batch
        rig.claimed.clear()
        for number in rig.hands.batches():
            rig.hands.let_go(number, list(rig.hands.open_in(number)))
    assert polls > 40
    assert claimed == wanted


async def test_nothing_is_missed_and_nothing_taken_twice(desk: Desk) -> None:
    """Three claimers at once, while timers are made and put back at all times: late, in the past, and again."""
    dice = random.Random(3)
    rigs = [Rig(desk) for _ in range(3)]
    for rig in rigs:
        await rig.start(10_000)
    put: Counter[QueueEntry] = Counter()
    taken: Counter[QueueEntry] = Counter()

    async def create() -> None:
        for _ in range(60):
            made = await dice.choice(rigs).add(
                dice.randrange(1, 30), in_seconds=dice.choice([0.3, 0, 0, -1.5, -30]), priority=dice.randrange(4)
            )
            put.update(made)

    async def claim(rig: Rig, creating: asyncio.Task[None]) -> None:
        while not (creating.done() and taken == put):
            entries = await rig.poll(after_seconds=dice.choice([0.01, POLL_SECONDS]))
            taken.update(entries)
            rig.claimed.clear()
            if entries and dice.random() < 0.5:
                back = dice.sample(entries, min(len(entries), 5))
                put.update(back)
                await rig.put_back(back)
                if dice.random() < 0.5:
                    rig.claimer.expect_stragglers()

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        creating = group.create_task(create())
        for rig in rigs:
            group.create_task(claim(rig, creating))
    assert put.total() > 800
    assert await desk.queued() == []


async def test_what_is_held_up_is_claimed_as_unsent_and_given_back_at_once(desk: Desk) -> None:
    """Of a paused collection, and of a stopped route; the others go on in their order."""
    collection, _ = await put_collection(desk.shards, "c", CollectionSettings())
    route, _ = await put_route(desk.shards, "r", RouteSettings("https://example.com/r"))
    await pause_collection(desk.shards, "c", True, "")
    await pause_route(desk.shards, "r", True, "")
    rig = Rig(desk)
    await rig.start(1000)
    await rig.directory.refresh()
    owners = [Owner(1), Owner(collection.id), Owner(1, route.id)]
    at_us = await desk.now_us() - SECOND_US
    timers = [
        new_timer(at_us + n, owner=owners[n % 3], url="https://example.com/" if n % 3 < 2 else None)
        for n in range(30)
    ]
    await desk.add(*timers)
    free = [t for n, t in enumerate(timers) if n % 3 == 0]
    assert await rig.poll() == entries_of(free)
    names = Counter(name for name, _ in rig.held_up)
    assert names == {"collection c": 10, "route r": 10}
    assert rig.hands.held == 30, "until it is written that they went back"
    [(_, entries)] = (await desk.in_hand()).items()
    assert sorted(entries) == entries_of(timers)
    assert await desk.unsent(rig.controller) == {1: 20}
    assert set(entries[10:]) == {claim.entry for _, claim in rig.held_up}


async def test_a_collection_that_is_new_to_the_controller_is_not_held_up(desk: Desk) -> None:
    rig = Rig(desk)
    await rig.start(1000)
    collection, _ = await put_collection(desk.shards, "c", CollectionSettings())
    [timer] = await desk.add(new_timer(await desk.now_us() - SECOND_US, owner=Owner(collection.id)))
    assert await rig.poll() == entries_of([timer])
    assert rig.held_up == []

"""Deferred timers are taken back: as many as receivers have room for, and at most a quarter of the hands."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
import pytest_asyncio

from tests.db.desk import NOON_US, Desk, entries_of, finished, new_timer
from tests.db.proxy import Proxy, When
from tests.unit.receivers import Receivers
from timer_controller.breaker import BreakerRules
from timer_controller.deferrer import Deferrer
from timer_controller.delivery import Delivery
from timer_controller.destinations import Destination, Destinations
from timer_controller.groups import Groups
from timer_controller.hands import Hands
from timer_controller.lease import Lease
from timer_controller.reclaimer import Reclaimer
from timer_controller.shares import Shares
from timer_db.clock import DatabaseClock
from timer_db.domain.claim import Claim
from timer_db.domain.errors import DatabaseUnavailable
from timer_db.domain.queue_entry import QueueEntry
from timer_db.engine import Pool, open_shards
from timer_db.operations.claim import load_whole
from timer_db.operations.directory import DirectoryKeeper

POLL_SECONDS = 60.0
LIMIT = 8
HANDS = 80
QUARTER = HANDS // 4


@dataclass
class Rig:
    """A reclaimer among real parts; nothing is called. Its clock stands still until a test moves it."""

    desk: Desk
    worked_on: Desk
    now: float = 1000.0
    taken: list[Claim] = field(default_factory=list)

    async def start(self) -> None:
        self.hands = Hands(HANDS)
        self.lease = Lease(5.0, lambda: 0.0)
        self.lease.renew(0.0)
        self.destinations = Destinations(BreakerRules(1, 1.0, 100.0), draw=lambda: 0.5)
        self.controller = await self.desk.join()
        engine = self.worked_on.engine
        self.directory = DirectoryKeeper(self.desk.shards)
        self.groups = Groups(lambda: self.directory.current, Shares(self.controller))
        delivery = Delivery(
            Receivers(),
            clock=DatabaseClock(),
            lease=self.lease,
            calls_max=1_000_000,
            on_finished=lambda finished: None,
            on_refused=lambda claim: None,
            on_left=lambda claim, destination, result, began_at: None,
            load_whole=lambda claim: load_whole(engine, claim),
            groups=self.groups,
        )
        self.deferrer = Deferrer(
            self.destinations,
            self.groups,
            delivery,
            hands=self.hands,
            lease=self.lease,
            destination_calls_max=LIMIT,
            give_back=lambda returned: None,
            on_room=lambda key: None,
            monotonic=lambda: self.now,
        )
        self.reclaimer = Reclaimer(
            engine,
            self.controller,
            lease=self.lease,
            hands=self.hands,
            deferrer=self.deferrer,
            directory=self.directory,
            poll_seconds=POLL_SECONDS,
            on_claimed=self._hold,
        )
        self._number = 0

    def _hold(self, claims: list[Claim]) -> None:
        for claim in claims:
            self.at(claim.timer.url).calls += 1
        self.taken += claims

    def at(self, url: str = "https://a.test/") -> Destination:
        return self.destinations.of(url)

    async def defer(self, count: int, url: str = "https://a.test/", *, priority: int = 0) -> list[QueueEntry]:
        """So many timers of this receiver wait in the database."""
        timers = [new_timer(NOON_US + n, url=url, priority=priority) for n in range(count)]
        await self.desk.add(*timers)
        self._number += 1
        key = self.at(url).key
        return await self.desk.defer_all(self.controller, self._number, key)

    async def deliver(self, count: int | None = None) -> None:
        """The calls of those that were taken have ended, and are written down."""
        done, self.taken = self.taken[:count], self.taken[count:] if count else []
        for claim in done:
            self.at(claim.timer.url).calls -= 1
        await self.desk.finish(self.controller, [finished(claim) for claim in done], self.hands.done_with(done))
        for claim in done:
            self.hands.let_go(claim.batch, [claim.entry])

    async def run(self) -> float:
        """Steps, until one says that there is nothing to do now."""
        while (delay := await self.reclaimer.run_once()) == 0:
            pass
        return delay


@pytest_asyncio.fixture
async def rig(desk: Desk) -> Rig:
    made = Rig(desk, desk)
    await made.start()
    return made


def _entries(claims: list[Claim]) -> list[QueueEntry]:
    return [claim.entry for claim in claims]


async def test_as_many_as_there_is_room_for(rig: Rig) -> None:
    """Whoever deferred them: this one hears of the receiver for the first time."""
    places = await rig.defer(50)
    assert 0 < await rig.run() <= POLL_SECONDS
    assert _entries(rig.taken) == places[:LIMIT]
    await rig.run()
    assert len(rig.taken) == LIMIT
    assert rig.hands.held == LIMIT


async def test_highest_priority_and_oldest_first(rig: Rig) -> None:
    """Also of those that come while others are taken."""
    low = await rig.defer(12)
    high = await rig.defer(6, priority=9)
    await rig.run()
    assert _entries(rig.taken) == [*high, *low[:2]]
    await rig.deliver()
    higher = await rig.defer(2, priority=99)
    for _ in range(2):
        rig.reclaimer.want(rig.at().key)
        await rig.run()
        taken = _entries(rig.taken)
        await rig.deliver()
        if higher[0] in taken:
            break
    assert set(higher) <= set(taken)


async def test_it_goes_on_when_there_is_room_again_and_notes_the_end(rig: Rig) -> None:
    places = await rig.defer(20)
    rig.at().is_backed_up = True
    rig.deferrer.watch(rig.at())
    await rig.run()
    await rig.deliver(5)
    rig.reclaimer.want(rig.at().key)
    await rig.run()
    assert _entries(rig.taken) == places[5 : LIMIT + 5]
    assert rig.at().is_backed_up
    await rig.deliver()
    rig.reclaimer.want(rig.at().key)
    await rig.run()
    assert _entries(rig.taken) == places[LIMIT + 5 :]
    assert not rig.at().is_backed_up
    assert await rig.desk.deferred() == {}


async def test_a_quarter_of_the_hands_for_all_receivers_together(rig: Rig) -> None:
    """Even when claims from the queue have taken all hands."""
    rig.hands.take(77, entries_of(new_timer() for _ in range(HANDS)))
    for n in range(5):
        await rig.defer(LIMIT, f"https://r{n}.test/")
    assert await rig.run() > 0
    assert len(rig.taken) == QUARTER
    assert rig.reclaimer.is_hungry
    await rig.deliver(10)
    await rig.run()
    assert len(rig.taken) == QUARTER
    await rig.deliver()
    await rig.run()
    await rig.deliver()
    assert await rig.desk.deferred() == {}
    assert not rig.reclaimer.is_hungry


async def test_no_receiver_is_always_the_last(rig: Rig) -> None:
    """When the hands are too few for all of them, each gets its turn."""
    urls = [f"https://r{n}.test/" for n in range(6)]
    for url in urls:
        await rig.defer(200, url)
    served: set[str] = set()
    for _ in range(60):
        for url in urls:
            rig.reclaimer.want(rig.at(url).key)
        await rig.run()
        served |= {claim.timer.url for claim in rig.taken}
        await rig.deliver()
        if len(served) == len(urls):
            break
    assert served == set(urls)


async def test_nothing_without_a_lease(rig: Rig) -> None:
    await rig.defer(3)
    rig.lease.renew(-100.0)
    assert await rig.run() == POLL_SECONDS
    assert rig.taken == []


async def test_an_open_breaker_gets_one_for_its_probe_and_everything_is_taken_when_patience_ends(rig: Rig) -> None:
    places = await rig.defer(30)
    rig.at().breaker.note_failure(0.0, rig.now, "refused")
    await rig.run()
    assert rig.taken == []

    rig.now += 1.0
    rig.reclaimer.want(rig.at().key)
    rig.at().breaker.may_probe(rig.now)
    await rig.reclaimer.run_once()
    assert _entries(rig.taken) == places[:1]
    rig.at().breaker.begin_probe()
    await rig.run()
    assert _entries(rig.taken) == places[:1]
    await rig.deliver()

    rig.now += 100.0
    rig.reclaimer.want(rig.at().key)
    await rig.run()
    assert _entries(rig.taken) == places[1 : QUARTER + 1]


@pytest.mark.parametrize("when", [When.before, When.after], ids=lambda when: when.name)
@pytest.mark.parametrize("at", [b"INSERT INTO claim_batches", b"GROUP_CONCAT"], ids=["claim", "load"])
async def test_a_claim_whose_answer_was_lost_is_adopted(
    desk: Desk, database_url: str, when: When, at: bytes
) -> None:
    async with Proxy(database_url) as proxy:
        far = open_shards([proxy.url], Pool(size=2))
        rig = Rig(desk, Desk(far))
        await rig.start()
        places = await rig.defer(LIMIT)
        proxy.cut(when, behind=at)
        with pytest.raises(DatabaseUnavailable):
            await rig.reclaimer.run_once()
        # Until the server has noticed the loss: this waits for the locks of the first try.
        await desk.rows("SELECT * FROM deferred_queue FOR UPDATE")
        rig.reclaimer.want(rig.at().key)
        await rig.run()
        assert _entries(rig.taken) == places
        assert rig.hands.held == LIMIT
        assert sorted(e for batch in (await desk.in_hand()).values() for e in batch) == places
        await rig.deliver()
        assert await desk.in_hand() == {}
        await far.close()


async def test_a_timer_that_is_gone_is_no_burden(rig: Rig) -> None:
    places = await rig.defer(3)
    await rig.desk.write(f"DELETE FROM timers WHERE id = x'{places[1].timer_id.hex()}'")
    await rig.run()
    assert _entries(rig.taken) == [places[0], places[2]]
    assert rig.hands.held == 2
    await rig.deliver()
    assert await rig.desk.in_hand() == {}

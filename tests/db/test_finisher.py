"""The finisher writes what became of claims, and keeps what it could not write."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from tests.db.desk import Desk, finished, new_timers
from tests.db.proxy import Proxy, When
from timer_controller.finisher import Finisher
from timer_controller.hands import Hands
from timer_db.domain.claim import Claim, Returned
from timer_db.domain.destination import key_of
from timer_db.domain.errors import DatabaseUnavailable, Fenced
from timer_db.engine import Pool, open_shards
from timer_db.operations.claim import BATCH_MAX, load

SLOW = key_of("https://slow.test:443")


@dataclass
class Rig:
    """A finisher, and claims for it."""

    desk: Desk
    worked_on: Desk
    told: list[Returned] = field(default_factory=list)
    """What it said went back."""

    async def start(self, count: int, batches: int = 1) -> list[Claim]:
        await self.desk.add(*new_timers(count))
        self.controller = await self.desk.join()
        self.hands = Hands(10 * count)
        self.finisher = Finisher(self.worked_on.engine, self.controller, self.hands, self._note)
        claims: list[Claim] = []
        for number in range(1, batches + 1):
            entries = await self.desk.claim(self.controller, number, limit=count // batches)
            self.hands.take(number, entries)
            claims += await load(self.desk.engine, number, entries)
        return claims

    def _note(self, returned: Sequence[Returned]) -> None:
        self.told += returned


def _returned(claim: Claim, destination: bytes | None = SLOW) -> Returned:
    return Returned(claim.batch, claim.entry, destination)


async def test_outcomes_and_what_goes_back_are_written_together(desk: Desk) -> None:
    """In a batch that ends so, and in one that goes on."""
    rig = Rig(desk, desk)
    claims = await rig.start(10, batches=2)
    for claim in claims[:3]:
        rig.finisher.put(finished(claim))
    back = [_returned(claim) for claim in claims[3:7]]
    for returned in back:
        rig.finisher.give_back(returned)

    assert await rig.finisher.run_once() == 0
    await rig.finisher.all_written()

    assert await desk.count("attempts") == 3
    assert await desk.deferred() == {SLOW: [claim.entry for claim in claims[3:7]]}
    assert await desk.in_hand() == {(rig.controller, 2): [claim.entry for claim in claims[7:]]}
    assert rig.hands.held == 3
    assert rig.told == back


async def test_more_than_fits_into_one_transaction_goes_in_several(desk: Desk) -> None:
    rig = Rig(desk, desk)
    claims = await rig.start(2 * BATCH_MAX, batches=2)
    extra = claims[BATCH_MAX - 5 : BATCH_MAX + 5]
    for claim in extra:
        rig.finisher.put(finished(claim))
    for claim in claims:
        if claim not in extra:
            rig.finisher.give_back(_returned(claim, None))
    while rig.hands.held:
        await rig.finisher.run_once()
    await rig.finisher.all_written()
    assert await desk.count("attempts") == 10
    assert len(await desk.queued()) == 2 * BATCH_MAX - 10
    assert await desk.in_hand() == {}


@pytest.mark.parametrize("when", [When.before, When.after], ids=lambda when: when.name)
async def test_what_was_not_written_for_sure_is_written_again(desk: Desk, database_url: str, when: When) -> None:
    """Once, and with it what has come in the meantime by the next step."""
    async with Proxy(database_url) as proxy:
        far = open_shards([proxy.url], Pool(size=2))
        rig = Rig(desk, Desk(far))
        claims = await rig.start(6)
        for claim in claims[:2]:
            rig.finisher.put(finished(claim))
        rig.finisher.give_back(_returned(claims[2]))
        proxy.cut(when, behind=b"INSERT INTO attempts")
        with pytest.raises(DatabaseUnavailable):
            await rig.finisher.run_once()
        assert rig.hands.held == 6
        rig.finisher.give_back(_returned(claims[3], None))
        for claim in claims[4:]:
            rig.finisher.put(finished(claim))
        while rig.hands.held:
            await rig.finisher.run_once()
        assert await desk.count("attempts") == 4
        assert await desk.deferred() == {SLOW: [claims[2].entry]}
        assert await desk.queued() == [claims[3].entry]
        assert await desk.in_hand() == {}
        await far.close()


async def test_a_batch_that_others_took_over_ends_the_membership(desk: Desk) -> None:
    rig = Rig(desk, desk)
    claims = await rig.start(2)
    await desk.write("DELETE FROM claim_batches")
    rig.finisher.give_back(_returned(claims[0]))
    with pytest.raises(Fenced):
        await rig.finisher.run_once()
    assert await desk.deferred() == {}

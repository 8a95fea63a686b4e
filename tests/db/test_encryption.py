"""Sealed timers in the tables: counted by their keys, claimed as they are, beside those of an earlier version."""

from __future__ import annotations

import pytest

from tests.db.desk import Desk, new_timer
from timer_db.encryption import Keyring
from timer_db.operations import encryption
from timer_db.operations.encryption import count_by_key
from timer_db.operations.rows import row_of
from timer_db.operations.schedule import schedule
from timer_db.shards import Shards
from timer_db.statements import timers as statements

K1, K2 = Keyring({"k1": b"1" * 32}), Keyring({"k2": b"2" * 32})


async def _add(desk: Desk, keyring: Keyring, count: int) -> None:
    await schedule(Shards([desk.engine], keyring), [new_timer(meta=number) for number in range(count)])


@pytest.mark.parametrize("page", [1, 2, 3, 10_000])
async def test_timers_are_counted_by_key_whatever_the_page(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    monkeypatch.setattr(encryption, "PAGE", page)
    assert not await count_by_key(desk.engine)
    for keyring, count in [(K1, 3), (K2, 2), (Keyring(), 1)]:
        await _add(desk, keyring, count)
    await desk.add(new_timer(), new_timer())
    assert await count_by_key(desk.engine) == {"k1": 3, "k2": 2, "": 1, None: 2}


async def test_a_claim_of_sealed_timers_is_as_they_are_stored(desk: Desk) -> None:
    """Opened right before the call, by who has the keys; small ones, and one that is read by itself."""
    await _add(desk, K1, 1)
    await schedule(Shards([desk.engine], K2), [new_timer(body=b"x" * statements.LARGE_BYTES, headers={"A": "b"})])
    controller = await desk.join()
    small, large = sorted(await desk.take(controller), key=lambda claim: claim.is_large)
    assert (small.timer.sealed_with, small.timer.meta_json, small.timer.headers_json) == ("k1", "", "")
    assert small.timer.body is not None
    assert K1.open(small.timer.id.bytes, "k1", small.timer.body).meta == "0"
    assert (large.timer.sealed_with, large.timer.body, large.is_large) == ("k2", None, True)


async def test_an_earlier_version_goes_on_with_plain_timers(desk: Desk) -> None:
    """During an upgrade it inserts rows without the new column."""
    timer = new_timer(meta="plain")
    later = "sealed_with, collection_id, route_id, schedule_id, on_failure_url, traceparent)"
    before = (
        statements.insert([row_of(timer)]).replace(f", {later}", ")").removesuffix(",NULL,1,NULL,NULL,NULL,NULL)")
        + ")"
    )
    assert "sealed_with" not in before
    await desk.write(before)
    assert (await desk.timer(timer.id)).meta == "plain"
    assert await count_by_key(desk.engine) == {"": 1}

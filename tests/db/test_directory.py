"""What processes know of collections and routes: read when it has changed, and all of it."""

from __future__ import annotations

import pytest

from tests.db.desk import LATER_US, NOON_US, Desk, finished, new_timer
from timer_db.domain.address_ranges import parse_range
from timer_db.domain.backoff import RetryPolicy
from timer_db.domain.collection import CollectionSettings, Defaults
from timer_db.domain.errors import CollectionInUse, RouteInUse, RouteUnreadable
from timer_db.domain.owner import Owner
from timer_db.domain.route import RouteSettings
from timer_db.domain.states import OnUnknown
from timer_db.encryption import Keyring
from timer_db.operations.collections import delete_collection, get_collection, pause_collection, put_collection
from timer_db.operations.counts import count_states
from timer_db.operations.directory import DirectoryKeeper
from timer_db.operations.encryption import count_by_key, count_route_keys
from timer_db.operations.routes import delete_route, drop_secrets, get_route, put_route, rotate_secret
from timer_db.shards import Shards

SETTINGS = CollectionSettings(
    Defaults(RetryPolicy(2, 1.0, 2.0, 9.0, 0.5), 2.5, 7, OnUnknown.hold),
    30,
    1000,
    (parse_range("10.0.0.0/8"), parse_range("2001:db8::/32")),
)
ROUTE = RouteSettings(
    url="https://example.com/route",
    append_id=False,
    method="PUT",
    headers={"Authorization": "Bearer s3cret"},
    timeout_seconds=2.5,
    retry=RetryPolicy(2, 1.0, 2.0, 9.0, 0.5),
    calls_max=3,
    rate_per_second=0.5,
    burst=4,
    disable_after_seconds=60,
)
URL = "https://example.com/hook"
DAY_US = 86_400_000_000


async def _known(desk: Desk) -> DirectoryKeeper:
    keeper = DirectoryKeeper(desk.shards)
    await keeper.refresh()
    return keeper


async def test_settings_come_back_as_they_were(desk: Desk) -> None:
    collection, _ = await put_collection(desk.shards, "c", SETTINGS)
    route, _ = await put_route(desk.shards, "r", ROUTE)
    keeper = await _known(desk)
    assert keeper.current.collection_named("c") == collection == await get_collection(desk.shards, "c")
    assert collection.settings == SETTINGS
    assert keeper.current.route_named("r") == route == await get_route(desk.shards, "r")
    assert route.settings == ROUTE
    assert keeper.current.limited == {collection.id}


async def test_only_what_has_changed_is_read_again(desk: Desk) -> None:
    for name in "abc":
        await put_collection(desk.shards, name, CollectionSettings())
    await desk.write("UPDATE collections SET changed_at_us = changed_at_us - 3600000000 WHERE name <> 'b'")
    keeper = await _known(desk)
    before = keeper.current
    await keeper.refresh()
    assert keeper.current is before
    await pause_collection(desk.shards, "b", True, "")
    await keeper.refresh()
    paused = keeper.current.collection_named("b")
    assert paused
    assert paused.is_paused
    for name in "ac":
        assert keeper.current.collection_named(name) is before.collection_named(name)


async def test_a_change_that_is_committed_behind_a_later_one_is_seen(desk: Desk) -> None:
    """Its time is that of its statement, so the latest change stays the same."""
    await put_collection(desk.shards, "early", CollectionSettings())
    late, _ = await put_collection(desk.shards, "late", CollectionSettings())
    keeper = await _known(desk)
    earlier_us = (await desk.now_us()) - 5_000_000
    await desk.write(f"UPDATE collections SET changed_at_us = {earlier_us} WHERE id <> {late.id}")
    await keeper.refresh()
    await desk.write(
        f"UPDATE collections SET is_paused = 1, changed_at_us = {earlier_us + 1} WHERE name = 'early'"
    )
    await keeper.refresh()
    found = keeper.current.collection_named("early")
    assert found
    assert found.is_paused


async def test_a_database_that_was_put_back_is_read_from_the_start(desk: Desk) -> None:
    await put_collection(desk.shards, "gone", CollectionSettings())
    keeper = await _known(desk)
    assert keeper.current.collection_named("gone")
    await desk.write("DELETE FROM collections WHERE name = 'gone'")
    await keeper.refresh()
    assert keeper.current.collection_named("gone") is None
    assert keeper.current.collection_named("default")


async def test_what_was_deleted_is_known_by_its_number_only(desk: Desk) -> None:
    collection, _ = await put_collection(desk.shards, "c", SETTINGS)
    route, _ = await put_route(desk.shards, "r", ROUTE)
    keeper = await _known(desk)
    await delete_collection(desk.shards, "c")
    await delete_route(desk.shards, "r")
    await keeper.refresh()
    assert keeper.current.collection_named("c") is None
    assert keeper.current.route_named("r") is None
    names = keeper.current.names_of(Owner(collection.id, route.id))
    assert names == (f"c (deleted {collection.id})", f"r (deleted {route.id})", None)
    assert keeper.current.collection_named(names[0]) is None
    assert keeper.current.routes[route.id].settings == ROUTE, "for a timer that was made at the last moment"
    again, created = await put_collection(desk.shards, "c", CollectionSettings())
    assert created
    assert again.id != collection.id


async def test_what_has_timers_stays(desk: Desk) -> None:
    collection, _ = await put_collection(desk.shards, "c", SETTINGS)
    route, _ = await put_route(desk.shards, "r", ROUTE)
    await desk.add(new_timer(url=None, owner=Owner(collection.id, route.id)))
    with pytest.raises(CollectionInUse):
        await delete_collection(desk.shards, "c")
    with pytest.raises(RouteInUse):
        await delete_route(desk.shards, "r")
    controller = await desk.join()
    await desk.take(controller)
    with pytest.raises(RouteInUse):
        await delete_route(desk.shards, "r")


async def test_counts_know_what_is_in_hand(desk: Desk) -> None:
    """A batch holds what is done until all of it is: that does not count twice."""
    owners = [Owner(1), Owner(7, 3), Owner(7, 3), Owner(7)]
    timers = [new_timer(NOON_US + n, url=None if o.route_id else URL, owner=o) for n, o in enumerate(owners)]
    await desk.add(*timers, new_timer(LATER_US - 1, url=None, owner=Owner(7, 3)))
    controller = await desk.join()
    claims = await desk.take(controller, limit=4)
    done = next(claim for claim in claims if claim.timer.owner == Owner(7, 3))
    await desk.finish(controller, [finished(done, owner=done.timer.owner, finished_at_us=await desk.now_us())])
    found = {group: dict(+states) for group, states in (await count_states(desk.shards)).items()}
    assert found == {
        (1, 0, 0): {"firing": 1},
        (7, 0, 0): {"firing": 1},
        (7, 3, 0): {"firing": 1, "delivered": 1, "scheduled": 1},
    }


# Sealed routes


def _keyed(desk: Desk, keyring: Keyring) -> Shards:
    return Shards([desk.engine], keyring)


async def test_headers_and_secrets_are_sealed(desk: Desk) -> None:
    keys = {"k1": b"1" * 32}
    shards = _keyed(desk, Keyring(keys))
    await put_route(shards, "r", ROUTE)
    secret, _ = await rotate_secret(shards, "r", DAY_US)
    [row] = await desk.rows("SELECT * FROM routes")
    assert b"s3cret" not in repr(row).encode()
    assert secret not in row
    found = await get_route(shards, "r")
    assert found.settings == ROUTE
    assert found.keys_at(0) == (secret,)
    # The next key reads what the first one sealed, and seals anew with each change.
    rotated = _keyed(desk, Keyring({"k2": b"2" * 32, **keys}))
    assert await count_route_keys(rotated.home.engine) == {"k1": 1}
    await put_route(rotated, "r", ROUTE)
    assert await count_route_keys(rotated.home.engine) == {"k2": 1}
    assert (await get_route(rotated, "r")).keys_at(0) == (secret,)
    assert await count_by_key(desk.engine) == {}


async def test_without_its_key_a_route_is_known_and_not_overwritten(desk: Desk) -> None:
    await put_route(_keyed(desk, Keyring({"k1": b"1" * 32})), "r", ROUTE)
    other = _keyed(desk, Keyring({"k2": b"2" * 32}))
    keeper = DirectoryKeeper(other)
    await keeper.refresh()
    route = keeper.current.route_named("r")
    assert route
    assert "'k1'" in route.unreadable
    assert (route.settings.url, route.settings.headers, route.secrets) == (ROUTE.url, {}, ())
    with pytest.raises(RouteUnreadable, match="'k1'"):
        await put_route(other, "r", ROUTE)
    with pytest.raises(RouteUnreadable, match="'k1'"):
        await rotate_secret(other, "r", DAY_US)
    await drop_secrets(other, "r")
    await put_route(other, "r", ROUTE)
    assert (await get_route(other, "r")).settings == ROUTE


async def test_what_was_sealed_for_one_route_is_not_opened_for_another(desk: Desk) -> None:
    shards = _keyed(desk, Keyring({"k1": b"1" * 32}))
    for name in "ab":
        await put_route(shards, name, ROUTE)
    await desk.write("UPDATE routes b JOIN routes a ON a.name = 'a' SET b.secrets = a.secrets WHERE b.name = 'b'")
    assert (await get_route(shards, "a")).unreadable == ""
    assert "was changed" in (await get_route(shards, "b")).unreadable


async def test_secrets_of_an_overlap_end_at_their_time(desk: Desk) -> None:
    await put_route(desk.shards, "r", ROUTE)
    first, until_us = await rotate_secret(desk.shards, "r", DAY_US)
    assert until_us is None
    second, until_us = await rotate_secret(desk.shards, "r", DAY_US)
    assert until_us
    third, later_us = await rotate_secret(desk.shards, "r", 2 * DAY_US)
    assert later_us
    route = await get_route(desk.shards, "r")
    assert route.keys_at(until_us - 1) == (third, second, first)
    assert route.keys_at(until_us) == (third, second)
    assert route.keys_at(later_us) == (third,)
    fourth, gone_us = await rotate_secret(desk.shards, "r", 0)
    assert gone_us is None
    assert (await get_route(desk.shards, "r")).keys_at(0) == (fourth,)

"""When keys are checked, and which are known: nobody in the table, keys made and revoked elsewhere, outages."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
import pytest_asyncio

from tests.db.proxy import Proxy
from tests.system import poll
from timer_api.api_keys.gate import USES_SECONDS
from timer_api.app import FrontDoor, create_app
from timer_api.errors import Kind
from timer_api.settings import ApiSettings
from timer_db.domain.api_key import NewApiKey, Scope
from timer_db.engine import open_shards
from timer_db.operations import api_keys
from timer_db.shards import Shards

from .conftest import ready, running
from .keyed import BOOTSTRAP, CREATE, assert_refused, bearing, made, make_key, table

ADMIN = NewApiKey(name="test", scopes=frozenset({Scope.admin}))
READER = NewApiKey(name="test", scopes=frozenset({Scope.timers_read}), rate_per_second=1, burst=2)


@pytest.fixture
def url(keys_url: str) -> str:
    """A database that never saw a key."""
    with table(keys_url) as cursor:
        cursor.execute("DELETE FROM api_keys")
    return keys_url


@pytest_asyncio.fixture
async def elsewhere(url: str) -> AsyncIterator[Shards]:
    """The database, past the application under test."""
    shards = open_shards([url])
    yield shards
    await shards.close()


@asynccontextmanager
async def proxied(proxy: Proxy, settings: str = "") -> AsyncIterator[tuple[FrontDoor, httpx.AsyncClient]]:
    """An application that reaches its database through a proxy, if at all."""
    options = {"db_connect_wait_seconds": 0.02, "db_connect_wait_max_seconds": 0.05}
    app = create_app(ApiSettings(db_url=proxy.url, api_keys=settings, **options))  # type: ignore[arg-type]
    async with running(app) as client:
        yield app, client


async def test_as_long_as_no_key_was_made_everyone_may_do_everything_and_the_log_says_so(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with ready(ApiSettings(db_url=url)) as (app, client):
        assert (await client.post("/timers", json=CREATE)).status_code == 201
        assert (await client.get("/timers", headers=bearing("whatever"))).status_code == 200
        assert (await client.get("/api-keys")).json() == {"api_keys": [], "next_cursor": None}
        await app.service.gate.refresh()
    warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len([text for text in warnings if "no API key is set" in text]) == 1
    assert "TIMER_API_KEYS" in next(text for text in warnings if "no API key" in text)


async def test_keys_of_the_settings_close_it_from_the_start(url: str, caplog: pytest.LogCaptureFixture) -> None:
    other = "another-" + "k" * 32
    async with ready(ApiSettings(db_url=url, api_keys=f"{BOOTSTRAP}, {other}")) as (_, client):
        assert_refused(await client.post("/timers", json=CREATE), Kind.unauthorized)
        for key in (BOOTSTRAP, other):
            assert (await client.post("/timers", json=CREATE, headers=bearing(key))).status_code == 201
        # They are in no table.
        assert (await client.get("/api-keys", headers=bearing(other))).json()["api_keys"] == []
    assert "no API key" not in caplog.text


async def test_the_first_key_must_be_one_that_can_make_others(url: str) -> None:
    async with ready(ApiSettings(db_url=url)) as (_, client):
        refused = await client.post("/api-keys", json={"name": "a", "scopes": ["timers:read", "timers:write"]})
        problem = assert_refused(refused, Kind.invalid_request)
        assert [error["field"] for error in problem["errors"]] == ["scopes"]
        assert (await client.get("/timers")).status_code == 200
        first = await make_key(client, "admin", by=None)
        assert_refused(await client.get("/timers"), Kind.unauthorized)
        assert_refused(await client.post("/timers", json=CREATE), Kind.unauthorized)
        assert_refused(await client.post("/api-keys", json={"name": "a", "scopes": ["admin"]}), Kind.unauthorized)
        assert await make_key(client, "timers:read", by=first)


async def test_what_was_closed_once_is_not_opened_by_the_loss_of_every_key(url: str) -> None:
    async with ready(ApiSettings(db_url=url)) as (app, client):
        key = await made(client, "admin", by=None)
        with table(url) as cursor:
            cursor.execute("DELETE FROM api_keys")
        await app.service.gate.refresh()
        for headers in ({}, bearing(key["key"])):
            assert_refused(await client.get("/timers", headers=headers), Kind.unauthorized)


async def test_where_every_key_was_revoked_nobody_gets_in(url: str) -> None:
    async with ready(ApiSettings(db_url=url)) as (_, client):
        key = await made(client, "admin", by=None)
        assert (await client.delete(f"/api-keys/{key['id']}", headers=bearing(key["key"]))).status_code == 204
    async with ready(ApiSettings(db_url=url)) as (_, client):
        for headers in ({}, bearing(key["key"])):
            assert_refused(await client.get("/timers", headers=headers), Kind.unauthorized)


async def test_a_key_that_was_made_or_revoked_elsewhere_is_known_at_the_next_look(
    url: str, elsewhere: Shards
) -> None:
    async with ready(ApiSettings(db_url=url)) as (app, client):
        shown, key = await api_keys.make_key(elsewhere, READER)
        await app.service.gate.refresh()
        assert (await client.get("/timers", headers=bearing(key))).status_code == 200
        # What it has used up of its rate is not forgotten.
        await api_keys.make_key(elsewhere, ADMIN)
        await app.service.gate.refresh()
        assert (await client.get("/timers", headers=bearing(key))).status_code == 200
        assert_refused(await client.get("/timers", headers=bearing(key)), Kind.too_many_requests)
        await api_keys.revoke_key(elsewhere, shown.id)
        await app.service.gate.refresh()
        assert_refused(await client.get("/timers", headers=bearing(key)), Kind.unauthorized)


async def test_a_scope_of_a_later_version_allows_nothing(url: str, elsewhere: Shards) -> None:
    shown, key = await api_keys.make_key(elsewhere, READER)
    with table(url) as cursor:
        cursor.execute("UPDATE api_keys SET scopes = 'topics:read,timers:write' WHERE id = %s", (shown.id,))
    async with ready(ApiSettings(db_url=url)) as (_, client):
        assert_refused(await client.get("/timers", headers=bearing(key)), Kind.forbidden)
        assert (await client.post("/timers", json=CREATE, headers=bearing(key))).status_code == 201


async def test_the_last_use_is_written_down_and_not_for_each_call(url: str, elsewhere: Shards) -> None:
    used = await api_keys.make_key(elsewhere, ADMIN)
    unused = await api_keys.make_key(elsewhere, ADMIN)

    async def seen() -> dict[str, int | None]:
        page = await api_keys.list_keys(elsewhere, 10)
        return {key.id: key.last_used_at_us for key in page.keys}

    async with ready(ApiSettings(db_url=url)) as (app, client):
        assert (await client.get("/timers", headers=bearing(used[1]))).status_code == 200
        assert await seen() == {used[0].id: None, unused[0].id: None}
        await app.service.gate.note_uses()
        first = (await seen())[used[0].id]
        assert first is not None
        assert first >= used[0].created_at_us
        assert (await seen())[unused[0].id] is None
        # Within a minute nobody writes it again, whichever process it is.
        await client.get("/timers", headers=bearing(used[1]))
        await app.service.gate.note_uses()
        assert (await seen())[used[0].id] == first
        with table(url) as cursor:
            cursor.execute("UPDATE api_keys SET last_used_at_us = last_used_at_us - %s", (USES_SECONDS * 1e6,))
        # Nothing was used since; then something is.
        await app.service.gate.note_uses()
        assert (await seen())[used[0].id] == first - USES_SECONDS * 1e6
        await client.get("/timers", headers=bearing(used[1]))
        await app.service.gate.note_uses()
        assert int((await seen())[used[0].id] or 0) > first


async def test_while_the_database_is_away_the_keys_known_last_stay_valid(
    url: str, elsewhere: Shards, caplog: pytest.LogCaptureFixture
) -> None:
    _, key = await api_keys.make_key(elsewhere, ADMIN)
    async with Proxy(url) as proxy, proxied(proxy) as (app, client):
        await app.service.reached.wait()
        proxy.is_refusing = True
        proxy.cut_all()

        async def look() -> bool:
            return (await client.get("/health/ready")).status_code == 503

        await poll(look, 10, "the outage to be noticed")
        await app.service.gate.after_change()
        # Let in, and then told about the database, or about a fault of its own.
        unavailable = await client.get("/timers", headers=bearing(key))
        assert_refused(unavailable, Kind.database_unavailable)
        invalid = await client.post("/timers", json={**CREATE, "delay": -1}, headers=bearing(key))
        assert_refused(invalid, Kind.invalid_request)
        assert_refused(await client.get("/timers", headers=bearing(key[:-1])), Kind.unauthorized)
        assert_refused(await client.get("/timers"), Kind.unauthorized)
        assert_refused(await client.get("/api-keys", headers=bearing(key)), Kind.database_unavailable)
        await app.service.gate.note_uses()
        proxy.is_refusing = False

        async def look_again() -> bool:
            return (await client.get("/health/ready")).status_code == 200

        await poll(look_again, 10, "the end of the outage to be noticed")
        await app.service.gate.note_uses()
        assert (await api_keys.list_keys(elsewhere, 1)).keys[0].last_used_at_us is not None
    assert caplog.text.count("the API keys cannot be read") == 1


async def test_who_never_reached_the_database_lets_in_only_the_keys_of_its_settings(
    url: str, elsewhere: Shards
) -> None:
    _, key = await api_keys.make_key(elsewhere, ADMIN)
    wrong = {**CREATE, "delay": -1}
    async with Proxy(url) as proxy:
        proxy.is_refusing = True
        async with proxied(proxy) as (app, client), proxied(proxy, BOOTSTRAP) as (other, with_settings):
            for headers in ({}, bearing(key), bearing("x")):
                for method, path in (("POST", "/timers"), ("POST", "/timers/batch"), ("GET", "/timers"),
                                     ("GET", "/nowhere"), ("POST", "/api-keys")):  # fmt: skip
                    answer = await client.request(method, path, headers=headers)
                    assert_refused(answer, Kind.database_unavailable)
                    if headers:
                        answer = await with_settings.request(method, path, headers=headers)
                        assert_refused(answer, Kind.database_unavailable)
            for each in (client, with_settings):
                assert (await each.get("/health/live")).status_code == 200
                assert (await each.get("/health/ready")).status_code == 503
            # Without any key there is nothing to look up: keys are checked here in any case.
            assert_refused(await with_settings.get("/timers"), Kind.unauthorized)
            let_in = await with_settings.post("/timers", json=wrong, headers=bearing(BOOTSTRAP))
            assert_refused(let_in, Kind.invalid_request)
            proxy.is_refusing = False

            async def look() -> bool:
                return (await client.post("/timers", json=wrong, headers=bearing(key))).status_code == 422

            await poll(look, 10, "the keys to be read")
            assert_refused(await client.get("/timers"), Kind.unauthorized)
            # A stop in the middle of a first contact leaves a socket to the garbage collector.
            await asyncio.gather(app.service.reached.wait(), other.service.reached.wait())


async def test_a_process_is_not_ready_before_it_knows_the_keys(url: str, elsewhere: Shards) -> None:
    """Else it would refuse what was sent to it because it said that it is ready."""
    _, key = await api_keys.make_key(elsewhere, ADMIN)
    async with Proxy(url) as proxy:
        app = create_app(ApiSettings(db_url=proxy.url))
        async with app.service.gate._refreshing, running(app) as client:

            async def look() -> bool:
                return app.service.keeper.is_ready

            await poll(look, 10, "the database to be reached")
            answer = await client.get("/health/ready")
            assert_refused(answer, Kind.database_unavailable)
            assert "keys" in answer.json()["detail"]
            app.service.gate._refreshing.release()
            await app.service.reached.wait()
            assert (await client.get("/timers", headers=bearing(key))).status_code == 200
            await app.service.gate._refreshing.acquire()


async def test_of_many_looks_at_once_the_last_word_is_the_newest(url: str, elsewhere: Shards) -> None:
    async with ready(ApiSettings(db_url=url)) as (app, client):
        shown, key = await api_keys.make_key(elsewhere, ADMIN)
        looks = [asyncio.create_task(app.service.gate.refresh()) for _ in range(5)]
        await api_keys.revoke_key(elsewhere, shown.id)
        looks += [asyncio.create_task(app.service.gate.refresh()) for _ in range(5)]
        await asyncio.gather(*looks)
        assert_refused(await client.get("/timers", headers=bearing(key)), Kind.unauthorized)

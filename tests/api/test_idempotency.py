"""`Idempotency-Key`: a create that is sent again makes nothing twice, and is answered as the first time."""

from __future__ import annotations

import asyncio
import base64
import json
import random
import uuid
import zlib
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.db import scratch
from tests.db.proxy import Proxy, When
from timer_api.app import FrontDoor
from timer_api.errors import Kind
from timer_api.settings import ApiSettings
from timer_db.domain.idempotency import PACKED_BYTES_MAX

from .conftest import CountTimers, ready
from .keyed import BOOTSTRAP, bearing

pytestmark = pytest.mark.asyncio(loop_scope="package")

CREATE = {"delay": 3600, "url": "https://example.com/hook", "meta": {"order": 17}}
BATCH = {"timers": [{**CREATE, "meta": number} for number in range(1200)]}
JSON = {"Content-Type": "application/json"}


def new_key() -> dict[str, str]:
    return {"Idempotency-Key": str(uuid.uuid4())}


async def send(client: httpx.AsyncClient, path: str, document: object, headers: dict[str, str]) -> httpx.Response:
    return await client.post(path, content=json.dumps(document), headers={**JSON, **headers})


@pytest.mark.parametrize(("path", "document", "made"), [("/timers", CREATE, 1), ("/timers/batch", BATCH, 1200)])
async def test_the_same_again_gets_the_first_answer(
    client: httpx.AsyncClient, count_timers: CountTimers, path: str, document: object, made: int
) -> None:
    key, before = new_key(), await count_timers()
    first = await send(client, path, document, key)
    assert first.status_code == 201
    assert "idempotency-replayed" not in first.headers
    again = await send(client, path, document, key)
    assert (again.status_code, again.content) == (201, first.content)
    assert again.headers["idempotency-replayed"] == "true"
    assert again.headers.get("location") == first.headers.get("location")
    assert await count_timers() == before + made
    other = await send(client, path, document, new_key())
    assert other.status_code == 201
    assert await count_timers() == before + 2 * made


async def test_the_first_answer_stays_whatever_became_of_the_timer(client: httpx.AsyncClient) -> None:
    key = new_key()
    first = await send(client, "/timers", CREATE, key)
    path = first.headers["location"]
    assert (await client.patch(path, json={"priority": 9, "delay": 7200})).status_code == 200
    assert (await client.delete(path)).status_code == 200
    assert (await send(client, "/timers", CREATE, key)).content == first.content
    assert (await client.get(path)).json()["status"] == "cancelled"


@pytest.mark.parametrize(("path", "document"), [("/timers", CREATE), ("/timers/batch", {"timers": [CREATE]})])
async def test_another_request_with_the_same_key_is_refused(
    client: httpx.AsyncClient, count_timers: CountTimers, path: str, document: dict[str, Any]
) -> None:
    key = new_key()
    assert (await send(client, path, document, key)).status_code == 201
    before = await count_timers()
    others = {"/timers": {**CREATE, "priority": 1}, "/timers/batch": {"timers": [CREATE, CREATE]}}
    for where, other in others.items():
        refused = await send(client, where, other, key)
        assert refused.status_code == 422
        problem = refused.json()
        assert problem["type"] == Kind.idempotency_key_reused.type
        assert problem["errors"][0]["field"] == "Idempotency-Key"
    assert await count_timers() == before


@pytest.mark.parametrize("path", ["/timers", "/timers/batch"])
@pytest.mark.parametrize("key", [b"", b"a b", b"k" * 256, "schlüssel".encode(), b"a\tb"])
async def test_a_key_that_cannot_be_is_refused(client: httpx.AsyncClient, path: str, key: bytes) -> None:
    headers = [(b"content-type", b"application/json"), (b"idempotency-key", key)]
    refused = await client.post(path, content=json.dumps(CREATE), headers=headers)
    assert refused.status_code == 422
    assert refused.json()["errors"] == [
        {
            "field": "Idempotency-Key",
            "message": "it must be 1 to 255 visible ASCII characters, without spaces",
        }
    ]


async def test_two_keys_are_refused(client: httpx.AsyncClient) -> None:
    headers = [("content-type", "application/json"), ("idempotency-key", "a"), ("Idempotency-Key", "b")]
    refused = await client.post("/timers", content=json.dumps(CREATE), headers=headers)
    assert refused.json()["errors"] == [{"field": "Idempotency-Key", "message": "there are two; send one"}]


async def test_a_create_that_was_answered_with_the_holder_of_its_name_is_so_again(
    client: httpx.AsyncClient, count_timers: CountTimers
) -> None:
    """Also when that timer has ended, and a create without the key would make another."""
    key, document = new_key(), {**CREATE, "name": str(uuid.uuid4())}
    holder = await client.post("/timers", json=document)
    first = await send(client, "/timers", document, key)
    assert (first.status_code, first.json()["id"]) == (200, holder.json()["id"])
    assert (await client.delete(holder.headers["location"])).status_code == 200
    before = await count_timers()
    again = await send(client, "/timers", document, key)
    assert (again.status_code, again.content) == (200, first.content)
    assert again.headers["location"] == holder.headers["location"]
    assert await count_timers() == before


@pytest.mark.parametrize("path", ["/timers", "/timers/batch"])
async def test_the_first_answer_stays_when_its_collection_changes(client: httpx.AsyncClient, path: str) -> None:
    key, name = new_key(), str(uuid.uuid4())
    defaults = {"defaults": {"timeout_seconds": 3, "priority": 4}}
    assert (await client.put(f"/collections/{name}", json=defaults)).status_code == 201
    document: dict[str, Any] = {**CREATE, "collection": name}
    if path == "/timers/batch":
        document = {"timers": [document, {"url": "no"}]}
    first = await send(client, path, document, key)
    assert first.is_success
    changed = {"defaults": {"timeout_seconds": 30, "priority": 7}}
    assert (await client.put(f"/collections/{name}", json=changed)).status_code == 200
    assert (await send(client, path, document, key)).content == first.content
    again = await send(client, path, document, key)
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert again.headers["idempotency-replayed"] == "true"


async def test_the_first_answer_stays_when_its_route_goes(client: httpx.AsyncClient) -> None:
    key, name = new_key(), str(uuid.uuid4())
    assert (await client.put(f"/routes/{name}", json={"url": "https://example.com/hook"})).status_code == 201
    document = {"delay": 3600, "route": name}
    first = await send(client, "/timers", document, key)
    assert first.status_code == 201
    assert (await client.delete(first.headers["location"])).status_code == 200
    assert (await client.delete(f"/routes/{name}")).status_code == 204
    assert (await send(client, "/timers", document, new_key())).status_code == 422
    again = await send(client, "/timers", document, key)
    assert (again.status_code, again.content) == (201, first.content)
    assert again.headers["idempotency-replayed"] == "true"
    other = await send(client, "/timers", {**document, "delay": 1}, key)
    assert other.status_code == 422


async def test_a_kept_answer_is_sealed_where_content_is_encrypted(database_url: str) -> None:
    key, secret = new_key(), str(uuid.uuid4())
    document = {**CREATE, "meta": secret}
    old, new = "old:" + "A" * 43 + "=", "new:" + "B" * 42 + "A="
    async with ready(ApiSettings(db_url=database_url, encryption_keys=old)) as (_, client):
        first = await send(client, "/timers", document, key)
        assert secret in first.text
    [[stored]] = scratch.run(
        database_url, "SELECT answer FROM idempotency_keys ORDER BY created_at_us DESC LIMIT 1"
    )
    assert stored[8:].startswith(b"old\0")
    with pytest.raises(zlib.error):
        zlib.decompress(stored[12:])
    async with ready(ApiSettings(db_url=database_url, encryption_keys=f"{new},{old}")) as (_, client):
        again = await send(client, "/timers", document, key)
        assert again.content == first.content
        assert again.headers["idempotency-replayed"] == "true"


async def test_an_answer_too_large_to_keep_is_made_again(
    client: httpx.AsyncClient, database_url: str, count_timers: CountTimers
) -> None:
    key, before = new_key(), await count_timers()
    bodies = [base64.b64encode(random.Random(n).randbytes(60_000)).decode() for n in range(100)]
    document = {"timers": [{"delay": 3600, "url": "https://example.com/hook", "body": body} for body in bodies]}
    first = await send(client, "/timers/batch", document, key)
    assert first.status_code == 201
    assert len(zlib.compress(first.content, 1)) > PACKED_BYTES_MAX
    [[answer]] = scratch.run(
        database_url, "SELECT answer FROM idempotency_keys ORDER BY created_at_us DESC LIMIT 1"
    )
    assert answer is None
    again = await send(client, "/timers/batch", document, key)
    assert (again.status_code, again.content) == (201, first.content)
    assert again.headers["idempotency-replayed"] == "true"
    assert await count_timers() == before + 100


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": "nowhere"},
        {"retry": {"initial_seconds": 9, "max_seconds": 1}},
        {"collection": "no-such-one"},
        {"delay": None, "due_at": "3000-01-01T00:00:00Z"},
    ],
)
async def test_what_was_wrong_is_mended_under_the_same_key(
    client: httpx.AsyncClient, wrong: dict[str, Any]
) -> None:
    key = new_key()
    document = {name: value for name, value in {**CREATE, **wrong}.items() if value is not None}
    assert (await send(client, "/timers", document, key)).status_code == 422
    made = await send(client, "/timers", CREATE, key)
    assert made.status_code == 201, made.text


async def test_a_batch_of_which_some_were_refused_for_now_is_completed_by_a_repeat(
    client: httpx.AsyncClient,
) -> None:
    key, name = new_key(), str(uuid.uuid4())
    assert (await client.put(f"/collections/{name}", json={"waiting_max": 1})).status_code == 201
    document = {
        "timers": [{**CREATE, "collection": name}, {**CREATE, "collection": name}, {**CREATE, "url": "no"}]
    }
    first = (await send(client, "/timers/batch", document, key)).json()["results"]
    assert [result.get("error", {}).get("status") for result in first] == [None, 429, 422]
    assert (await client.put(f"/collections/{name}", json={"waiting_max": 5})).status_code == 200
    again = await send(client, "/timers/batch", document, key)
    assert again.status_code == 207
    results = again.json()["results"]
    assert (results[0], results[2]) == (first[0], first[2])
    assert results[1]["status"] == "scheduled"
    assert (await send(client, "/timers/batch", document, key)).content == again.content


async def test_what_was_refused_is_looked_at_anew(client: httpx.AsyncClient) -> None:
    """Only 2xx answers are kept: a name that was taken may be free later."""
    key, name = new_key(), str(uuid.uuid4())
    holder = await client.post("/timers", json={**CREATE, "name": name})
    document = {**CREATE, "name": name, "priority": 5}
    assert (await send(client, "/timers", document, key)).status_code == 409
    assert (await client.delete(holder.headers["location"])).status_code == 200
    made = await send(client, "/timers", document, key)
    assert made.status_code == 201
    assert (await send(client, "/timers", document, key)).content == made.content


@pytest.mark.parametrize(
    ("path", "document", "made", "times"), [("/timers", CREATE, 1, 40), ("/timers/batch", BATCH, 1200, 4)]
)
async def test_many_at_once_make_each_timer_once(
    client: httpx.AsyncClient,
    database_url: str,
    count_timers: CountTimers,
    path: str,
    document: object,
    made: int,
    times: int,
) -> None:
    """To two applications, which know each other by the database alone."""
    key, before = new_key(), await count_timers()
    async with ready(ApiSettings(db_url=database_url)) as (_, other):
        asked = [send(each, path, document, key) for each in (client, other) * (times // 2)]
        answers = await asyncio.gather(*asked)
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert await count_timers() == before + made


async def test_after_a_day_a_key_is_free(
    client: httpx.AsyncClient, database_url: str, count_timers: CountTimers
) -> None:
    key, before = new_key(), await count_timers()
    first = await send(client, "/timers", CREATE, key)
    scratch.run(database_url, "UPDATE idempotency_keys SET created_at_us = created_at_us - 86401 * 1000000")
    other = await send(client, "/timers", {**CREATE, "priority": 1}, key)
    assert other.status_code == 201
    assert other.json()["id"] != first.json()["id"]
    assert (await send(client, "/timers", {**CREATE, "priority": 1}, key)).content == other.content
    assert await count_timers() == before + 2


async def test_the_keys_of_two_callers_have_nothing_in_common(keys_url: str) -> None:
    key, second = new_key(), "another-" + "k" * 32
    async with ready(ApiSettings(db_url=keys_url, api_keys=f"{BOOTSTRAP}, {second}")) as (_, client):
        first = await send(client, "/timers", CREATE, {**key, **bearing(BOOTSTRAP)})
        other = await send(client, "/timers", {**CREATE, "priority": 1}, {**key, **bearing(second)})
        assert (first.status_code, other.status_code) == (201, 201)
        assert first.json()["id"] != other.json()["id"]


async def test_a_full_collection_does_not_stand_between_a_repeat_and_its_answer(
    client: httpx.AsyncClient,
) -> None:
    name, key = str(uuid.uuid4()), new_key()
    assert (await client.put(f"/collections/{name}", json={"waiting_max": 1})).status_code == 201
    document = {**CREATE, "collection": name}
    first = await send(client, "/timers", document, key)
    assert first.status_code == 201
    assert (await send(client, "/timers", document, new_key())).status_code == 429
    assert (await send(client, "/timers", document, key)).content == first.content


@pytest_asyncio.fixture(loop_scope="package")
async def fragile(database_url: str) -> AsyncIterator[tuple[Proxy, FrontDoor, httpx.AsyncClient]]:
    async with Proxy(database_url) as proxy, ready(ApiSettings(db_url=proxy.url)) as (app, client):
        yield proxy, app, client


@pytest.mark.parametrize(
    "at", [b"INSERT INTO idempotency_keys", b"COMMIT", b"INSERT INTO timers", b"UPDATE idempotency_keys"]
)
@pytest.mark.parametrize("when", [When.before, When.after], ids=lambda when: when.name)
async def test_after_an_outage_at_any_statement_a_repeat_makes_it_once(
    fragile: tuple[Proxy, FrontDoor, httpx.AsyncClient], client: httpx.AsyncClient, count_timers: CountTimers,
    when: When, at: bytes,
) -> None:  # fmt: skip
    proxy, _, through = fragile
    key, before = new_key(), await count_timers()
    proxy.cut(when, at)

    refusing = asyncio.create_task(proxy.go_away_once_cut())
    lost = await send(through, "/timers", CREATE, key)
    await refusing
    assert lost.status_code == 503
    answer = await send(client, "/timers", CREATE, key)
    assert answer.status_code == 201
    assert (await send(client, "/timers", CREATE, key)).content == answer.content
    assert await count_timers() == before + 1


@pytest.mark.parametrize("when", [When.before, When.after], ids=lambda when: when.name)
async def test_a_batch_that_was_cut_in_the_middle_is_completed_by_a_repeat(
    fragile: tuple[Proxy, FrontDoor, httpx.AsyncClient], client: httpx.AsyncClient, count_timers: CountTimers,
    when: When,
) -> None:  # fmt: skip
    proxy, _, through = fragile
    key, before = new_key(), await count_timers()
    document = {"timers": [{**CREATE, "meta": f"{key}-{number}"} for number in range(1200)]}
    proxy.cut(when, behind=json.dumps(document["timers"][500]["meta"]).encode().hex().encode())

    refusing = asyncio.create_task(proxy.go_away_once_cut())
    first = await send(through, "/timers/batch", document, key)
    await refusing
    assert first.status_code == 207
    again = await send(client, "/timers/batch", document, key)
    assert again.status_code == 201
    assert again.headers["idempotency-replayed"] == "true"
    assert again.json()["results"][:500] == first.json()["results"][:500]
    assert await count_timers() == before + 1200
    assert (await send(client, "/timers/batch", document, key)).content == again.content

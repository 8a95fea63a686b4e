"""`GET /timers`: filters, their faults, and what a bound key sees."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.api.conftest import ready
from tests.api.keyed import BOOTSTRAP, bearing, make_key
from timer_api.settings import ApiSettings

pytestmark = pytest.mark.asyncio(loop_scope="package")

URL = "https://example.com/hook"


@pytest.fixture
def batch() -> dict[str, str]:
    """A label that only the timers of one test have."""
    return {"batch": secrets.token_hex(6)}


async def make(client: httpx.AsyncClient, labels: dict[str, str], **fields: Any) -> str:
    """A new timer; gives its id."""
    target = {} if "route" in fields else {"url": URL}
    when = {} if "due_at" in fields else {"delay": 3600}
    answer = await client.post("/timers", json={**when, **target, "labels": labels, **fields})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def made_group(client: httpx.AsyncClient, kind: str, **settings: Any) -> str:
    """A new collection or route; gives its name."""
    name = f"{kind}-{secrets.token_hex(6)}"
    answer = await client.put(f"/{kind}/{name}", json=settings)
    assert answer.status_code == 201, answer.text
    return name


async def ids(client: httpx.AsyncClient, headers: dict[str, str] | None = None, **query: Any) -> list[str]:
    """Of every page, as the answers and the links of the document lead from one to the next."""
    shown: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        answer = await client.get("/timers", params={**query, **cursor}, headers=headers)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        shown += [timer["id"] for timer in page["timers"]]
        if page["next_cursor"] is None:
            return shown
        cursor = {"cursor": page["next_cursor"]}


async def test_filters_are_combined(client: httpx.AsyncClient, batch: dict[str, str]) -> None:
    collection = await made_group(client, "collections")
    route = await made_group(client, "routes", url=URL)
    mark = ",".join(f"{key}={value}" for key, value in batch.items())
    plain = await make(client, batch)
    prod = await make(client, {**batch, "env": "prod"}, collection=collection)
    routed = await make(client, {**batch, "env": "test"}, collection=collection, route=route)
    later = await make(client, {**batch, "env": "prod"}, due_at="2030-01-01T00:00:00Z")
    await client.delete(f"/timers/{prod}")
    assert await ids(client, selector=mark, limit=2) == [later, routed, prod, plain]
    assert await ids(client, selector=f"{mark},env in (prod,test)", status="scheduled") == [later, routed]
    assert await ids(client, selector=f"{mark},!env") == [plain]
    assert await ids(client, collection=collection) == [routed, prod]
    assert await ids(client, collection=collection, status="cancelled") == [prod]
    assert await ids(client, collection="default", selector=mark) == [later, plain]
    assert await ids(client, route=route) == [routed]
    assert await ids(client, selector=mark, due_after="2029-12-31T23:59:59Z") == [later]
    assert await ids(client, selector=mark, due_after="2030-01-01T01:00:00+01:00") == [later]
    # As they are called, or newest first, whichever is found with less work.
    before = await ids(client, selector=mark, due_before="2030-01-01T00:00:00Z", status="scheduled")
    assert sorted(before) == sorted([routed, plain])


async def test_a_name_is_found_in_its_collection(client: httpx.AsyncClient) -> None:
    collection, name = await made_group(client, "collections"), f"name {secrets.token_hex(6)}"
    here = await make(client, {}, name=name)
    there = await make(client, {"env": "prod"}, name=name, collection=collection)
    assert await ids(client, name=name) == [here]
    assert await ids(client, name=name, collection=collection) == [there]
    assert await ids(client, name=name, collection=collection, selector="env=prod") == [there]
    assert await ids(client, name=name, collection=collection, selector="env=test") == []
    assert await ids(client, name=f"{name}?", collection=collection) == []


@pytest.mark.parametrize(
    ("query", "field", "message"),
    [
        ({"selector": "env=prod,=x"}, "selector", "'=' stands where a label's key should be, at position 10"),
        ({"selector": "env in (a"}, "selector", "its end stands where a comma or a closing parenthesis should be"),
        ({"collection": "nobody"}, "collection", "there is none of this name"),
        ({"route": "nobody"}, "route", "there is none of this name"),
        ({"schedule": "nobody"}, "schedule", "there is none of this name"),
        ({"collection": ""}, "collection", "should match pattern"),
        ({"due_after": "tomorrow"}, "due_after", "it must look like 2030-01-31T18:00:00Z"),
        ({"due_before": "2030-01-01T00:00:00"}, "due_before", "it has no offset"),
        (
            {"status": "waiting"},
            "status",
            "'scheduled', 'firing', 'delivered', 'failed', 'unknown' or 'cancelled'",
        ),
        ({"limit": 1001}, "limit", "less than or equal to 1000"),
        ({"cursor": "AAA"}, "cursor", "it is not a cursor of this service"),
        ({"color": "red"}, "color", "there is no such field"),
    ],
)
async def test_what_is_wrong_is_told_by_field(
    client: httpx.AsyncClient, query: dict[str, Any], field: str, message: str
) -> None:
    answer = await client.get("/timers", params=query)
    assert answer.status_code == 422
    [error] = answer.json()["errors"]
    assert error["field"] == field
    assert message in error["message"]


async def test_every_fault_is_told_at_once(client: httpx.AsyncClient) -> None:
    query = {"selector": "=", "collection": "nobody", "route": "nobody", "due_after": "x" * 20}
    answer = await client.get("/timers", params=query)
    assert {error["field"] for error in answer.json()["errors"]} == set(query)


async def test_a_cursor_goes_with_its_filters_only(client: httpx.AsyncClient, batch: dict[str, str]) -> None:
    for _ in range(2):
        await make(client, {**batch, "env": "prod"})
    query = {"selector": "env=prod", "status": "scheduled", "limit": 1}
    cursor = (await client.get("/timers", params=query)).json()["next_cursor"]
    assert (await client.get("/timers", params={**query, "cursor": cursor})).status_code == 200
    assert (await client.get("/timers", params={**query, "limit": 7, "cursor": cursor})).status_code == 200
    # The same selector, written otherwise.
    assert (await client.get("/timers", params={**query, "selector": " env == prod", "cursor": cursor})).is_success
    for other in ({"selector": "env=prod,!x"}, {"status": "failed"}, {"due_after": "2020-01-01T00:00:00Z"}):
        answer = await client.get("/timers", params={**query, **other, "cursor": cursor})
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["field"] == "cursor"


async def test_the_link_to_the_next_page_carries_the_filters(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    listed = document["paths"]["/timers"]["get"]
    [link] = listed["responses"]["200"]["links"].values()
    assert link["operationId"] == "list_timers"
    assert link["parameters"].pop("cursor") == "$response.body#/next_cursor"
    given = [parameter["name"] for parameter in listed["parameters"] if parameter["name"] != "cursor"]
    assert link["parameters"] == {name: f"$request.query.{name}" for name in given}


@pytest_asyncio.fixture(loop_scope="package")
async def keyed(keys_url: str) -> AsyncIterator[httpx.AsyncClient]:
    """Calls an API that asks for keys."""
    async with ready(ApiSettings(db_url=keys_url, api_keys=BOOTSTRAP)) as (_, client):
        yield client


async def test_a_bound_key_lists_its_own(keyed: httpx.AsyncClient, batch: dict[str, str]) -> None:
    client = keyed
    client.headers.update(bearing(BOOTSTRAP))
    first, second, other = [await made_group(client, "collections") for _ in range(3)]
    made = {name: await make(client, batch, collection=name) for name in (first, second, other, "default")}
    mark = ",".join(f"{key}={value}" for key, value in batch.items())
    bound = bearing(await make_key(client, "timers:read", collections=[first, second, "not-there"]))
    assert await ids(client, headers=bound) == [made[second], made[first]]
    assert await ids(client, headers=bound, selector=mark, limit=1) == [made[second], made[first]]
    assert await ids(client, headers=bound, collection=first) == [made[first]]
    both = bearing(await make_key(client, "timers:read", collections=[first, "default"]))
    assert await ids(client, headers=both, selector=mark) == [made["default"], made[first]]
    refused = await client.get("/timers", params={"collection": other}, headers=bound)
    missing = await client.get("/timers", params={"collection": "nobody"}, headers=bound)
    assert (refused.status_code, refused.json()) == (missing.status_code, missing.json())
    assert refused.status_code == 422

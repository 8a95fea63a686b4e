"""Who may do what: each call with keys of each kind."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import AsyncIterator, MutableMapping
from typing import Any, NamedTuple

import httpx
import pytest
import pytest_asyncio
from fastapi import FastAPI
from fastapi.routing import APIRoute

from timer_api.app import FrontDoor
from timer_api.errors import Kind
from timer_api.openapi import needs
from timer_api.served import Served
from timer_api.settings import ApiSettings
from timer_db.domain.api_key import Scope

from .conftest import ready
from .keyed import BOOTSTRAP, CREATE, assert_refused, bearing, made, make_key

pytestmark = pytest.mark.asyncio(loop_scope="module")

TIMER_ID = "019a9f2e-5c3d-7000-8a1b-2c3d4e5f6071"
PLACES = {
    "timer_id": TIMER_ID,
    "key_id": "00000000",
    "collection": "none",
    "route": "none",
    "schedule": "none",
    "name": "none",
}


class Parts(NamedTuple):
    """An application that checks keys, and one key of each kind."""

    app: FrontDoor
    client: httpx.AsyncClient
    keys: dict[str, str]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def parts(keys_url: str) -> AsyncIterator[Parts]:
    async with ready(ApiSettings(db_url=keys_url, api_keys=BOOTSTRAP)) as (app, client):
        revoked = await made(client, "admin")
        await client.delete(f"/api-keys/{revoked['id']}", headers=bearing(BOOTSTRAP))
        keys = {
            "timers:read": await make_key(client, "timers:read"),
            "timers:write": await make_key(client, "timers:write"),
            "both": await make_key(client, "timers:read", "timers:write"),
            "admin": await make_key(client, "admin"),
            "of settings": BOOTSTRAP,
            "revoked": revoked["key"],
        }
        yield Parts(app, client, keys)


ALLOWS = {
    "timers:read": {"timers:read"},
    "timers:write": {"timers:write"},
    "both": {"timers:read", "timers:write"},
    "admin": set(Scope),
    "of settings": set(Scope),
}


async def operations(client: httpx.AsyncClient) -> list[tuple[str, str, dict[str, Any]]]:
    """Method, path with its places filled, and what the document says."""
    document = (await client.get("/openapi.json")).json()
    return [
        (method.upper(), template.format(**PLACES), operation)
        for template, methods in document["paths"].items()
        for method, operation in methods.items()
    ]


async def test_each_call_is_for_those_whose_key_has_its_scope_and_for_nobody_else(parts: Parts) -> None:
    seen: set[str] = set()
    for method, path, operation in await operations(parts.client):
        if not operation["security"]:
            assert path.startswith("/health/")
            continue
        [[needed]] = [required["apiKey"] for required in operation["security"]]
        seen.add(needed)
        assert {"401", "403", "429"} <= set(operation["responses"])
        assert_refused(await parts.client.request(method, path), Kind.unauthorized)
        for name, key in parts.keys.items():
            answer = await parts.client.request(method, path, headers=bearing(key))
            if name == "revoked":
                assert_refused(answer, Kind.unauthorized)
            elif needed in ALLOWS[name]:
                assert answer.status_code not in (401, 403, 429, 500, 503), (method, path, name)
            else:
                problem = assert_refused(answer, Kind.forbidden)
                assert needed in problem["detail"]
                assert f'scope="{needed}"' in answer.headers["www-authenticate"]
    assert seen == set(Scope)


async def test_no_route_is_left_out_of_the_document(parts: Parts) -> None:
    """What is in no document is not served, whoever asks."""

    def walk(routes: Any, prefix: str = "") -> set[str]:
        found: set[str] = set()
        for route in routes:
            inner = getattr(route, "original_router", None)
            found |= walk(inner.routes) if inner is not None else {prefix + route.path}
        return found

    paths = {path.replace(":path}", "}") for path in walk(parts.app.app.routes)}
    in_document = set(parts.app.app.openapi()["paths"])
    assert in_document <= paths
    assert {path for path in paths - in_document if not path.startswith("/docs")} == {"/openapi.json"}


async def test_a_route_that_is_added_later_is_closed_until_it_says_who_may_call_it() -> None:
    app = FastAPI()

    @app.get("/later")
    async def later() -> dict[str, str]:
        return {}

    with pytest.raises(RuntimeError, match=r"GET /later must say who may call it"):
        Served(app.openapi())
    for extra in ({}, {"security": [{}]}, {"security": [{"apiKey": []}]}, {"security": [{"other": ["admin"]}]}):
        with pytest.raises(RuntimeError):
            Served({"paths": {"/later": {"get": extra}}})
    paths = {"/later": {"get": needs(Scope.admin)}, "/{any}": {"get": needs(Scope.timers_read)}}
    served = Served({"paths": paths})
    assert served.at("/later") == {"GET": {Scope.admin, Scope.timers_read}}
    assert served.at("/other") == {"GET": {Scope.timers_read}}
    assert served.at("/later/on") == {}


async def test_a_route_that_hides_from_the_document_is_served_to_nobody(parts: Parts) -> None:
    async def hidden() -> dict[str, str]:
        return {"hidden": "yes"}

    route = APIRoute("/hidden", hidden, methods=["GET"])
    parts.app.app.router.routes.append(route)
    try:
        for headers, kind in (({}, Kind.unauthorized), (bearing(BOOTSTRAP), Kind.no_such_path)):
            assert_refused(await parts.client.get("/hidden", headers=headers), kind)
    finally:
        parts.app.app.router.routes.remove(route)


async def test_a_websocket_is_closed_before_it_opens(parts: Parts) -> None:
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    await parts.app({"type": "websocket", "path": "/timers", "headers": []}, receive, send)
    assert sent == [{"type": "websocket.close"}]


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/docs", "/docs/start.js", "/openapi.json"])
async def test_health_and_the_document_are_open(parts: Parts, path: str) -> None:
    assert (await parts.client.get(path)).status_code == 200
    assert (await parts.client.get(path, headers=bearing("nonsense"))).status_code == 200


async def test_what_is_not_there_is_told_to_those_with_a_key_only(parts: Parts) -> None:
    for method, path, kind in (
        ("GET", "/nowhere", Kind.no_such_path),
        ("PUT", "/timers", Kind.method_not_allowed),
        ("POST", "/health/live", Kind.method_not_allowed),
        ("GET", "/docsx", Kind.no_such_path),
        ("GET", "/timers/", Kind.no_such_path),
        ("POST", "/timers/", Kind.no_such_path),
    ):
        assert_refused(await parts.client.request(method, path), Kind.unauthorized)
        answer = await parts.client.request(method, path, headers=bearing(parts.keys["timers:read"]))
        assert_refused(answer, kind)


async def test_the_scheme_is_written_as_one_likes(parts: Parts) -> None:
    for start in ("Bearer ", "bearer ", "BEARER ", "Bearer    "):
        answer = await parts.client.get("/timers", headers={"Authorization": start + BOOTSTRAP})
        assert answer.status_code == 200, start


@pytest.mark.parametrize(
    "headers",
    [
        [("Authorization", "")],
        [("Authorization", "Bearer")],
        [("Authorization", "Bearer ")],
        [("Authorization", BOOTSTRAP)],
        [("Authorization", f"Basic {BOOTSTRAP}")],
        [("Authorization", f"Token {BOOTSTRAP}")],
        [("Authorization", f"Bearer{BOOTSTRAP}")],
        [("Authorization", f"Bearer {BOOTSTRAP},{BOOTSTRAP}")],
        [("Authorization", f"Bearer {BOOTSTRAP} {BOOTSTRAP}")],
        [("Authorization", f'Bearer "{BOOTSTRAP}"')],
        [("Authorization", f"Bearer {BOOTSTRAP}"), ("Authorization", f"Bearer {BOOTSTRAP}")],
        [("Authorization", "Bearer " + "x" * 60_000)],
        [("X-API-Key", BOOTSTRAP)],
        [("Proxy-Authorization", f"Bearer {BOOTSTRAP}")],
        [("Cookie", f"key={BOOTSTRAP}")],
    ],
)
async def test_nothing_else_is_a_key(parts: Parts, headers: list[tuple[str, str]]) -> None:
    for path in ("/timers", "/api-keys", f"/timers?key={BOOTSTRAP}"):
        answer = await parts.client.get(path, headers=headers)
        assert_refused(answer, Kind.unauthorized)
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert BOOTSTRAP not in answer.text
    raw = [(name, value.encode()) for name, value in headers]
    assert_refused(await parts.client.post("/timers", json=CREATE, headers=raw), Kind.unauthorized)


async def test_bytes_that_are_no_text_are_no_key(parts: Parts) -> None:
    for value in (b"Bearer \xff\xfe", b"\xff", BOOTSTRAP.encode() + b"\xc3\xa9"):
        answer = await parts.client.get("/timers", headers=[(b"Authorization", value)])
        assert_refused(answer, Kind.unauthorized)


async def test_nobody_gets_in_by_trying_and_no_answer_tells_how_close_it_was(parts: Parts) -> None:
    key = parts.keys["admin"]
    near = [key[:-1], key + "A", key.swapcase(), key[:11], key[12:], hashlib.sha256(key.encode()).hexdigest()]
    near += [key[:place] + ("A" if key[place] != "A" else "B") + key[place + 1 :] for place in range(len(key))]
    near += [f"{key[:12]}{secrets.token_urlsafe(32)}" for _ in range(200)]
    near += [parts.keys["revoked"], BOOTSTRAP[:-1], BOOTSTRAP.lower(), BOOTSTRAP + "=", "tk_", "*", "' OR 1=1"]
    answers = [await parts.client.get("/timers", headers=bearing(guess)) for guess in near]
    for answer in answers:
        assert_refused(answer, Kind.unauthorized)
    assert len({answer.content for answer in answers}) == 1
    assert len({tuple(sorted(answer.headers.items())) for answer in answers}) == 1
    assert (await parts.client.get("/timers", headers=bearing(key))).status_code == 200


async def test_a_refused_create_stores_nothing_and_reads_no_body(parts: Parts) -> None:
    async def endless() -> AsyncIterator[bytes]:
        yield b"{"
        pytest.fail("it was read")

    for path in ("/timers", "/timers/batch", "/api-keys"):
        headers = {"Content-Type": "application/json"}
        answer = await parts.client.post(path, content=endless(), headers=headers)
        assert_refused(answer, Kind.unauthorized)
    before = (await parts.client.get("/timers", headers=bearing(BOOTSTRAP))).json()
    assert_refused(await parts.client.post("/timers", json=CREATE), Kind.unauthorized)
    reader = bearing(parts.keys["timers:read"])
    assert_refused(await parts.client.post("/timers", json=CREATE, headers=reader), Kind.forbidden)
    batch = await parts.client.post("/timers/batch", json={"timers": [CREATE]}, headers=reader)
    assert_refused(batch, Kind.forbidden)
    assert (await parts.client.get("/timers", headers=bearing(BOOTSTRAP))).json() == before


async def test_a_life_with_keys(parts: Parts) -> None:
    reader, writer = bearing(parts.keys["timers:read"]), bearing(parts.keys["timers:write"])
    created = await parts.client.post("/timers", json=CREATE, headers=writer)
    assert created.status_code == 201
    path = created.headers["location"]
    assert (await parts.client.get(path, headers=reader)).json()["status"] == "scheduled"
    assert_refused(await parts.client.get(path, headers=writer), Kind.forbidden)
    assert_refused(await parts.client.delete(path, headers=reader), Kind.forbidden)
    assert (await parts.client.delete(path, headers=writer)).json()["status"] == "cancelled"
    batch = await parts.client.post("/timers/batch", json={"timers": [CREATE] * 3}, headers=writer)
    assert batch.status_code == 201

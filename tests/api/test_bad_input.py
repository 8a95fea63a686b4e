"""Bad input: each fault is a 4xx problem that names its field, and nothing is stored."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from timer_api.errors import ERRORS_MAX, Kind

from .bad_fields import CASES, plus, with_url
from .conftest import CountTimers

pytestmark = pytest.mark.asyncio(loop_scope="package")

JSON = {"Content-Type": "application/json"}


def fields_of(response: httpx.Response) -> list[str]:
    return [error["field"] for error in response.json().get("errors", [])]


async def refused(
    client: httpx.AsyncClient, count_timers: CountTimers, kind: Kind, *, content: bytes, headers: dict[str, str]
) -> httpx.Response:
    before = await count_timers()
    response = await client.post("/timers", content=content, headers=headers)
    assert response.status_code == kind.status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert (problem["type"], problem["status"], problem["instance"]) == (kind.type, kind.status, "/timers")
    assert problem["title"]
    assert problem["detail"]
    assert await count_timers() == before
    return response


@pytest.mark.parametrize(("document", "field"), CASES, ids=lambda value: repr(value)[:60])
async def test_a_fault_in_a_field_is_422_and_names_it(
    client: httpx.AsyncClient, count_timers: CountTimers, document: dict[str, Any], field: str
) -> None:
    response = await refused(
        client, count_timers, Kind.invalid_request, content=json.dumps(document).encode(), headers=JSON
    )
    assert field in fields_of(response)


RAW: list[tuple[bytes, Kind, str]] = [
    (b"", Kind.malformed_json, "empty"),
    (b"{", Kind.malformed_json, "line 1 column 2"),
    (b'{"seconds": 1,\n "url": }', Kind.malformed_json, "line 2 column 9"),
    (b'{"seconds": 1, "url": "https://a.example/"} x', Kind.malformed_json, "line 1 column 45"),
    (b"{'seconds': 1}", Kind.malformed_json, "line 1 column 2"),
    (b'{"seconds": 01}', Kind.malformed_json, "line 1"),
    (b'{"seconds": NaN, "url": "https://a.example/"}', Kind.malformed_json, "NaN"),
    (b'{"seconds": 1, "meta": -Infinity}', Kind.malformed_json, "-Infinity"),
    (b'{"url": "a\x00b"}', Kind.malformed_json, "line 1"),
    (b'{"url": "\xff"}', Kind.malformed_json, "UTF-8"),
    (b'{"meta": "\xed\xa0\x80"}', Kind.malformed_json, "UTF-8"),
    ('{"seconds": 1}'.encode("utf-16"), Kind.malformed_json, "UTF-8"),
    (b'\xef\xbb\xbf{"seconds": 1}', Kind.malformed_json, "line 1"),
    (b'{"a": 1, "a": 2} x', Kind.malformed_json, "line 1"),
    (b"[]", Kind.invalid_request, "object"),
    (b"17", Kind.invalid_request, "object"),
    (b'"text"', Kind.invalid_request, "object"),
    (b"null", Kind.invalid_request, "object"),
    (b"[" * 100_000, Kind.invalid_request, "nested"),
    (b'{"a":' * 100_000, Kind.invalid_request, "nested"),
    (b"[" * 300 + b"]" * 300, Kind.invalid_request, "object"),
]


@pytest.mark.parametrize(("content", "kind", "words"), RAW, ids=lambda value: repr(value)[:40])
async def test_what_is_no_json_object_is_refused(
    client: httpx.AsyncClient, count_timers: CountTimers, content: bytes, kind: Kind, words: str
) -> None:
    response = await refused(client, count_timers, kind, content=content, headers=JSON)
    assert words in response.json()["detail"]


NUMBERS_AND_KEYS: list[tuple[bytes, str]] = [
    (b'"seconds": 1, "seconds": 2', "seconds"),
    (b'"seconds": 1, "meta": {"a": {"b": 1, "b": 1}}', "meta.a.b"),
    (b'"seconds": 1, "labels": {"env": "a", "env": "b"}', "labels.env"),
    (b'"seconds": 1, "meta": 1e400', "meta"),
    (b'"seconds": 1, "body": [0, -1e999]', "body.1"),
    (b'"seconds": 18446744073709551616', "seconds"),
    (b'"seconds": 1, "meta": ' + b"9" * 100_000, "meta"),
    (b'"seconds": 1, "meta": {"x": ' + b"[" * 70 + b"]" * 70 + b"}", "meta"),
    (b'"seconds": 1, "meta": "\\uDBFF"', "meta"),
    (b'"seconds": 1, "\\ud800": 1', ""),
]


@pytest.mark.parametrize(("fields", "field"), NUMBERS_AND_KEYS, ids=lambda value: repr(value)[:50])
async def test_json_that_readers_would_take_differently_is_refused(
    client: httpx.AsyncClient, count_timers: CountTimers, fields: bytes, field: str
) -> None:
    content = b'{"url": "https://example.com/", ' + fields + b"}"
    response = await refused(client, count_timers, Kind.invalid_request, content=content, headers=JSON)
    assert fields_of(response) == [field]


async def test_escapes_that_only_look_bad_are_text(client: httpx.AsyncClient) -> None:
    content = (
        b'{"url": "https://example.com/", "seconds": 1, "meta": ["\\\\u0000", "\\ud83d\\ude00", "\\\\ud800"]}'
    )
    response = await client.post("/timers", content=content, headers=JSON)
    assert response.status_code == 201
    assert response.json()["meta"] == ["\\u0000", "\U0001f600", "\\ud800"]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content-Type": ""},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "text/plain"},
        {"Content-Type": "multipart/form-data; boundary=x"},
        {"Content-Type": "application/problem+json"},
        {"Content-Type": "application/json; charset=utf-16"},
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
    ],
)
async def test_only_plain_json_is_taken(
    client: httpx.AsyncClient, count_timers: CountTimers, headers: dict[str, str]
) -> None:
    content = json.dumps(plus()).encode()
    await refused(client, count_timers, Kind.unsupported_media_type, content=content, headers=headers)


async def test_a_form_is_told_what_to_send(client: httpx.AsyncClient) -> None:
    response = await client.post("/timers", data={"seconds": "1"})
    assert "Content-Type: application/json" in response.json()["detail"]


async def test_a_body_over_a_mebibyte_is_413(client: httpx.AsyncClient, count_timers: CountTimers) -> None:
    fits = json.dumps(plus(meta="")).encode()
    fits = json.dumps(plus(meta="a" * (1_048_576 - len(fits)))).encode()
    assert len(fits) == 1_048_576
    assert (await client.post("/timers", content=fits, headers=JSON)).status_code == 201
    await refused(client, count_timers, Kind.body_too_large, content=fits + b" ", headers=JSON)


async def test_a_chunked_body_over_a_mebibyte_is_413_without_reading_all_of_it(
    client: httpx.AsyncClient, count_timers: CountTimers
) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 1_000_000_000:
            sent += 65_536
            yield b" " * 65_536

    before = await count_timers()
    response = await client.post("/timers", content=endless(), headers=JSON)
    assert response.status_code == 413
    assert response.headers["connection"] == "close"
    assert sent < 16 * 1_048_576
    assert await count_timers() == before


async def test_a_url_of_2083_characters_fits(client: httpx.AsyncClient) -> None:
    url = "http://example.com/".ljust(2083, "a")
    response = await client.post("/timers", json=with_url(url))
    assert response.status_code == 201
    stored = await client.get(response.headers["location"])
    assert stored.json()["url"] == url


async def test_every_wrong_field_is_named_at_once(client: httpx.AsyncClient) -> None:
    document = {"url": "x", "seconds": -1, "labels": {"a b": "c"}, "retry": {"factor": 0}, "surprise": 1}
    response = await client.post("/timers", json=document)
    assert set(fields_of(response)) == {"url", "seconds", "labels.a b", "retry.factor", "surprise"}


async def test_endless_faults_make_no_endless_answer(client: httpx.AsyncClient) -> None:
    document = {**plus(), **{f"{n}-{'x' * 400}": n for n in range(1000)}}
    response = await client.post("/timers", json=document)
    assert len(fields_of(response)) == ERRORS_MAX
    assert len(response.content) < 10_000


@pytest.mark.parametrize(
    ("method", "path", "kind"),
    [
        ("GET", "/timers", Kind.body_not_allowed),
        ("GET", "/timers/abc", Kind.body_not_allowed),
        ("DELETE", "/timers/abc", Kind.body_not_allowed),
        ("GET", "/timers/abc/attempts", Kind.body_not_allowed),
        ("GET", "/health/live", Kind.body_not_allowed),
        ("GET", "/docs", Kind.body_not_allowed),
        ("DELETE", "/timers", Kind.method_not_allowed),
        ("GET", "/timers/batch", Kind.method_not_allowed),
    ],
)
async def test_a_call_without_a_body_refuses_one(
    client: httpx.AsyncClient, method: str, path: str, kind: Kind
) -> None:
    response = await client.request(method, path, content=b"{}")
    assert response.status_code == kind.status
    assert response.json()["type"] == kind.type


ID = "019a9f2e-5c3d-7000-8a1b-2c3d4e5f6071"
MALFORMED_IDS = ["abc", "1", ID.replace("-", ""), f"{{{ID}}}", "%00", "é"]


@pytest.mark.parametrize("timer_id", MALFORMED_IDS)
@pytest.mark.parametrize(("method", "suffix"), [("GET", ""), ("DELETE", ""), ("GET", "/attempts")])
async def test_a_malformed_id_is_422(client: httpx.AsyncClient, timer_id: str, method: str, suffix: str) -> None:
    response = await client.request(method, f"/timers/{timer_id}{suffix}")
    assert response.status_code == 422
    assert fields_of(response) == ["timer_id"]


UNKNOWN_IDS = [
    "019a9f2e-5c3d-7000-8a1b-2c3d4e5f6071",
    "019A9F2E-5C3D-7FFF-8A1B-2C3D4E5F6071",
    "00000000-0000-0000-0000-000000000000",
    "9b2f1c1e-0b7a-4a57-9a55-3f0c1d2e3f40",
]


@pytest.mark.parametrize("timer_id", UNKNOWN_IDS)
@pytest.mark.parametrize(("method", "suffix"), [("GET", ""), ("DELETE", ""), ("GET", "/attempts")])
async def test_an_unknown_id_is_404(client: httpx.AsyncClient, timer_id: str, method: str, suffix: str) -> None:
    response = await client.request(method, f"/timers/{timer_id}{suffix}")
    assert response.status_code == 404
    assert response.json()["type"] == Kind.timer_not_found.type


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=ten", "limit"),
        ("limit=", "limit"),
        ("status=waiting", "status"),
        ("status=", "status"),
        ("name=", "name"),
        ("name=a%00b", "name"),
        ("cursor=%20", "cursor"),
        ("cursor=abc", "cursor"),
        ("cursor=" + "A" * 300, "cursor"),
        ("colour=red", "colour"),
    ],
)
async def test_a_fault_in_the_query_is_422(client: httpx.AsyncClient, query: str, field: str) -> None:
    response = await client.get(f"/timers?{query}")
    assert response.status_code == 422, response.text
    assert fields_of(response) == [field]

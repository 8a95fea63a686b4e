"""`POST /timers/batch` as its users know it: what is made, what is refused, and in which order it is told."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from pydantic import TypeAdapter

from timer_api.errors import Kind
from timer_api.timers.answered import TimerShown
from timer_api.timers.batch_work import CHUNK_TIMERS
from timer_api.timers.examples import BATCHES, CREATES
from timer_api.timers.schemas import BATCH_MAX

from .bad_fields import CASES, plus
from .conftest import CountTimers

pytestmark = pytest.mark.asyncio(loop_scope="package")

JSON = {"Content-Type": "application/json"}
SHOWN = TypeAdapter(TimerShown)


async def post(client: httpx.AsyncClient, timers: list[Any], status: int) -> list[dict[str, Any]]:
    response = await client.post("/timers/batch", content=json.dumps({"timers": timers}), headers=JSON)
    assert response.status_code == status, response.text[:1000]
    assert response.headers["content-type"] == "application/json"
    results: list[dict[str, Any]] = response.json()["results"]
    assert len(results) == len(timers)
    return results


def is_error(result: dict[str, Any], kind: Kind, index: int) -> bool:
    problem = result["error"]
    assert set(result) == {"error"}
    assert problem["title"]
    assert problem["detail"]
    assert problem["instance"] == "/timers/batch"
    return (problem["type"], problem["status"], problem["index"]) == (kind.type, kind.status, index)


def fields_of(result: dict[str, Any]) -> list[str]:
    return [error["field"] for error in result["error"]["errors"]]


@pytest.mark.parametrize("count", [1, 2, CHUNK_TIMERS, CHUNK_TIMERS + 1, 3 * CHUNK_TIMERS - 1])
async def test_every_timer_is_made_and_told_in_its_order(
    client: httpx.AsyncClient, count_timers: CountTimers, count: int
) -> None:
    before = await count_timers()
    results = await post(client, [plus(meta=number) for number in range(count)], 201)
    assert [result["meta"] for result in results] == list(range(count))
    ids = [result["id"] for result in results]
    assert len(set(ids)) == count
    assert ids == sorted(ids)
    assert len({result["created_at"] for result in results}) == 1
    assert await count_timers() == before + count
    for result in (results[0], results[-1]):
        assert (await client.get(f"/timers/{result['id']}")).json() == {**result, "time_left": 1}


async def test_ten_thousand_are_made_and_one_more_is_refused(
    client: httpx.AsyncClient, count_timers: CountTimers
) -> None:
    before = await count_timers()
    results = await post(client, [plus(meta=number) for number in range(BATCH_MAX)], 201)
    assert [result["meta"] for result in results] == list(range(BATCH_MAX))
    assert await count_timers() == before + BATCH_MAX
    content = json.dumps({"timers": [plus()] * (BATCH_MAX + 1)})
    refused = await client.post("/timers/batch", content=content, headers=JSON)
    assert refused.status_code == 422
    assert refused.json()["errors"] == [
        {"field": "timers", "message": "there are 10,001; 10,000 are possible in one call"}
    ]
    assert await count_timers() == before + BATCH_MAX


async def test_each_looks_as_a_single_create_shows_it(client: httpx.AsyncClient) -> None:
    asked = [{**example["value"], "name": f"b-{uuid.uuid4()}"} for example in CREATES.values()]
    asked += [plus(body=None), plus(body={"ä": [1.5, None]}, body_base64=None), plus(labels={"a": ""})]
    asked = [{name: value for name, value in one.items() if name != "body_base64" or value} for one in asked]
    results = await post(client, asked, 201)
    for one, result in zip(asked, results, strict=True):
        alone = {name: value for name, value in one.items() if name != "name"}
        single = (await client.post("/timers", json=alone)).json()
        SHOWN.validate_python(result, strict=False)
        varies = {"id", "name", "created_at", "due_at", "next_attempt_at", "time_left"}
        assert list(result) == list(single)
        assert {k: v for k, v in result.items() if k not in varies} == {
            k: v for k, v in single.items() if k not in varies
        }


@pytest.mark.parametrize("example", BATCHES)
async def test_the_examples_of_the_document_do_what_they_say(client: httpx.AsyncClient, example: str) -> None:
    response = await client.post("/timers/batch", json=BATCHES[example]["value"])
    assert response.status_code == {"some": 201, "mixed": 207}[example]


async def test_every_fault_of_a_single_create_is_told_of_its_timer(
    client: httpx.AsyncClient, count_timers: CountTimers
) -> None:
    """One batch with every bad document of the single create's tests, a good one behind each."""
    before = await count_timers()
    timers = [timer for document, _ in CASES for timer in (document, plus())]
    results = await post(client, timers, 207)
    for number, (document, field) in enumerate(CASES):
        assert is_error(results[2 * number], Kind.invalid_request, 2 * number), document
        assert field in fields_of(results[2 * number]), document
        SHOWN.validate_python(results[2 * number + 1], strict=False)
    assert await count_timers() == before + len(CASES)


@pytest.mark.parametrize(("document", "field"), CASES, ids=lambda value: repr(value)[:60])
async def test_a_fault_is_told_as_of_a_single_create(
    client: httpx.AsyncClient, document: dict[str, Any], field: str
) -> None:
    [result] = await post(client, [document], 207)
    assert field in fields_of(result)
    alone = (await client.post("/timers", content=json.dumps(document), headers=JSON)).json()
    assert {**result["error"], "index": 0} == {**alone, "instance": "/timers/batch", "index": 0}


async def test_when_all_are_refused_each_is_told_and_nothing_is_stored(
    client: httpx.AsyncClient, count_timers: CountTimers
) -> None:
    before = await count_timers()
    results = await post(client, [plus(seconds=-1, surprise=n) for n in range(2 * CHUNK_TIMERS)], 207)
    for index, result in enumerate(results):
        assert is_error(result, Kind.invalid_request, index)
        assert sorted(fields_of(result)) == ["seconds", "surprise"]
    assert await count_timers() == before


SURPRISES: list[tuple[bytes, str]] = [
    (b'"meta": 1, "meta": 2', "meta"),
    (b'"meta": {"a": {"b": 1, "b": 1}}', "meta.a.b"),
    (b'"labels": {"env": "a", "env": "b"}', "labels.env"),
    (b'"meta": 1e400', "meta"),
    (b'"body": [0, -1e999]', "body.1"),
    (b'"meta": 18446744073709551616', "meta"),
    (b'"meta": 9223372036854775808', "meta"),
    (b'"meta": ' + b"9" * 1000, "meta"),
    (b'"meta": "\\u0000"', "meta"),
    (b'"meta": "\\udbff"', "meta"),
    (b'"\\ud800": 1', ""),
    (b'"meta": {"x": ' + b"[" * 70 + b"]" * 70 + b"}", "meta"),
]


@pytest.mark.parametrize("count", [0, 3 * CHUNK_TIMERS], ids=["short", "long"])
@pytest.mark.parametrize(("fields", "field"), SURPRISES, ids=lambda value: repr(value)[:40])
async def test_json_that_readers_would_take_differently_is_refused_where_it_stands(
    client: httpx.AsyncClient, fields: bytes, field: str, count: int
) -> None:
    good = b'{"url": "https://example.com/", "seconds": 9}'
    bad = b'{"url": "https://example.com/", "seconds": 9, ' + fields + b"}"
    content = b'{"timers": [' + b", ".join([good] * count + [bad, good]) + b"]}"
    response = await client.post("/timers/batch", content=content, headers=JSON)
    assert response.status_code == 207
    results = response.json()["results"]
    assert [index for index, result in enumerate(results) if "error" in result] == [count]
    assert fields_of(results[count]) == [field]


async def test_text_that_looks_like_marks_is_text(client: httpx.AsyncClient) -> None:
    texts = [
        "},{",
        '"},{"url":',
        '{"timers":[',
        "a:b",
        ":",
        "]}",
        '"',
        "\\",
        "[[[[{{{{",
        "\u00e4\U0001f600",
        "]" * 90,
    ]
    timers = [plus(meta=[text, {text: [{"url": text}, {"url": text}]}]) for text in texts * 200]
    results = await post(client, timers, 201)
    assert [result["meta"] for result in results] == [timer["meta"] for timer in timers]


WHOLE: list[tuple[bytes, Kind, str, str | None]] = [
    (b"", Kind.malformed_json, "empty", None),
    (b'{"timers": [', Kind.malformed_json, "line 1", None),
    (b'{"timers": [{"seconds": 1},]}', Kind.malformed_json, "line 1", None),
    (b'{"timers": [{"seconds": 1} {"seconds": 1}]}', Kind.malformed_json, "line 1", None),
    (b'{"timers": [NaN]}', Kind.malformed_json, "NaN", None),
    (b'{"timers": ["\xff"]}', Kind.malformed_json, "UTF-8", None),
    (b'{"timers": []} x', Kind.malformed_json, "line 1", None),
    (b"[]", Kind.invalid_request, "object", ""),
    (b"null", Kind.invalid_request, "object", ""),
    (b"{}", Kind.invalid_request, "required", "timers"),
    (b'{"timers": []}', Kind.invalid_request, "empty", "timers"),
    (b'{"timers": null}', Kind.invalid_request, "list", "timers"),
    (b'{"timers": {}}', Kind.invalid_request, "list", "timers"),
    (b'{"timers": "x"}', Kind.invalid_request, "list", "timers"),
    (b'{"timers": 1e999}', Kind.invalid_request, "64 bits", "timers"),
    (b'{"timers": [], "timers": []}', Kind.invalid_request, "twice", "timers"),
    (b'{"timers": [{}], "surprise": 1}', Kind.invalid_request, "no such field", "surprise"),
    (b'{"Timers": [{}]}', Kind.invalid_request, "no such field", "Timers"),
    (b'{"\\ud800": [{}]}', Kind.invalid_request, "no such field", "?"),
    (b'{"timers": ' + b"[" * 100_000, Kind.invalid_request, "nested", ""),
    (b'{"url": "https://example.com/", "seconds": 1}', Kind.invalid_request, "no such field", "url"),
]


@pytest.mark.parametrize(("content", "kind", "words", "field"), WHOLE, ids=lambda value: repr(value)[:40])
async def test_a_body_that_is_wrong_as_a_whole_is_one_problem(
    client: httpx.AsyncClient, count_timers: CountTimers, content: bytes, kind: Kind, words: str, field: str | None
) -> None:
    before = await count_timers()
    response = await client.post("/timers/batch", content=content, headers=JSON)
    assert response.status_code == kind.status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert (problem["type"], problem["instance"]) == (kind.type, "/timers/batch")
    assert words in problem["detail"]
    if field is not None:
        assert field in [error["field"] for error in problem["errors"]]
    assert await count_timers() == before


async def test_a_long_body_that_breaks_off_stores_nothing(
    client: httpx.AsyncClient, count_timers: CountTimers
) -> None:
    before = await count_timers()
    whole = json.dumps({"timers": [plus(meta=number) for number in range(BATCH_MAX)]}).encode()
    without_a_comma = whole[::-1].replace(b"{ ,}", b"{ }", 1)[::-1]
    for content in (whole[:-1], whole[:-2], whole[:-30], without_a_comma):
        response = await client.post("/timers/batch", content=content, headers=JSON)
        assert (response.status_code, response.json()["type"]) == (400, Kind.malformed_json.type)
    assert await count_timers() == before


@pytest.mark.parametrize("value", [None, 17, "x", [], True, [plus()]])
async def test_what_is_no_object_is_refused_in_its_place(client: httpx.AsyncClient, value: object) -> None:
    results = await post(client, [plus(), value], 207)
    assert is_error(results[1], Kind.invalid_request, 1)
    assert fields_of(results[1]) == [""]


@pytest.mark.parametrize("headers", [{}, {"Content-Type": "text/plain"}, {**JSON, "Content-Encoding": "gzip"}])
async def test_only_plain_json_is_taken(client: httpx.AsyncClient, headers: dict[str, str]) -> None:
    response = await client.post("/timers/batch", content=json.dumps({"timers": [plus()]}), headers=headers)
    assert response.status_code == 415


async def test_a_body_over_16_mebibytes_is_413(client: httpx.AsyncClient, count_timers: CountTimers) -> None:
    before = await count_timers()
    fits = json.dumps({"timers": [plus(meta="a" * 900_000)] * 18}).encode()
    fits = fits.ljust(16_777_216)
    assert (await client.post("/timers/batch", content=fits, headers=JSON)).status_code == 201

    async def pieces() -> AsyncIterator[bytes]:
        for first in range(0, len(fits), 1_000_000):
            yield fits[first : first + 1_000_000]
        yield b" "

    for content in (fits + b" ", pieces()):
        response = await client.post("/timers/batch", content=content, headers=JSON)
        assert response.status_code == 413
        assert "16,777,216" in response.json()["detail"]
    assert await count_timers() == before + 18


async def test_one_timer_is_no_larger_than_a_single_create(client: httpx.AsyncClient) -> None:
    results = await post(client, [plus(meta="a" * 1_048_576), plus()], 207)
    assert is_error(results[0], Kind.body_too_large, 0)
    assert "id" in results[1]


async def test_a_name_twice_in_one_batch(client: httpx.AsyncClient, count_timers: CountTimers) -> None:
    """The first in the list has it, in one chunk and across them."""
    name, before = f"twice-{uuid.uuid4()}", await count_timers()
    filling = [plus(meta=number) for number in range(CHUNK_TIMERS)]
    first, same, other = plus(name=name, meta=1), plus(name=name, meta=1), plus(name=name, meta=2)
    results = await post(client, [other, same, *filling, other, same, *filling, first], 207)
    holder = results[0]["id"]
    for index in (1, CHUNK_TIMERS + 3, 2 * CHUNK_TIMERS + 4):
        assert is_error(results[index], Kind.name_taken, index)
        assert results[index]["error"]["holder"] == holder
        assert fields_of(results[index]) == ["name"]
    assert results[CHUNK_TIMERS + 2] == {**results[0], "time_left": results[CHUNK_TIMERS + 2]["time_left"]}
    assert await count_timers() == before + 1 + 2 * CHUNK_TIMERS


async def test_a_batch_with_names_can_be_sent_again_as_it_is(
    client: httpx.AsyncClient, count_timers: CountTimers
) -> None:
    tag = uuid.uuid4()
    timers = [{"url": plus()["url"], "delay": "2h", "name": f"{tag}-{n}"} for n in range(CHUNK_TIMERS + 100)]
    first = await post(client, timers, 201)
    before = await count_timers()
    again = await post(client, timers, 201)
    assert [timer["id"] for timer in again] == [timer["id"] for timer in first]
    assert [timer["due_at"] for timer in again] == [timer["due_at"] for timer in first]
    assert await count_timers() == before


async def test_names_are_shared_with_single_creates(client: httpx.AsyncClient) -> None:
    name = f"shared-{uuid.uuid4()}"
    asked = {"url": plus()["url"], "delay": "2h", "name": name}
    single = (await client.post("/timers", json=asked)).json()
    results = await post(client, [asked, {**asked, "delay": "3h"}], 207)
    assert results[0]["id"] == single["id"]
    assert results[1]["error"]["holder"] == single["id"]

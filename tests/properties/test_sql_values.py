"""What is put into SQL comes back from both engines as it was, and so does all that a client may ask for."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import orjson
import pymysql
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tests.profiles import look_at
from timer_api.errors import Problem
from timer_api.timers.creation import build, check
from timer_api.timers.target import TOKEN_PATTERN, VALUE_PATTERN
from timer_db.domain.backoff import DEFAULT_RETRY
from timer_db.domain.ids import new_ids
from timer_db.domain.queue_entry import HEAD_KEY, entry_of
from timer_db.domain.states import OnUnknown
from timer_db.domain.timer import Timer
from timer_db.engine import open_shards, parse_url
from timer_db.operations.claim import claim, load_whole
from timer_db.operations.membership import join
from timer_db.operations.schedule import schedule
from timer_db.shards import Shards
from timer_db.statements.literals import of_bytes, of_list, of_text, of_value

NOW_US = 1_800_000_000_000_000
# Ours, and those that change how literals are read.
SQL_MODES = (
    "STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION,ERROR_FOR_DIVISION_BY_ZERO",
    "",
    "ANSI_QUOTES,PIPES_AS_CONCAT,NO_BACKSLASH_ESCAPES",
)
NASTY = "'\"\\`%_;#\x00\x1a\x1e\x1f\x7f\n\r\u2028\U0001f600é--/**/"
TEXTS = st.text(max_size=30) | st.text(NASTY, max_size=30)


def lasting(count: int) -> settings:
    """One server serves all examples."""
    return settings(
        look_at(count), suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
    )


@pytest.fixture(params=SQL_MODES, ids=["ours", "none", "ansi"])
def cursor(database_url: str, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A connection in one of the modes."""
    parts = parse_url(database_url)
    connection = pymysql.connect(
        host=parts.host, port=parts.port or 3306, user=parts.username, password=str(parts.password or ""),
        database=parts.database, charset="utf8mb4",
    )  # fmt: skip
    with connection, connection.cursor() as opened:
        opened.execute("SET SESSION sql_mode = %s", (request.param,))
        yield opened


@lasting(100)
@given(
    st.lists(
        st.none() | st.integers(-(2**63), 2**63 - 1) | st.binary(max_size=40) | TEXTS, min_size=1, max_size=30
    )
)
def test_any_literal_comes_back(cursor: Any, values: list[str | int | bytes | None]) -> None:
    cursor.execute("SELECT " + ",".join(map(of_value, values)))
    got = list(cursor.fetchone())
    expected = [value.encode(errors="replace").decode() if isinstance(value, str) else value for value in values]
    assert got == expected


@lasting(60)
@given(st.lists(st.binary(max_size=20), min_size=1, max_size=20), st.binary(max_size=20), TEXTS)
def test_a_list_holds_what_was_put_into_it(cursor: Any, values: list[bytes], other: bytes, text: str) -> None:
    cursor.execute(
        f"SELECT {of_bytes(values[0])} IN ({of_list(values)}), {of_bytes(other)} IN ({of_list(values)}),"
        f" OCTET_LENGTH({of_text(text)})"
    )
    assert cursor.fetchone() == (1, int(other in values), len(text.encode(errors="replace")))


# Everything that a client may say about a timer

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
LABEL = st.from_regex(r"\A[A-Za-z0-9]([A-Za-z0-9_.-]{0,10}[A-Za-z0-9])?\Z")
DOCUMENTS = st.fixed_dictionaries(
    {
        "url": st.sampled_from(
            [
                "https://a.test",
                "http://a.test:8080/x?y=[1]|2",
                "https://[::1]/%20'();",
                "https://a.test/" + "x" * 2000,
            ]
        ),
        "seconds": st.integers(0, 100),
    },
    optional={
        "append_id": st.booleans(),
        "method": st.sampled_from(["POST", "GET", "M-SEARCH", "A!#$%&'*+.^_`|~0"]),
        "headers": st.dictionaries(
            st.from_regex(f"{TOKEN_PATTERN[:-1]}\\Z").filter(lambda name: len(name) < 30),
            st.from_regex(f"{VALUE_PATTERN[:-1]}\\Z") | st.just("x" * 4100),
            max_size=3,
        ),
        "body": JSON,
        "meta": JSON | st.text("é", min_size=2040, max_size=2060),
        "name": st.text(min_size=1, max_size=200),
        "labels": st.dictionaries(LABEL, LABEL | st.just(""), max_size=3),
        "priority": st.integers(0, 32_767),
        "retry": st.fixed_dictionaries(
            {},
            optional={
                "max_attempts": st.integers(1, 100),
                "initial_seconds": st.floats(0, 100),
                "factor": st.floats(1, 100),
                "max_seconds": st.floats(100, 2_592_000),
                "jitter": st.floats(0, 1),
            },
        ),
        "timeout_seconds": st.floats(0.1, 3600),
        "on_unknown": st.sampled_from([choice.value for choice in OnUnknown]),
    },
)
AS_BYTES = st.binary(max_size=30) | st.integers(4090, 4100).map(bytes)


def accepted(documents: list[dict[str, Any]]) -> list[Timer]:
    """Those that pass every check of the API, as it would store them."""
    built = []
    for document, timer_id in zip(documents, new_ids(NOW_US, 0, len(documents)), strict=True):
        try:
            built.append(build(check(json.loads(json.dumps(document))), timer_id, NOW_US))
        except Problem:
            continue
    for timer in built:
        if timer.name is not None:
            # Those of earlier examples are taken.
            timer.name = f"{next(_number)} {timer.name}"[:200].strip()
    return built


@pytest.fixture
def runner(database_url: str) -> Iterator[tuple[asyncio.Runner, Shards, int]]:
    """A loop, an empty database, and a controller on it."""
    with asyncio.Runner() as runner:
        shards = open_shards([database_url])
        yield runner, shards, runner.run(join(next(iter(shards)).engine, "host", 1, "test"))
        runner.run(shards.close())


_number = iter(range(1, 1_000_000))


@lasting(50)
@given(st.lists(DOCUMENTS, min_size=1, max_size=5), st.lists(AS_BYTES, max_size=2))
def test_a_claim_holds_what_was_asked_for(
    runner: tuple[asyncio.Runner, Shards, int], documents: list[dict[str, Any]], contents: list[bytes]
) -> None:
    for document, content in zip(documents, contents, strict=False):
        document.pop("body", None)
        document["body_base64"] = base64.b64encode(content).decode()
    timers = accepted(documents)
    assume(timers)
    runner[0].run(_round_trip(runner[1], runner[2], {timer.id: timer for timer in timers}))


async def _round_trip(shards: Shards, controller_id: int, timers: dict[UUID, Timer]) -> None:
    engine = next(iter(shards)).engine
    await schedule(shards, list(timers.values()))
    places = {timer_id: entry_of(timer_id, t.priority, t.due_at_us) for timer_id, t in timers.items()}
    taken = await claim(
        engine,
        controller_id,
        next(_number),
        ranks=sorted({entry.rank for entry in places.values()}),
        behind={},
        horizon_us=NOW_US + 200_000_000,
        limit=900,
    )
    assert taken.entries == sorted(places.values())
    assert HEAD_KEY not in {entry.due_key for entry in taken.entries}
    assert len(taken.claims) == len(timers)
    for claimed in taken.claims:
        timer = timers[claimed.timer.id]
        headers = json.loads(claimed.timer.headers_json or "{}")
        size = sum(len(part) for part in (timer.body or b"", _text(timer.headers), _text(timer.labels)))
        size += 0 if timer.meta is None else len(orjson.dumps(timer.meta))
        assert claimed.is_large == (size > 4096)
        if claimed.is_large:
            assert (claimed.timer.body, headers) == (None, {})
            claimed = await load_whole(engine, claimed)
        held = claimed.timer
        assert held.headers == timer.headers
        assert held.body == timer.body
        assert (orjson.loads(held.meta_json) if held.meta_json else None) == timer.meta
        assert (orjson.loads(held.labels_json) if held.labels_json else {}) == timer.labels
        assert held.retry == timer.retry
        assert (held.retry_json == "") == (timer.retry == DEFAULT_RETRY)
        same = ("url", "method", "body_is_json", "name", "priority", "append_id", "timeout_seconds", "on_unknown")
        assert [getattr(held, name) for name in same] == [getattr(timer, name) for name in same]
        assert (held.due_at_us, held.created_at_us, held.attempts) == (timer.due_at_us, timer.created_at_us, 0)
        assert claimed.entry == places[timer.id]


def _text(value: dict[str, str]) -> bytes:
    return orjson.dumps(value) if value else b""

"""Encryption at rest with real processes: what stands in the tables, what is called, and what a key that is
missing or a value that was changed does to a timer and to its neighbours."""

from __future__ import annotations

import asyncio
import base64
import os
import secrets
import sys
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx

from tests.db.scratch import run
from tests.history import schedule_many
from tests.system import Api, System, poll
from timer_db.domain.backoff import DEFAULT_RETRY, RetryPolicy
from timer_db.encryption import Keyring
from timer_db.engine import Pool, open_shards
from timer_db.models import metadata

K1, K2 = b"1" * 32, b"2" * 32
TWICE = RetryPolicy(max_attempts=2, initial_seconds=0.1, factor=1.0, max_seconds=1.0, jitter=0.0)


def written(**keys: bytes) -> str:
    return ",".join(f"{key_id}:{base64.b64encode(key).decode()}" for key_id, key in keys.items())


def rows_with(url: str, word: str) -> set[str]:
    """The tables in which it stands, in whatever column."""
    found = set()
    for table in metadata.tables:
        for row in run(url, f"SELECT * FROM {table}"):
            values = [value if isinstance(value, bytes) else str(value).encode() for value in row]
            if any(word.encode() in value for value in values):
                found.add(table)
    return found


async def files_with(folder: Path, word: str) -> set[str]:
    """The server's own files in which it stands: tables, redo log, binary log."""
    grep = await asyncio.create_subprocess_exec(
        "grep", "--recursive", "--files-with-matches", "--fixed-strings", word, str(folder),
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    said, _ = await grep.communicate()
    return {Path(line).name for line in said.decode().splitlines()}


async def test_content_is_nowhere_in_the_database_and_whole_in_the_call(system: System, database_url: str) -> None:
    """In the middle of a rotation: beside timers of the old key and of none, and a name of the old one."""
    word, label = f"hush{secrets.token_hex(8)}", f"seen{secrets.token_hex(8)}"
    url, old = f"{system.receiver.url}/hook", Keyring({"k1": K1})
    earlier = await _sealed(database_url, url, old, Keyring())
    named = {"delay": 3600, "url": url, "name": "earlier", "meta": "secret"}
    of_old = {"name": "earlier", "due_as_given": "delay=3600000000", "due_in_seconds": 3600}
    [holder] = await _sealed(database_url, url, old, retry=DEFAULT_RETRY, **of_old)
    api = await system.start_api(encryption_keys=written(k2=K2, k1=K1))
    await _assert_name_is_held(api, named, holder)

    kinds: list[dict[str, Any]] = [
        {"body": {"secret": word}, "headers": {"X-Secret": word}, "meta": [word], "name": "named"},
        {"meta": {"secret": word}},
        {"body_base64": base64.b64encode(word.encode()).decode()},
        {"body": word * 1000},
        {"labels": {"plain": label}},
    ]
    asked = [{"delay": 0, "url": url, **kind} for kind in kinds]
    made = [await api.create(**fields) for fields in asked]
    # So many that only the columns in which they differ are listed.
    alike = [{**asked[1], "meta": f"{word}-{number}"} for number in range(40)]
    many = (await api.client.post("/timers/batch", json={"timers": alike})).json()["results"]
    assert [await api.get(timer["id"]) for timer in made] == made
    listed = (await api.client.get("/timers", params={"limit": 1000})).json()["timers"]
    found = {timer["id"]: timer for timer in listed}
    assert [found[timer["id"]] for timer in made + many] == made + many
    await _assert_name_is_held(api, asked[0], made[0]["id"])
    assert rows_with(database_url, word) == set()
    assert run(database_url, "SELECT sealed_with, COUNT(*) FROM timers GROUP BY 1 ORDER BY 1") == [
        (None, 2),
        ("k1", 2),
        ("k2", 44),
    ]

    await system.start_controller(encryption_keys=written(k2=K2, k1=K1))
    await system.receiver.wait_for_ids(len(made + many + earlier))
    first, default, raw, large, bare = [system.receiver.by_id[timer["id"]][0] for timer in made]
    assert (first.body.decode(), first.headers["x-secret"]) == (f'{{"secret":"{word}"}}', word)
    assert default.body.decode().count(word) == 1
    assert raw.body.decode() == word
    assert large.body.decode() == f'"{word * 1000}"'
    assert b'"meta":null' in bare.body
    for number, timer in enumerate(many):
        assert f'"meta":"{word}-{number}"'.encode() in system.receiver.by_id[timer["id"]][0].body
    for timer_id in earlier:
        assert b'"meta":"secret"' in system.receiver.by_id[timer_id][0].body
    await api.wait_for_status_of(made[0]["id"], "delivered")
    assert rows_with(database_url, word) == set()
    assert await files_with(system.server.data_dir, word) == set()
    # What is not encrypted is found in these ways.
    assert rows_with(database_url, label) == {"timers"}
    assert await files_with(system.server.data_dir, label)


async def _assert_name_is_held(api: Api, fields: dict[str, Any], holder: str) -> None:
    """The same create again leads to the timer that has the name, another one to none."""
    again = await api.client.post("/timers", json=fields)
    assert (again.status_code, again.json()["id"]) == (httpx.codes.OK, holder)
    other = await api.client.post("/timers", json={**fields, "meta": "other"})
    assert other.status_code == httpx.codes.CONFLICT


async def _sealed(url: str, receiver_url: str, *keyrings: Keyring, **fields: Any) -> list[str]:
    """A timer for each keyring, sealed with it, all in one batch of a controller."""
    made: list[str] = []
    for keyring in keyrings:
        shards = open_shards([url], Pool(size=2), keyring)
        made += await schedule_many(shards, 1, receiver_url, **{"meta": "secret", "retry": TWICE, **fields})
        await shards.close()
    return made


async def _attempts(api: Api, timer_id: str) -> list[tuple[str, str]]:
    shown = (await api.client.get(f"/timers/{timer_id}/attempts")).json()["attempts"]
    return [(attempt["outcome"], attempt["reason"]) for attempt in shown]


def _is(timer_id: str) -> str:
    return f"id = x'{UUID(timer_id).hex}'"


async def test_what_cannot_be_opened_concerns_one_timer_and_no_other(system: System, database_url: str) -> None:
    """A key that is not there, a value that was changed, two that were swapped: beside timers that are well."""
    old, new, plain = Keyring({"k1": K1}), Keyring({"k2": K2, "k1": K1}), Keyring()
    url = system.receiver.url
    lost, kept, open_, changed, one, two = await _sealed(database_url, url, old, new, plain, new, new, new)
    [waiting] = await _sealed(database_url, url, old, due_in_seconds=3600)
    [(of_one,)] = run(database_url, f"SELECT HEX(body) FROM timers WHERE {_is(one)}")
    run(
        database_url,
        f"UPDATE timers o, timers t SET o.body = t.body WHERE o.{_is(one)} AND t.{_is(two)}",
        f"UPDATE timers SET body = x'{of_one}' WHERE {_is(two)}",
        f"UPDATE timers SET body = CONCAT(SUBSTR(body, 1, LENGTH(body) - 2), 'ab') WHERE {_is(changed)}",
    )
    api = await system.start_api(encryption_keys=written(k2=K2))
    controller = await system.start_controller(encryption_keys=written(k2=K2))
    for timer_id in (kept, open_):
        await api.wait_for_status_of(timer_id, "delivered")
    missing = "its content is encrypted with the key 'k1', which is not in TIMER_ENCRYPTION_KEYS"
    broken = "its encrypted content was changed, or is not what the key 'k2' sealed for this timer"
    for timer_id, reason in [(lost, missing), (changed, broken), (one, broken), (two, broken)]:
        await _until_failed(api, timer_id)
        assert await _attempts(api, timer_id) == [("not_sent", reason)] * TWICE.max_attempts
        answer = await api.client.get(f"/timers/{timer_id}")
        assert (answer.status_code, answer.json()["type"]) == (500, "urn:timer-system:problem:content-unreadable")
        assert answer.json()["detail"] == f"timer {timer_id} cannot be read: {reason}"
    assert set(system.receiver.counts()) == {kept, open_}
    # Once for the key, however many timers; beside it each timer has a line that says how it ended.
    named_once = "'k1', which is not in TIMER_ENCRYPTION_KEYS; other timers of this key will not be named"
    assert controller.log_text().count(named_once) == 1

    listed = {timer["id"]: timer for timer in (await api.client.get("/timers")).json()["timers"]}
    assert (listed[kept]["meta"], listed[open_]["meta"]) == ("secret", "secret")
    assert (listed[lost]["meta"], listed[lost]["unreadable"]) == (None, missing)
    cancelled = await api.client.delete(f"/timers/{waiting}")
    assert (cancelled.status_code, cancelled.json()["unreadable"]) == (httpx.codes.OK, missing)

    code, said = await _count_keys(database_url, written(k2=K2))
    assert code == 1
    assert said == [
        "database 0: 2 timers encrypted with the key k1, which is not in TIMER_ENCRYPTION_KEYS",
        "database 0: 4 timers encrypted with the key k2",
        "database 0: 1 timers not encrypted, 0 without headers, body and meta",
    ]


async def _until_failed(api: Api, timer_id: str) -> None:
    """By the list: the timer by itself is answered with a problem."""

    async def look() -> bool:
        answer = await api.client.get("/timers", params={"status": "failed"})
        return timer_id in [timer["id"] for timer in answer.json()["timers"]]

    await poll(look, 30, f"timer {timer_id} to fail")


async def _count_keys(url: str, keys: str) -> tuple[int | None, list[str]]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "timer_db", "encryption",
        env={**os.environ, "TIMER_DB_URL": url, "TIMER_ENCRYPTION_KEYS": keys}, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    said, _ = await process.communicate()
    return process.returncode, said.decode().splitlines()

"""Keys and processes: two APIs that agree, the command line, and that no key is ever logged."""

from __future__ import annotations

import hashlib
import os
import sys
from asyncio import create_subprocess_exec
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio

from tests.system import Api, System, poll
from timer_db import key_commands
from timer_db.__main__ import _parser
from timer_db.engine import open_shards
from timer_db.shards import Shards

from .keyed import BOOTSTRAP, CREATE, bearing, made, table
from .processes import ended

REVOKED_EVERYWHERE_SECONDS = 2


@pytest.fixture
def url(keys_url: str) -> str:
    """A database that never saw a key."""
    with table(keys_url) as cursor:
        cursor.execute("DELETE FROM api_keys")
    return keys_url


@pytest_asyncio.fixture
async def shards_of_keys(url: str) -> AsyncIterator[Shards]:
    """That database, for the command line."""
    opened = open_shards([url])
    yield opened
    await opened.close()


async def until(api: Api, key: str | None, status: int) -> None:
    headers = bearing(key) if key else {}

    async def look() -> bool:
        return (await api.client.get("/timers?limit=1", headers=headers)).status_code == status

    await poll(look, REVOKED_EVERYWHERE_SECONDS, f"{api.url} to answer {status}")


def forms_of(key: str) -> list[str]:
    """Everything that would give a key away."""
    digest = hashlib.sha256(key.encode())
    return [
        key,
        key[12:],
        key.swapcase(),
        digest.hexdigest(),
        digest.hexdigest().upper(),
        repr(digest.digest())[2:-1],
    ]


async def test_a_key_holds_everywhere_and_so_does_its_revocation_and_neither_logs_it(
    system: System, url: str
) -> None:
    options = {"db_url": url, "api_keys": BOOTSTRAP, "log_level": "DEBUG", "api_access_log": True}
    first, second = await system.start_api(**options), await system.start_api(**options)
    shown = await made(first.client, "timers:read", "timers:write", rate_per_second=1000)
    key, headers = shown["key"], bearing(shown["key"])
    await until(second, key, 200)
    said: list[httpx.Response] = []
    wrong = [f"{key[:-1]}{'A' if key[-1] != 'A' else 'B'}", "tk_00000000_" + "W" * 43, f"{BOOTSTRAP}x"]
    for api in (first, second):
        created = await api.client.post("/timers", json=CREATE, headers=headers)
        assert created.status_code == 201
        path = created.headers["location"]
        said += [created]
        for method, place, document in (
            ("GET", path, None), ("DELETE", path, None), ("DELETE", path, None), ("GET", "/timers/x", None),
            ("POST", "/timers", {"delay": -1}), ("POST", "/timers/batch", {"timers": [CREATE, {}]}),
            ("GET", "/api-keys", None), ("POST", "/api-keys", {"name": ""}), ("PUT", "/nowhere", None),
        ):  # fmt: skip
            for each in (key, BOOTSTRAP, *wrong):
                said.append(await api.client.request(method, place, json=document, headers=bearing(each)))
        for value in (key, f"Basic {key}", f"Bearer {key} {key}", f"Bearer {key}\xff"):
            said.append(await api.client.get("/timers", headers={"Authorization": value.encode("latin-1")}))
    answer = await first.client.delete(f"/api-keys/{shown['id']}", headers=bearing(BOOTSTRAP))
    assert answer.status_code == 204
    assert (await first.client.get("/timers", headers=headers)).status_code == 401
    await until(second, key, 401)
    said.append(await second.client.post("/timers", json=CREATE, headers=headers))
    assert {answer.status_code for answer in said} == {200, 201, 207, 401, 403, 404, 409, 422}
    for api in (first, second):
        assert await api.service.terminate() == 0
        log = api.service.log_text()
        assert '"POST /timers HTTP/1.1" 201' in log
        assert '"POST /timers HTTP/1.1" 401' in log
        for secret in [form for each in (key, BOOTSTRAP, *wrong) for form in forms_of(each)]:
            assert secret not in log
            assert all(secret not in answer.text and secret not in str(answer.headers) for answer in said)


async def test_a_key_that_can_be_none_ends_the_start_without_being_shown(system: System) -> None:
    service = await system.start("timer_api", {"API_PORT": 0, "API_KEYS": f"{BOOTSTRAP},too-short-s3cret"})
    assert await ended(service) == 2
    [line] = service.log_text().splitlines()
    assert line.startswith("setting TIMER_API_KEYS: ")
    assert BOOTSTRAP not in line
    assert "s3cret" not in line


async def test_a_first_key_can_be_made_without_the_api_which_says_that_it_is_open(
    system: System, url: str, shards_of_keys: Shards, capsys: pytest.CaptureFixture[str]
) -> None:
    api = await system.start_api(db_url=url)
    assert (await api.client.get("/timers")).status_code == 200
    process = await create_subprocess_exec(
        sys.executable, "-m", "timer_db", "keys", "create", "--name", "ops", "--scope", "timers:read",
        "--scope", "timers:write", "--collection", "default", "--rate-per-second", "500", "--burst", "900",
        env={**os.environ, "TIMER_DB_URL": url}, stdout=PIPE, stderr=PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    assert process.returncode == 0
    key = out.decode().removesuffix("\n")
    assert key not in err.decode()
    await until(api, None, 401)
    assert (await api.client.get("/timers", headers=bearing(key))).status_code == 200

    assert await keys(shards_of_keys, "list") == 0
    assert await keys(shards_of_keys, "revoke", key[3:11]) == 0
    await until(api, key, 401)
    assert await keys(shards_of_keys, "list") == 0
    listed, revoked, again = capsys.readouterr().out.splitlines()
    assert listed.startswith(f"{key[3:11]}\tops\ttimers:read, timers:write\tdefault\t500/s, 900 at once\tmade 20")
    assert listed.endswith("\tnever used\tvalid")
    assert revoked == f"key {key[3:11]} is revoked; each API knows within two seconds"
    assert "\trevoked 20" in again

    await api.service.terminate()
    lines = api.service.log_text().splitlines()
    assert len([line for line in lines if "WARNING" in line and "no API key is set" in line]) == 1
    assert len([line for line in lines if "from now on every call needs one" in line]) == 1
    assert key[12:] not in "\n".join([*lines, listed, revoked, again])


async def keys(shards: Shards, *arguments: str) -> int:
    """`python -m timer_db keys …`, in this process."""
    try:
        options = _parser().parse_args(["keys", *arguments])
    except SystemExit as end:
        return int(end.code or 0)
    return await key_commands.run(options, shards)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["create", "--name", " a", "--scope", "admin"], 2, "name: it must not begin or end with a space"),
        (["create", "--name", "\udcff", "--scope", "admin"], 2, "name: it must hold printable characters only"),
        (
            ["create", "--name", "a", "--scope", "admin", "--burst", "1"],
            2,
            "burst: it goes with rate_per_second",
        ),
        (
            ["create", "--name", "a", "--scope", "admin", "--collection", "b"],
            2,
            "collections: a key with",
        ),
        (
            ["create", "--name", "a", "--scope", "timers:read", "--rate-per-second", "0"],
            2,
            "rate_per_second: it",
        ),
        (["create", "--name", "a", "--scope", "root"], 2, "choose from"),
        (["create", "--name", "a"], 2, "--scope"),
        (["revoke", "00000000"], 1, "no API key has the id 00000000"),
        (["revoke", "tk_0b7e8f6c_" + "s" * 43], 2, "it must be the 8 characters behind tk_"),
    ],
)
async def test_the_command_says_what_is_wrong(
    url: str,
    shards_of_keys: Shards,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    words: str,
) -> None:
    assert await keys(shards_of_keys, *arguments) == code
    said = capsys.readouterr()
    assert words in said.err
    assert said.out == ""
    assert "s" * 43 not in said.err
    with table(url) as cursor:
        cursor.execute("SELECT id FROM api_keys")
        assert cursor.fetchall() == ()

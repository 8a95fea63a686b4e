"""Secrets are nowhere in what the services write and answer, whatever goes wrong: real processes, their output
searched."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import secrets
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.db.scratch import run, scratch_database
from tests.receiver import OK, Arrival
from tests.system import Service, System, poll
from timer_db.embedded import EmbeddedServer
from timer_db.engine import Pool, open_engine, parse_url
from timer_db.migrate import upgrade


@pytest.fixture
def own_url(server: EmbeddedServer) -> Iterator[str]:
    """A database whose tables may be broken."""
    with scratch_database(server.url) as url:
        yield url


@pytest_asyncio.fixture
async def own_system(server: EmbeddedServer, own_url: str) -> AsyncIterator[System]:
    engine = open_engine(parse_url(own_url), Pool(size=1))
    await upgrade(engine)
    await engine.dispose()
    async with System(server, own_url) as made:
        yield made


@pytest.mark.parametrize("log_format", ["text", "json"])
async def test_no_secret_is_written_or_answered_whatever_goes_wrong(
    own_system: System, own_url: str, tmp_path: Path, log_format: str
) -> None:
    """Every secret as a file, everything logged; a call that breaks off, a statement that the server refuses with
    the value in its words, connections that are cut."""
    token = f"hush{secrets.token_hex(12)}"
    key, signing = (base64.b64encode(secrets.token_bytes(32)).decode() for _ in range(2))
    password = str(parse_url(own_url).password)
    given = {"db_url": own_url, "encryption_keys": f"k1:{key}", "signing_secrets": f"whsec_{signing}"}
    for name, text in given.items():
        (tmp_path / name).write_text(f"{text}\n")
    files = {f"{name}_file": tmp_path / name for name in given}
    common = {"db_url": "", "log_level": "DEBUG", "log_format": log_format, **files}
    api = await own_system.start_api(**common, api_access_log=True)
    controller = await own_system.start_controller(**common)
    fields = {"headers": {"Authorization": f"Bearer {token}"}, "body": {"a": token}, "meta": token}

    def answer(arrival: Arrival) -> bytes:
        return (
            OK if arrival.headers["timer-attempt"] == "2" else b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"
        )

    own_system.receiver.answer = answer
    policy = {"initial_seconds": 0, "max_attempts": 2}
    made = await api.create(delay=0, url=own_system.receiver.url, timeout_seconds=0.3, retry=policy, **fields)
    await api.wait_for_status_of(made["id"], "delivered")
    [_, last] = own_system.receiver.by_id[made["id"]]
    assert last.headers["authorization"] == f"Bearer {token}"
    assert "webhook-signature" in last.headers

    shown = [(await api.client.get(f"/timers/{made['id']}/attempts")).text]
    run(own_url, "ALTER TABLE timers MODIFY name INT")
    named = {"delay": 60, "url": "http://a.test", "name": token, **fields}
    for path, asked in [
        ("/timers", named),
        ("/timers/batch", {"timers": [named, {**named, "name": f"{token}-2"}]}),
    ]:
        refused = await api.client.post(path, json=asked)
        assert "internal-error" in refused.text
        shown.append(refused.text)
    _cut_connections(own_url)
    await api.wait_until(200)
    await _until_it_is_said(controller, "the database is back")

    written = api.service.log_text() + controller.log_text()
    assert "value: '…'" in written, "the server was to refuse a value, and the API to log that"
    if log_format == "json":
        assert all("event" in json.loads(line) for line in written.splitlines())
    for secret in (token, token.encode().hex(), key, signing, password):
        assert secret not in written
        assert not any(secret in text for text in shown)


def _cut_connections(url: str) -> None:
    name = parse_url(url).database
    others = f"SELECT ID FROM information_schema.PROCESSLIST WHERE DB = '{name}' AND ID <> CONNECTION_ID()"
    for (number,) in run(url, others):
        run(url, f"KILL {number}")


async def _until_it_is_said(service: Service, words: str) -> None:
    async def look() -> bool:
        return words in service.log_text()

    await poll(look, 30, f"{service.module} to say {words!r}")


async def test_a_service_with_wrong_secrets_ends_and_names_them_only() -> None:
    """All faults at once, each in a line; the values in none."""
    wrong = {
        "TIMER_DB_URL": "mysql://timer:hush@db/timer?hush=1",
        "TIMER_SIGNING_SECRETS": "hush",
        "TIMER_ENCRYPTION_KEYS": "hush",
        "TIMER_EGRESS_PROXY": "http://user:hush@proxy:8080",
        "TIMER_EGRESS_PROXY_FILE": "/dev/null",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "timer_controller", env={**os.environ, **wrong}, stderr=asyncio.subprocess.PIPE
    )  # fmt: skip
    _, said = await process.communicate()
    assert process.returncode == 2
    lines = said.decode().splitlines()
    assert {line.split(":")[0] for line in lines} == {f"setting {name.removesuffix('_FILE')}" for name in wrong}
    assert "hush" not in said.decode()

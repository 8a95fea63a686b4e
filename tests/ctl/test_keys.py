"""timerctl key: a database of its own, since nobody gets in without a key once there is one."""

from __future__ import annotations

import json

import pytest

from tests.conftest import upgrade_at
from tests.db.scratch import scratch_database
from tests.system import Services, free_port
from timer_db.embedded import EmbeddedServer

from .conftest import Run

pytestmark = pytest.mark.asyncio(loop_scope="package")

OWN_KEY = "own-" + "k" * 32


async def test_keys_are_made_used_and_revoked(ctl: Run, server: EmbeddedServer) -> None:
    with scratch_database(server.url) as url:
        await upgrade_at(url)
        port = free_port()
        async with Services(server, url) as services:
            api = await services.start("timer_api", {"API_PORT": port, "API_KEYS": OWN_KEY}, port)
            await api.wait_until(200)
            admin = {"TIMER_URL": api.url, "TIMER_API_KEY": OWN_KEY}
            await make_use_and_revoke(ctl, admin)


async def make_use_and_revoke(ctl: Run, admin: dict[str, str]) -> None:
    made = await ctl(
        "key", "create", "reports", "--scope", "timers:read", "--collection", "default", "-o", "json", **admin
    )
    assert made.code == 0, made.err
    key = json.loads(made.out)
    assert (key["scopes"], key["collections"]) == (["timers:read"], ["default"])
    reader = {**admin, "TIMER_API_KEY": key["key"]}
    assert (await ctl("timer", "list", **reader)).code == 0
    new = ("timer", "create", "--set", "delay=1h", "--set", "url=https://example.com")
    assert (await ctl(*new, **reader)).code == 5
    assert (await ctl("key", "create", "mine", "--scope", "admin", **reader)).code == 5
    listed = await ctl("keys", "list", **admin)
    assert key["key"] not in listed.out
    assert key["id"] in listed.out
    assert (await ctl("key", "revoke", key["id"], **admin)).out == f"revoked {key['id']}\n"
    assert (await ctl("key", "revoke", "no-such-key", **admin)).code in {3, 7}
    assert (await ctl("key", "create", "wrong", "--scope", "everything", **admin)).code == 7
    [revoked] = json.loads((await ctl("key", "list", "-o", "json", **admin)).out)
    assert revoked["revoked_at"] is not None

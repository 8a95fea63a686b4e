"""Replaying all that a filter finds: what was done is said, also where it was cut short, or too much at once."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
import pytest_asyncio

from tests.api.conftest import ready
from tests.api.keyed import BOOTSTRAP, bearing, make_key
from tests.db.scratch import scratch_database
from tests.plans.conftest import upgraded
from tests.receiver import Arrival
from tests.system import System
from timer_api.console.pages import ended
from timer_api.settings import ApiSettings
from timer_db.embedded import EmbeddedServer

pytestmark = pytest.mark.asyncio(loop_scope="package")

FROM_HERE = {"sec-fetch-site": "same-origin"}
PLACE = "/console/ended?status=failed"


class _Clock:
    """Goes on when the test says so."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def url(server: EmbeddedServer) -> Iterator[str]:
    """A database without tables."""
    with scratch_database(server.url) as found:
        yield found


@pytest_asyncio.fixture(loop_scope="package")
async def failed_url(server: EmbeddedServer, url: str) -> AsyncIterator[str]:
    """A database in which eight timers have failed, and nobody is at work."""
    await upgraded(url)
    async with System(server, url) as system:
        system.receiver.answer = _gone
        api = await system.start_api(API_KEYS=BOOTSTRAP)
        api.client.headers.update(bearing(BOOTSTRAP))
        controller = await system.start_controller()
        for timer_id in await api.create_many(8, seconds=0, url=system.receiver.url):
            await api.wait_for_status_of(timer_id, "failed")
        await controller.terminate()
        yield url


def _gone(_: Arrival) -> bytes:
    return b"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n"


def _fields(page: str, form: str) -> dict[str, str]:
    """What a form of the page sends besides its button."""
    [inside] = re.findall(rf'<form[^>]*id="{form}".*?</form>', page, re.DOTALL)
    return dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', inside))


async def _press(client: httpx.AsyncClient, page: str, form: str) -> httpx.Response:
    return await client.post(
        "/console/ended", data={**_fields(page, form), "all": "yes"}, headers=FROM_HERE, follow_redirects=True
    )


async def _log_in(client: httpx.AsyncClient, key: str) -> None:
    answer = await client.post("/console/login", data={"key": key}, headers=FROM_HERE)
    assert answer.status_code == 303


async def test_what_is_too_much_for_one_press_is_said_and_goes_on(
    failed_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ended, "_CALL_TIMERS", 2)
    monkeypatch.setattr(ended, "_CALLS_MAX", 3)
    async with ready(ApiSettings(db_url=failed_url, api_keys=BOOTSTRAP)) as (_, client):
        await _log_in(client, BOOTSTRAP)
        first = await _press(client, (await client.get(PLACE)).text, "list")
        assert "Replayed.\n6 changed." in first.text
        assert "More are left" in first.text
        second = await _press(client, first.text, "rest")
        assert "Replayed.\n2 changed." in second.text
        assert "More are left" not in second.text


async def test_what_was_done_is_said_beside_why_it_was_cut_short(
    failed_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the rate of the key."""
    monkeypatch.setattr(ended, "_CALL_TIMERS", 2)
    clock = _Clock()
    async with ready(ApiSettings(db_url=failed_url, api_keys=BOOTSTRAP), clock) as (app, client):
        key = await make_key(client, "timers:read", "timers:write", rate_per_second=1, burst=4)
        await app.service.gate.refresh()
        await _log_in(client, key)
        first = await _press(client, (await client.get(PLACE)).text, "list")
        assert first.status_code == 429
        assert "The API key is used too often" in first.text
        assert "Replayed, and then cut short. 6 changed." in first.text
        assert "More are left" in first.text
        clock.now += 60
        second = await _press(client, first.text, "rest")
        assert second.status_code == 200
        assert "Replayed.\n2 changed." in second.text
        assert "More are left" not in second.text

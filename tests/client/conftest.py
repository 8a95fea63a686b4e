"""The clients against a server with a script, and against the services; one engine is enough for both."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.client.both import AT_ONCE, KINDS, got
from tests.client.scripted import Scripted, scripted_server
from tests.conftest import empty
from tests.one_engine import keep_one_engine
from tests.system import System
from timer_client import AsyncClient, Client
from timer_db.embedded import EmbeddedServer

SECRET = "whsec_bmV2ZXIgdXNlIHRoaXMgb25lOiBtYWtlIHlvdXIgb3du"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    keep_one_engine(config, items, Path(__file__).parent)


@pytest.fixture(autouse=True)
def no_settings_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy between the client and this machine, and no key or URL of whoever runs the tests."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for name in ("TIMER_URL", "TIMER_API_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def scripted() -> Iterator[Scripted]:
    """A server that answers what the test says."""
    with scripted_server() as running:
        yield running


@pytest_asyncio.fixture(params=KINDS, ids=["sync", "async"])
async def client(request: pytest.FixtureRequest, scripted: Scripted) -> AsyncIterator[Any]:
    """Each of the clients, for the server with a script. Waits between tries are left out."""
    made: Client | AsyncClient = request.param(scripted.url, retries=AT_ONCE)
    yield made
    await got(made.close())


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def system(server: EmbeddedServer) -> AsyncIterator[System]:
    """An API, a controller and a receiver at work for the whole folder. The database fills up."""
    # Whoever had this server before may have left a key, and then every call needs one.
    empty(server.url)
    async with System(server, server.url) as made:
        await made.start_api()
        await made.start_controller(poll_seconds=0.1, signing_secrets=SECRET)
        yield made


@pytest_asyncio.fixture(params=KINDS, ids=["sync", "async"], loop_scope="package")
async def real(request: pytest.FixtureRequest, system: System) -> AsyncIterator[Any]:
    """Each of the clients, for the services."""
    made: Client | AsyncClient = request.param(system.apis[0].url)
    yield made
    await got(made.close())

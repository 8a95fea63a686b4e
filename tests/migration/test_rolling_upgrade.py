"""Services of the version before and of this one at work on one database, while it is brought up to date.

`previous/services.tar.xz` holds the code of the last release, so that a clone without history has it too. It is
renewed after each release: git archive TAG timer_db timer_api timer_controller | xz -9e > …/services.tar.xz
"""

from __future__ import annotations

import asyncio
import signal
import sys
import tarfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from tests.history import wait_for_states
from tests.migration.durations import upgrade_to
from tests.receiver import OK
from tests.system import Api, System
from timer_db import migrate, schema
from timer_db.domain.errors import DatabaseError
from timer_db.domain.states import TimerState
from timer_db.embedded import EmbeddedServer
from timer_db.engine import Engine, Pool, open_shards
from timer_db.operations.recount import recount
from timer_db.shards import Shards

ARCHIVE = Path(__file__).parent / "previous/services.tar.xz"
QUICK = {"lease_seconds": 1, "poll_seconds": 0.1}


@pytest.fixture(scope="module")
def previous(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment in which Python finds the version before instead of this one."""
    folder = tmp_path_factory.mktemp("previous")
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    return {"PYTHONPATH": str(folder), "PYTHONSAFEPATH": "1"}


@pytest_asyncio.fixture
async def site(server: EmbeddedServer, bare_url: str) -> AsyncIterator[System]:
    """Processes on a database without tables."""
    async with System(server, bare_url) as made:
        yield made


@pytest_asyncio.fixture
async def shards(bare_url: str) -> AsyncIterator[Shards]:
    """That database."""
    opened = open_shards([bare_url], Pool(size=4))
    yield opened
    await opened.close()


async def test_both_versions_work_side_by_side(
    site: System, shards: Shards, bare: Engine, bare_url: str, previous: dict[str, str]
) -> None:
    url, receiver = site.receiver.url, site.receiver
    with _environment({**previous, "TIMER_DB_URL": bare_url}):
        before = await _upgrade_by_command()
        old_api, first, second = await asyncio.gather(
            site.start_api(), site.start_controller(**QUICK), site.start_controller(**QUICK)
        )
    ids = await old_api.create_many(20, url=url, seconds=0)
    await receiver.wait_for_ids(len(ids))
    later = await old_api.create_many(20, url=url, hours=24)

    result, during = await asyncio.gather(migrate.upgrade(bare), old_api.create_many(200, url=url, seconds=0))
    assert result == (before, schema.wanted_version())
    ids += during

    # Made by the new API, called by the old controllers.
    api = await site.start_api()
    ids += await api.create_many(50, url=url, seconds=0)
    await receiver.wait_for_ids(len(ids))
    await wait_for_states(shards, {TimerState.delivered: len(ids), TimerState.scheduled: len(later)})
    assert (await old_api.get(ids[-1]))["status"] == (await api.get(ids[0]))["status"] == "delivered"
    assert max(receiver.counts().values()) == 1

    # The same key at both, whoever has it first.
    for keyed, (one, other) in {"old-first": (old_api, api), "new-first": (api, old_api)}.items():
        document, key = {"url": url, "hours": 24, "meta": keyed}, {"Idempotency-Key": keyed}
        made, again = [await each.client.post("/timers", json=document, headers=key) for each in (one, other)]
        assert (made.status_code, again.status_code) == (201, 201), again.text
        assert again.content == made.content
        later.append(made.json()["id"])

    # What a controller of one version held when it was killed is taken over by one of the other. The second old
    # one sleeps meanwhile, and joins again when it wakes up.
    second.send(signal.SIGSTOP)
    ids += (held := await _in_flight(site, api))
    third = await site.start_controller(**QUICK)
    await first.kill()
    await _taken_over(site, held)

    # Made by the old API, called by the new controller, which alone is awake.
    ids += await old_api.create_many(50, url=url, seconds=0)
    await receiver.wait_for_ids(len(ids))

    ids += (held := await _in_flight(site, api))
    second.send(signal.SIGCONT)
    await third.kill()
    await _taken_over(site, held)
    await wait_for_states(shards, {TimerState.delivered: len(ids), TimerState.scheduled: len(later)})
    assert set(receiver.by_id) == set(ids)
    assert await second.terminate() == 0
    await recount(bare)
    assert await recount(bare) == {}
    counts = (await api.client.get("/collections/default")).json()["counts"]
    assert (counts["delivered"], counts["scheduled"]) == (len(ids), len(later))


@contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    """What programs that are started meanwhile find."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        yield


async def _upgrade_by_command() -> str:
    """`python -m timer_db upgrade`; gives the schema that it made."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "timer_db", "upgrade", stdout=asyncio.subprocess.PIPE
    )
    said, _ = await process.communicate()
    assert process.returncode == 0
    return said.decode().split()[-1]


async def _in_flight(site: System, api: Api) -> list[str]:
    """Timers whose calls have arrived, and are not answered."""
    site.receiver.answer = lambda _: asyncio.get_running_loop().create_future()
    ids = await api.create_many(10, url=site.receiver.url, seconds=0)
    await site.receiver.wait_for(lambda: set(ids) <= site.receiver.by_id.keys())
    site.receiver.answer = lambda _: OK
    return ids


async def _taken_over(site: System, ids: list[str]) -> None:
    """Until each was called again, and said so."""
    calls = site.receiver.by_id
    await site.receiver.wait_for(lambda: all(len(calls[timer_id]) == 2 for timer_id in ids), 20)
    for timer_id in ids:
        assert calls[timer_id][1].headers["timer-possible-duplicate"] == "true"


async def test_a_table_in_use_ends_the_upgrade_soon_and_leaves_it_to_be_tried_again(
    bare: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else every create and every claim would wait behind it for as long as a backup takes."""
    monkeypatch.setattr(migrate, "_TABLE_WAIT_SECONDS", 1)
    await upgrade_to(bare, "0003")
    async with bare.connect() as backup:
        for table in ("timers", "claim_batches", "due_queue", "attempts"):
            await backup.exec_driver_sql(f"SELECT 1 FROM {table}")
        with pytest.raises(DatabaseError, match="a table was in use for 1 s"):
            await migrate.upgrade(bare)
    done, after = await migrate.upgrade(bare)
    # What was done before it met the table in use stays done.
    assert (done, after) == ("0004", schema.wanted_version())

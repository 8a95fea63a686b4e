"""The start-up probe: a server that would lose timers is named, one that would call them twice is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pymysql
import pytest
from tenacity import stop_after_attempt

from tests.db import wire
from tests.db.desk import Desk
from tests.db.scratch import scratch_database
from timer_db import schema, transactions
from timer_db.domain.errors import DatabaseUnavailable, DatabaseUnfit
from timer_db.embedded import EmbeddedServer, EngineKind
from timer_db.engine import Pool, open_engine, parse_url
from timer_db.operations import doctor, probe
from timer_db.shards import Shard


async def test_a_fit_server_gives_no_warning(desk: Desk) -> None:
    assert await probe.check(desk.engine) == []
    assert await desk.count("lock_probes") == 0


def _lie(monkeypatch: pytest.MonkeyPatch, change: Callable[[str], str]) -> None:
    """A server that understands claims in its own way."""
    wire.rewrite(monkeypatch, lambda sql: change(sql) if "lock_probes" in sql else sql)


@pytest.mark.parametrize(
    ("lie", "fault"),
    [
        (lambda sql: sql.replace(" FOR UPDATE SKIP LOCKED", ""), "hands a locked row out twice"),
        (lambda sql: sql.replace(" SKIP LOCKED", ""), "waits for locked rows"),
        (lambda sql: sql.replace("SKIP LOCKED", "SKIP_LOCKED"), "it refuses SELECT"),
        (lambda sql: sql.replace(" LIMIT 1", " LIMIT 2"), "locks more rows than it returns"),
    ],
    ids=["takes no lock", "waits", "does not know it", "locks too much"],
)
async def test_a_server_that_cannot_skip_locked_rows_is_refused(
    desk: Desk, lie: Callable[[str], str], fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A second of waiting is enough to tell; a deadlock, which may be tried again, is not at stake here.
    monkeypatch.setattr(transactions, "stop_after_attempt", lambda _: stop_after_attempt(1))
    if "LIMIT 2" in lie(" LIMIT 1"):
        # The probe asks for one value, and such a server gives one: only its locks are too many.
        _lie_about_locks_only(monkeypatch)
    else:
        _lie(monkeypatch, lie)
    with pytest.raises(DatabaseUnfit, match=fault):
        await probe.check(desk.engine)
    assert await desk.count("lock_probes") == 0, "it cleans up after itself"


def _lie_about_locks_only(monkeypatch: pytest.MonkeyPatch) -> None:
    def lock_all(sql: str) -> str:
        takes = "lock_probes" in sql and "SKIP LOCKED" in sql
        return sql.replace(" LIMIT 1", "") + "\n" + sql if takes else sql

    wire.rewrite(monkeypatch, lock_all)


async def test_the_doctor_reports_what_the_probe_refuses(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    _lie(monkeypatch, lambda sql: sql.replace(" FOR UPDATE SKIP LOCKED", ""))
    report = await doctor.examine(desk.shards.home)
    assert report.faults == ["SELECT … FOR UPDATE SKIP LOCKED hands a locked row out twice"]
    assert report.schema_version == schema.wanted_version()


@contextmanager
def _global(server: EmbeddedServer, name: str, value: int) -> Iterator[None]:
    """Another setting of the whole server, for a while."""
    url = parse_url(server.url)
    root = pymysql.connect(
        unix_socket=str(server.socket), user="root", password=str(url.password), autocommit=True
    )
    with root, root.cursor() as cursor:
        cursor.execute(f"SELECT @@GLOBAL.{name}")
        (before,) = cursor.fetchone()
        cursor.execute(f"SET GLOBAL {name} = {value}")
        try:
            yield
        finally:
            cursor.execute(f"SET GLOBAL {name} = {before}")


@pytest.mark.parametrize(
    ("name", "value", "advice"),
    [
        ("innodb_flush_log_at_trx_commit", 2, "a power cut loses timers that were answered 201. Set it to 1"),
        ("innodb_flush_log_at_trx_commit", 0, "a power cut loses timers that were answered 201. Set it to 1"),
        ("sync_binlog", 0, "Set it to 1"),
        ("max_allowed_packet", 1024 * 1024, "set it to at least"),
    ],
)
async def test_a_setting_that_endangers_timers_is_warned_about(
    server: EmbeddedServer, desk: Desk, name: str, value: int, advice: str
) -> None:
    with _global(server, name, value):
        [warning] = await probe.check(desk.engine)
        report = await doctor.examine(desk.shards.home)
    assert warning.startswith(f"{name} is {value}")
    assert advice in warning
    assert report.faults == [warning]
    assert report.version[0].isdigit()


async def test_mysql_without_log_writer_threads_is_warned_about(server: EmbeddedServer, desk: Desk) -> None:
    if server.engine.kind is EngineKind.mariadb:
        pytest.skip("MariaDB has no such threads")
    with _global(server, "innodb_log_writer_threads", 0):
        [warning] = await probe.check(desk.engine)
    assert warning.startswith("innodb_log_writer_threads is OFF")
    assert "Set it to ON" in warning
    assert await probe.check(desk.engine) == []


async def test_the_doctor_finds_missing_tables(server: EmbeddedServer) -> None:
    with scratch_database(server.url) as url:
        engine = open_engine(parse_url(url), Pool(size=2))
        report = await doctor.examine(Shard(0, engine))
        await engine.dispose()
    assert report.schema_version == "missing"
    [fault] = report.faults
    assert "python -m timer_db upgrade" in fault


async def test_the_doctor_does_not_answer_for_an_absent_server() -> None:
    engine = open_engine(parse_url("mysql://timer:x@127.0.0.1:1/timer"), Pool(size=1))
    with pytest.raises(DatabaseUnavailable):
        await doctor.examine(Shard(0, engine))
    await engine.dispose()


async def test_a_cancelled_probe_ends_though_the_database_goes_away_meanwhile(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its clean-up fails then, and that must not stand in the place of the cancellation."""
    calls = 0

    async def run(*_: object) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise asyncio.CancelledError
        if calls == 3:
            raise DatabaseUnavailable("it went away")

    monkeypatch.setattr("timer_db.operations.probe.transactions.run", run)
    with pytest.raises(asyncio.CancelledError):
        await probe.check(desk.engine)
    assert calls == 3

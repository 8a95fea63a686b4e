"""From a real backup to a system that works: with the log nothing is lost, without it nothing goes unsaid."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import pytest_asyncio

from tests.client_tools import ClientTools
from tests.conftest import empty
from tests.db.clockwork import MINUTE_US, URL, Clockwork, every
from tests.db.desk import LEASE_US, SECOND_US, Desk, finished, new_timer
from tests.history import count_states, schedule_many, wait_for_states
from tests.receiver import OK
from tests.system import System, poll
from timer_db.__main__ import _parser
from timer_db.clock import DatabaseClock
from timer_db.domain.directory import ONLY_DEFAULT
from timer_db.domain.errors import DatabaseError, Fenced
from timer_db.domain.schedule_times import CatchUp
from timer_db.domain.states import OnUnknown, TimerState
from timer_db.embedded import EmbeddedServer, EngineKind, find_engine
from timer_db.embedded.errors import EmbeddedError
from timer_db.engine import Pool, open_shards
from timer_db.migrate import upgrade
from timer_db.operations import membership, rescue, restored
from timer_db.operations.directory import DirectoryKeeper
from timer_db.shards import Shards

POSITION = re.compile(rb"(?:MASTER|SOURCE)_LOG_FILE='(\S+?)', (?:MASTER|SOURCE)_LOG_POS=(\d+);")
FAR_SECONDS = 3600
TIME_US = 1_790_000_000
"""Numbers of controllers after a restore are seconds since 1970; this was in 2026."""


@pytest.fixture(scope="module")
def tools(engine_kind: EngineKind) -> ClientTools:
    """The engine's own programs."""
    try:
        return ClientTools(find_engine(engine_kind))
    except EmbeddedError as fault:
        pytest.skip(f"no client programs for {engine_kind}: {fault}")


@pytest.fixture(scope="module")
def spare(engine_kind: EngineKind, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """Another machine's server."""
    folder = tmp_path_factory.mktemp(f"spare-{engine_kind}")
    with EmbeddedServer(find_engine(engine_kind), folder / "db", buffer_pool_mb=64, redo_log_mb=64) as running:
        asyncio.run(_upgrade(running.url))
        yield running


async def _upgrade(url: str) -> None:
    shards = open_shards([url])
    for shard in shards:
        await upgrade(shard.engine)
    await shards.close()


@pytest_asyncio.fixture
async def spare_shards(spare: EmbeddedServer) -> AsyncIterator[Shards]:
    """Connections to it, empty."""
    empty(spare.url)
    opened = open_shards([spare.url], Pool(size=4))
    yield opened
    await opened.close()


@pytest.fixture
def spare_desk(spare_shards: Shards) -> Desk:
    """The same for short words."""
    return Desk(spare_shards)


class Backup:
    """A dump, and the place in the binary log that it belongs to."""

    def __init__(self, tools: ClientTools, server: EmbeddedServer, folder: Path) -> None:
        self._tools, self._server = tools, server
        self._dump, self._log = folder / "dump.sql", folder / "log.sql"
        self._is_mysql = tools.kind is EngineKind.mysql
        # Without GTIDs, a server that has seen a part of the log already takes the whole of it all the same.
        place = ("--source-data=2", "--set-gtid-purged=OFF") if self._is_mysql else ("--master-data=2",)
        options = ("--single-transaction", "--hex-blob", *place, "--databases", server.database)
        with self._dump.open("wb") as into:
            tools.run(tools.dump, *options, server=server, into=into)
        found = POSITION.search(self._dump.read_bytes())
        assert found, "the dump does not say where it stands in the log"
        self._file, self._position = found[1].decode(), int(found[2])

    def restore(self, to: EmbeddedServer) -> None:
        """The state at the time of the backup."""
        self._tools.run(self._tools.client, server=to, source=self._dump)

    def replay(self, to: EmbeddedServer) -> None:
        """What was committed since, up to the last transaction."""
        folder = self._server.data_dir / "db"
        files = sorted(path for path in folder.glob("binlog.[0-9]*") if path.name >= self._file)
        place = [f"--start-position={self._position}", f"--database={self._server.database}"]
        if self._is_mysql:
            place.append("--skip-gtids")
        with self._log.open("wb") as into:
            self._tools.run(self._tools.binlog, *place, *map(str, files), into=into)
        self._tools.run(self._tools.client, server=to, source=self._log)


async def _back_up(tools: ClientTools, server: EmbeddedServer, folder: Path) -> Backup:
    return await asyncio.to_thread(Backup, tools, server, folder)


async def test_a_dump_and_the_log_lose_nothing_and_repeat_only_what_was_in_hand(
    system: System, shards: Shards, tools: ClientTools, spare: EmbeddedServer, spare_shards: Shards, tmp_path: Path
) -> None:
    ids = await schedule_many(shards, 300, system.receiver.url, due_in_seconds=0.5, spread_seconds=3.5)
    victim = await system.start_controller(poll_seconds=0.1)
    await system.receiver.wait_for_ids(30)
    backup = await _back_up(tools, system.server, tmp_path)
    ids += await schedule_many(shards, 100, system.receiver.url)
    far = await schedule_many(shards, 10, system.receiver.url, due_in_seconds=FAR_SECONDS)

    async def the_new_ones_are_delivered() -> bool:
        return (await count_states(shards))[TimerState.delivered] >= 150

    await poll(the_new_ones_are_delivered, 20, "150 deliveries")
    await victim.kill()
    await asyncio.to_thread(system.server.kill)
    called_before = len(system.receiver.by_id)
    await asyncio.to_thread(backup.restore, spare)
    await asyncio.to_thread(backup.replay, spare)

    await system.start_controller(db_url=spare.url, lease_seconds=1)

    await system.receiver.wait_for_ids(len(ids))
    await wait_for_states(
        spare_shards, {TimerState.delivered: len(ids), TimerState.scheduled: len(far)}, timeout_seconds=20
    )
    assert called_before < len(ids), "the server died too late to show anything"
    assert set(system.receiver.by_id) == set(ids)
    repeats = [call for calls in system.receiver.by_id.values() for call in calls[1:]]
    assert all(call.headers["timer-possible-duplicate"] == "true" for call in repeats)
    # In hand at its death: what was due within a poll of 0.1 s and 0.25 s beyond, at 86 a second; and of the
    # hundred that were due at once as many as a busy machine had not written down yet.
    assert len(repeats) < 200


async def test_an_old_backup_marks_every_repeat_and_repeats_nothing_that_may_not_be(
    system: System, shards: Shards, tools: ClientTools, spare: EmbeddedServer, spare_shards: Shards, tmp_path: Path
) -> None:
    answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    system.receiver.answer = lambda call: answer if call.target.startswith("/slow") else OK
    url = system.receiver.url
    far = await schedule_many(shards, 10, url, due_in_seconds=FAR_SECONDS)
    delivered = await schedule_many(shards, 20, url)
    in_hand = await schedule_many(shards, 5, f"{url}/slow", timeout_seconds=60.0)
    victim = await system.start_controller(poll_seconds=0.1)
    await system.receiver.wait_for_ids(25)
    due = {
        choice: await schedule_many(shards, 15, url, on_unknown=choice, due_in_seconds=4) for choice in OnUnknown
    }
    await wait_for_states(
        shards, {TimerState.delivered: 20, TimerState.firing: 5, TimerState.scheduled: len(far) + 45}
    )
    backup = await _back_up(tools, system.server, tmp_path)
    answer.set_result(OK)
    lost = await schedule_many(shards, 7, url)
    await system.receiver.wait_for_ids(25 + 7 + 45)
    assert await victim.terminate() == 0
    until = datetime.now(UTC)
    assert max(system.receiver.counts().values()) == 1
    await asyncio.to_thread(backup.restore, spare)

    said = await _restored(spare.url, "--until", until.isoformat())

    assert "50 timers may have been called since the backup" in said
    assert "20 are called again and say so, 15 are held as unknown, 15 failed" in said
    await system.start_controller(db_url=spare.url, lease_seconds=1)
    again = {*in_hand, *due[OnUnknown.resend]}
    await wait_for_states(
        spare_shards,
        {
            TimerState.delivered: len(delivered) + len(again),
            TimerState.unknown: 15,
            TimerState.failed: 15,
            TimerState.scheduled: len(far),
        },
    )
    counts = system.receiver.counts()
    assert counts == Counter(delivered) + Counter(lost) + Counter(
        [*again, *again, *due[OnUnknown.hold], *due[OnUnknown.fail]]
    )
    for timer_id in again:
        first, second = system.receiver.by_id[timer_id]
        assert "timer-possible-duplicate" not in first.headers
        assert second.headers["timer-possible-duplicate"] == "true"
        assert second.headers["timer-attempt"] == "2"
        assert second.headers["webhook-id"] == first.headers["webhook-id"]


async def _restored(url: str, *arguments: str) -> str:
    """`python -m timer_db restored`: what it says."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "timer_db", "restored", *arguments,
        env={**os.environ, "TIMER_DB_URL": url},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()
    return said.decode()


async def _put_in_order(desk: Desk, until_us: int | None = None, *, hold: bool = False) -> restored.Report:
    [shard] = desk.shards
    directory = DirectoryKeeper(desk.shards)
    await directory.refresh()
    return await restored.put_in_order(
        shard, directory.current, host="host", pid=1, until_us=until_us, hold=hold, watch_seconds=0.0
    )


async def _ago_us(desk: Desk, seconds: float) -> int:
    return await desk.now_us() - round(seconds * SECOND_US)


async def test_no_number_is_given_out_twice_and_no_old_controller_goes_on(spare_desk: Desk) -> None:
    of_the_backup = await spare_desk.join()
    report = await _put_in_order(spare_desk)
    assert (report.memberships, report.next_controller > TIME_US) == (1, True)
    with pytest.raises(Fenced):
        await membership.beat(spare_desk.engine, of_the_backup, DatabaseClock())
    assert await spare_desk.join() > report.next_controller

    async def the_second_is_over() -> bool:
        return await spare_desk.now_us() // SECOND_US > report.next_controller

    await poll(the_second_is_over, 5, "the next second")
    # The same backup again: of the numbers given out since it knows nothing.
    await spare_desk.write("DELETE FROM controllers")
    assert (await _put_in_order(spare_desk)).next_controller > report.next_controller


async def test_what_was_in_hand_is_taken_back_by_its_time(spare_desk: Desk) -> None:
    """Due after the end of the old controllers: surely not called. Else perhaps, unless its outcome is logged."""
    controller = await spare_desk.join()
    now_us = await spare_desk.now_us()
    doubtful, written, later = (new_timer(now_us + SECOND_US * n) for n in (-30, -20, 30))
    await spare_desk.add(doubtful, written, later)
    claims = {claim.timer.id: claim for claim in await spare_desk.take(controller)}
    await spare_desk.finish(controller, [finished(claims[written.id])])
    await spare_desk.silence(controller, seconds=10)
    # What the batch says of unsent claims was true at the time of the backup, and tells nothing of later.
    await spare_desk.write("UPDATE claim_batches SET unsent = 3")
    report = await _put_in_order(spare_desk, await _ago_us(spare_desk, 5))
    assert (report.unsent, report.doubtful) == (1, {TimerState.scheduled: 1})
    assert await spare_desk.in_hand() == {}
    assert [await spare_desk.state(timer.id) for timer in (doubtful, written, later)] == [
        TimerState.scheduled,
        TimerState.delivered,
        TimerState.scheduled,
    ]
    assert (await spare_desk.timer(later.id)).attempts == 0
    assert await rescue.find_gone(spare_desk.engine, LEASE_US) == []


async def test_hold_calls_nothing_again_that_waited_for_its_receiver_either(spare_desk: Desk) -> None:
    noon_us = await _ago_us(spare_desk, 3600)
    controller = await spare_desk.join()
    waiting = [new_timer(noon_us + n, priority=n % 3) for n in range(30)]
    await spare_desk.add(*waiting)
    await spare_desk.defer_all(controller, 1, b"d" * 16)
    queued = [new_timer(noon_us + n, priority=n % 3) for n in range(30)]
    await spare_desk.add(*queued)
    await spare_desk.write(f"UPDATE controllers SET beat_at_us = {noon_us}")
    report = await _put_in_order(spare_desk, noon_us + 14, hold=True)
    assert report.doubtful == {TimerState.unknown: 30}
    assert {entry.at_us for entry in await spare_desk.queued()} == {noon_us + n for n in range(15, 30)}
    assert await spare_desk.count("endings") == 30
    again = await _put_in_order(spare_desk, noon_us + 14, hold=True)
    assert again.doubtful.total() == 0


async def test_more_than_a_page_of_each_priority(spare_desk: Desk) -> None:
    now_us = await spare_desk.now_us()
    timers = [new_timer(now_us - SECOND_US + n, priority=n % 2) for n in range(4 * restored.PAGE + 10)]
    for first in range(0, len(timers), 500):
        await spare_desk.add(*timers[first : first + 500])
    report = await _put_in_order(spare_desk)
    assert report.doubtful == {TimerState.scheduled: len(timers)}
    assert await spare_desk.count("timers WHERE possible_duplicate = 0") == 0
    assert len(await spare_desk.queued()) == len(timers)


async def test_runs_of_schedules_since_the_backup_may_have_been_called(spare_desk: Desk) -> None:
    """They are made, as far as the schedule wants them, and are doubted like timers that waited in the backup."""
    clockwork = Clockwork(spare_desk)
    start_us = await _ago_us(spare_desk, 210)
    for name, catch_up, on_unknown in [
        ("again", CatchUp.all, "resend"),
        ("once", CatchUp.all, "fail"),
        ("last", CatchUp.last, "hold"),
        ("none", CatchUp.none, "resend"),
    ]:
        timer = {"url": URL, "on_unknown": on_unknown}
        await clockwork.put(name, every(MINUTE_US, start_us=start_us, catch_up=catch_up, timer=timer))
    await spare_desk.write(f"UPDATE schedules SET next_run_at_us = {start_us}")
    until_us = await _ago_us(spare_desk, 60)
    report = await _put_in_order(spare_desk, until_us)
    for name, state in (("again", TimerState.scheduled), ("once", TimerState.failed)):
        assert [run.state for run in await clockwork.runs(name) if run.attempts] == [state] * 3
    assert await spare_desk.count("timers WHERE possible_duplicate = 1 AND on_unknown = 'resend'") == 3
    # The last one is due behind the end: surely not called.
    for name, count in (("again", 4), ("once", 4), ("last", 1), ("none", 0)):
        runs = await clockwork.runs(name)
        assert len(runs) == count
        assert [run.attempts for run in runs if run.due_at_us > until_us] == [0] * (count > 0)
    assert (report.runs, report.doubtful.total(), report.faults) == (9, 6, {})
    assert (await _put_in_order(spare_desk, until_us)).runs == 0
    schedule_id = (await clockwork.get("once")).id
    [(failed,)] = await spare_desk.rows(
        f"SELECT SUM(timers) FROM timer_counts WHERE schedule_id = {schedule_id} AND state = 'failed'"
    )
    assert failed == 3


async def test_a_controller_at_work_is_in_the_way(system: System, spare: EmbeddedServer, spare_desk: Desk) -> None:
    controller = await system.start_controller(db_url=spare.url, lease_seconds=1)
    [shard] = spare_desk.shards
    with pytest.raises(DatabaseError, match=r"controller \d+ \(.+\) is at work on this database: stop all"):
        await restored.put_in_order(shard, ONLY_DEFAULT, host="host", pid=1, watch_seconds=1.0)
    assert await controller.terminate() == 0


@pytest.mark.parametrize(
    ("moment_us", "words"), [(2 * TIME_US * SECOND_US, "lies in the future"), (SECOND_US, "is too early")]
)
async def test_a_time_that_cannot_be(spare_desk: Desk, moment_us: int, words: str) -> None:
    await spare_desk.join()
    with pytest.raises(DatabaseError, match=words):
        await _put_in_order(spare_desk, moment_us)
    assert await spare_desk.count("controllers WHERE gone_at_us IS NOT NULL") == 0


def test_a_time_without_an_offset_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        _parser().parse_args(["restored", "--until", "2026-11-20T16:00:00"])
    assert "argument --until" in capsys.readouterr().err

"""Tiny runs that prove that the benchmark measures real things: rows, calls, arrivals, CPU."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest

from benchmarks import ground as grounds
from benchmarks.catalogue import MEANINGS
from benchmarks.database import Observer
from benchmarks.figures import BenchmarkError, Result
from benchmarks.ground import Ground
from benchmarks.loading import load, template
from benchmarks.options import Options
from benchmarks.programs import Program, wait_until
from benchmarks.sink import Sink, find_nginx
from benchmarks.workloads import after, backlog, batch, burst, create, floor, telemetry
from benchmarks.workloads.backlog import _order
from timer_db.domain import ids
from timer_db.embedded import EmbeddedServer, EngineKind
from timer_db.operations.schedule import schedule
from timer_db.shards import Shards

TIMERS = 200
LATER_US = 3_600_000_000


@pytest.fixture
def ground(
    server: EmbeddedServer,
    database_url: str,
    engine_kind: EngineKind,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Ground]:
    """The server of the tests with a sink of its own."""
    try:
        find_nginx()
    except BenchmarkError as error:
        pytest.skip(str(error))
    # Figures do not matter here, so nothing has to become quiet first.
    monkeypatch.setattr(grounds, "_BEFORE_DUE_SECONDS", 0.5)
    monkeypatch.setattr("benchmarks.delivery.PURGE_SECONDS", 0.05)
    monkeypatch.setattr("benchmarks.workloads.floor.PURGE_SECONDS", 0.05)
    options = Options(
        controllers=(1,),
        burst_timers=(TIMERS,),
        backlog_timers=TIMERS,
        create_timers=TIMERS,
        create_connections=8,
        batch_timers=3 * TIMERS,
        batch_sizes=(10, 3 * TIMERS),
        batch_connections=2,
        floor_timers=TIMERS,
        after_timers=TIMERS,
        after_delivered=2 * TIMERS,
        telemetry_timers=TIMERS,
        telemetry_pairs=1,
    )
    (tmp_path / "sink").mkdir()
    observer, sink = Observer(database_url), Sink(tmp_path / "sink", 1)
    yield Ground(engine_kind, options, server, observer, sink, tmp_path)
    sink.program.stop()
    observer.close()


def has_meanings(result: Result) -> bool:
    return set(result.figures) <= set(MEANINGS[result.workload])


def cpu_of(result: Result) -> list[float]:
    return [value for name, value in result.figures.items() if name.endswith("_us") and isinstance(value, float)]


async def test_loaded_timers_are_as_scheduled_ones(shards: Shards, database_url: str) -> None:
    """But for their ids and times, byte for byte."""
    timer = template("http://127.0.0.1:9/hooks")
    due_us = timer.created_at_us + LATER_US
    await schedule(shards, [replace(timer, id=ids.new_id(timer.created_at_us), due_at_us=due_us)])
    loaded = await asyncio.to_thread(load, database_url, timer, 3, due_us, step_us=1000)
    observer = Observer(database_url)
    columns = [row[0] for row in observer.rows("SHOW COLUMNS FROM timers")]
    others = ", ".join(name for name in columns if name not in ("id", "due_at_us", "next_at_us"))
    assert len(observer.rows(f"SELECT DISTINCT {others} FROM timers")) == 1
    rows = observer.rows("SELECT id, due_at_us, next_at_us, 32767 - priority FROM timers")
    places = observer.rows("SELECT priority_rank, due_key FROM due_queue")
    observer.close()
    assert sorted(due for _, due, _, _ in rows) == [due_us, due_us, due_us + 1000, due_us + 2000]
    assert set(places) == {(rank, due.to_bytes(8, "big") + timer_id) for timer_id, _, due, rank in rows}
    assert {timer_id for timer_id, due, *_ in rows if loaded.due_us(timer_id) == due} >= {
        loaded.first_id,
        loaded.last_id,
    }
    assert all(ids.is_timer_id(UUID(bytes=timer_id)) for timer_id, *_ in rows)


def test_burst_counts_what_arrives(ground: Ground) -> None:
    [result] = burst.run(ground)
    figures = result.figures
    assert has_meanings(result)
    assert (figures["missed"], figures["doubled"], figures["early"]) == (0, 0, 0)
    assert figures["logged_delivered"] == TIMERS
    assert all(0 < us < 1_000_000 for us in cpu_of(result))
    assert result.series["progress"][-1][1] == TIMERS


def test_a_backlog_is_compared_with_its_order(ground: Ground) -> None:
    [result] = backlog.run(ground)
    assert has_meanings(result)
    assert (result.figures["missed"], result.figures["doubled"]) == (0, 0)
    assert result.figures["logged_delivered"] == TIMERS
    # Two that came the wrong way round are one place off each, and one of them overtook.
    assert _order([(0, 0), (1, 0), (0, 1), (1, 1)], 2) == {
        "overtaking_share": 0.25, "places_off_p99": 1, "places_off_max": 1, "missed": 6, "doubled": 0,
    }  # fmt: skip


def test_metrics_are_scraped_in_one_of_two_bursts(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telemetry, "_SCRAPE_SECONDS", 0.05)
    [result] = telemetry.run(ground)
    assert has_meanings(result)
    assert isinstance(result.figures["scrapes"], int)
    assert result.figures["scrapes"] > 0
    assert all(0 < us < 1_000_000 for us in cpu_of(result))


def test_floor_posts_and_drains(ground: Ground) -> None:
    [result] = floor.run(ground)
    assert has_meanings(result)
    assert all(0 < us < 1_000_000 for us in cpu_of(result))


def test_create_stores_each_timer_and_its_yardstick_none(ground: Ground) -> None:
    [result] = create.run(ground)
    assert has_meanings(result)
    assert isinstance(result.figures["commits_per_create"], float)
    assert 0 < result.figures["commits_per_create"] <= 1.5


def test_batch_stores_each_timer_of_each_call(ground: Ground) -> None:
    """The calls of the second case have two chunks each."""
    small, large = batch.run(ground)
    for result in (small, large):
        assert has_meanings(result)
        assert all(0 < us < 1_000_000 for us in cpu_of(result))
        assert isinstance(result.figures["timers_per_second"], int)
    assert large.case == {"timers": 2 * 3 * TIMERS, "timers_per_call": 3 * TIMERS, "connections": 2}
    assert isinstance(large.figures["commits_per_timer"], float)
    assert 0 < large.figures["commits_per_timer"] <= 0.01


def test_a_program_ends_with_its_block_and_a_dead_one_is_named(tmp_path: Path) -> None:
    with Program("a sleeper", ["/bin/sleep", "60"], tmp_path / "log") as program:
        program.check()
        pid = program.pid
    assert not Path(f"/proc/{pid}").exists()
    dead = Program("a failure", ["/bin/false"], tmp_path / "log")
    with dead, pytest.raises(BenchmarkError, match="a failure ended with 1"):
        wait_until("never", lambda: False, 30, [dead])


def test_after_keeps_what_was_delivered_before(ground: Ground) -> None:
    [result] = after.run(ground)
    assert has_meanings(result)
    assert result.figures["logged_delivered"] == 4 * TIMERS
    assert result.figures["missed"] == result.figures["doubled"] == 0
    assert ground.observer.number("SELECT COUNT(*) FROM timers") == 0
